//! The disk of one process: state in memory as RocksDB would keep it. What was not flushed is gone
//! after a kill; a flush takes everything at once. It counts what is opened and closed, and sees
//! who writes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use aplomb_state::{
    backend::{
        Database, Error, Reads, Rebuild, Snapshot, StorePosition, TaskStore, Write,
        memory::MemoryDatabase,
    },
    ids::{NextOffset, TaskId, Timestamp},
    scan::Scan,
    store::StoreId,
    topology::Entries,
};

use crate::{
    hooks::{Hooks, Point},
    violation::{Alarm, Violation},
};

/// One life of a process's disk: from the start of the process to its end.
pub struct Disk {
    pub live: MemoryDatabase,
    state: Mutex<State>,
    alarm: Alarm,
    /// So many writes fail, without an effect or with one that is not reported.
    failing: AtomicU32,
    failing_late: AtomicU32,
    /// So many stores do not open.
    closed: AtomicU32,
    /// The flusher comes by in the middle of the next write.
    flush: AtomicBool,
}

struct State {
    /// What a kill leaves.
    durable: MemoryDatabase,
    openers: HashMap<TaskId, u64>,
    opened: usize,
    dropped: usize,
    seen: BTreeMap<TaskId, StorePosition>,
}

impl Disk {
    pub fn start(image: &MemoryDatabase, alarm: Alarm) -> Arc<Self> {
        let state = State {
            durable: image.copy(),
            openers: HashMap::new(),
            opened: 0,
            dropped: 0,
            seen: BTreeMap::new(),
        };
        Arc::new(Self {
            live: image.copy(),
            state: Mutex::new(state),
            alarm,
            failing: AtomicU32::new(0),
            failing_late: AtomicU32::new(0),
            closed: AtomicU32::new(0),
            flush: AtomicBool::new(false),
        })
    }

    /// A worker's way to the disk.
    pub fn handle(self: &Arc<Self>, hooks: &Arc<Hooks>) -> Arc<dyn Database> {
        Arc::new(Handle { disk: Arc::clone(self), hooks: Arc::clone(hooks) })
    }

    pub fn fail_writes(&self, writes: u32) {
        self.failing.store(writes, Ordering::Relaxed);
    }

    pub fn fail_after_writes(&self, writes: u32) {
        self.failing_late.store(writes, Ordering::Relaxed);
    }

    pub fn fail_openings(&self, openings: u32) {
        self.closed.store(openings, Ordering::Relaxed);
    }

    pub fn calm(&self) {
        self.fail_writes(0);
        self.fail_after_writes(0);
        self.fail_openings(0);
    }

    /// Everything applied so far is durable.
    pub fn flush(&self, owned: &[TaskId], now: Timestamp) {
        // The memory backend has nothing that could fail here.
        let _ = self.live.flush(owned, now);
        self.state().durable = self.live.copy();
    }

    pub fn flush_at_write(&self) {
        self.flush.store(true, Ordering::Relaxed);
    }

    /// What is left after a kill.
    pub fn image(&self) -> MemoryDatabase {
        self.state().durable.copy()
    }

    /// How many stores are open.
    pub fn open(&self) -> usize {
        let state = self.state();
        state.opened - state.dropped
    }

    pub fn opened(&self) -> usize {
        self.state().opened
    }

    /// `STORE-KEPT`, `STORE-RISES`: what the disk holds of a task is never less than it was.
    pub fn watch(&self) -> Result<(), Violation> {
        for task in self.live.tasks() {
            let snapshot = self.live.snapshot(&task).ok().flatten();
            let now = snapshot.and_then(|snapshot| snapshot.position().cloned());
            let mut state = self.state();
            match (state.seen.get(&task), &now) {
                (Some(before), None) => {
                    let detail = format!("{task}: nothing is left of {before:?}");
                    return Err(Violation::of("STORE-KEPT", detail));
                }
                (Some(before), Some(now))
                    if before.generation == now.generation && now.inbox < before.inbox =>
                {
                    let detail = format!("{task}: from {before:?} to {now:?}");
                    return Err(Violation::of("STORE-RISES", detail));
                }
                _ => {}
            }
            if let Some(now) = now {
                state.seen.insert(task, now);
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn takes_one(left: &AtomicU32) -> bool {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    taken.is_ok()
}

struct Handle {
    disk: Arc<Disk>,
    hooks: Arc<Hooks>,
}

impl Database for Handle {
    fn open(&self, task: &TaskId, stores: &[&'static str]) -> Result<Box<dyn TaskStore>, Error> {
        self.hooks.pass(Point::Open);
        if takes_one(&self.disk.closed) {
            return Err(Error::Storage("the simulated database does not open".to_owned()));
        }
        let inner = self.disk.live.open(task, stores)?;
        let mut state = self.disk.state();
        state.opened += 1;
        let opener = state.openers.entry(task.clone()).or_default();
        *opener += 1;
        let opener = *opener;
        drop(state);
        Ok(Box::new(Store {
            inner,
            task: task.clone(),
            opener,
            disk: Arc::clone(&self.disk),
            hooks: Arc::clone(&self.hooks),
        }))
    }

    fn snapshot(&self, task: &TaskId) -> Result<Option<Box<dyn Snapshot>>, Error> {
        self.disk.live.snapshot(task)
    }

    fn flush(&self, owned: &[TaskId], now: Timestamp) -> Result<(), Error> {
        self.disk.flush(owned, now);
        Ok(())
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

struct Store {
    inner: Box<dyn TaskStore>,
    task: TaskId,
    opener: u64,
    disk: Arc<Disk>,
    hooks: Arc<Hooks>,
}

impl Store {
    /// `STORE-LEASE`: a write went through, so its writer must be the latest opener.
    fn written(&self) {
        let latest = self.disk.state().openers.get(&self.task).copied();
        if latest != Some(self.opener) {
            let detail = format!("opener {} of {} wrote after {latest:?}", self.opener, self.task);
            self.disk.alarm.raise(Violation::of("STORE-LEASE", detail));
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.disk.state().dropped += 1;
    }
}

impl Reads for Store {
    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.inner.get(store, key)
    }

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Result<Entries, Error> {
        self.inner.scan(store, scan)
    }
}

impl TaskStore for Store {
    fn position(&self) -> Option<&StorePosition> {
        self.inner.position()
    }

    fn rebuilding(&self) -> Option<&StorePosition> {
        self.inner.rebuilding()
    }

    fn apply(
        &mut self,
        base: Option<NextOffset>,
        writes: &mut dyn Iterator<Item = Write<'_>>,
        to: &StorePosition,
    ) -> Result<(), Error> {
        self.hooks.pass(Point::Write);
        if takes_one(&self.disk.failing) {
            return Err(Error::Storage("the simulated disk is full".to_owned()));
        }
        if self.disk.flush.swap(false, Ordering::Relaxed) {
            self.disk.flush(&[], to.current_as_of);
        }
        self.inner.apply(base, writes, to)?;
        self.written();
        self.hooks.pass(Point::Written);
        if takes_one(&self.disk.failing_late) {
            return Err(Error::Storage("the simulated disk answers too late".to_owned()));
        }
        Ok(())
    }

    fn begin_rebuild(&mut self, from: Rebuild) -> Result<(), Error> {
        self.inner.begin_rebuild(from)
    }

    fn finish_rebuild(&mut self) -> Result<(), Error> {
        self.hooks.pass(Point::Swap);
        self.inner.finish_rebuild()?;
        self.written();
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.inner.clear()
    }
}
