//! The fold of an inbox, by nobody's worker: what every store must hold at its position.

use std::{collections::BTreeMap, sync::Arc};

use aplomb::{application::Application, embedded::EmbeddedLog, embedded::Kept, log::Isolation};
use aplomb_state::{
    backend::{Database, Reads, Snapshot, StorePosition, TaskStore, memory::MemoryDatabase},
    fold::{Fold, Inboxed},
    ids::{FoldVersion, Generation, NextOffset, TaskId, Timestamp, TopicPartition},
    scan::Scan,
    store::StoreId,
};

use crate::violation::{Outcome, Violation};

/// What is committed, by input.
pub type Offsets = BTreeMap<TopicPartition, (NextOffset, Generation)>;

/// A disk and where it comes from.
type Image = (String, MemoryDatabase);

/// One store to be compared.
struct Exhibit<'a> {
    label: &'a str,
    snapshot: Box<dyn Snapshot>,
    at: NextOffset,
}

/// Compares every store of every image with the fold of its inbox up to its position. Answers how
/// many there were.
pub fn compare(
    log: &EmbeddedLog,
    application: &Arc<Application>,
    committed: &Offsets,
    images: &[Image],
) -> Outcome<usize> {
    let mut compared = 0;
    for stage in application.inner_stages() {
        let Some(inbox) = application.stage(stage).and_then(|topics| topics.inbox.clone()) else {
            continue;
        };
        let records = log.read_all(&inbox, Isolation::ReadCommitted);
        let records = records.map_err(|error| Violation::of("SIMULATOR", error.to_string()))?;
        for partition in 0..application.inbox_partitions {
            let input = TopicPartition { topic: inbox.clone(), partition };
            let Some((next, generation)) = committed.get(&input).copied() else { continue };
            let Some(task) = application.task_id(stage, input) else { continue };
            let exhibits = exhibits(&task, next, generation, images)?;
            compared += exhibits.len();
            let records = records.iter().filter(|record| record.partition == partition);
            let mut refold = Refold::open(application, stage, &task)?;
            refold.go_through(records, next, exhibits)?;
        }
    }
    Ok(compared)
}

fn exhibits<'a>(
    task: &TaskId,
    committed: NextOffset,
    generation: Generation,
    images: &'a [Image],
) -> Outcome<Vec<Exhibit<'a>>> {
    let mut exhibits = Vec::new();
    for (label, database) in images {
        let Some(snapshot) = database.snapshot(task).ok().flatten() else { continue };
        let Some(position) = snapshot.position().cloned() else { continue };
        // The data of a store that is being restored is no fold of anything, and says so.
        if position.generation != generation || position.restoring {
            continue;
        }
        if position.inbox > committed {
            let detail = format!("{task} of {label}: {position:?}, committed {committed}");
            return Err(Violation::of("STORE-BEHIND", detail));
        }
        exhibits.push(Exhibit { label, snapshot, at: position.inbox });
    }
    exhibits.sort_by_key(|exhibit| exhibit.at);
    Ok(exhibits)
}

struct Refold {
    task: TaskId,
    fold: Fold,
    store: Box<dyn TaskStore>,
    stores: u8,
}

impl Refold {
    fn open(application: &Application, stage: u16, task: &TaskId) -> Outcome<Self> {
        let broken = |what: &str| Violation::of("SIMULATOR", format!("{task}: {what}"));
        let topology = &application.topology;
        let handler = topology.stages.get(usize::from(stage)).cloned();
        let handler = handler.ok_or_else(|| broken("no such stage"))?;
        let names = handler.define().all_stores();
        let store = MemoryDatabase::default().open(task, &names);
        let store = store.map_err(|error| broken(&error.to_string()))?;
        let inner = application.inner_upstream(stage);
        let fold = Fold::open(topology, handler, task.clone(), inner, store.as_ref());
        let fold = fold.map_err(|fault| broken(&fault.to_string()))?;
        let stores = u8::try_from(names.len()).unwrap_or(u8::MAX);
        Ok(Self { task: task.clone(), fold, store, stores })
    }

    fn go_through<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Kept>,
        committed: NextOffset,
        exhibits: Vec<Exhibit<'_>>,
    ) -> Outcome {
        let mut exhibits = exhibits.into_iter().peekable();
        for record in records.filter(|record| record.offset.next() <= committed) {
            while let Some(exhibit) = exhibits.next_if(|one| one.at.0 <= record.offset.0) {
                self.compare(&exhibit)?;
            }
            let input = Inboxed {
                offset: record.offset,
                appended: record.timestamp,
                key: record.key.as_deref().unwrap_or_default(),
                value: record.value.as_deref().unwrap_or_default(),
            };
            let step = self.fold.step(self.store.as_ref(), input);
            step.map_err(|fault| Violation::of("FOLD-PURE", format!("{}: {fault}", self.task)))?;
            self.fold.outbox_mut().clear();
        }
        exhibits.try_for_each(|exhibit| self.compare(&exhibit))
    }

    /// `FOLD-PURE`: a store holds the fold of its inbox up to its position, to the byte.
    fn compare(&mut self, exhibit: &Exhibit<'_>) -> Outcome {
        self.settle()?;
        for store in 0..self.stores {
            let all = |reads: &dyn Reads| {
                let entries = reads.scan(StoreId(store), Scan::rising(&[], None, usize::MAX));
                entries.map_err(|error| Violation::of("SIMULATOR", error.to_string()))
            };
            let (ours, theirs) = (all(self.store.as_ref())?, all(exhibit.snapshot.as_ref())?);
            if ours == theirs {
                continue;
            }
            let missing = ours.iter().find(|entry| !theirs.contains(entry));
            let unexpected = theirs.iter().find(|entry| !ours.contains(entry));
            let text = |entry: Option<&(Vec<u8>, Vec<u8>)>| {
                entry.map(|(key, value)| format!("{:?} = {value:?}", String::from_utf8_lossy(key)))
            };
            let (label, at) = (exhibit.label, exhibit.at);
            let detail = format!(
                "{} of {label} at {at}, store {store}: should hold {:?}, holds {:?}",
                self.task,
                text(missing),
                text(unexpected)
            );
            return Err(Violation::of("FOLD-PURE", detail));
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome {
        let to = StorePosition {
            generation: Generation(0),
            inbox: NextOffset(0),
            changelog: NextOffset(0),
            fold_version: FoldVersion(0),
            restoring: false,
            current_as_of: Timestamp(0),
        };
        let base = self.store.position().map(|position| position.inbox);
        let applied = self.store.apply(base, &mut self.fold.overlay().writes(), &to);
        applied.map_err(|error| Violation::of("SIMULATOR", error.to_string()))?;
        self.fold.committed();
        Ok(())
    }
}
