//! One task's handling of its inbox: record by record, a function of state and record.
//!
//! The worker, `verify` and the tester all drive this same code.
//!
//! Invariants:
//! - `FOLD-PURE` a store holds the fold of its inbox up to its position, to the byte.
//! - `INPUT-WHOLE` every input yields its effects whole, or exactly one exception.
//! - `TIMER-TICK` a record never fires a timer; only ticks do, in (deadline, key) order.
//! - `TIMER-GONE` the removal of a timer that fired lies outside its savepoint.

use std::{fmt, sync::Arc};

use crate::{
    backend::{self, Reads},
    clock::{Clock, Upstream},
    codec,
    context::{Context, InputFacts},
    effect::Outbox,
    envelope::{Configuration, Envelope, Frontier},
    ids::{Offset, TaskId, Timestamp},
    mutation::{self, Mutation},
    overlay::Overlay,
    record::{External, Kind, Record, Subject, Timer, Trace},
    rejection::{Cause, Rejection},
    scan::Scan,
    stage::{Inbox, Settings, Stage, StageDefinition},
    store::StoreId,
    timers::{self, Owner},
    topology::{Entry, Topology},
    work::{Savepoint, Work},
};

/// At most so many timers fire at one tick; the task sends itself another for the rest.
pub const TIMERS_PER_TICK_MAX: usize = 500;

/// Why the task must stop: storage, an unknown format version, a broken contract of the topology.
/// No record is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: String,
    pub remedy: Remedy,
}

/// What helps against a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A person, or a newer build: the task parks and says why.
    Park,
    /// The database failed: the task is opened again, later.
    Reopen,
    /// What is stored cannot be read: the task's store is rebuilt from its changelog.
    Rebuild,
}

/// Everything one task needs to fold its inbox.
pub struct Fold {
    stage: Arc<dyn Stage>,
    settings: fn(&[u8]) -> Result<Settings, String>,
    inner: Arc<[Upstream]>,
    clock: Clock,
    work: Work,
}

/// A record of an internal inbox, as read.
#[derive(Clone, Copy, Debug)]
pub struct Inboxed<'a> {
    pub offset: Offset,
    pub appended: Timestamp,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

/// What one step did, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub rejections: u32,
    pub timers: u32,
    /// When the external record behind the input was timed. Absent: time itself, or configuration.
    pub at: Option<Timestamp>,
}

impl Fold {
    /// A fold over what `reads` holds. `inner` are the inbox partitions of the stages between the
    /// external one and this one, their counts taken from the generation.
    pub fn open(
        topology: &Topology,
        stage: Arc<dyn Stage>,
        task: TaskId,
        inner: Arc<[Upstream]>,
        reads: &dyn Reads,
    ) -> Result<Self, Fault> {
        let definition = Arc::new(stage.define());
        let mut fold = Self {
            stage,
            settings: topology.settings,
            inner,
            clock: Clock::default(),
            work: Work::new(task, definition, topology),
        };
        fold.load(reads)?;
        Ok(fold)
    }

    /// Drops everything that was not committed and reads clock and configuration again.
    pub fn reset(&mut self, reads: &dyn Reads) -> Result<(), Fault> {
        self.work.overlay.clear();
        self.work.outbox.clear();
        self.work.fault = None;
        self.work.broken_limit = None;
        self.work.timers_from = Timestamp::MIN;
        self.work.timer_fired.clear();
        self.clock = Clock::default();
        if self.work.definition.inbox == Inbox::Internal {
            self.work.configuration = None;
            self.work.settings = None;
        }
        self.load(reads)
    }

    fn load(&mut self, reads: &dyn Reads) -> Result<(), Fault> {
        if self.work.definition.inbox == Inbox::External {
            return Ok(());
        }
        if let Some(bytes) = reads.get(StoreId::TASK, timers::CLOCK_ROW)?
            && !mutation::is_on(Mutation::FrontierLostOnMove)
        {
            self.clock = codec::decode(&bytes)?;
        }
        if let Some(bytes) = reads.get(StoreId::TASK, timers::CONFIGURATION_ROW)? {
            self.configure(codec::decode(&bytes)?)?;
        }
        Ok(())
    }

