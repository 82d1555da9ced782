//! Several production workers on one embedded log in virtual time, cranked by hand, and what must
//! be so whatever happens to them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    error::Error,
    sync::Arc,
    time::Duration,
};

use aplomb::{
    application::Application,
    clock::Clock,
    embedded::{EmbeddedLog, Foreign, Kept, Settings, VirtualClock},
    log::{Committed, Isolation, Leave, Log, Member, TopicDescription},
    status::Status,
    task::State,
    topics, verify,
    worker::{Parts, Shared, Turn, Worker, report::Reporter},
};
use aplomb_state::{
    backend::{Database, memory::MemoryDatabase},
    codec,
    ids::{NextOffset, TaskId, Timestamp, TopicPartition},
    scan::Scan,
    store::StoreId,
};

use crate::{
    expected::Expected,
    support::{self, COUNTS, Count, DEAD, INPUT, REMIND_AFTER_MS},
};

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

pub const INPUT_PARTITIONS: i32 = 2;
pub const INBOX_PARTITIONS: i32 = 3;
pub const TASKS: usize = 5;
pub const INBOX: &str = "words.inbox.counts";
pub const CHANGELOG: &str = "words.counts.changelog";

pub const START: Timestamp = Timestamp(1_000_000);
pub const SESSION_TIMEOUT_MS: i64 = 3_000;
pub const TRANSACTION_TIMEOUT_MS: i64 = 2_000;
/// What passes between two rounds.
const STEP_MS: i64 = 3;
const ROUNDS_MAX: usize = 50_000;
/// Rounds without work after which nothing more will come.
const QUIET_ROUNDS: usize = 4;
/// The first declared store.
const COUNT_STORE: StoreId = StoreId(2);

/// A log, the workers on it, and what they should have counted.
pub struct Cluster {
    pub log: EmbeddedLog,
    pub clock: VirtualClock,
    pub application: Arc<Application>,
    /// By worker. A worker that starts again finds its own.
    pub databases: BTreeMap<usize, MemoryDatabase>,
    pub expected: Expected,
    workers: BTreeMap<usize, Worker<EmbeddedLog>>,
    /// What the process tells each worker.
    shared: BTreeMap<usize, Arc<Shared>>,
    statuses: BTreeMap<usize, Status>,
    /// Workers with a `group.instance.id`.
    static_members: BTreeSet<usize>,
    asleep: BTreeSet<usize>,
    committed: HashMap<TopicPartition, NextOffset>,
    started: u64,
}

/// What to change before anything starts.
pub struct Plan {
    pub tune: fn(&mut Application),
    pub topics: fn(&mut TopicDescription),
}

impl Default for Plan {
    fn default() -> Self {
        Self { tune: |_| {}, topics: |_| {} }
    }
}

// === setting up ===

impl Cluster {
    pub fn new() -> Outcome<Self> {
        Self::planned(&Plan::default())
    }

    /// A cluster with all its topics and no worker.
    pub fn planned(plan: &Plan) -> Outcome<Self> {
        let naming = support::naming(INBOX_PARTITIONS);
        let mut application = support::application(&naming, INPUT_PARTITIONS);
        application.tuning.transaction_timeout_ms = TRANSACTION_TIMEOUT_MS;
        (plan.tune)(&mut application);
        let clock = VirtualClock::starting_at(START);
        let settings = Settings {
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: 2 * SESSION_TIMEOUT_MS,
            transaction_timeout_ms: TRANSACTION_TIMEOUT_MS,
            ..Settings::default()
        };
        let log = EmbeddedLog::with_settings(clock.clone(), settings);
        let mut wanted = topics::plan(&application.topology, &naming);
        wanted.push(TopicDescription {
            name: INPUT.into(),
            partitions: INPUT_PARTITIONS,
            config: Vec::new(),
        });
        wanted.iter_mut().for_each(plan.topics);
        log.create_topics(&wanted)?;
        Ok(Self {
            log,
            clock,
            application: Arc::new(application),
            databases: BTreeMap::new(),
            expected: Expected::default(),
            workers: BTreeMap::new(),
            shared: BTreeMap::new(),
            statuses: BTreeMap::new(),
            static_members: BTreeSet::new(),
            asleep: BTreeSet::new(),
            committed: HashMap::new(),
            started: 0,
        })
    }

