//! What must stand in the topics: every inbox folded again through the same handlers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aplomb_state::{
    backend::{Database, StorePosition, TaskStore, memory::MemoryDatabase},
    effect::Effect,
    fold::{Fault, Fold, Inboxed, NoState},
    ids::{Generation, NextOffset, Offset, Timestamp, TopicPartition},
    overlay::Overlay,
};

use super::{
    Error, Input, Kind, Report,
    found::{Found, Key, content_of_effect},
};
use crate::{
    application::Application,
    checkpoint::{self, Checkpoint},
    log::{Fetched, Isolation, Log, Reader},
    worker::process::{self, Destination},
};

const READ_WAIT: Duration = Duration::from_secs(10);
/// Inputs between two writings of the overlay.
const INPUTS_PER_APPLY: u64 = 1_000;
/// Of a checkpoint, written into the store at a time.
const LOADED_BYTES: usize = 8 << 20;

/// Folds inputs one after the other and crosses off what was found.
pub(super) struct Refold<'a, L: Log> {
    log: &'a L,
    application: &'a Arc<Application>,
    found: Found,
    /// Records of compacted topics that are absent so far, by destination and key: only a later
    /// record of the key excuses them.
    absent: HashMap<(u32, Vec<u8>), Vec<Key>>,
}

/// One task, folded again.
struct Task {
    fold: Fold,
    store: Option<Box<dyn TaskStore>>,
    unapplied: u64,
}

impl<'a, L: Log> Refold<'a, L> {
    pub(super) fn new(log: &'a L, application: &'a Arc<Application>, found: Found) -> Self {
        Self { log, application, found, absent: HashMap::new() }
    }

    pub(super) fn fold(&mut self, input: &Input, report: &mut Report) -> Result<(), Error> {
        if input.from >= input.committed {
            return Ok(());
        }
        let fault = |fault: Fault| Error::CannotKnow(format!("{}: {fault}", input.partition));
        let mut task = self.open(input).map_err(fault)?;
        let from = [(input.partition.clone(), input.from)];
        let mut reader = self.log.reader(&from, Isolation::ReadCommitted)?;
        while reader.position(&input.partition) < input.committed {
            let mut outcome = Ok(());
            let read = reader.read(1_000, READ_WAIT, &mut |_, record| {
                if outcome.is_ok() && record.offset.next() <= input.committed {
                    outcome = self.step(input, &mut task, record, report);
                }
            })?;
            outcome.map_err(fault)?;
            if read == 0 && reader.position(&input.partition) < input.committed {
                return Err(Error::CannotKnow(format!(
                    "{} could not be read up to the committed offset {}",
                    input.partition, input.committed
                )));
            }
        }
        Ok(())
    }

    fn open(&self, input: &Input) -> Result<Task, Fault> {
        let application = self.application;
        let unknown = || Fault::new("no such stage");
        let stage = application.topology.stages.get(usize::from(input.stage)).cloned();
        let stage = stage.ok_or_else(unknown)?;
        let id = application.task_id(input.stage, input.partition.clone()).ok_or_else(unknown)?;
        let inner = application.inner_upstream(input.stage);
        let topology = &application.topology;
        if input.stage == 0 {
            let mut fold = Fold::open(topology, stage, id, inner, &NoState)?;
            fold.configure(application.configuration.clone())?;
            return Ok(Task { fold, store: None, unapplied: 0 });
        }
        let stores = stage.define().all_stores();
        let mut store = MemoryDatabase::default().open(&id, &stores)?;
        if let Some(base) = &input.base {
            load(base, store.as_mut())?;
        }
        let fold = Fold::open(topology, stage, id, inner, store.as_ref())?;
        Ok(Task { fold, store: Some(store), unapplied: 0 })
    }

