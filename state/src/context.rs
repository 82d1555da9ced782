//! All that a handler can read and do.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde::de::DeserializeOwned;

use crate::{
    backend::Reads,
    codec::{self, Format},
    effect::{Effect, Headers, Target},
    envelope::{Configuration, Envelope, HOPS_MAX},
    fold::Fault,
    ids::{Offset, Timestamp},
    record::{External, Kind, Subject, Trace},
    rejection::{Cause, Rejection},
    scan::Scan,
    stage::Stage,
    store::{Expiring, KeyValue, StoreId, StoreKey},
    timers,
    work::Work,
};

/// Typed stores that see the transaction's own writes, outputs, sends and timers of one input.
///
/// A fault (a failing store, an unknown format version) is kept aside and parks the task, whatever
/// the handler then answers: no record is to blame for it.
pub struct Context<'a> {
    pub(crate) work: &'a mut Work,
    pub(crate) reads: &'a dyn Reads,
    pub(crate) stage: &'a dyn Stage,
    pub(crate) input: InputFacts<'a>,
}

/// What is known of the input being handled.
#[derive(Clone, Copy)]
pub(crate) struct InputFacts<'a> {
    pub at: Timestamp,
    pub now: Timestamp,
    pub hops: u8,
    pub offset: Offset,
    pub trace: &'a Trace,
}

/// A page of a typed scan, in its order.
pub type Page<V> = Vec<(Vec<u8>, V)>;

impl<'a> Context<'a> {
    /// The timestamp of the external record behind this input; for a timer, its deadline.
    pub fn at(&self) -> Timestamp {
        self.input.at
    }

    /// The greater of the task's time and [`Context::at`]; for a timer, its deadline.
    pub fn now(&self) -> Timestamp {
        self.input.now
    }

