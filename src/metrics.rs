//! Every metric: its name, unit, help and the one function that sets it.
//!
//! Counters are plain numbers on the record path; a worker folds them in here at each commit.
//! `docs/metrics.md` lists all of them; a test compares.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aplomb_state::ids::Timestamp;
use metrics::{Unit, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

use crate::{
    checkpoint::Round,
    log::Class,
    status::{Status, TaskState},
};

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

const RECORDS: &str = "aplomb_records_total";
const REJECTIONS: &str = "aplomb_rejections_total";
const TIMERS: &str = "aplomb_timers_total";
const COMMITS: &str = "aplomb_commits_total";
const COMMIT_SECONDS: &str = "aplomb_commit_seconds";
const OPEN_SECONDS: &str = "aplomb_transaction_seconds";
const ERRORS: &str = "aplomb_errors_total";
const FENCINGS: &str = "aplomb_fencings_total";
const REBALANCES: &str = "aplomb_rebalances_total";
const RESTORED: &str = "aplomb_restored_records_total";
const RESTORE_SECONDS: &str = "aplomb_restore_seconds";
const TASKS: &str = "aplomb_tasks";
const POSITION: &str = "aplomb_task_position";
const LAG: &str = "aplomb_task_lag_records";
const AGE: &str = "aplomb_task_age_seconds";
const MEMORY: &str = "aplomb_memory_bytes";
const CHECKPOINTS: &str = "aplomb_checkpoints_total";
const TRIMMED: &str = "aplomb_trimmed_records_total";
const READY: &str = "aplomb_ready";

const TASK: &[&str] = &["stage", "topic", "partition"];

/// All of them.
pub const DEFINITIONS: [Definition; 19] = [
    count(RECORDS, &[], "Input records whose effects are committed."),
    count(REJECTIONS, &[], "Inputs that left an exception instead of effects."),
    count(TIMERS, &[], "Timers fired."),
    count(COMMITS, &[], "Transactions committed."),
    time(COMMIT_SECONDS, "From the decision to commit to the end of the write to the stores."),
    time(OPEN_SECONDS, "From the begin of a committed transaction to the end of that write."),
    count(ERRORS, &["class"], "Errors of the log by what the worker had to do about them."),
    count(FENCINGS, &[], "Times a producer was fenced."),
    count(REBALANCES, &[], "Events of the group, empty ones too."),
    count(RESTORED, &["stage"], "Changelog records replayed."),
    time(RESTORE_SECONDS, "How long a task took from its opening until it ran."),
    count(CHECKPOINTS, &[], "Checkpoints of tasks' states written."),
    count(TRIMMED, &[], "Records deleted from inboxes, for a checkpoint stands in for them."),
    level(TASKS, Unit::Count, &["state"], "Owned tasks: opening, restoring, running, parked."),
    level(POSITION, Unit::Count, TASK, "The committed offset; its rate is the throughput."),
    level(LAG, Unit::Count, TASK, "Records waiting."),
    level(
        AGE,
        Unit::Seconds,
        TASK,
        "Now less the time up to which the committed state is complete.",
    ),
    level(MEMORY, Unit::Bytes, &["part"], "Memory of the state database."),
    level(READY, Unit::Count, &[], "1 if /health/ready says so, else 0."),
];

/// What one committed transaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitFacts {
    pub records: usize,
    pub rejections: usize,
    pub timers: usize,
    /// From its begin to the end of the write to the stores.
    pub open_ms: i64,
    /// From the decision to commit to the same end.
    pub commit_ms: i64,
}

/// A gauge is set at each rendering; one that was not set for so long is gone.
const FORGOTTEN: Duration = Duration::from_secs(300);

static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Starts collecting for the whole process, once. The handle renders for `/metrics`.
pub fn install() -> Result<PrometheusHandle, String> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = installed.as_ref() {
        return Ok(handle.clone());
    }
    let recorder = builder()?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
    describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

/// At each commit, by the worker.
pub fn record_commit(facts: &CommitFacts) {
    counter!(RECORDS).increment(u64::try_from(facts.records).unwrap_or(u64::MAX));
    counter!(COMMITS).increment(1);
    counter!(REJECTIONS).increment(u64::try_from(facts.rejections).unwrap_or(u64::MAX));
    counter!(TIMERS).increment(u64::try_from(facts.timers).unwrap_or(u64::MAX));
    histogram!(COMMIT_SECONDS).record(as_f64(facts.commit_ms) / 1_000.0);
    histogram!(OPEN_SECONDS).record(as_f64(facts.open_ms) / 1_000.0);
}

/// At each event of the group.
pub fn record_rebalance() {
    counter!(REBALANCES).increment(1);
}

