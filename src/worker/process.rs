//! Handling records: downstream stages first, intake merged by time, effects to the producer.

use std::sync::Arc;

use aplomb_state::{
    effect::{Effect, Target},
    fold::{Fault, Inboxed, Step},
    ids::{Offset, Timestamp, TopicPartition},
    mutation::{self, Mutation},
    partitioner::partition_of,
    record::{External, Header, Trace},
};

use super::{
    Done, Transaction, Worker,
    latest::{self, Held, Latest},
};
use crate::{
    application::{Application, OutputTopic},
    log::{self, Consumer, Fetched, Log, Producer, ToSend},
    metrics, names,
    task::{Running, State, Task},
};

/// Reused between records.
#[derive(Default)]
pub(super) struct Buffers {
    cause: String,
}

/// How often a full queue is polled before the turn gives way.
const QUEUE_FULL_POLLS: usize = 64;

impl<L: Log> Worker<L> {
    /// Takes records until the turn's bound; answers how many.
    pub(super) fn process(&mut self) -> Result<usize, log::Error> {
        if !self.send_waiting()? {
            return Ok(0);
        }
        let max = self.recovery.records_max(self.application.tuning.turn_records_max);
        let mut handled = self.process_inboxes(max)?;
        let yields = self.lag_exceeded();
        while handled < max && !yields && !self.transaction_is_full() {
            match self.next_external()? {
                Some(index) if self.handle_next(index)? => handled += 1,
                _ => break,
            }
        }
        Ok(handled)
    }

    /// Every inbox gets its share, downstream stages first.
    fn process_inboxes(&mut self, max: usize) -> Result<usize, log::Error> {
        let mut handled = 0;
        for index in 0..self.tasks.len() {
            let internal = self.tasks.get(index).is_some_and(|task| task.stage > 0);
            while internal && handled < max && !self.transaction_is_full() {
                if !self.handle_next(index)? {
                    break;
                }
                handled += 1;
            }
        }
        Ok(handled)
    }

    /// The external task whose next record is the oldest. While some partition of this worker is
    /// known to hold more than was fetched, the others wait for it a little: the messages of one
    /// order lie in all partitions.
    fn next_external(&mut self) -> Result<Option<usize>, log::Error> {
        let now = self.now();
        let wait_max = self.application.tuning.merge_wait_ms_max;
        let mut oldest: Option<(Timestamp, usize)> = None;
        let mut waiting = false;
        for index in 0..self.tasks.len() {
            let external = self.tasks.get(index).filter(|task| task.stage == 0);
            let Some(input) = external.map(|task| task.id.input.clone()) else { continue };
            let head = self.head(&input)?;
            let Some(Task { state: State::Running(running), .. }) = self.tasks.get_mut(index)
            else {
                continue;
            };
            if running.is_announcing() {
                continue;
            }
            if let Some(head) = head {
                running.waiting_since = None;
                if oldest.is_none_or(|(at, _)| head.timestamp < at) {
                    oldest = Some((head.timestamp, index));
                }
            } else if self.consumer.end(&input).is_some_and(|end| running.next < end)
                && self.consumer.drained_at(&input).is_none()
            {
                // Not so where nothing but ends of transactions is left.
                let since = *running.waiting_since.get_or_insert(now);
                waiting |= now.0 - since.0 < wait_max;
            } else {
                running.waiting_since = None;
            }
        }
        Ok(oldest.filter(|_| !waiting).map(|(_, index)| index))
    }

