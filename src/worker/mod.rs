//! A worker: one consumer, one transactional producer, and the tasks the group gave it. It is
//! hand-cranked: [`Worker::turn`] does one bounded piece of work and returns.
//!
//! Invariants:
//! - `COMMIT-OFFSETS` every transaction sends input offsets.
//! - `COMMIT-MEMBER` a commit goes out only under the member id the tasks were opened under.
//! - `COMMIT-CLOSED` no transaction stays open across a restore, a wait or a pause, nor behind a
//!   worker that ended.
//! - `APPLY-AFTER` stores are written only after the broker's acknowledgement.
//! - `TASK-SETTLES` once faults are over, every task runs again by itself; it parks only for what a
//!   person must mend.
//! - `NO-PANIC` a worker never gives up by a panic.

mod commit;
mod external;
mod group;
mod latest;
mod opening;
mod pending;
pub(crate) mod process;
mod recover;
mod rejoin;
pub mod report;
mod storage;
pub(crate) mod ticks;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use aplomb_state::{
    backend::Database,
    ids::{TaskId, Timestamp, TopicPartition},
};
use rand::{SeedableRng, rngs::SmallRng};

use crate::{
    application::Application,
    clock::Clock,
    log::{self, Class, Consumer, Leave, Log, Member, Producer},
    metrics,
    task::{State, Task},
};

/// Broker requests outside transactions wait so long at most; a longer outage is another turn.
const REQUEST_WAIT: Duration = Duration::from_millis(500);

/// What a worker is made of.
pub struct Parts<L: Log> {
    pub application: Arc<Application>,
    pub log: L,
    pub database: Arc<dyn Database>,
    pub clock: Arc<dyn Clock>,
    pub member: Member,
    pub transactional_id: String,
    /// Seeds the generations of fresh tasks.
    pub seed: u64,
    pub shared: Arc<Shared>,
    /// Absent where nobody looks.
    pub report: Option<report::Reporter>,
}

/// What the process tells its workers.
#[derive(Debug, Default)]
pub struct Shared {
    /// Records waiting in the inboxes of the whole group.
    pub downstream_lag: AtomicI64,
    /// The member that is to leave the group and to join it again.
    pub rejoin: Mutex<Option<String>>,
    pub stop: AtomicBool,
}

/// What a turn did, so that the caller knows whether to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Busy,
    Idle,
}

/// Why a worker ended.
#[derive(Debug)]
pub struct Stop {
    pub reason: String,
}

pub struct Worker<L: Log> {
    application: Arc<Application>,
    log: L,
    database: Arc<dyn Database>,
    clock: Arc<dyn Clock>,
    transactional_id: String,
    shared: Arc<Shared>,
    reporter: Option<report::Reporter>,
    random: SmallRng,
    consumer: L::Consumer,
    producer: Option<L::Producer>,
    /// Downstream first: the order of work within a turn.
    tasks: Vec<Task>,
    readers: HashMap<TaskId, L::Reader>,
    /// The member id the tasks were opened under.
    member_id: String,
    /// We are a member under another id than before, and the group has not said yet what is ours.
    /// The broker would take offsets from us all the same: it looks at the member alone.
    unassigned: bool,
    /// The tasks kept must be compared with what the group has committed.
    check_kept: bool,
    rejoin: rejoin::Rejoin,
    transaction: Option<Transaction>,
    /// The producer's queue is full: some task's effects wait in its outbox.
    held_back: bool,
    last_commit: Timestamp,
    /// How long it took.
    last_commit_ms: i64,
    last_tick: Timestamp,
    last_notes: Timestamp,
    tick_wanted: bool,
    recovery: recover::Recovery,
    buffers: process::Buffers,
}

/// The open transaction.
#[derive(Debug)]
struct Transaction {
    begun: Timestamp,
    /// What the overlays of its tasks take.
    state_bytes: usize,
    done: Done,
    latest: latest::Latest,
    told: metrics::Told,
    /// It says what tasks have to say before their first record.
    announces: bool,
}

impl Transaction {
    /// Memory that waits for the commit. What the producer has been given is bounded by its queue.
    fn bytes(&self) -> usize {
        self.state_bytes + self.latest.bytes()
    }
}

/// What was handled in it, for metrics.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    records: usize,
    rejections: usize,
    timers: usize,
}

impl<L: Log> Worker<L> {
    pub fn start(parts: Parts<L>) -> Result<Self, log::Error> {
        let mut consumer = parts.log.consumer(&parts.member)?;
        consumer.subscribe(&parts.application.subscription())?;
        let now = parts.clock.now();
        Ok(Self {
            application: parts.application,
            log: parts.log,
            database: parts.database,
            clock: parts.clock,
            transactional_id: parts.transactional_id,
            shared: parts.shared,
            reporter: parts.report,
            random: SmallRng::seed_from_u64(parts.seed),
            consumer,
            producer: None,
            tasks: Vec::new(),
            readers: HashMap::new(),
            member_id: String::new(),
            unassigned: false,
            check_kept: false,
            rejoin: rejoin::Rejoin::default(),
            transaction: None,
            held_back: false,
            last_commit: now,
            last_commit_ms: 0,
            last_tick: Timestamp::MIN,
            last_notes: Timestamp::MIN,
            tick_wanted: false,
            recovery: recover::Recovery::default(),
            buffers: process::Buffers::default(),
        })
    }

