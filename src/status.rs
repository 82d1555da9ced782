//! What the process knows of itself: for health, views, metrics and people.
//!
//! Workers write it at commits and at changes of their tasks, off the record path; the HTTP server
//! reads it. Cheap to clone: clones share it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aplomb_state::{
    backend::Database,
    ids::{NextOffset, TaskId, Timestamp, TopicPartition},
    topology::Topology,
};
use serde::Serialize;

use crate::names;

/// A task that has records waiting and takes none for so long is stuck.
pub const STUCK_AFTER_MS: i64 = 30_000;
/// A cooperative group hands out its partitions in two rounds: a member without any may still get
/// its share for so long.
pub const SHARE_WITHIN_MS: i64 = 10_000;
/// A worker whose loop did not come round for so long is stuck.
pub const WORKER_SILENT_AFTER_MS: i64 = 30_000;

/// See the module.
#[derive(Clone)]
pub struct Status {
    shared: Arc<Shared>,
}

struct Shared {
    application_id: String,
    topology: Topology,
    inbox_partitions: i32,
    database: Arc<dyn Database>,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    workers: BTreeMap<usize, WorkerStatus>,
    tasks: BTreeMap<TaskId, TaskStatus>,
    fatal: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    pub membership: Membership,
    /// Since when it has this membership.
    pub since: Timestamp,
    /// When its loop last came round.
    pub turned: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    Joining,
    /// It has an assignment, be it empty.
    Member,
}

/// One owned task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    pub worker: usize,
    pub state: TaskState,
    /// Committed.
    pub position: Option<NextOffset>,
    /// The input's end last seen.
    pub end: Option<NextOffset>,
    /// The state is complete up to here: the append time of the last committed record, or, with
    /// none waiting, the instant at which that was seen.
    pub as_of: Option<Timestamp>,
    /// When it last committed something, or was seen with nothing waiting.
    pub progressed: Timestamp,
    /// So long a transaction that has not ended holds its committed offset: nobody may go on.
    pub pending_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", rename_all_fields = "camelCase", tag = "state")]
pub enum TaskState {
    /// Its committed offset and its store are being looked at.
    Opening,
    /// The changelog is being replayed.
    Restoring {
        from: i64,
        position: i64,
        end: i64,
    },
    Running,
    /// It stopped for good, with the reason and the command that helps.
    Parked {
        reason: String,
    },
}

/// Why the process is not ready. Empty: it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A task, a worker or the process.
    pub subject: String,
    pub reason: String,
}

// === impl Status ===

impl Status {
    /// `inbox_partitions`: of every inbox, as configured.
    pub fn new(
        application_id: &str,
        topology: Topology,
        inbox_partitions: i32,
        database: Arc<dyn Database>,
    ) -> Self {
        let application_id = application_id.to_owned();
        let live = Mutex::default();
        let shared = Shared { application_id, topology, inbox_partitions, database, live };
        Self { shared: Arc::new(shared) }
    }

    // --- for workers

    /// A worker's loop came round: this is all it owns. Call it about once a second, and at each
    /// change of a task's state.
    pub fn report(
        &self,
        worker: usize,
        membership: Membership,
        tasks: impl IntoIterator<Item = (TaskId, TaskStatus)>,
        now: Timestamp,
    ) {
        let mut live = self.live();
        let before = live.workers.get(&worker).filter(|known| known.membership == membership);
        let since = before.map_or(now, |known| known.since);
        live.workers.insert(worker, WorkerStatus { membership, since, turned: now });
        live.tasks.retain(|_, status| status.worker != worker);
        live.tasks.extend(tasks);
    }

    /// The worker has stopped.
    pub fn worker_gone(&self, worker: usize) {
        let mut live = self.live();
        live.workers.remove(&worker);
        live.tasks.retain(|_, status| status.worker != worker);
    }

    /// The process is about to stop for a cause that no task can be blamed for.
    pub fn fatal(&self, reason: impl Into<String>) {
        self.live().fatal = Some(reason.into());
    }

    // --- for people

    pub fn topology(&self) -> &Topology {
        &self.shared.topology
    }

    /// Of every inbox.
    pub fn inbox_partitions(&self) -> i32 {
        self.shared.inbox_partitions
    }

    pub fn database(&self) -> &Arc<dyn Database> {
        &self.shared.database
    }

    pub fn fatal_reason(&self) -> Option<String> {
        self.live().fatal.clone()
    }

    /// When every worker had come round since: what is known of the group is as old as that.
    pub fn turned(&self) -> Option<Timestamp> {
        self.live().workers.values().map(|worker| worker.turned).min()
    }

    pub fn tasks(&self) -> BTreeMap<TaskId, TaskStatus> {
        self.live().tasks.clone()
    }

    pub fn task_status(&self, task: &TaskId) -> Option<TaskStatus> {
        self.live().tasks.get(task).cloned()
    }

    /// The task of an internal stage that an actor's key belongs to.
    pub fn task_of(&self, stage: &str, key: &[u8]) -> TaskId {
        let shared = &self.shared;
        let partition = aplomb_state::partitioner::partition_of(key, shared.inbox_partitions);
        let inbox = names::inbox(&shared.application_id, stage);
        TaskId { stage: stage.into(), input: TopicPartition { topic: inbox, partition } }
    }