    /// Handles the next record of one task, if there is one.
    fn handle_next(&mut self, index: usize) -> Result<bool, log::Error> {
        let Some(task) = self.tasks.get_mut(index) else { return Ok(false) };
        let input = task.id.input.clone();
        let stage = task.stage;
        let State::Running(running) = &mut task.state else { return Ok(false) };
        if running.is_announcing() {
            return Ok(false);
        }
        let Some(head) = self.head(&input)? else { return Ok(false) };
        // IMPORTANT: the transaction is open before the record is taken, so that a failure to
        // begin leaves the record where it is.
        self.begin()?;
        let Some(task) = self.tasks.get_mut(index) else { return Ok(false) };
        let State::Running(running) = &mut task.state else { return Ok(false) };
        let application = &self.application;
        let before = running.fold.overlay().bytes();
        let mut outcome = None;
        let taken = self.consumer.take(&input, &mut |record| {
            outcome = Some(if stage == 0 {
                ingest(application, running, &input, record)
            } else {
                step(running, record)
            });
        })?;
        let Some(outcome) = outcome.filter(|_| taken) else { return Ok(false) };
        let step = match outcome {
            Ok(step) => step,
            Err(fault) => return Err(self.fault(index, head.offset, &fault)),
        };
        running.next = head.offset.next();
        running.input = head.offset.0;
        running.handled_at = running.handled_at.max(head.timestamp);
        running.sent = 0;
        let grown = running.fold.overlay().bytes().saturating_sub(before);
        if let Some(transaction) = &mut self.transaction {
            transaction.state_bytes += grown;
            transaction.done.records += 1;
            transaction.done.rejections += usize::try_from(step.rejections).unwrap_or(0);
            transaction.done.timers += usize::try_from(step.timers).unwrap_or(0);
            if let Some(at) = step.at {
                transaction.told.handled(stage, at);
            }
        }
        self.send_effects(index)?;
        Ok(true)
    }

    /// The next record of a partition. One that the log no longer holds parks the task: internal
    /// topics and later starts have no reset.
    pub(super) fn head(&mut self, input: &TopicPartition) -> Result<Option<log::Head>, log::Error> {
        match self.consumer.head(input) {
            Err(error) if error.out_of_range => {
                let is_external = self.application.source_of(input).is_some();
                let mend = match is_external {
                    true => {
                        "say with `aplomb offsets restore --from FILE` where to go on, or begin \
                         anew with `aplomb reset`"
                    }
                    false => "run `aplomb reset`, which begins anew",
                };
                let reason = format!(
                    "{error}: its records were deleted or the topic was created again. Stop every \
                     process of the application and {mend}"
                );
                self.park(input, reason);
                // What the transaction did for this task must not be committed without it.
                Err(log::Error { class: log::Class::Abort, ..error })
            }
            other => other,
        }
    }

    /// A fault stops the task, not the worker. What the transaction did is dropped with it: the
    /// records before the fault stay where the committed offset says.
    fn fault(&mut self, index: usize, offset: Offset, fault: &Fault) -> log::Error {
        let input = self.tasks.get(index).map(|task| task.id.input.clone());
        if let Some(input) = input {
            self.mend(&input, fault.remedy, format!("at offset {offset}: {fault}"));
        }
        let message = format!("a task was stopped: {fault}");
        log::Error { blameless: true, ..super::own_error(log::Class::Abort, message) }
    }

    pub(super) fn begin(&mut self) -> Result<(), log::Error> {
        if self.transaction.is_some() {
            return Ok(());
        }
        let Some(producer) = &mut self.producer else {
            return Err(super::own_error(log::Class::Retry, "the producer is not ready"));
        };
        producer.begin()?;
        let (begun, done) = (self.clock.now(), Done::default());
        let (latest, told) = (Latest::default(), metrics::Told::default());
        let transaction =
            Transaction { begun, state_bytes: 0, done, latest, told, announces: false };
        self.transaction = Some(transaction);
        Ok(())
    }

    /// Nothing more fits: a bound is reached, or the producer's queue holds effects back.
    pub(super) fn transaction_is_full(&self) -> bool {
        let tuning = &self.application.tuning;
        self.held_back
            || self.transaction.as_ref().is_some_and(|transaction| {
                transaction.done.records >= self.recovery.records_max(tuning.commit_records_max)
                    || transaction.bytes() >= tuning.commit_bytes_max
            })
    }

