//! `aplomb dlq`

use clap::{Args, Subcommand};

use super::{
    Failure, WithConfig, ask, offsets,
    output::{self, say},
};
use crate::letters::{
    Letter, Letters, OnLog, Wanted,
    replay::{self, Selection},
};

pub(super) const HELP: &str = "\
`list` and `show` read the topic of dead letters. `replay` sends them again to the inputs they came
from, each once: how far they were taken and what was sent is one transaction, so it may be run
again, and stopped at any moment. With --code it has a mark of its own for that code.

Mend the cause first. A message that its resource's actor refused has consumed its sequence number
and stays a duplicate; `replay` is for what was refused before that, at the intake.

Exit codes: 0 done; 1 failed; 2 the broker cannot be asked.

Examples:
  aplomb dlq list --config aplomb.toml --code MALFORMED_JSON
  aplomb dlq show aplomb.dlq.v1/3/17 --config aplomb.toml
  aplomb dlq replay --config aplomb.toml --code ENV_MISMATCH --dry-run
  aplomb dlq replay --config aplomb.toml --code ENV_MISMATCH";

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// The latest dead letters, newest first
    List(ListOptions),
    /// One dead letter, whole
    Show {
        /// TOPIC/PARTITION/OFFSET, as `list` prints it
        place: String,
        #[command(flatten)]
        config: WithConfig,
    },
    /// Send dead letters again to where they came from
    Replay(ReplayOptions),
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    config: WithConfig,
    /// Of this code alone
    #[arg(long)]
    code: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Print them as JSON Lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ReplayOptions {
    #[command(flatten)]
    config: WithConfig,
    /// Of this code alone
    #[arg(long)]
    code: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(action: &Action) -> Result<(), Failure> {
    match action {
        Action::List(options) => list(options),
        Action::Show { place, config } => show(place, config),
        Action::Replay(options) => send_again(options),
    }
}

fn latest(config: &WithConfig, wanted: &Wanted) -> Result<Vec<Letter>, Failure> {
    let (_, log, application) = offsets::connect(config)?;
    let none = || Failure::CannotKnow("the topology has no topic of dead letters".to_owned());
    let letters = OnLog::new(log, &application).ok_or_else(none)?;
    letters.latest(wanted).map_err(Failure::CannotKnow)
}

fn list(options: &ListOptions) -> Result<(), Failure> {
    let wanted = Wanted { code: options.code.clone(), limit: options.limit };
    for letter in latest(&options.config, &wanted)? {
        if options.json {
            say!("{}", serde_json::to_string(&letter).map_err(unwritable)?);
            continue;
        }
        let header = |name: &str| letter.headers.get(name).map_or("-", String::as_str);
        say!(
            "{} {} from {}/{}/{}\n    {}",
            letter.place(),
            header("code"),
            header("__streams.errors.topic"),
            header("__streams.errors.partition"),
            header("__streams.errors.offset"),
            header("__streams.errors.message"),
        );
    }
    Ok(())
}

fn show(place: &str, config: &WithConfig) -> Result<(), Failure> {
    let wanted = Wanted { code: None, limit: usize::MAX };
    let found = latest(config, &wanted)?.into_iter().find(|letter| letter.place() == place);
    let letter = found.ok_or_else(|| Failure::CannotKnow(format!("there is no {place}")))?;
    output::text(&ask::lines(&serde_json::to_value(&letter).map_err(unwritable)?));
    Ok(())
}

fn unwritable(error: serde_json::Error) -> Failure {
    Failure::Failed(error.to_string())
}

fn send_again(options: &ReplayOptions) -> Result<(), Failure> {
    let (_, log, application) = offsets::connect(&options.config)?;
    let selection = Selection { code: options.code.clone(), limit: options.limit };
    let plan = replay::plan(&log, &application, &selection).map_err(failure)?;
    for step in &plan.steps {
        match &step.to {
            Ok(to) => say!("{} {} → {to}", step.letter, step.code),
            Err(reason) => say!("{} {} stays: {reason}", step.letter, step.code),
        }
    }
    let sent = plan.steps.iter().filter(|step| step.to.is_ok()).count();
    if options.dry_run {
        say!("{sent} would be sent");
        return Ok(());
    }
    replay::execute(&log, &application, &selection, &plan).map_err(failure)?;
    say!("{sent} sent");
    Ok(())
}

fn failure(error: replay::Error) -> Failure {
    match error {
        replay::Error::Log(error) => Failure::Failed(format!(
            "{error}; if it is not known whether they were sent, run this again: none goes twice"
        )),
        other => Failure::CannotKnow(other.to_string()),
    }
}
