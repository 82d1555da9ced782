//! `aplomb replay`

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use aplomb_state::ids::Timestamp;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Failure, checks,
    output::{self, say},
};
use crate::{
    application::{Application, Naming},
    commerce::{self, inputs},
    config::{Config, Flow},
    replay::{Inputs, Replay, Summary},
};

pub(super) const HELP: &str = "\
Each line is a delivered notification, or {\"topic\", \"key\", \"value\", \"headers\", \"timestamp\"} for any
input topic: value is JSON, or a string taken as the raw bytes, or null for a tombstone; timestamp
is epoch milliseconds. A line that is neither ends as an exception in the output, and is named on
standard error.

Examples:
  aplomb replay day.jsonl --out out
  zcat day.jsonl.gz | aplomb replay - --out out --until 2026-03-03T00:00:00Z";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// JSON Lines; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where DIR/<topic without prefix>.jsonl is written, one file per output topic
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Flows and rules; without it, every project is accepted and the default rules hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Let virtual time go on to this instant, so that graces end
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Partitions of every topic
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(i32).range(1..=256))]
    partitions: i32,
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let instant: jiff::Timestamp =
        text.parse().map_err(|_| "an instant such as 2026-03-03T00:00:00Z".to_owned())?;
    Ok(Timestamp(instant.as_millisecond()))
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let failed = |error: crate::replay::Error| Failure::Failed(error.to_string());
    let Prepared { application, naming, notifications } = prepare(options)?;
    refuse_to_overwrite(options, &application)?;
    // What cannot be read is told before anything is written.
    let sources = options.files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let inputs = Inputs { default_topic: &notifications, ..inputs::REPLAY_INPUTS };
    let mut replay = Replay::new(application, naming, inputs, &options.out).map_err(failed)?;
    let bar = progress_bar(options);
    for (path, mut source) in options.files.iter().zip(sources) {
        replay
            .read(&name(path), source.as_mut(), &mut |bytes| {
                bar.inc(u64::try_from(bytes).unwrap_or(0));
            })
            .map_err(failed)?;
    }
    let summary = replay.finish(options.until).map_err(failed)?;
    bar.finish_and_clear();
    print(&summary, options);
    Ok(())
}

struct Prepared {
    application: Application,
    naming: Naming,
    /// Where a bare notification goes.
    notifications: String,
}

/// The user's flows and rules over the defaults, every external topic with as many partitions as
/// were asked for, and no allowance for disorder: lines are delivered in their order.
fn prepare(options: &Options) -> Result<Prepared, Failure> {
    let defaults = inputs::defaults(options.partitions);
    let mut config = match &options.config {
        Some(path) => super::load(path, defaults)?,
        None => Config::parse("", [], &checks(defaults)).map_err(Failure::Config)?,
    };
    config.topics.partitions = options.partitions;
    config.topics.output_partitions = options.partitions;
    for flow in &mut config.flows {
        flow.allowed_disorder_ms = 0;
    }
    let topics = config.external_topics().into_iter();
    let counts = topics.map(|topic| (topic, options.partitions)).collect();
    let document = config
        .document(&counts)
        .map_err(|missing| Failure::Failed(format!("no such topics: {}", missing.join(", "))))?;
    let naming = config.naming();
    let notifications = notifications(&config.flows);
    let topology = commerce::topology();
    let application = Application::new(topology, &naming, document, config.start, config.tuning());
    Ok(Prepared { application, naming, notifications })
}

/// The usual topic where a flow reads it, else the first flow of notifications; where there is
/// none, a bare line is a bad record of the first flow.
fn notifications(flows: &[Flow]) -> String {
    let is_stock = |flow: &&Flow| flow.document.get("kind").is_some_and(|kind| kind == "stock");
    let usual = flows.iter().find(|flow| flow.topic == inputs::NOTIFICATIONS);
    let flow = usual.or_else(|| flows.iter().find(|flow| !is_stock(flow))).or(flows.first());
    flow.map_or_else(|| inputs::NOTIFICATIONS.to_owned(), |flow| flow.topic.clone())
}

/// An output file of one replay may be the input of the next, but not of the one that writes it.
fn refuse_to_overwrite(options: &Options, application: &Application) -> Result<(), Failure> {
    let Ok(out) = fs::canonicalize(&options.out) else { return Ok(()) };
    for definition in &application.topology.outputs {
        let output = out.join(format!("{}.jsonl", definition.topic));
        let is_output = |path: &&PathBuf| fs::canonicalize(path).is_ok_and(|path| path == output);
        if let Some(path) = options.files.iter().find(is_output) {
            return Err(Failure::Failed(format!(
                "{} would be overwritten by its own replay; give another folder with --out",
                path.display()
            )));
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

fn open(path: &PathBuf) -> Result<Box<dyn BufRead>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let failed = |why: String| {
        let path = path.display();
        Failure::Failed(format!(
            "cannot read {path}: {why}; give a file of JSON Lines, or - for standard input"
        ))
    };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    if file.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(failed("it is a folder".to_owned()));
    }
    Ok(Box::new(BufReader::new(file)))
}

/// Only drawn on a terminal; without a known length, standard input shows a count.
fn progress_bar(options: &Options) -> ProgressBar {
    let sizes = options.files.iter().map(|path| fs::metadata(path).ok().map(|found| found.len()));
    let total: Option<u64> = sizes.sum();
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:40} {percent:>3} %  {bytes}  {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn print(summary: &Summary, options: &Options) {
    for line in &summary.bad_lines_named {
        output::complain(line);
    }
    if summary.bad_lines > summary.bad_lines_named.len() {
        let more = summary.bad_lines - summary.bad_lines_named.len();
        output::complain(format_args!("… and {more} more"));
    }
    say!(
        "{} lines delivered, {} of them no delivery at all; {} records in {}",
        summary.lines,
        summary.bad_lines,
        summary.outputs,
        options.out.display()
    );
}