    /// Moves effects that a full queue held back. `false`: it is full still.
    pub(super) fn send_waiting(&mut self) -> Result<bool, log::Error> {
        if !self.held_back {
            return Ok(true);
        }
        for index in 0..self.tasks.len() {
            if !self.send_effects(index)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Moves the outbox of a task to the producer, and to what waits for the commit. `false`: its
    /// queue is full, the rest waits; the handler is not run again.
    fn send_effects(&mut self, index: usize) -> Result<bool, log::Error> {
        let Some(Task { state: State::Running(running), id, .. }) = self.tasks.get_mut(index)
        else {
            return Ok(true);
        };
        let Some(producer) = &mut self.producer else {
            return Err(super::own_error(log::Class::Abort, "the producer is gone"));
        };
        self.held_back = false;
        let application = &self.application;
        let cause = &mut self.buffers.cause;
        while let Some(effect) = running.fold.outbox().effects().get(running.sent) {
            cause.clear();
            let place = Place { id, offset: running.input, effect: running.sent };
            place.write(cause);
            if let (Target::Output(output), Some(transaction)) =
                (effect.target, &mut self.transaction)
            {
                transaction.told.written(output, &effect.headers);
            }
            if let Some(output) = latest::compacted(&application.topology, effect)
                && let Some(transaction) = &mut self.transaction
            {
                let effect = running.fold.outbox_mut().take(running.sent);
                let latest = &mut transaction.latest;
                effect.into_iter().for_each(|effect| latest.hold(output, effect, cause));
                running.sent += 1;
                continue;
            }
            if !send_effect(producer, application, &id.input, effect, cause)? {
                if mutation::is_on(Mutation::HeldBackForgotten) {
                    break;
                }
                self.held_back = true;
                return Ok(false);
            }
            running.sent += 1;
        }
        running.fold.outbox_mut().clear();
        running.sent = 0;
        Ok(true)
    }

    /// Writes what the transaction holds for compacted outputs.
    pub(super) fn send_latest(&mut self) -> Result<(), log::Error> {
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        let held = transaction.latest.take();
        if mutation::is_on(Mutation::LatestForgotten) {
            return Ok(());
        }
        let Some(producer) = &mut self.producer else {
            return Err(super::own_error(log::Class::Abort, "the producer is gone"));
        };
        let application = &self.application;
        for Held { output, effect, cause } in &held {
            let Some(OutputTopic { topic, partitions }) =
                application.outputs.get(usize::from(*output))
            else {
                continue;
            };
            let headers = headers_of(effect, cause);
            let partition = partition_of(&effect.key, *partitions);
            send_now(producer, &to_send(topic, partition, effect, &headers))?;
        }
        Ok(())
    }
}

/// Where an effect came from, as the cause header has it.
pub(crate) struct Place<'a> {
    pub id: &'a aplomb_state::ids::TaskId,
    pub offset: i64,
    pub effect: usize,
}

impl Place<'_> {
    pub(crate) fn write(&self, out: &mut String) {
        use std::fmt::Write;
        let Self { id, offset, effect } = self;
        let (stage, topic, partition) = (&id.stage, &id.input.topic, id.input.partition);
        let _ = write!(out, "{stage}/{topic}/{partition}/{offset}/{effect}");
    }
}

fn step(running: &mut Running, record: &Fetched<'_>) -> Result<Step, Fault> {
    let Some(store) = &running.store else {
        return Err(Fault::new("an internal task without a store"));
    };
    let input = Inboxed {
        offset: record.offset,
        appended: record.timestamp,
        key: record.key.unwrap_or_default(),
        value: record.value.unwrap_or_default(),
    };
    running.fold.step(store.as_ref(), input)
}

fn ingest(
    application: &Application,
    running: &mut Running,
    input: &TopicPartition,
    record: &Fetched<'_>,
) -> Result<Step, Fault> {
    ingest_into(application, &mut running.fold, input, record)
}

/// Hands an external record to the first stage. Also used by `verify`.
pub(crate) fn ingest_into(
    application: &Application,
    fold: &mut aplomb_state::fold::Fold,
    input: &TopicPartition,
    record: &Fetched<'_>,
) -> Result<Step, Fault> {
    let flow = application.source_of(input);
    let mut headers: Vec<(String, Option<Vec<u8>>)> = Vec::new();
    record.headers.each(&mut |name, value| {
        let name = String::from_utf8_lossy(name).into_owned();
        headers.push((name, value.map(<[u8]>::to_vec)));
    });
    let traceparent = headers.iter().find(|(name, _)| name == names::TRACEPARENT_HEADER);
    let traceparent = traceparent.and_then(|(_, value)| value.clone());
    let trace = Trace {
        flow: flow.map(|source| source.flow.clone()).unwrap_or_default(),
        topic: input.topic.as_ref().to_owned(),
        partition: input.partition,
        offset: record.offset,
        traceparent: traceparent.and_then(|value| String::from_utf8(value).ok()),
    };
    let external = External {
        key: record.key,
        value: record.value,
        headers: headers
            .iter()
            .map(|(name, value)| Header { name, value: value.as_deref() })
            .collect(),
        timestamp: record.timestamp,
    };
    fold.ingest(record.offset, &trace, &external)
}

