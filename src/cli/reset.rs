//! `aplomb reset`

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    Failure, WithConfig,
    offsets::{before, connect, failure, random_generation, read_file},
    output::say,
};
use crate::{
    application::Application,
    commerce,
    config::Config,
    kafka::KafkaLog,
    log::{Log, Producer},
    names,
    operator::{Inputs, Operator, Reset, Step, parse_start},
    runtime::Identity,
    topics,
};

const SETTLE_WAIT: Duration = Duration::from_secs(30);

pub(super) const HELP: &str = "\
Begins a new generation of the application: the inputs are read from where --inputs says, with empty
state. Changelogs are deleted and made anew, inboxes are emptied, the state folder's database is
deleted. State folders of other pods need nothing: they hold an older generation and are rebuilt.

Outputs are kept. What is read again is written again, under the same event ids, which are made of
the causes: consumers that go by them meet nothing new. It refuses while the group has members.

Should it be interrupted, no task opens until it was run again to its end.

Examples:
  aplomb reset --config aplomb.toml --inputs earliest --dry-run
  aplomb reset --config aplomb.toml --inputs 2026-05-01T00:00:00Z --yes
  aplomb reset --config aplomb.toml --inputs offsets.json --yes";

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    config: WithConfig,
    /// Where to read from: `earliest`, `latest`, an instant, or a file as `aplomb offsets show`
    /// prints it
    #[arg(long, value_name = "earliest|latest|TIME|FILE")]
    inputs: String,
    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do it: the state is lost
    #[arg(long, required_unless_present = "dry_run")]
    yes: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let (config, log, application) = connect(&options.config)?;
    let inputs = inputs(&options.inputs, &application)?;
    let folder = if options.yes { Some(take_folder(&config, &log)?) } else { None };
    let mut operator = Operator::open(&log, &application).map_err(failure)?;
    operator.check_alone().map_err(failure)?;
    let plan = topics::plan(&commerce::topology(), &config.naming());
    let reset = Reset::plan(&log, &application, &plan, &inputs, random_generation());
    let reset = reset.map_err(failure)?;
    print(&reset, &config);
    if folder.is_none() {
        say!("nothing was done: this was a dry run; --yes does it");
        return Ok(());
    }
    let outcome = reset.carry_out(&mut operator, &mut |step| say!("{}", name(step)));
    outcome.map_err(|error| match failure(error) {
        Failure::Failed(reason) => {
            Failure::Failed(format!("{reason}. The reset has not ended: run it again"))
        }
        other => other,
    })?;
    delete_state(&config)?;
    say!("done: generation {}; start the application", reset.generation);
    Ok(())
}

fn inputs(text: &str, application: &Application) -> Result<Inputs, Failure> {
    if let Some(start) = parse_start(text) {
        return Ok(Inputs::At(start));
    }
    let path = Path::new(text);
    if !path.exists() {
        return Err(Failure::Failed(format!(
            "--inputs {text}: neither earliest nor latest, nor an instant such as \
             2026-05-01T00:00:00Z, nor a file that is there"
        )));
    }
    Ok(Inputs::File(read_file(path, application)?))
}

/// No process of this folder runs, and none left a transaction open.
fn take_folder(config: &Config, log: &KafkaLog) -> Result<Identity, Failure> {
    let identity = Identity::take(&config.application, config.worker.threads)?;
    for id in identity.remembered() {
        let settled = log.producer(id).and_then(|mut one| one.init_transactions(SETTLE_WAIT));
        settled.map_err(|error| Failure::Failed(format!("kafka: {error}")))?;
    }
    Ok(identity)
}

fn print(reset: &Reset, config: &Config) {
    say!("a new generation of {}", config.application.id);
    for (input, now, then) in &reset.inputs {
        say!("input      {input}  {} -> {then}", before(now));
    }
    for topic in &reset.changelogs {
        say!("made anew  {}  partitions={}", topic.name, topic.partitions);
    }
    say!("emptied    {} inbox partitions", reset.inboxes.len());
    for folder in state(config).iter().filter(|folder| folder.exists()) {
        say!("deleted    {}", folder.display());
    }
    say!("kept       every output");
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Mark => "marking every offset, so that no task opens meanwhile",
        Step::Changelogs => "making the changelogs anew",
        Step::Begin => "beginning the generation",
        Step::Inboxes => "emptying the inboxes",
    }
}

/// What a new generation has no use for.
fn state(config: &Config) -> [PathBuf; 2] {
    let folder = &config.application.state_dir;
    [names::database_dir(folder), names::checkpoints_dir(folder)]
}

fn delete_state(config: &Config) -> Result<(), Failure> {
    for folder in state(config) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::Failed(format!(
                    "the generation has begun, but {} cannot be deleted: {error}; it does no \
                     harm, and takes room",
                    folder.display()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}