    fn step(
        &mut self,
        input: &Input,
        task: &mut Task,
        record: &Fetched<'_>,
        report: &mut Report,
    ) -> Result<(), Fault> {
        report.inputs += 1;
        match &task.store {
            None => {
                let application = self.application;
                process::ingest_into(application, &mut task.fold, &input.partition, record)?;
            }
            Some(store) => {
                let inboxed = Inboxed {
                    offset: record.offset,
                    appended: record.timestamp,
                    key: record.key.unwrap_or_default(),
                    value: record.value.unwrap_or_default(),
                };
                task.fold.step(store.as_ref(), inboxed)?;
            }
        }
        let effects: Vec<Effect> = task.fold.outbox().effects().to_vec();
        task.fold.outbox_mut().clear();
        for (effect, number) in effects.iter().zip(0u32..) {
            self.compare(input, record.offset, number, effect, report);
        }
        task.unapplied += 1;
        if task.unapplied >= INPUTS_PER_APPLY {
            task.apply(record.offset.next(), record.timestamp)?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        input: &Input,
        offset: Offset,
        effect_number: u32,
        effect: &Effect,
        report: &mut Report,
    ) {
        let application = Arc::clone(self.application);
        let partitions = match process::destination(&application, &input.partition, effect) {
            Some(Destination::One(topic, partition)) => {
                vec![TopicPartition { topic: topic.clone(), partition }]
            }
            Some(Destination::All(topic)) => (0..application.inbox_partitions)
                .map(|partition| TopicPartition { topic: topic.clone(), partition })
                .collect(),
            None => Vec::new(),
        };
        let stage = application.stage(input.stage).map_or("", |stage| stage.definition.name);
        let Some(number) = self.found.inputs.get(&format!("{stage}/{}", input.partition)).copied()
        else {
            return;
        };
        for partition in partitions {
            let Some(destination) = self.found.places.get(&partition).copied() else { continue };
            let key = Key { input: number, offset, effect: effect_number, destination };
            self.cross_off(key, effect, report);
        }
    }

    fn cross_off(&mut self, key: Key, effect: &Effect, report: &mut Report) {
        let destination = usize::try_from(key.destination).unwrap_or(usize::MAX);
        let Some(known) = self.found.destinations.get(destination) else { return };
        let (compacted, trimmed) = (known.compacted, known.trimmed);
        let standing = self.found.records.remove(&key);
        let cause = || self.found.cause(&key);
        let place = self.found.place(key.destination);
        match standing.as_deref() {
            None | Some([]) if compacted => {
                let of = (key.destination, effect.key.clone());
                self.absent.entry(of).or_default().push(key);
            }
            None | Some([]) if trimmed && self.found.may_be_trimmed(&key) => {
                report.not_judged += 1;
            }
            None | Some([]) => report.add(Kind::Missing, cause(), place),
            Some([first, more @ ..]) => {
                if first.content == content_of_effect(effect) {
                    report.matching += 1;
                } else {
                    let place = format!("{place} offset {}", first.offset);
                    report.add(Kind::Different, cause(), place);
                }
                for again in more {
                    let place =
                        format!("{} offset {}", self.found.place(key.destination), again.offset);
                    report.add(Kind::Doubled, self.found.cause(&key), place);
                }
                if compacted {
                    // A later record of the key stands there: the earlier ones may be gone.
                    let of = (key.destination, effect.key.clone());
                    let excused = self.absent.remove(&of).map_or(0, |absent| absent.len());
                    report.compacted += u64::try_from(excused).unwrap_or(0);
                }
            }
        }
    }

    pub(super) fn finish(self, report: &mut Report) {
        let mut absent: Vec<_> = self.absent.into_values().flatten().collect();
        absent.sort_by_key(|key| (key.input, key.offset, key.effect));
        for key in absent {
            report.add(Kind::Missing, self.found.cause(&key), self.found.place(key.destination));
        }
        let mut left: Vec<_> = self.found.records.iter().collect();
        left.sort_by_key(|(key, _)| (key.input, key.offset, key.effect));
        for (key, standing) in left {
            for record in standing {
                let place =
                    format!("{} offset {}", self.found.place(key.destination), record.offset);
                report.add(Kind::Unexpected, self.found.cause(key), place);
            }
        }
    }
}

/// Fills an empty store with what a checkpoint holds.
fn load(base: &Checkpoint, store: &mut dyn TaskStore) -> Result<(), Fault> {
    let to = position(base.header.next, base.header.taken);
    let mut batch = Overlay::default();
    let read = checkpoint::read(&base.path, &mut |of, key, value| {
        batch.put(of, &key, value);
        if batch.bytes() >= LOADED_BYTES {
            let before = store.position().map(|position| position.inbox);
            store.apply(before, &mut batch.writes(), &to)?;
            batch.clear();
        }
        Ok(())
    });
    read.map_err(|error| Fault::new(format!("{}: {error}", base.path.display())))?;
    let before = store.position().map(|position| position.inbox);
    store.apply(before, &mut batch.writes(), &to)?;
    Ok(())
}

fn position(inbox: NextOffset, now: Timestamp) -> StorePosition {
    StorePosition {
        generation: Generation(0),
        inbox,
        changelog: NextOffset(0),
        fold_version: aplomb_state::ids::FoldVersion(0),
        restoring: false,
        current_as_of: now,
    }
}

impl Task {
    fn apply(&mut self, inbox: NextOffset, now: Timestamp) -> Result<(), Fault> {
        self.unapplied = 0;
        let Some(store) = &mut self.store else { return Ok(()) };
        let base = store.position().map(|position| position.inbox);
        let to = position(inbox, now);
        store.apply(base, &mut self.fold.overlay().writes(), &to)?;
        self.fold.committed();
        Ok(())
    }
}