/// At each error that a turn ended with.
pub fn record_error(class: Class) {
    let class = match class {
        Class::Retry => "retry",
        Class::Abort => "abort",
        Class::Migrated => "migrated",
        Class::Fatal => "fatal",
    };
    counter!(ERRORS, "class" => class).increment(1);
}

pub fn record_fencing() {
    counter!(FENCINGS).increment(1);
}

/// A round of the checkpoints' keeper.
pub fn record_keeping(round: &Round) {
    counter!(CHECKPOINTS).increment(u64::try_from(round.written).unwrap_or(0));
    counter!(TRIMMED).increment(round.trimmed);
}

/// A task runs, `took_ms` after it was opened.
pub fn record_restore(stage: &'static str, records: u64, took_ms: i64) {
    counter!(RESTORED, "stage" => stage).increment(records);
    histogram!(RESTORE_SECONDS).record(as_f64(took_ms) / 1_000.0);
}

/// Before each rendering: gauges show what is so now.
pub fn record_status(status: &Status, now: Timestamp) {
    let names = ["opening", "restoring", "running", "parked"];
    let tasks = status.tasks();
    for name in names {
        let count = tasks.values().filter(|task| task.state.name() == name).count();
        gauge!(TASKS, "state" => name).set(as_f64(i64::try_from(count).unwrap_or(i64::MAX)));
    }
    for (id, task) in &tasks {
        let labels = [
            ("stage", id.stage.to_string()),
            ("topic", id.input.topic.to_string()),
            ("partition", id.input.partition.to_string()),
        ];
        if let Some(next) = task.position {
            gauge!(POSITION, &labels).set(as_f64(next.0));
        }
        if let Some(lag) = task.lag() {
            gauge!(LAG, &labels).set(as_f64(lag));
        }
        if let (Some(as_of), TaskState::Running) = (task.as_of, &task.state) {
            gauge!(AGE, &labels).set(as_f64((now.0 - as_of.0).max(0)) / 1_000.0);
        }
    }
    for (part, bytes) in status.database().memory() {
        gauge!(MEMORY, "part" => part).set(as_f64(i64::try_from(bytes).unwrap_or(i64::MAX)));
    }
    gauge!(READY).set(if status.unready(now).is_empty() { 1.0 } else { 0.0 });
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of more than 2^53 needs no last digit")]
fn as_f64(number: i64) -> f64 {
    number as f64
}

fn describe() {
    for metric in &DEFINITIONS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

fn builder() -> Result<PrometheusBuilder, String> {
    let short = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
    let long = [0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1_800.0];
    let set = |builder: PrometheusBuilder, name: &str, buckets: &[f64]| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
    };
    // A gauge of a task that went elsewhere is set no more, and must not stand there for ever.
    let forgetful = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(FORGOTTEN));
    set(forgetful, COMMIT_SECONDS, &short)
        .and_then(|builder| set(builder, OPEN_SECONDS, &short))
        .and_then(|builder| set(builder, RESTORE_SECONDS, &long))
        .map_err(|error| error.to_string())
}

const fn count(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Definition {
    Definition { name, kind: Kind::Counter, unit: Unit::Count, labels, help }
}

const fn level(
    name: &'static str,
    unit: Unit,
    labels: &'static [&'static str],
    help: &'static str,
) -> Definition {
    Definition { name, kind: Kind::Gauge, unit, labels, help }
}

const fn time(name: &'static str, help: &'static str) -> Definition {
    Definition { name, kind: Kind::Histogram, unit: Unit::Seconds, labels: &[], help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_every_metric_with_its_labels_and_help() {
        let page = include_str!("../docs/metrics.md");
        for metric in &DEFINITIONS {
            let labels = metric.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let row = format!("| `{}` | {kind} | {labels} | {} |", metric.name, metric.help);
            let row = row.replace("|  |", "| |");
            assert!(page.contains(&row), "docs/metrics.md lacks\n{row}");
        }
        assert_eq!(page.matches("| `aplomb_").count(), DEFINITIONS.len());
    }

    #[test]
    fn commits_and_errors_are_counted() {
        let recorder = builder().expect("the buckets are not empty").build_recorder();
        let handle = recorder.handle();
        let facts = CommitFacts { records: 7, rejections: 1, timers: 2, open_ms: 90, commit_ms: 4 };
        metrics::with_local_recorder(&recorder, || {
            record_commit(&facts);
            record_commit(&facts);
            record_error(Class::Migrated);
        });
        let text = handle.render();
        for line in [
            "aplomb_records_total 14",
            "aplomb_commits_total 2",
            "aplomb_errors_total{class=\"migrated\"} 1",
            "aplomb_commit_seconds_bucket{le=\"0.005\"} 2",
            "aplomb_transaction_seconds_bucket{le=\"0.05\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
