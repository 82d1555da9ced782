//! `aplomb replay`

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::PathBuf,
};

use aplomb_state::ids::Timestamp;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, checks};
use crate::{
    application::Application,
    commerce::{self, inputs},
    config::Config,
    replay::{Replay, Summary},
};

pub(super) const HELP: &str = "\
Each line is a delivered notification, or {\"topic\", \"key\", \"value\", \"headers\", \"timestamp\"} for any
input topic: value is JSON, or a string taken as the raw bytes, or null for a tombstone; timestamp
is epoch milliseconds. A line that is neither ends as an exception in the output.

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
    let application = application(options)?;
    let (application, naming) = application;
    let failed = |error: crate::replay::Error| Failure::Failed(error.to_string());
    let mut replay =
        Replay::new(application, naming, inputs::REPLAY_INPUTS, &options.out).map_err(failed)?;
    let bar = progress_bar(options);
    for path in &options.files {
        let mut source = open(path)?;
        replay
            .read(source.as_mut(), &mut |bytes| bar.inc(u64::try_from(bytes).unwrap_or(0)))
            .map_err(failed)?;
    }
    let summary = replay.finish(options.until).map_err(failed)?;
    bar.finish_and_clear();
    print(&summary, options);
    Ok(())
}

/// The user's flows and rules over the defaults, every external topic with as many partitions as
/// were asked for, and no allowance for disorder: lines are delivered in their order.
fn application(options: &Options) -> Result<(Application, crate::application::Naming), Failure> {
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
    let topology = commerce::topology();
    let application = Application::new(topology, &naming, document, config.start, config.tuning());
    Ok((application, naming))
}

fn open(path: &PathBuf) -> Result<Box<dyn BufRead>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path)
        .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
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
    println!(
        "{} lines delivered, {} of them no delivery at all; {} records in {}",
        summary.lines,
        summary.bad_lines,
        summary.outputs,
        options.out.display()
    );
}