/// Sends one effect, to one partition or to all of an inbox. `Ok(false)`: the queue is full, and
/// nothing of the effect was sent.
fn send_effect<P: Producer>(
    producer: &mut P,
    application: &Application,
    own: &TopicPartition,
    effect: &Effect,
    cause: &str,
) -> Result<bool, log::Error> {
    let headers = headers_of(effect, cause);
    let record = |topic, partition| to_send(topic, partition, effect, &headers);
    match destination(application, own, effect) {
        Some(Destination::One(topic, partition)) => offer(producer, &record(topic, partition)),
        Some(Destination::All(topic)) => {
            for partition in 0..application.inbox_partitions {
                send_now(producer, &record(topic, partition))?;
            }
            Ok(true)
        }
        None => Err(super::own_error(log::Class::Fatal, "an effect without a topic")),
    }
}

/// The effect's own, and where it came from.
fn headers_of<'a>(effect: &'a Effect, cause: &'a str) -> Vec<(&'a str, &'a [u8])> {
    let mut headers = Vec::with_capacity(effect.headers.len() + 1);
    headers.extend(effect.headers.iter());
    headers.push((names::CAUSE_HEADER, cause.as_bytes()));
    headers
}

fn to_send<'a>(
    topic: &'a Arc<str>,
    partition: i32,
    effect: &'a Effect,
    headers: &'a [(&'a str, &'a [u8])],
) -> ToSend<'a> {
    ToSend {
        topic,
        partition,
        timestamp: None,
        key: (!effect.key.is_empty()).then_some(effect.key.as_slice()),
        value: effect.value.as_deref(),
        headers,
        receipt: 0,
    }
}

/// Where an effect goes.
pub(crate) enum Destination<'a> {
    One(&'a Arc<str>, i32),
    /// Every partition of an inbox.
    All(&'a Arc<str>),
}

/// `own`: the input of the task whose effect it is.
pub(crate) fn destination<'a>(
    application: &'a Application,
    own: &'a TopicPartition,
    effect: &Effect,
) -> Option<Destination<'a>> {
    let key = &effect.key;
    match effect.target {
        Target::Output(index) => {
            let output = application.outputs.get(usize::from(index))?;
            Some(Destination::One(&output.topic, partition_of(key, output.partitions)))
        }
        Target::Stage(index) => {
            let inbox = inbox_of(application, index)?;
            Some(Destination::One(inbox, partition_of(key, application.inbox_partitions)))
        }
        Target::Own => Some(Destination::One(&own.topic, own.partition)),
        Target::Broadcast(index) => inbox_of(application, index).map(Destination::All),
    }
}

pub(super) fn inbox_of(application: &Application, stage: u16) -> Option<&Arc<str>> {
    application.stage(stage)?.inbox.as_ref()
}

/// Offers a record a few times while the queue is full.
fn offer<P: Producer>(producer: &mut P, record: &ToSend<'_>) -> Result<bool, log::Error> {
    for _ in 0..QUEUE_FULL_POLLS {
        if producer.send(record)? {
            return Ok(true);
        }
        producer.poll();
    }
    Ok(false)
}

/// Sends a record that cannot be put off: part of a commit or a broadcast. The queue empties as
/// the broker answers; a broker that does not is an error of the transaction.
pub(super) fn send_now<P: Producer>(
    producer: &mut P,
    record: &ToSend<'_>,
) -> Result<(), log::Error> {
    while !producer.send(record)? {
        producer.drain(super::REQUEST_WAIT)?;
    }
    Ok(())
}