    /// Where the external record behind this input stands.
    pub fn trace(&self) -> &'a Trace {
        self.input.trace
    }

    /// The offset of this input in the task's inbox.
    pub fn offset(&self) -> Offset {
        self.input.offset
    }

    /// Stage, topic and partition of the task.
    pub fn task(&self) -> &crate::ids::TaskId {
        &self.work.task
    }

    /// The configuration document in force at this input.
    pub fn configuration(&self) -> Option<&Arc<Configuration>> {
        self.work.configuration.as_ref()
    }

    /// The topology's own settings out of the configuration document.
    pub fn settings<T: Any + Send + Sync>(&mut self) -> Result<Arc<T>, Rejection> {
        let settings = self.work.settings.clone().and_then(|any| any.downcast::<T>().ok());
        settings.ok_or_else(|| {
            self.fault("a record came before any configuration document of this topology")
        })
    }

    /// A message's body. A format version that is not known here parks the task: no record is to
    /// blame for an old build.
    pub fn decode<T: Format + DeserializeOwned>(&mut self, body: &[u8]) -> Result<T, Rejection> {
        codec::decode(body).map_err(|error| self.fault(error))
    }

    // --- stores

    pub fn get<K: StoreKey + ?Sized, V: Format + DeserializeOwned>(
        &mut self,
        store: &KeyValue<K, V>,
        key: &K,
    ) -> Result<Option<V>, Rejection> {
        let id = self.store(store.name)?;
        let key = key_bytes(key);
        self.read(id, &key)
    }

    pub fn put<K: StoreKey + ?Sized, V: Format + DeserializeOwned>(
        &mut self,
        store: &KeyValue<K, V>,
        key: &K,
        value: &V,
    ) -> Result<(), Rejection> {
        let id = self.store(store.name)?;
        self.write(id, &key_bytes(key), codec::encode(value))
    }

    pub fn delete<K: StoreKey + ?Sized, V: Format + DeserializeOwned>(
        &mut self,
        store: &KeyValue<K, V>,
        key: &K,
    ) -> Result<(), Rejection> {
        let id = self.store(store.name)?;
        self.work.overlay.delete(id, &key_bytes(key));
        self.count_write(0)
    }

    /// Entries with the transaction's own writes, in the scan's order.
    pub fn scan<K: StoreKey + ?Sized, V: Format + DeserializeOwned>(
        &mut self,
        store: &KeyValue<K, V>,
        scan: Scan<'_>,
    ) -> Result<Page<V>, Rejection> {
        let id = self.store(store.name)?;
        let entries = self.work.overlay.scan(self.reads, id, scan);
        let entries = entries.map_err(|error| self.fault(error))?;
        let mut page = Vec::with_capacity(entries.len());
        for (key, bytes) in entries {
            let value = codec::decode(&bytes).map_err(|error| self.fault(error))?;
            page.push((key, value));
        }
        Ok(page)
    }

    pub fn get_expiring<K: StoreKey + ?Sized, V: Format + DeserializeOwned>(
        &mut self,
        store: &Expiring<K, V>,
        key: &K,
    ) -> Result<Option<V>, Rejection> {
        let id = self.store(store.name)?;
        let key = key_bytes(key);
        let Some(bytes) = self.read_bytes(id, &key)? else { return Ok(None) };
        let value = timers::expiring_value(&bytes).and_then(codec::decode);
        value.map(Some).map_err(|error| self.fault(error))
    }

    /// Puts an entry that is deleted once the task's time has passed `deadline`. Putting it again
    /// moves the deadline.
    pub fn put_expiring<K: StoreKey + ?Sized, V: Format + DeserializeOwned>(
        &mut self,
        store: &Expiring<K, V>,
        key: &K,
        value: &V,
        deadline: Timestamp,
    ) -> Result<(), Rejection> {
        let id = self.store(store.name)?;
        let key = key_bytes(key);
        let mut bytes = deadline.to_ordered_bytes().to_vec();
        codec::encode_into(value, &mut bytes);
        self.write(id, &key, bytes)?;
        self.work.schedule(deadline, &timers::expiry_key(id, &key), self.input.trace);
        self.count_write(0)
    }

    pub fn delete_expiring<K: StoreKey + ?Sized, V: Format + DeserializeOwned>(
        &mut self,
        store: &Expiring<K, V>,
        key: &K,
    ) -> Result<(), Rejection> {
        let id = self.store(store.name)?;
        // The timer stays; it finds nothing and ends.
        self.work.overlay.delete(id, &key_bytes(key));
        self.count_write(0)
    }

    // --- timers

    /// Calls [`Stage::on_timer`] once the task's time has passed `deadline`. A timer is known by
    /// deadline and key: scheduling it twice is scheduling it once.
    pub fn schedule(&mut self, deadline: Timestamp, key: &[u8]) {
        self.work.schedule(deadline, &timers::handler_key(key), self.input.trace);
        // A limit that is broken here ends the input all the same: it is kept aside.
        let _ = self.count_write(key.len());
    }

    pub fn cancel(&mut self, deadline: Timestamp, key: &[u8]) {
        self.work.cancel(deadline, &timers::handler_key(key));
        let _ = self.count_write(key.len());
    }

    // --- effects

    /// Writes a record to an output topic. `value` absent: a tombstone.
    pub fn emit(
        &mut self,
        output: &'static str,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        headers: Headers,
    ) -> Result<(), Rejection> {
        let index = self.work.output(output);
        let index = index.ok_or_else(|| self.fault(format!("output {output} is not declared")))?;
        self.push(Effect { target: Target::Output(index), key, value, headers })
    }

    /// Sends a message to an actor.
    pub fn send(
        &mut self,
        stage: &'static str,
        key: Vec<u8>,
        body: &[u8],
    ) -> Result<(), Rejection> {
        let target = Target::Stage(self.target(stage)?);
        self.post(target, Kind::Message, key, body, None)
    }

    /// As [`Context::send`], with the external record whole, for the actor that will need it.
    pub fn forward(
        &mut self,
        stage: &'static str,
        key: Vec<u8>,
        body: &[u8],
        external: External<'_>,
    ) -> Result<(), Rejection> {
        let target = Target::Stage(self.target(stage)?);
        self.post(target, Kind::Message, key, body, Some(external))
    }

    /// Appends a message to every partition of a stage's inbox.
    pub fn broadcast(
        &mut self,
        stage: &'static str,
        key: Vec<u8>,
        body: &[u8],
    ) -> Result<(), Rejection> {
        let target = Target::Broadcast(self.target(stage)?);
        self.post(target, Kind::Broadcast, key, body, None)
    }

    /// Goes on with long work in a later step: the task sends itself `body`. Until that was
    /// handled, the task's frontier stays at this input's time.
    pub fn continue_later(&mut self, body: &[u8]) -> Result<(), Rejection> {
        let effects = self.work.outbox.len();
        let row = timers::continuation_key(self.input.at, self.input.offset, effects);
        self.work.overlay.put(StoreId::TASK, &row, vec![timers::ROW_VERSION]);
        self.post(Target::Own, Kind::Continuation, row, body, None)
    }

    // --- savepoints

    /// Runs `work` in a savepoint of its own, as for a record of its own: used when one input
    /// releases several buffered ones. If it fails, its effects are rolled back, its exception is
    /// written for `subject`, and the answer is the rejection.
    pub fn attempt(
        &mut self,
        subject: &Subject<'_>,
        at: Timestamp,
        work: impl FnOnce(&mut Context<'_>) -> Result<(), Rejection>,
    ) -> Result<Option<Rejection>, Rejection> {
        let savepoint = self.work.savepoint();
        let mut inner = self.with(InputFacts {
            at,
            now: self.input.now.max(at),
            trace: subject.trace,
            ..self.input
        });
        let outcome = inner.guarded(work);
        let Err(rejection) = outcome else { return Ok(None) };
        if rejection.cause == Cause::Fault {
            return Err(rejection);
        }
        inner.work.roll_back(savepoint);
        inner.refuse(subject, &rejection)?;
        Ok(Some(rejection))
    }

    pub(crate) fn with<'b>(&'b mut self, input: InputFacts<'b>) -> Context<'b>
    where
        'a: 'b,
    {
        Context { work: self.work, reads: self.reads, stage: self.stage, input }
    }

    /// Runs a handler, with panics, faults and broken limits as errors.
    pub(crate) fn guarded(
        &mut self,
        work: impl FnOnce(&mut Context<'_>) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        // A limit that the caller of an attempt broke is not the attempt's.
        let outer = self.work.broken_limit.take();
        let outcome = catch_unwind(AssertUnwindSafe(|| work(self)));
        let broken = std::mem::replace(&mut self.work.broken_limit, outer);
        let outcome = outcome.unwrap_or_else(|panic| {
            Err(Rejection::of(Cause::Panic, "panic", panic_text(panic.as_ref())))
        });
        if self.work.fault.is_some() {
            return Err(Rejection::of(Cause::Fault, "fault", ""));
        }
        // A broken limit counts even if the handler dropped the error.
        match broken {
            Some(broken) => Err(broken),
            None => outcome,
        }
    }

    /// Writes the exception of a rejected input. A failure in there is a fault.
    pub(crate) fn refuse(
        &mut self,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        let stage = self.stage;
        // What came before must not keep the exception from being written, neither its hops nor
        // its effects. A loop by way of exceptions still ends: its next hop is one too many.
        let hops = self.input.hops.min(HOPS_MAX - 2);
        let before = self.work.input_start;
        self.work.begin_input();
        let mut inner = self.with(InputFacts { hops, ..self.input });
        let outcome = inner.guarded(|ctx| stage.on_rejection(ctx, subject, rejection));
        self.work.input_start = before;
        outcome.map_err(|error| {
            if error.cause == Cause::Fault {
                error
            } else {
                self.fault(format!("the exception itself failed: {} {}", error.rule, error.detail))
            }
        })
    }

    // --- parts

    /// Keeps the fault aside and answers the error by which the handler ends.
    fn fault(&mut self, fault: impl Into<Fault>) -> Rejection {
        let fault = fault.into();
        self.work.fault.get_or_insert(fault);
        Rejection::of(Cause::Fault, "fault", "")
    }

    fn store(&mut self, name: &'static str) -> Result<StoreId, Rejection> {
        let id = self.work.definition.store(name);
        id.ok_or_else(|| self.fault(format!("store {name} is not declared")))
    }

    fn target(&mut self, stage: &'static str) -> Result<u16, Rejection> {
        let index = self.work.target(stage);
        index.ok_or_else(|| self.fault(format!("sending to {stage} is not declared")))
    }

    fn read<V: Format + DeserializeOwned>(
        &mut self,
        store: StoreId,
        key: &[u8],
    ) -> Result<Option<V>, Rejection> {
        if let Some(slot) = self.work.overlay.get(store, key) {
            let value = slot.map(codec::decode).transpose();
            return value.map_err(|error| self.fault(error));
        }
        let Some(bytes) = self.read_bytes(store, key)? else { return Ok(None) };
        codec::decode(&bytes).map(Some).map_err(|error| self.fault(error))
    }

    fn read_bytes(&mut self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Rejection> {
        if let Some(slot) = self.work.overlay.get(store, key) {
            return Ok(slot.map(<[u8]>::to_vec));
        }
        self.reads.get(store, key).map_err(|error| self.fault(error))
    }

    fn write(&mut self, store: StoreId, key: &[u8], value: Vec<u8>) -> Result<(), Rejection> {
        let max = self.work.definition.limits.value_bytes_max;
        if value.len() > max {
            return Err(self.over("value_bytes_max", value.len(), max));
        }
        self.work.overlay.put(store, key, value);
        self.count_write(key.len())
    }

    /// After a write, with the length of its key.
    fn count_write(&mut self, key_bytes: usize) -> Result<(), Rejection> {
        let limits = self.work.definition.limits;
        let writes = self.work.overlay.undoable() - self.work.input_start.writes;
        if key_bytes > limits.key_bytes_max {
            return Err(self.over("key_bytes_max", key_bytes, limits.key_bytes_max));
        }
        if writes > limits.writes_max {
            return Err(self.over("writes_max", writes, limits.writes_max));
        }
        Ok(())
    }

    fn post(
        &mut self,
        target: Target,
        kind: Kind,
        key: Vec<u8>,
        body: &[u8],
        external: Option<External<'_>>,
    ) -> Result<(), Rejection> {
        let hops = match kind {
            Kind::Continuation => self.input.hops,
            Kind::Message | Kind::Broadcast => self.input.hops.saturating_add(1),
        };
        if hops >= HOPS_MAX {
            let detail = format!("a message went through {HOPS_MAX} actors");
            return Err(self.broken(Rejection::of(Cause::Hops, "hops_max", detail)));
        }
        let trace = self.input.trace.clone();
        let envelope = Envelope::Message { kind, at: self.input.at, hops, trace, external, body };
        let value = Some(codec::encode(&envelope));
        self.push(Effect { target, key, value, headers: Headers::default() })
    }

    fn push(&mut self, effect: Effect) -> Result<(), Rejection> {
        let limits = self.work.definition.limits;
        let (bytes, record_max) = match effect.target {
            Target::Output(index) => (effect.bytes(), self.work.output_bytes_max(index)),
            _ => (effect.bytes(), limits.record_bytes_max),
        };
        let start = self.work.input_start;
        let effects = self.work.outbox.len() - start.effects + 1;
        let total = self.work.outbox.bytes() - start.bytes + bytes;
        if bytes > record_max {
            return Err(self.over("record_bytes_max", bytes, record_max));
        }
        // An output's key may be a foreign one: a dead letter carries what it was given.
        let is_sent = !matches!(effect.target, Target::Output(_));
        if is_sent && effect.key.len() > limits.key_bytes_max {
            return Err(self.over("key_bytes_max", effect.key.len(), limits.key_bytes_max));
        }
        if effects > limits.effects_max {
            return Err(self.over("effects_max", effects, limits.effects_max));
        }
        if total > limits.effects_bytes_max {
            return Err(self.over("effects_bytes_max", total, limits.effects_bytes_max));
        }
        self.work.outbox.push(effect);
        Ok(())
    }

    fn over(&mut self, rule: &'static str, found: usize, allowed: usize) -> Rejection {
        self.broken(Rejection::limit(rule, found, allowed))
    }

    /// Keeps it aside, so that it counts even if the handler drops the error.
    fn broken(&mut self, rejection: Rejection) -> Rejection {
        self.work.broken_limit.get_or_insert_with(|| rejection.clone());
        rejection
    }
}

fn key_bytes<K: StoreKey + ?Sized>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    key.write(&mut bytes);
    bytes
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "the handler panicked".to_owned()
    }
}