    /// Ready means that every worker is a member and that every owned task is restored and makes
    /// progress.
    pub fn unready(&self, now: Timestamp) -> Vec<Reason> {
        unready(&self.live(), now)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.shared.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl TaskStatus ===

impl TaskStatus {
    pub fn new(worker: usize, state: TaskState, progressed: Timestamp) -> Self {
        Self { worker, state, position: None, end: None, as_of: None, progressed, pending_ms: None }
    }

    /// Records waiting. Absent where position or end is not known yet.
    pub fn lag(&self) -> Option<i64> {
        Some((self.end?.0 - self.position?.0).max(0))
    }
}

impl TaskState {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Restoring { .. } => "restoring",
            Self::Running => "running",
            Self::Parked { .. } => "parked",
        }
    }
}

fn unready(live: &Live, now: Timestamp) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |subject: String, reason: String| reasons.push(Reason { subject, reason });
    if let Some(fatal) = &live.fatal {
        add("process".to_owned(), fatal.clone());
    }
    if live.workers.is_empty() {
        add("process".to_owned(), "no worker runs".to_owned());
    }
    for (number, worker) in &live.workers {
        let silent_ms = now.0 - worker.turned.0;
        if worker.membership == Membership::Joining {
            add(format!("worker {number}"), "has not joined the group yet".to_owned());
        } else if live.tasks.values().all(|task| task.worker != *number)
            && now.0 - worker.since.0 < SHARE_WITHIN_MS
        {
            add(format!("worker {number}"), "waits for its share of the tasks".to_owned());
        } else if silent_ms >= WORKER_SILENT_AFTER_MS {
            add(format!("worker {number}"), format!("stands still for {} s", silent_ms / 1_000));
        }
    }
    for (task, status) in &live.tasks {
        if let Some(reason) = unready_task(status, now) {
            add(task.to_string(), reason);
        }
    }
    reasons
}

fn unready_task(status: &TaskStatus, now: Timestamp) -> Option<String> {
    if let Some(ms) = status.pending_ms {
        return Some(format!(
            "a transaction that has not ended holds its committed offset for {} s; if that goes \
             on, find and abort it with Kafka's `kafka-transactions`",
            ms / 1_000
        ));
    }
    match &status.state {
        TaskState::Opening => Some("is being opened".to_owned()),
        TaskState::Restoring { position, end, .. } => {
            Some(format!("is being restored: {position} of {end}"))
        }
        TaskState::Parked { reason } => Some(format!("is parked: {reason}")),
        TaskState::Running => {
            let still_ms = now.0 - status.progressed.0;
            let waiting = status.lag().filter(|lag| *lag > 0)?;
            (still_ms >= STUCK_AFTER_MS).then(|| {
                format!("{waiting} records wait, and none was taken for {} s", still_ms / 1_000)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(membership: Membership, turned: Timestamp) -> (usize, WorkerStatus) {
        (0, WorkerStatus { membership, since: Timestamp(0), turned })
    }

    #[test]
    fn ready_means_restored_and_making_progress() {
        let start = Timestamp(1_000);
        let now = start.plus_ms(STUCK_AFTER_MS);
        let task = TaskId { stage: "skus".into(), input: TopicPartition::new("in", 1) };
        let status = |state, position, end, progressed| TaskStatus {
            position: Some(NextOffset(position)),
            end: Some(NextOffset(end)),
            ..TaskStatus::new(0, state, progressed)
        };
        let pending = |state| TaskStatus { pending_ms: Some(12_345), ..status(state, 0, 0, now) };
        let restoring = TaskState::Restoring { from: 0, position: 3, end: 9 };
        let parked = TaskState::Parked { reason: "why".to_owned() };
        let member = worker(Membership::Member, now);
        let fresh = (0, WorkerStatus { since: now.minus_ms(1), ..member.1.clone() });
        // worker, task, reason
        let rows = [
            (None, None, "no worker runs"),
            (Some(worker(Membership::Joining, now)), None, "has not joined"),
            (Some(worker(Membership::Member, start)), None, "stands still for 30 s"),
            (Some(member.clone()), None, ""),
            (Some(fresh), None, "waits for its share"),
            (Some(member.clone()), Some(status(TaskState::Opening, 0, 0, now)), "opened"),
            (Some(member.clone()), Some(pending(TaskState::Opening)), "for 12 s"),
            (Some(member.clone()), Some(pending(TaskState::Running)), "for 12 s"),
            (Some(member.clone()), Some(status(restoring, 0, 0, now)), "restored: 3 of 9"),
            (Some(member.clone()), Some(status(parked, 0, 0, now)), "parked: why"),
            (Some(member.clone()), Some(status(TaskState::Running, 5, 9, now)), ""),
            (Some(member.clone()), Some(status(TaskState::Running, 9, 9, start)), ""),
            (Some(member), Some(status(TaskState::Running, 5, 9, start)), "4 records wait"),
        ];
        for (worker, status, expected) in rows {
            let live = Live {
                workers: worker.into_iter().collect(),
                tasks: status.into_iter().map(|status| (task.clone(), status)).collect(),
                fatal: None,
            };
            let reasons = unready(&live, now);
            match reasons.as_slice() {
                [] => assert_eq!(expected, ""),
                [one] => assert!(!expected.is_empty() && one.reason.contains(expected), "{one:?}"),
                many => panic!("{many:?}"),
            }
        }
    }
}