    /// One bounded piece of work. Waits at most `wait`, and only if there is nothing to do.
    pub fn turn(&mut self, wait: Duration) -> Result<Turn, Stop> {
        match self.try_turn(wait) {
            Ok(turn) => {
                self.report();
                Ok(turn)
            }
            Err(error) => {
                let outcome = self.recover(error);
                self.report();
                outcome.map(|()| Turn::Busy)
            }
        }
    }

    fn try_turn(&mut self, wait: Duration) -> Result<Turn, log::Error> {
        // The transaction may be due before the wait is over.
        let wait = if self.transaction.is_some() { wait.min(self.until_commit()) } else { wait };
        if let Some(event) = self.consumer.poll(wait)? {
            self.group_event(event)?;
        }
        if self.check_kept {
            self.check_kept_tasks()?;
        }
        self.rejoin_if_told()?;
        self.settle_producer()?;
        let is_known = !self.check_kept && !self.unassigned;
        if !is_known || self.producer.is_none() || self.recovery.awaits_callback(self.now()) {
            // Nothing can be committed before it is known whose the tasks are, and before what an
            // earlier producer left is settled: so nothing is taken.
            return Ok(Turn::Idle);
        }
        self.leave_failed_database()?;
        let opened = self.open_tasks()?;
        let restored = self.restore_tasks()?;
        let handled = self.process()?;
        // What was written is freed with its report: left until the drain, the records of a whole
        // transaction would stay in memory.
        if let Some(producer) = &mut self.producer {
            producer.poll();
        }
        let ticked = self.tick()?;
        let committed = self.commit_if_due(handled)?;
        let busy = opened || restored || handled > 0 || ticked || committed;
        Ok(if busy { Turn::Busy } else { Turn::Idle })
    }

    /// Sends the frontiers with the next turn, whatever the time.
    pub fn request_tick(&mut self) {
        self.tick_wanted = true;
    }

    /// Whether nothing is open, restoring or uncommitted. For replay and tests.
    pub fn is_settled(&self) -> bool {
        let steady = |task: &Task| match &task.state {
            State::Running(running) => {
                !running.has_progress() && !running.is_announcing() && !running.has_unsent()
            }
            State::Parked { .. } => true,
            State::Opening { .. } | State::Restoring(_) => false,
        };
        let waits = self.check_kept || self.unassigned || self.recovery.awaits_callback(self.now());
        let is_idle = self.transaction.is_none() && !self.tick_wanted && !waits;
        is_idle && self.tasks.iter().all(steady)
    }

    /// Why tasks are parked.
    pub fn parked(&self) -> Vec<(TaskId, String)> {
        let parked = |task: &Task| match &task.state {
            State::Parked { reason } => Some((task.id.clone(), reason.clone())),
            _ => None,
        };
        self.tasks.iter().filter_map(parked).collect()
    }

    /// The time of every running task.
    pub fn times(&self) -> Vec<Timestamp> {
        let time = |task: &Task| match &task.state {
            State::Running(running) => running.fold.time(),
            _ => Timestamp::MIN,
        };
        self.tasks.iter().map(time).collect()
    }

    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Commits what is open, if that works at once, and leaves or stays.
    pub fn shut_down(mut self, leave: Leave) -> Result<(), log::Error> {
        if let Err(error) = self.commit() {
            tracing::warn!(%error, "the last transaction was dropped");
            // Left open, it would hold back whoever reads behind us until it times out.
            if self.drop_transaction().is_some()
                && let Some(producer) = &mut self.producer
                && let Err(error) = producer.abort(REQUEST_WAIT)
            {
                tracing::warn!(%error, "it will time out");
            }
        }
        self.tasks.clear();
        self.readers.clear();
        drop(self.producer.take());
        self.consumer.close(leave)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn task_mut(&mut self, input: &TopicPartition) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.id.input == *input)
    }

    fn park(&mut self, input: &TopicPartition, reason: String) {
        if let Some(task) = self.task_mut(input) {
            tracing::error!(task = %task.id, %reason, "task parked");
            task.state = State::Parked { reason };
        }
        self.readers.retain(|id, _| id.input != *input);
        if let Err(error) = self.consumer.hold(input) {
            tracing::warn!(partition = %input, %error, "cannot hold a parked partition");
        }
    }

    fn report(&mut self) {
        if let Some(reporter) = &mut self.reporter {
            let now = self.clock.now();
            reporter.update(&mut self.consumer, &self.tasks, &self.member_id, now);
        }
    }

    fn lag_exceeded(&self) -> bool {
        let lag = self.shared.downstream_lag.load(Ordering::Relaxed);
        lag > self.application.tuning.downstream_lag_max
    }
}

/// An error of the worker's own making.
fn own_error(class: Class, message: impl Into<String>) -> log::Error {
    log::Error::new(class, message)
}