    pub fn start(&mut self, name: usize) -> Outcome {
        self.start_on(name, self.log.clone())
    }

    /// Starts a worker whose own handle to the log may fail.
    pub fn start_on(&mut self, name: usize, log: EmbeddedLog) -> Outcome {
        let database = self.databases.entry(name).or_default().clone();
        self.start_with(name, log, Arc::new(database))
    }

    /// Starts a worker on a database of the caller's.
    pub fn start_with(
        &mut self,
        name: usize,
        log: EmbeddedLog,
        database: Arc<dyn Database>,
    ) -> Outcome {
        self.started += 1;
        let shared = Arc::new(Shared::default());
        self.shared.insert(name, Arc::clone(&shared));
        let Application { id, topology, inbox_partitions, .. } = self.application.as_ref();
        let status = Status::new(id, topology.clone(), *inbox_partitions, Arc::clone(&database));
        let instance_id = self.static_members.contains(&name).then(|| format!("words-{name}"));
        let worker = Worker::start(Parts {
            application: Arc::clone(&self.application),
            log,
            database,
            clock: Arc::new(self.clock.clone()),
            member: Member { group: self.application.id.clone(), instance_id },
            transactional_id: format!("words-{name}"),
            seed: self.started,
            shared,
            report: Some(Reporter::new(status.clone(), name)),
        })?;
        self.statuses.insert(name, status);
        self.workers.insert(name, worker);
        Ok(())
    }

    /// From its next start on, this worker is a static member.
    pub fn make_static(&mut self, name: usize) {
        self.static_members.insert(name);
    }

    /// Tells every worker which member is to leave the group and to join it again.
    pub fn tell_to_rejoin(&mut self, member: &str) -> Outcome {
        for shared in self.shared.values() {
            *shared.rejoin.lock().map_err(|_| "poisoned")? = Some(member.to_owned());
        }
        Ok(())
    }

    /// The process is gone in the middle of whatever it did.
    pub fn crash(&mut self, name: usize) {
        self.workers.remove(&name);
        self.asleep.remove(&name);
    }

    pub fn leave(&mut self, name: usize) -> Outcome {
        let worker = self.workers.remove(&name).ok_or("no such worker")?;
        self.asleep.remove(&name);
        Ok(worker.shut_down(Leave::Leave)?)
    }

    /// Takes a worker out of the rounds, alive.
    pub fn detach(&mut self, name: usize) -> Outcome<Worker<EmbeddedLog>> {
        Ok(self.workers.remove(&name).ok_or("no such worker")?)
    }

    pub fn attach(&mut self, name: usize, worker: Worker<EmbeddedLog>) {
        self.workers.insert(name, worker);
    }

    /// Its state folder is lost.
    pub fn wipe(&mut self, name: usize) {
        self.databases.remove(&name);
    }

    /// The worker gets no turn until it wakes.
    pub fn sleep(&mut self, name: usize) {
        self.asleep.insert(name);
    }

    pub fn wake(&mut self, name: usize) {
        self.asleep.remove(&name);
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn feed(&mut self, text: &str) -> Outcome {
        self.feed_bytes(None, text.as_bytes(), self.now())
    }

    pub fn feed_to(&mut self, partition: i32, text: &str) -> Outcome {
        self.feed_bytes(Some(partition), text.as_bytes(), self.now())
    }

    pub fn feed_bytes(&mut self, partition: Option<i32>, text: &[u8], at: Timestamp) -> Outcome {
        let timestamp = Some(at);
        let record = Foreign { partition, timestamp, value: Some(text), ..Foreign::to(INPUT) };
        self.log.produce(&record)?;
        self.expected.take(text, at);
        Ok(())
    }

    /// Lines over many words, so that every inbox partition gets some.
    pub fn feed_many(&mut self, lines: usize) -> Outcome {
        for line in 0..lines {
            let text = format!("w{} w{} w{} all", line % 3, line % 7, line % 11);
            self.feed(&text)?;
        }
        Ok(())
    }
}

// === time ===

impl Cluster {
    /// The tasks for which this worker says that their offset is held, with how it says it.
    pub fn said_pending(&self, name: usize) -> Vec<(TaskId, String)> {
        let status = &self.statuses[&name];
        let held = status.tasks().into_iter().filter(|(_, task)| task.pending_ms.is_some());
        let reasons = status.unready(self.clock.now());
        let said = |task: &TaskId| {
            let reason = reasons.iter().find(|reason| reason.subject == task.to_string());
            reason.map(|reason| reason.reason.clone()).unwrap_or_default()
        };
        held.map(|(task, _)| (task.clone(), said(&task))).collect()
    }

