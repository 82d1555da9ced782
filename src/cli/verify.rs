//! `aplomb verify`

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, WithConfig};
use crate::{
    commerce, runtime,
    verify::{self, Kind, Report},
};

pub(super) fn run(options: &WithConfig) -> Result<(), Failure> {
    let config = options.load()?;
    let cannot = |reason: String| Failure::CannotKnow(format!("cannot verify: {reason}"));
    let log = runtime::connect(&config).map_err(|error| cannot(error.to_string()))?;
    let application = runtime::application(&config, commerce::topology(), &log)
        .map_err(|error| cannot(error.to_string()))?;
    let bar = progress_bar();
    let report = verify::verify(&log, &Arc::new(application), &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| cannot(error.to_string()))?;
    print(&report);
    if report.is_clean() { Ok(()) } else { Err(Failure::Deviates) }
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
        println!("{kind:<10} {}  caused by {}", deviation.place, deviation.cause);
    }
    println!("{} inputs folded again", report.inputs);
    if report.earlier > 0 {
        println!("{} records of generations before the last reset were left out", report.earlier);
    }
    println!(
        "{} records agree, {} superseded ones were compacted away, {} lie past retention",
        report.matching, report.compacted, report.not_judged
    );
    println!(
        "{} missing, {} doubled, {} different, {} unexpected",
        report.missing, report.doubled, report.different, report.unexpected
    );
}
