//! The command line: what there is to say, and which part of the library does it.

mod ask;
mod cases;
mod dlq;
mod drain;
mod inspect;
mod offsets;
mod output;
mod replay;
mod reset;
mod run;
mod topics;
mod verify;

use std::{fmt, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::output::say;
use crate::{
    commerce,
    config::{self, Checks, Config},
    describe, kafka,
};

/// Keeps a shop's systems true to each other: an exactly-once, stateful processor of commerce
/// events.
#[derive(Debug, Parser)]
#[command(name = "aplomb", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  aplomb demo --once                       a day of commerce, explained
  aplomb replay day.jsonl --out out        what would these deliveries give?
  aplomb topics create --config aplomb.toml
  aplomb run --config aplomb.toml          the service
  aplomb verify --config aplomb.toml       is what it wrote right?
  aplomb drain --config aplomb.toml        its tasks go to other processes at once

Exit codes: 0 done; 1 a deviation or a failure; 2 the question cannot be answered, or wrong usage;
78 the configuration has mistakes, all of which are listed.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service on Apache Kafka until SIGTERM or SIGINT
    #[command(after_help = "Example:\n  aplomb run --config aplomb.toml\n\n\
        `run` refuses to start while `aplomb topics check` has something to say.")]
    Run(WithConfig),
    /// Show a whole day of commerce on the embedded log, without a broker
    #[command(after_help = "Examples:\n  aplomb demo\n  aplomb demo --orders 2000 --seed 7 --once")]
    Demo(commerce::demo::Options),
    /// Feed JSON Lines through the topology on the embedded log and write every output topic
    #[command(after_help = replay::HELP)]
    Replay(replay::Options),
    /// Fold the inboxes again and compare every record that was written
    #[command(after_help = verify::HELP)]
    Verify(verify::Options),
    /// List the cases that a running process keeps, or show one
    #[command(after_help = cases::HELP)]
    Cases {
        #[command(subcommand)]
        action: cases::Action,
    },
    /// Look at dead letters, or send them again
    #[command(after_help = dlq::HELP)]
    Dlq {
        #[command(subcommand)]
        action: dlq::Action,
    },
    /// Show what a running process knows of an order, a sku or a payment
    #[command(after_help = inspect::HELP)]
    Inspect(inspect::Options),
    /// Tell the running process to give up its tasks and end
    #[command(after_help = drain::HELP)]
    Drain(WithConfig),
    /// Show the committed offsets, or restore them where they were lost
    #[command(after_help = offsets::HELP)]
    Offsets {
        #[command(subcommand)]
        action: offsets::Action,
    },
    /// Begin a new generation: empty state, inputs from where you say
    #[command(after_help = reset::HELP)]
    Reset(reset::Options),
    /// Plan, create or check the topics
    #[command(after_help = "Examples:\n  aplomb topics plan --config aplomb.toml\n  \
        aplomb topics create --config aplomb.toml\n  aplomb topics check --config aplomb.toml")]
    Topics {
        #[arg(value_enum)]
        action: topics::Action,
        #[command(flatten)]
        config: WithConfig,
    },
    /// Print the topology
    #[command(after_help = "Example:\n  aplomb topology --format mermaid")]
    Topology {
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Args)]
struct WithConfig {
    /// One TOML file; see aplomb.example.toml. Environment variables such as
    /// APLOMB_APPLICATION__ID override its keys
    #[arg(long, value_name = "FILE", env = "APLOMB_CONFIG")]
    config: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Mermaid,
    Json,
}

/// What a command ends with, beside success.
#[derive(Debug)]
pub enum Failure {
    /// 78
    Config(config::Error),
    /// 1: said what to do about it.
    Failed(String),
    /// 2
    CannotKnow(String),
    /// 1, and everything was said already.
    Deviates,
}

impl Cli {
    pub fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Run(options) => run::run(&options),
            Command::Demo(options) => {
                commerce::demo::run(&options, &mut output::Out).map_err(Failure::Failed)
            }
            Command::Replay(options) => replay::run(&options),
            Command::Verify(options) => verify::run(&options),
            Command::Cases { action } => cases::run(&action),
            Command::Dlq { action } => dlq::run(&action),
            Command::Inspect(options) => inspect::run(&options),
            Command::Drain(options) => drain::run(&options),
            Command::Offsets { action } => offsets::run(&action),
            Command::Reset(options) => reset::run(&options),
            Command::Topics { action, config } => topics::run(action, &config),
            Command::Topology { format } => {
                topology(format);
                Ok(())
            }
        };
        let outcome = outcome.and_then(|()| match output::lost() {
            None => Ok(()),
            Some(reason) => Err(Failure::Failed(format!("standard output is not whole: {reason}"))),
        });
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                if !matches!(failure, Failure::Deviates) {
                    output::complain(format_args!("aplomb: {failure}"));
                }
                failure.exit_code()
            }
        }
    }
}

fn topology(format: Format) {
    let topology = commerce::topology();
    let text = match format {
        Format::Text => describe::text(&topology),
        Format::Mermaid => describe::mermaid(&topology),
        Format::Json => format!("{:#}", describe::json(&topology)),
    };
    say!("{}", text.trim_end());
}

impl WithConfig {
    fn load(&self) -> Result<Config, Failure> {
        load(&self.config, toml::Table::new())
    }
}

fn load(path: &std::path::Path, defaults: toml::Table) -> Result<Config, Failure> {
    Config::load(path, &checks(defaults)).map_err(Failure::Config)
}

fn checks(defaults: toml::Table) -> Checks<'static> {
    Checks {
        settings: commerce::topology().settings,
        properties: &kafka::check_properties,
        defaults,
    }
}

// === impl Failure ===

impl Failure {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) => config::EXIT_CODE,
            Self::Failed(_) | Self::Deviates => 1,
            Self::CannotKnow(_) => 2,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => fmt::Display::fmt(error, formatter),
            Self::Failed(reason) | Self::CannotKnow(reason) => formatter.write_str(reason),
            Self::Deviates => Ok(()),
        }
    }
}

impl From<crate::runtime::Error> for Failure {
    fn from(error: crate::runtime::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