    pub fn worker(&self, name: usize) -> &Worker<EmbeddedLog> {
        &self.workers[&name]
    }

    /// One turn of one worker.
    pub fn turn(&mut self, name: usize) -> Outcome<Turn> {
        let worker = self.workers.get_mut(&name).ok_or("no such worker")?;
        let turn = worker.turn(Duration::ZERO).map_err(|stop| stop.reason)?;
        self.watch()?;
        Ok(turn)
    }

    /// One turn of every worker that is awake.
    pub fn round(&mut self) -> Outcome<Turn> {
        let mut all = Turn::Idle;
        let awake: Vec<usize> =
            self.workers.keys().copied().filter(|name| !self.asleep.contains(name)).collect();
        for name in awake {
            if self.turn(name)? == Turn::Busy {
                all = Turn::Busy;
            }
        }
        self.clock.advance(STEP_MS);
        Ok(all)
    }

    pub fn rounds(&mut self, count: usize) -> Outcome {
        (0..count).try_for_each(|_| self.round().map(drop))
    }

    /// Until every task is somewhere and nothing moves.
    pub fn settle(&mut self) -> Outcome {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            let turn = self.round()?;
            let awake = || self.workers.iter().filter(|(name, _)| !self.asleep.contains(name));
            let owned: usize = awake().map(|(_, worker)| worker.tasks().len()).sum();
            let settled = awake().all(|(_, worker)| worker.is_settled());
            let calm = turn == Turn::Idle && settled && owned == TASKS;
            quiet = if calm { quiet + 1 } else { 0 };
            if quiet == QUIET_ROUNDS {
                return Ok(());
            }
        }
        Err(format!("no end after {ROUNDS_MAX} rounds").into())
    }

    /// Lets so much time pass, in steps that keep every member alive.
    pub fn pass(&mut self, ms: i64) -> Outcome {
        let until = self.now().plus_ms(ms);
        while self.now() < until {
            self.clock.advance(100);
            self.round()?;
        }
        self.settle()
    }

    /// After every turn: committed offsets never go back, and no store is ahead of them.
    fn watch(&mut self) -> Outcome {
        let mut inputs = self.application.external_partitions();
        inputs.extend(self.application.inbox_partitions());
        for (input, committed) in inputs.iter().zip(self.committed_offsets(&inputs)?) {
            let Committed::At { next, .. } = committed else { continue };
            let before = self.committed.insert(input.clone(), next);
            assert!(before.is_none_or(|before| before <= next), "{input}: {before:?}, then {next}");
        }
        for task in self.workers.values().flat_map(|worker| worker.tasks()) {
            let State::Running(running) = &task.state else { continue };
            let Some(position) = running.store.as_ref().and_then(|store| store.position()) else {
                continue;
            };
            let committed = self.committed.get(&task.id.input).copied().unwrap_or(NextOffset(0));
            assert!(position.inbox <= committed, "{}: {position:?} {committed}", task.id);
        }
        Ok(())
    }

    pub fn committed_offsets(&self, inputs: &[TopicPartition]) -> Outcome<Vec<Committed>> {
        Ok(self.log.committed(&self.application.id, inputs, Duration::ZERO)?)
    }

