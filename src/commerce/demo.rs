//! `aplomb demo`: one eventful day of a shop through the whole topology on the embedded log, then
//! what came of it, read from the output topics as an analyst would.
//!
//! The day runs in virtual time on one hand-cranked worker, so the same seed gives the same
//! summary. Afterwards the HTTP API answers from the state of that worker.

mod advice;
mod inputs;
mod records;
mod report;
mod run;
mod serve;
mod summary;
#[cfg(test)]
mod test;
mod text;

use std::io::{IsTerminal, Write, stdout};

use clap::Args;

pub use self::text::Colours;
use self::{run::Run, serve::Server};

/// The arguments of `aplomb demo`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Orders placed in the day
    #[arg(long, value_name = "N", default_value_t = 400,
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub orders: u64,
    /// Another seed is another day; the same one is the same day
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// End after the summary, without the HTTP API
    #[arg(long)]
    pub once: bool,
    /// Where the HTTP API listens on 127.0.0.1; 0 takes any free port
    #[arg(long, value_name = "P", default_value_t = 8080)]
    pub port: u16,
}

/// Shows the day on `out`. `Err` is a sentence for the user.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<(), String> {
    let mut run = Run::start(options)?;
    // A port that is taken is told before the day, not after it.
    let server = if options.once { None } else { Some(Server::bind(&run, options.port)?) };
    let delivered = run.live(options)?;
    let summary = summary::summarise(&run.topics()?);
    let heading = format!(
        "One day of {}: {} orders, {} deliveries (seed {})",
        super::traffic::PROJECT,
        text::number(options.orders),
        text::number(delivered),
        options.seed,
    );
    let address = server.as_ref().map(Server::address);
    let text = report::render(&summary, &heading, address.as_deref(), colours());
    print(out, &text)?;
    match server {
        Some(server) => {
            run.report(server.status());
            print(out, "\n  The HTTP API stays up. Ctrl-C ends it.\n")?;
            server.run()
        }
        None => Ok(()),
    }
}

/// Escape sequences are for people at a terminal who did not say no to them.
fn colours() -> Colours {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && stdout().is_terminal() { Colours::Ansi } else { Colours::Plain }
}

fn print(out: &mut dyn Write, text: &str) -> Result<(), String> {
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| format!("standard output: {error}"))
}