    pub fn task(&self) -> &TaskId {
        &self.work.task
    }

    pub fn definition(&self) -> &Arc<StageDefinition> {
        &self.work.definition
    }

    pub fn time(&self) -> Timestamp {
        self.clock.time()
    }

    pub fn configuration(&self) -> Option<&Arc<Configuration>> {
        self.work.configuration.as_ref()
    }

    pub fn overlay(&self) -> &Overlay {
        &self.work.overlay
    }

    pub fn outbox(&self) -> &Outbox {
        &self.work.outbox
    }

    pub fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.work.outbox
    }

    /// Before the transaction is committed: deletions that delete nothing are left out of it.
    pub fn forget_absent(&mut self, reads: &dyn Reads) {
        self.work.overlay.forget_absent(reads);
    }

    /// After the transaction was committed and the overlay applied.
    pub fn committed(&mut self) {
        self.work.overlay.clear();
        self.work.outbox.clear();
    }

    /// Gives an external stage its configuration, which does not come through an inbox.
    pub fn configure(&mut self, configuration: Configuration) -> Result<(), Fault> {
        let settings = (self.settings)(&configuration.body).map_err(|reason| {
            Fault::new(format!("configuration {}: {reason}", configuration.revision))
        })?;
        self.work.settings = Some(settings);
        self.work.configuration = Some(Arc::new(configuration));
        Ok(())
    }

    /// Handles one record of an internal inbox.
    pub fn step(&mut self, reads: &dyn Reads, input: Inboxed<'_>) -> Result<Step, Fault> {
        self.work.begin_input();
        let step = match codec::borrow::<Envelope<'_>>(input.value)? {
            Envelope::Message { kind, at, hops, trace, external, body } => {
                let at = at.min(input.appended);
                if kind == Kind::Continuation {
                    self.work.overlay.delete(StoreId::TASK, input.key);
                }
                let now = at.max(self.clock.time());
                let facts = InputFacts { at, now, hops, offset: input.offset, trace: &trace };
                let record = Record {
                    kind,
                    key: input.key,
                    body,
                    at,
                    offset: input.offset,
                    external: external.as_ref(),
                    trace: &trace,
                };
                let subject = subject_of(&record, input.value);
                let step = self.handle(reads, facts, &record, &subject)?;
                let step = Step { at: Some(at), ..step };
                if mutation::is_on(Mutation::TimersByRecords) {
                    self.clock.rise(at);
                    self.fire(reads, input.offset)?;
                }
                step
            }
            Envelope::Tick(frontiers) => self.tick(reads, &frontiers, input)?,
            Envelope::SelfTick => self.fire(reads, input.offset)?,
            Envelope::Configuration(configuration) => {
                self.reconfigure(configuration)?;
                Step::default()
            }
        };
        self.work.overlay.settle();
        Ok(step)
    }

    /// Handles one record of an external topic.
    pub fn ingest(
        &mut self,
        offset: Offset,
        trace: &Trace,
        external: &External<'_>,
    ) -> Result<Step, Fault> {
        self.work.begin_input();
        let at = external.timestamp;
        let external = Some(external);
        let facts = InputFacts { at, now: at, hops: 0, offset, trace };
        let key = external.and_then(|record| record.key).unwrap_or_default();
        let record = Record { kind: Kind::Message, key, body: &[], at, offset, external, trace };
        let subject = subject_of(&record, &[]);
        let step = self.handle(&NoState, facts, &record, &subject)?;
        self.work.overlay.settle();
        Ok(Step { at: Some(at), ..step })
    }

    fn handle(
        &mut self,
        reads: &dyn Reads,
        facts: InputFacts<'_>,
        record: &Record<'_>,
        subject: &Subject<'_>,
    ) -> Result<Step, Fault> {
        let savepoint = self.work.savepoint();
        let stage = Arc::clone(&self.stage);
        let stage = stage.as_ref();
        let mut context = Context { work: &mut self.work, reads, stage, input: facts };
        let Err(rejection) = context.guarded(|ctx| stage.handle(ctx, record)) else {
            return Ok(Step::default());
        };
        Self::reject(&mut context, savepoint, subject, &rejection)?;
        Ok(Step { rejections: 1, ..Step::default() })
    }

    fn reject(
        context: &mut Context<'_>,
        savepoint: Savepoint,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Fault> {
        if rejection.cause != Cause::Fault {
            let limit = matches!(rejection.cause, Cause::Limit | Cause::Hops);
            if !(limit && mutation::is_on(Mutation::LimitOutsideSavepoint)) {
                context.work.roll_back(savepoint);
            }
            if context.refuse(subject, rejection).is_ok() {
                return Ok(());
            }
        }
        let fault = context.work.fault.take();
        Err(fault.unwrap_or_else(|| Fault::new("an unknown fault")))
    }

    fn tick(
        &mut self,
        reads: &dyn Reads,
        frontiers: &[Frontier],
        input: Inboxed<'_>,
    ) -> Result<Step, Fault> {
        let Some(configuration) = self.work.configuration.clone() else {
            // Without the set to wait for, time cannot begin. The document is on its way: whoever
            // opens an external partition sends it before anything else.
            return Ok(Step::default());
        };
        let expected = self.expected(&configuration);
        let hold = configuration.time_hold_ms;
        self.clock.observe(frontiers, input.appended, &expected, hold);
        let row = codec::encode(&self.clock);
        self.work.overlay.put(StoreId::TASK, timers::CLOCK_ROW, row);
        self.fire(reads, input.offset)
    }

    fn expected(&self, configuration: &Configuration) -> Vec<Upstream> {
        let mut expected = self.inner.to_vec();
        for source in &configuration.sources {
            let topic: Arc<str> = source.topic.as_str().into();
            expected.extend((0..source.partitions).map(|partition| Upstream {
                stage: 0,
                input: crate::ids::TopicPartition { topic: Arc::clone(&topic), partition },
            }));
        }
        expected
    }

    /// Fires the timers whose deadline lies before the task's time.
    fn fire(&mut self, reads: &dyn Reads, offset: Offset) -> Result<Step, Fault> {
        let mut step = Step::default();
        while let Some((row, trace)) = self.next_due(reads)? {
            if step.timers as usize == TIMERS_PER_TICK_MAX {
                self.work.send_self_tick();
                break;
            }
            step.timers += 1;
            self.work.overlay.delete(StoreId::TIMERS, &row);
            let trace: Trace = codec::decode(&trace)?;
            let Some((deadline, owner)) = timers::read_row_key(&row) else {
                return Err(Fault::new("a timer row cannot be read"));
            };
            self.work.timer_fired.clone_from(&row);
            match owner {
                Owner::Expiry { store, key } => self.expire(reads, store, key, deadline)?,
                Owner::Handler(key) => {
                    let timer = Timer { deadline, key, trace: &trace };
                    step.rejections += self.run_timer(reads, offset, &timer)?;
                }
            }
        }
        Ok(step)
    }

    fn run_timer(
        &mut self,
        reads: &dyn Reads,
        offset: Offset,
        timer: &Timer<'_>,
    ) -> Result<u32, Fault> {
        // Limits are for each timer, not for the tick that fires five hundred.
        self.work.begin_input();
        let savepoint = self.work.savepoint();
        let stage = Arc::clone(&self.stage);
        let stage = stage.as_ref();
        let at = timer.deadline;
        let trace = timer.trace;
        let input = InputFacts { at, now: at, hops: 0, offset, trace };
        let mut context = Context { work: &mut self.work, reads, stage, input };
        let Err(rejection) = context.guarded(|ctx| stage.on_timer(ctx, timer)) else {
            return Ok(0);
        };
        let subject =
            Subject { key: Some(timer.key), value: None, headers: &[], trace, actor: None };
        Self::reject(&mut context, savepoint, &subject, &rejection)?;
        Ok(1)
    }

    /// Deletes an expiring entry, unless its deadline was moved since.
    fn expire(
        &mut self,
        reads: &dyn Reads,
        store: StoreId,
        key: &[u8],
        deadline: Timestamp,
    ) -> Result<(), Fault> {
        let bytes = match self.work.overlay.get(store, key) {
            Some(slot) => slot.map(<[u8]>::to_vec),
            None => reads.get(store, key)?,
        };
        if bytes.as_deref().and_then(timers::expiring_deadline) == Some(deadline) {
            self.work.overlay.delete(store, key);
        }
        Ok(())
    }

    fn next_due(&mut self, reads: &dyn Reads) -> Result<Option<Entry>, Fault> {
        let time = self.clock.time();
        if self.work.timers_from >= time {
            return Ok(None);
        }
        let first = self.first_timer(reads)?;
        Ok(first.filter(|_| self.work.timers_from < time))
    }

    fn first_timer(&mut self, reads: &dyn Reads) -> Result<Option<Entry>, Fault> {
        // Deleted rows of timers that fired lie before this instant: do not walk over them.
        let from = self.work.timers_from.to_ordered_bytes();
        let fired = self.work.timer_fired.as_slice();
        let after = if fired > &from[..] {
            Some(fired)
        } else {
            (self.work.timers_from > Timestamp::MIN).then_some(&from[..])
        };
        let first =
            self.work.overlay.scan(reads, StoreId::TIMERS, Scan::rising(&[], after, 1))?.pop();
        self.work.timers_from = match &first {
            Some((row, _)) => timers::read_row_key(row).map_or(Timestamp::MIN, |(at, _)| at),
            None => Timestamp::MAX,
        };
        Ok(first)
    }

    /// Nothing timed before this will come from this task any more.
    pub fn frontier(&mut self, reads: &dyn Reads) -> Result<Timestamp, Fault> {
        self.first_timer(reads)?;
        let prefix = timers::continuation_prefix();
        let unfinished =
            self.work.overlay.scan(reads, StoreId::TASK, Scan::rising(prefix, None, 1))?;
        let unfinished = unfinished.first().and_then(|(row, _)| timers::continuation_at(row));
        let time = self.clock.time().min(self.work.timers_from);
        Ok(unfinished.map_or(time, |at| time.min(at)))
    }

    fn reconfigure(&mut self, configuration: Configuration) -> Result<(), Fault> {
        if let Some(present) = &self.work.configuration {
            if configuration.revision == present.revision && configuration.hash != present.hash {
                return Err(Fault::new(format!(
                    "configuration revision {} came with two contents (hash {} and {}): raise \
                     configuration.revision with every change",
                    present.revision, present.hash, configuration.hash
                )));
            }
            if configuration.revision <= present.revision {
                return Ok(());
            }
        }
        let row = codec::encode(&configuration);
        self.work.overlay.put(StoreId::TASK, timers::CONFIGURATION_ROW, row);
        self.configure(configuration)
    }
}

