//! `aplomb offsets`

use std::{
    fs,
    path::{Path, PathBuf},
};

use aplomb_state::ids::{Generation, NextOffset, TopicPartition};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{Failure, WithConfig, output::say};
use crate::{
    application::Application,
    clock::{Clock, SystemClock},
    commerce,
    config::Config,
    kafka::KafkaLog,
    log::Committed,
    operator::{self, Change, Error, OffsetsFile, Operator, Restoration},
    runtime,
};

pub(super) const HELP: &str = "\
`show` prints what the group has committed, as JSON: keep it with a backup. `restore` is for a group
whose offsets were lost (they expire while it has no member) or set back: it reads them off the log,
or takes them from a file, and never changes one that agrees with the log. It refuses while the
group has members.

Exit codes: 0 done; 1 refused, with what has to be done first; 2 the log does not say it.

Examples:
  aplomb offsets show --config aplomb.toml > offsets.json
  aplomb offsets restore --config aplomb.toml --dry-run
  aplomb offsets restore --config aplomb.toml --from offsets.json";

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Print the committed offsets as JSON
    #[command(after_help = "Example:\n  aplomb offsets show --config aplomb.toml > offsets.json")]
    Show(WithConfig),
    /// Commit what the log says, where it was lost
    #[command(after_help = "Examples:\n  \
        aplomb offsets restore --config aplomb.toml --dry-run\n  \
        aplomb offsets restore --config aplomb.toml --from offsets.json")]
    Restore(RestoreOptions),
}

#[derive(Debug, Args)]
pub(super) struct RestoreOptions {
    #[command(flatten)]
    config: WithConfig,
    /// Offsets of external topics that the log does not know, as `aplomb offsets show` prints them
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(action: &Action) -> Result<(), Failure> {
    match action {
        Action::Show(options) => show(options),
        Action::Restore(options) => restore(options),
    }
}

/// What every command about an application on its broker begins with.
pub(super) fn connect(options: &WithConfig) -> Result<(Config, KafkaLog, Application), Failure> {
    let config = options.load()?;
    let log = runtime::connect(&config)?;
    let application = runtime::application(&config, commerce::topology(), &log)?;
    Ok((config, log, application))
}

pub(super) fn failure(error: Error) -> Failure {
    match error {
        Error::CannotKnow(reason) => Failure::CannotKnow(reason),
        other => Failure::Failed(other.to_string()),
    }
}

pub(super) fn read_file(path: &Path, application: &Application) -> Result<OffsetsFile, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?;
    OffsetsFile::parse(&text, application)
        .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

pub(super) fn random_generation() -> Generation {
    Generation(SmallRng::from_os_rng().random())
}

pub(super) fn progress_bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {percent:>3} %  {pos} of {len} records  {eta}");
    let bar = ProgressBar::new(0);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// How a committed offset is shown.
pub(super) fn before(committed: &Committed) -> String {
    match committed {
        Committed::At { next: NextOffset(next), .. } => next.to_string(),
        Committed::None | Committed::Unstable => "none".to_owned(),
    }
}

fn show(options: &WithConfig) -> Result<(), Failure> {
    let (_, log, application) = connect(options)?;
    let file = operator::show(&log, &application).map_err(failure)?;
    let text = serde_json::to_string_pretty(&file).map_err(|e| Failure::Failed(e.to_string()))?;
    say!("{text}");
    Ok(())
}

fn restore(options: &RestoreOptions) -> Result<(), Failure> {
    let (_, log, application) = connect(&options.config)?;
    let from = options.from.as_deref().map(|path| read_file(path, &application)).transpose()?;
    let mut operator = Operator::open(&log, &application).map_err(failure)?;
    operator.check_alone().map_err(failure)?;
    let (now, generation) = (SystemClock::start().now(), random_generation());
    let bar = progress_bar();
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let from = from.as_ref();
    let plan = operator::plan_restore(&log, &application, from, now, generation, &mut progress);
    bar.finish_and_clear();
    let plan = plan.map_err(failure)?;
    print(&plan);
    if plan.is_empty() {
        say!("nothing to write: every offset agrees with the log");
    } else if options.dry_run {
        say!("nothing was written: this was a dry run");
    } else {
        operator::restore(&mut operator, &plan).map_err(failure)?;
        say!("written; start the application again");
    }
    Ok(())
}

fn print(plan: &Restoration) {
    for (input, committed, change) in &plan.changes {
        say!("{}", line(input, committed, change));
    }
}

fn line(input: &TopicPartition, committed: &Committed, change: &Change) -> String {
    let now = before(committed);
    match change {
        Change::Keep => format!("keep     {input}  {now}"),
        Change::First => format!("leave    {input}  none: it was never opened and begins at 0"),
        Change::Set { next, why, .. } => format!("write    {input}  {now} -> {next}  ({why})"),
    }
}