    /// Offsets may go back once, because an operator set them.
    pub fn forget_committed(&mut self) {
        self.committed.clear();
    }

    /// Up to where a partition is committed.
    pub fn committed_at(&self, input: &TopicPartition) -> NextOffset {
        self.committed.get(input).copied().unwrap_or(NextOffset(0))
    }
}

// === what must be so ===

impl Cluster {
    /// Lets all deadlines pass and compares everything with the plain count.
    pub fn finish(&mut self) -> Outcome {
        self.settle()?;
        self.pass(REMIND_AFTER_MS + 3_000)?;
        assert_eq!(self.parked(), []);
        assert_eq!(self.counts()?, self.expected.counts, "the stores");
        self.check_outputs()?;
        self.check_verify()
    }

    pub fn check_verify(&self) -> Outcome {
        let report = self.verify()?;
        assert!(report.is_clean(), "{report:#?}");
        assert!(report.inputs > 0, "nothing was folded");
        Ok(())
    }

    pub fn verify(&self) -> Result<verify::Report, verify::Error> {
        verify::verify(&self.log, &self.application, &mut |_, _| {})
    }

    fn check_outputs(&self) -> Outcome {
        let mut outputs = self.outputs(COUNTS)?;
        outputs.sort();
        let (reminders, counts): (Vec<_>, Vec<_>) =
            outputs.into_iter().partition(|(_, value)| value.contains('@'));
        let all = self.expected.counts.iter();
        let each = all.flat_map(|(word, n)| (1..=*n).map(|n| (word.clone(), n.to_string())));
        let mut each: Vec<_> = each.collect();
        each.sort();
        assert_eq!(counts, each, "one output for each word");
        let deadline = |(word, value): &(String, String)| {
            let at = value.split_once('@').and_then(|(_, at)| at.parse().ok());
            (word.clone(), at.unwrap_or(-1))
        };
        let mut fired: Vec<(String, i64)> = reminders.iter().map(deadline).collect();
        fired.sort();
        let due: Vec<(String, i64)> = self.expected.reminders.iter().cloned().collect();
        assert_eq!(fired, due, "every deadline fires once");
        assert_eq!(self.outputs(DEAD)?.len(), self.expected.dead, "one exception each");
        Ok(())
    }

    /// Key and value of what stands in an output topic.
    pub fn outputs(&self, topic: &str) -> Outcome<Vec<(String, String)>> {
        let records = self.kept(&format!("words.{topic}"))?;
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        let pair = |record: &Kept| (text(record.key.as_deref()), text(record.value.as_deref()));
        Ok(records.iter().map(pair).collect())
    }

    pub fn kept(&self, topic: &str) -> Outcome<Vec<Kept>> {
        Ok(self.log.read_all(topic, Isolation::ReadCommitted)?)
    }

    /// What the running tasks' stores hold, each partition by one owner only.
    pub fn counts(&self) -> Outcome<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        let awake = self.workers.iter().filter(|(name, _)| !self.asleep.contains(name));
        for task in awake.flat_map(|(_, worker)| worker.tasks()) {
            let State::Running(running) = &task.state else { continue };
            let Some(store) = &running.store else { continue };
            for (key, value) in store.scan(COUNT_STORE, Scan::rising(&[], None, 10_000))? {
                let count: Count = codec::decode(&value)?;
                let before = counts.insert(String::from_utf8(key)?, count.0);
                assert_eq!(before, None, "{} is not alone", task.id);
            }
        }
        Ok(counts)
    }

    pub fn parked(&self) -> Vec<(TaskId, String)> {
        self.workers.values().flat_map(Worker::parked).collect()
    }

    /// The only parked task, which must be this one, and why it is.
    pub fn parked_as(&self, input: &TopicPartition) -> String {
        let parked = self.parked();
        let [(id, reason)] = parked.as_slice() else { panic!("one should be parked: {parked:?}") };
        assert_eq!(id.input, *input);
        reason.clone()
    }

    pub fn counts_task(&self, partition: i32) -> TaskId {
        TaskId { stage: "counts".into(), input: TopicPartition::new(INBOX, partition) }
    }
}