/// What an exception about this record points at: the external record where it is at hand, else
/// the inbox record's own bytes.
fn subject_of<'a>(record: &Record<'a>, inbox_value: &'a [u8]) -> Subject<'a> {
    let actor = (!inbox_value.is_empty()).then_some(record.key);
    match record.external {
        Some(external) => Subject {
            key: external.key,
            value: external.value,
            headers: &external.headers,
            trace: record.trace,
            actor,
        },
        None => Subject {
            key: Some(record.key),
            value: Some(inbox_value),
            headers: &[],
            trace: record.trace,
            actor,
        },
    }
}

// === impl Fault ===

impl Fault {
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: Remedy::Park }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::new(reason)
    }
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}

impl From<codec::Error> for Fault {
    fn from(error: codec::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<backend::Error> for Fault {
    fn from(error: backend::Error) -> Self {
        let remedy = match &error {
            backend::Error::Format(_) => Remedy::Park,
            backend::Error::Damaged(_) => Remedy::Rebuild,
            // IMPORTANT: a task whose lease was lost is opened again only while the group still
            // gives it to this worker, which the opening's own lease then settles.
            backend::Error::LeaseLost(_)
            | backend::Error::Base { .. }
            | backend::Error::Storage(_) => Remedy::Reopen,
        };
        Self { reason: error.to_string(), remedy }
    }
}

/// The state of an external stage: there is none.
pub struct NoState;

impl Reads for NoState {
    fn get(&self, _: StoreId, _: &[u8]) -> Result<Option<Vec<u8>>, backend::Error> {
        Ok(None)
    }

    fn scan(&self, _: StoreId, _: Scan<'_>) -> Result<crate::topology::Entries, backend::Error> {
        Ok(Vec::new())
    }
}
