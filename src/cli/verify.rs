//! `aplomb verify`

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, WithConfig, output::say};
use crate::{
    checkpoint, commerce,
    config::Config,
    names, runtime,
    verify::{self, Checkpoints, Choice, Kind, Report},
};

pub(super) const HELP: &str = "\
Every inbox is folded again from its beginning or, where it was trimmed, from a checkpoint. Those
are below the state folder of the process that ran the task: name the other processes' folders, too.

Exit codes: 0 all agree; 1 something is missing, doubled or different; 2 it cannot be known, with
the reason.

Examples:
  aplomb verify --config aplomb.toml
  aplomb verify --config aplomb.toml --checkpoints pod-0/checkpoints pod-1/checkpoints";

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    config: WithConfig,
    /// Folders with checkpoints, instead of the one below application.state_dir
    #[arg(long, value_name = "DIR", num_args = 1..)]
    checkpoints: Vec<PathBuf>,
    /// Fold from the newest checkpoints: less is verified, in less time
    #[arg(long)]
    newest: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let config = options.config.load()?;
    let cannot = |reason: String| Failure::CannotKnow(format!("cannot verify: {reason}"));
    let checkpoints = checkpoints(options, &config).map_err(cannot)?;
    let log = runtime::connect(&config).map_err(|error| cannot(error.to_string()))?;
    let application = runtime::application(&config, commerce::topology(), &log)
        .map_err(|error| cannot(error.to_string()))?;
    let bar = progress_bar();
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let report = verify::verify_from(&log, &Arc::new(application), &checkpoints, &mut progress);
    bar.finish_and_clear();
    let report = report.map_err(|error| cannot(error.to_string()))?;
    print(&report);
    if report.is_clean() { Ok(()) } else { Err(Failure::Deviates) }
}

fn checkpoints(options: &Options, config: &Config) -> Result<Checkpoints, String> {
    let own = [names::checkpoints_dir(&config.application.state_dir)];
    let folders = if options.checkpoints.is_empty() { &own[..] } else { &options.checkpoints };
    let mut known = Vec::new();
    for folder in folders {
        let found = checkpoint::list(folder);
        known.extend(found.map_err(|error| format!("{}: {error}", folder.display()))?);
    }
    let choice = if options.newest { Choice::Newest } else { Choice::Oldest };
    Ok(Checkpoints { known, choice })
}

fn progress_bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {percent:>3} %  {pos} of {len} inputs  {eta}");
    let bar = ProgressBar::new(0);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn print(report: &Report) {
    for deviation in &report.deviations {
        let kind = match deviation.kind {
            Kind::Missing => "missing",
            Kind::Doubled => "doubled",
            Kind::Different => "different",
            Kind::Unexpected => "unexpected",
        };
        say!("{kind:<10} {}  caused by {}", deviation.place, deviation.cause);
    }
    for note in &report.notes {
        say!("{note}");
    }
    say!("{} inputs folded again", report.inputs);
    if report.earlier > 0 {
        say!("{} records of generations before the last reset were left out", report.earlier);
    }
    say!(
        "{} records agree, {} superseded ones were compacted away, {} lie past retention",
        report.matching,
        report.compacted,
        report.not_judged
    );
    say!(
        "{} missing, {} doubled, {} different, {} unexpected",
        report.missing,
        report.doubled,
        report.different,
        report.unexpected
    );
}
