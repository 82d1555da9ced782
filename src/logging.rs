//! Log lines through `tracing`, to standard error: for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Starts logging for the whole process. A second call is an error and changes nothing.
pub fn start(config: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| error.to_string())?;
    // IMPORTANT: a line that cannot be written, as on a full disk, is lost. To complain of it on
    // standard error, which fails as well, would panic in whichever thread had something to say.
    let lines = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let started = match config.format {
        LogFormat::Human => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).with_target(false);
            tracing::subscriber::set_global_default(lines.finish())
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            tracing::subscriber::set_global_default(lines.finish())
        }
    };
    started.map_err(|error| format!("logging was started before: {error}"))
}

/// Whether [`start`] would take this filter.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|error| format!("{filter:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_before_anything_starts() {
        assert!(check_filter("info,aplomb=debug").is_ok());
        assert!(check_filter("aplomb=loud").is_err());
    }
}
