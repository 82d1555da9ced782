//! Every metric: its name, unit, help and the one function that sets it.
//!
//! Counters are plain numbers on the record path; a worker folds them in here at each commit.
//! `docs/metrics.md` lists all of them; a test compares.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aplomb_state::{effect::Headers, ids::Timestamp};
use metrics::{Unit, counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

use crate::{
    application::Application,
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
const WRITTEN: &str = "aplomb_written_records_total";
const EXCEPTIONS: &str = "aplomb_exceptions_total";
const END_TO_END: &str = "aplomb_end_to_end_seconds";
const OVERLAY: &str = "aplomb_transaction_bytes";
const RESTORE_DONE: &str = "aplomb_task_restored_records";
const RESTORE_ALL: &str = "aplomb_task_restore_records";

/// Records that name a code by this header are exceptions, or dead letters.
const CODE_HEADER: &str = "code";

const TASK: &[&str] = &["stage", "topic", "partition"];

/// All of them.
pub const DEFINITIONS: [Definition; 25] = [
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
    count(
        WRITTEN,
        &["topic"],
        "Records for output topics, superseded ones of compacted topics too.",
    ),
    count(EXCEPTIONS, &["topic", "code"], "Records of exceptions and dead letters by their code."),
    Definition {
        name: END_TO_END,
        kind: Kind::Histogram,
        unit: Unit::Seconds,
        labels: &["stage"],
        help: "From an external record's time to the commit of its effects, the oldest per transaction.",
    },
    Definition {
        name: OVERLAY,
        kind: Kind::Histogram,
        unit: Unit::Bytes,
        labels: &[],
        help: "Memory of a transaction at its commit: changed state, last records of compacted outputs.",
    },
    level(
        RESTORE_DONE,
        Unit::Count,
        TASK,
        "Changelog records replayed so far, while it is restored.",
    ),
    level(
        RESTORE_ALL,
        Unit::Count,
        TASK,
        "Changelog records to be replayed, while it is restored.",
    ),
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

/// What a transaction is to tell once it is committed. Plain numbers on the record path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// By place of the output.
    written: Vec<u64>,
    codes: BTreeMap<(u16, Vec<u8>), u64>,
    /// By place of the stage: the oldest external record behind its inputs.
    oldest: Vec<Option<Timestamp>>,
}

impl Told {
    pub fn handled(&mut self, stage: u16, at: Timestamp) {
        let stage = usize::from(stage);
        if self.oldest.len() <= stage {
            self.oldest.resize(stage + 1, None);
        }
        if let Some(oldest) = self.oldest.get_mut(stage) {
            *oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
        }
    }

    pub fn written(&mut self, output: u16, headers: &Headers) {
        let place = usize::from(output);
        if self.written.len() <= place {
            self.written.resize(place + 1, 0);
        }
        if let Some(count) = self.written.get_mut(place) {
            *count += 1;
        }
        if let Some(code) = headers.get(CODE_HEADER) {
            *self.codes.entry((output, code.to_vec())).or_default() += 1;
        }
    }
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

/// At each commit, by the worker, beside [`record_commit`].
pub fn record_told(told: &Told, bytes: usize, application: &Application, now: Timestamp) {
    let topic =
        |place: usize| application.outputs.get(place).map(|output| output.topic.to_string());
    for (place, count) in told.written.iter().enumerate().filter(|(_, count)| **count > 0) {
        if let Some(topic) = topic(place) {
            counter!(WRITTEN, "topic" => topic).increment(*count);
        }
    }
    for ((place, code), count) in &told.codes {
        if let Some(topic) = topic(usize::from(*place)) {
            let code = String::from_utf8_lossy(code).into_owned();
            counter!(EXCEPTIONS, "topic" => topic, "code" => code).increment(*count);
        }
    }
    for (stage, oldest) in application.stages.iter().zip(&told.oldest) {
        if let Some(oldest) = oldest {
            let seconds = as_f64((now.0 - oldest.0).max(0)) / 1_000.0;
            histogram!(END_TO_END, "stage" => stage.definition.name).record(seconds);
        }
    }
    histogram!(OVERLAY).record(as_f64(i64::try_from(bytes).unwrap_or(i64::MAX)));
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
        if let TaskState::Restoring { from, position, end } = task.state {
            gauge!(RESTORE_DONE, &labels).set(as_f64(position - from));
            gauge!(RESTORE_ALL, &labels).set(as_f64(end - from));
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
    let latency = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0, 3_600.0];
    let sizes = [1e3, 1e4, 1e5, 1e6, 4e6, 16e6, 64e6];
    set(forgetful, COMMIT_SECONDS, &short)
        .and_then(|builder| set(builder, END_TO_END, &latency))
        .and_then(|builder| set(builder, OVERLAY, &sizes))
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
    fn a_transaction_tells_what_it_wrote_and_how_old_its_oldest_record_is() {
        let mut told = Told::default();
        let mut coded = Headers::default();
        coded.push("code", b"OVERSOLD");
        told.written(2, &coded);
        told.written(2, &coded);
        told.written(0, &Headers::default());
        told.handled(1, Timestamp(7_000));
        told.handled(1, Timestamp(4_000));
        let application = Application::new(
            crate::example::topology(),
            &crate::application::Naming {
                application_id: "a".to_owned(),
                output_prefix: "p.".to_owned(),
                inbox_partitions: 1,
                output_partitions: 1,
            },
            aplomb_state::envelope::Configuration {
                revision: 1,
                hash: String::new(),
                sources: Vec::new(),
                time_hold_ms: 0,
                body: Vec::new(),
            },
            crate::application::Start::Earliest,
            crate::application::Tuning::default(),
        );
        let recorder = builder().expect("the buckets are not empty").build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            record_told(&told, 5_000, &application, Timestamp(9_000));
        });
        let text = handle.render();
        for line in [
            "aplomb_written_records_total{topic=\"p.totals.v1\"} 1",
            "aplomb_written_records_total{topic=\"p.cases.v1\"} 2",
            "aplomb_exceptions_total{topic=\"p.cases.v1\",code=\"OVERSOLD\"} 2",
            "aplomb_end_to_end_seconds_sum{stage=\"count\"} 5",
            "aplomb_transaction_bytes_sum 5000",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
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
