//! State in memory: the simulator, replay, verify and tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    Database, Error, Lease, Leases, Reads, Rebuild, Snapshot, StorePosition, TaskStore, Write,
};
use crate::{
    ids::{NextOffset, TaskId, Timestamp},
    mutation::{self, Mutation},
    scan::{self, Order, Scan},
    store::StoreId,
    topology::Entries,
};

#[derive(Clone, Debug, Default)]
struct Data {
    stores: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    position: Option<StorePosition>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    /// Shared with snapshots: a write copies it only while one is being read.
    live: Arc<Data>,
    rebuild: Option<Data>,
}

/// A [`Database`] in memory. Clones share the data.
#[derive(Clone, Debug, Default)]
pub struct MemoryDatabase {
    tasks: Arc<RwLock<HashMap<TaskId, Arc<RwLock<Held>>>>>,
    leases: Leases,
}

struct MemoryStore {
    task: TaskId,
    lease: Lease,
    held: Arc<RwLock<Held>>,
    rebuilding: bool,
    /// Copies for answering by reference.
    position: Option<StorePosition>,
    rebuild_position: Option<StorePosition>,
}

struct MemorySnapshot(Arc<Data>);

// === impl MemoryDatabase ===

impl MemoryDatabase {
    /// The data as it is now, on its own from now on: what a disk would hold after a crash.
    pub fn copy(&self) -> Self {
        let tasks = self.tasks.read().unwrap_or_else(PoisonError::into_inner);
        let copy = |(task, held): (&TaskId, &Arc<RwLock<Held>>)| {
            (task.clone(), Arc::new(RwLock::new(read(held).clone())))
        };
        let tasks = tasks.iter().map(copy).collect();
        Self { tasks: Arc::new(RwLock::new(tasks)), leases: Leases::default() }
    }

    /// The tasks of which something is stored.
    pub fn tasks(&self) -> Vec<TaskId> {
        let tasks = self.tasks.read().unwrap_or_else(PoisonError::into_inner);
        let mut tasks: Vec<TaskId> = tasks.keys().cloned().collect();
        tasks.sort();
        tasks
    }
}

impl Database for MemoryDatabase {
    fn open(&self, task: &TaskId, _stores: &[&'static str]) -> Result<Box<dyn TaskStore>, Error> {
        let lease = self.leases.take(task);
        let mut tasks = self.tasks.write().unwrap_or_else(PoisonError::into_inner);
        let held = Arc::clone(tasks.entry(task.clone()).or_default());
        let (position, rebuild_position) = {
            let held = read(&held);
            let rebuild = held.rebuild.as_ref().and_then(|data| data.position.clone());
            (held.live.position.clone(), rebuild)
        };
        let task = task.clone();
        Ok(Box::new(MemoryStore {
            task,
            lease,
            held,
            rebuilding: false,
            position,
            rebuild_position,
        }))
    }

    fn snapshot(&self, task: &TaskId) -> Result<Option<Box<dyn Snapshot>>, Error> {
        let tasks = self.tasks.read().unwrap_or_else(PoisonError::into_inner);
        Ok(tasks.get(task).map(|held| {
            Box::new(MemorySnapshot(Arc::clone(&read(held).live))) as Box<dyn Snapshot>
        }))
    }

    fn flush(&self, owned: &[TaskId], now: Timestamp) -> Result<(), Error> {
        let tasks = self.tasks.read().unwrap_or_else(PoisonError::into_inner);
        for held in owned.iter().filter_map(|task| tasks.get(task)) {
            if let Some(position) = &mut Arc::make_mut(&mut write(held).live).position
                && !position.restoring
            {
                position.current_as_of = position.current_as_of.max(now);
            }
        }
        Ok(())
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

// === impl MemoryStore ===

impl Reads for MemoryStore {
    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(read(&self.held).live.get(store, key))
    }

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Result<Entries, Error> {
        Ok(read(&self.held).live.scan(store, scan))
    }
}

impl TaskStore for MemoryStore {
    fn position(&self) -> Option<&StorePosition> {
        self.position.as_ref()
    }

    fn rebuilding(&self) -> Option<&StorePosition> {
        self.rebuild_position.as_ref()
    }

    fn apply(
        &mut self,
        base: Option<NextOffset>,
        writes: &mut dyn Iterator<Item = Write<'_>>,
        to: &StorePosition,
    ) -> Result<(), Error> {
        let _held = self.lease.hold()?;
        let mut held = write(&self.held);
        let held = &mut *held;
        let data = if self.rebuilding {
            held.rebuild.get_or_insert_default()
        } else {
            Arc::make_mut(&mut held.live)
        };
        let found = data.position.as_ref().map(|position| position.inbox);
        if found != base {
            return Err(Error::Base { task: self.task.clone(), found, base });
        }
        for change in writes {
            data.set(change);
        }
        data.position = Some(to.clone());
        if self.rebuilding {
            self.rebuild_position = Some(to.clone());
        } else {
            self.position = Some(to.clone());
        }
        Ok(())
    }

    fn begin_rebuild(&mut self, from: Rebuild) -> Result<(), Error> {
        let _held = self.lease.hold()?;
        if from == Rebuild::Fresh {
            let mut held = write(&self.held);
            held.rebuild = None;
            self.rebuild_position = None;
            if mutation::is_on(Mutation::RebuildDeletesFirst) {
                held.live = Arc::default();
            }
        }
        self.rebuilding = true;
        Ok(())
    }

    fn finish_rebuild(&mut self) -> Result<(), Error> {
        let _held = self.lease.hold()?;
        let mut held = write(&self.held);
        held.live = Arc::new(held.rebuild.take().unwrap_or_default());
        self.rebuilding = false;
        self.position = held.live.position.clone();
        self.rebuild_position = None;
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Error> {
        let _held = self.lease.hold()?;
        *write(&self.held) = Held::default();
        self.rebuilding = false;
        self.position = None;
        self.rebuild_position = None;
        Ok(())
    }
}

// === impl MemorySnapshot ===

impl Reads for MemorySnapshot {
    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(store, key))
    }

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Result<Entries, Error> {
        Ok(self.0.scan(store, scan))
    }
}

impl Snapshot for MemorySnapshot {
    fn position(&self) -> Option<&StorePosition> {
        self.0.position.as_ref()
    }
}

// === impl Data ===

impl Data {
    fn get(&self, store: StoreId, key: &[u8]) -> Option<Vec<u8>> {
        self.stores.get(usize::from(store.0))?.get(key).cloned()
    }

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Entries {
        let Scan { prefix, past, order, max } = scan;
        let Some(entries) = self.stores.get(usize::from(store.0)) else { return Vec::new() };
        let copy = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        match order {
            Order::Rising => scan::rising(entries, prefix, past).take(max).map(copy).collect(),
            Order::Falling => scan::falling(entries, prefix, past).take(max).map(copy).collect(),
        }
    }

    fn set(&mut self, change: Write<'_>) {
        let index = usize::from(change.store.0);
        if self.stores.len() <= index {
            self.stores.resize_with(index + 1, BTreeMap::new);
        }
        let Some(entries) = self.stores.get_mut(index) else { return };
        match change.value {
            Some(value) => entries.insert(change.key.to_vec(), value.to_vec()),
            None => entries.remove(change.key),
        };
    }
}

fn read(held: &RwLock<Held>) -> RwLockReadGuard<'_, Held> {
    held.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(held: &RwLock<Held>) -> RwLockWriteGuard<'_, Held> {
    held.write().unwrap_or_else(PoisonError::into_inner)
}
