//! A state database that fails, or holds what cannot be read: the process goes on, and nothing is
//! lost.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aplomb::{restore::Mode, task::State};
use aplomb_state::{
    backend::{
        Database, Error, Reads, Rebuild, Snapshot, StorePosition, TaskStore, Write,
        memory::MemoryDatabase,
        rocks::{Budget, RocksDatabase},
    },
    ids::{NextOffset, TaskId, Timestamp},
    scan::Scan,
    store::StoreId,
    topology::Entries,
};

use crate::harness::{Cluster, Outcome, Plan};

/// How many internal tasks of all workers are running.
fn running(cluster: &Cluster, workers: &[usize]) -> usize {
    let tasks = workers.iter().flat_map(|name| cluster.worker(*name).tasks());
    let runs = |state: &State| matches!(state, State::Running(running) if running.store.is_some());
    tasks.filter(|task| runs(&task.state)).count()
}

#[test]
fn a_disk_that_fails_closes_the_tasks_and_all_goes_on_when_it_is_back() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, away) = (folder.path().join("state"), folder.path().join("away"));
    let database: Arc<dyn Database> = Arc::new(RocksDatabase::open(&path, Budget::default())?);
    let mut cluster = Cluster::new()?;
    for name in [0, 1] {
        cluster.start_with(name, cluster.log.clone(), Arc::clone(&database))?;
    }
    cluster.feed_many(20)?;
    cluster.settle()?;
    database.flush(&[], cluster.now())?;
    cluster.feed_many(20)?;
    cluster.settle()?;

    fs::rename(&path, &away)?;
    fs::write(&path, b"in its place")?;
    assert!(database.flush(&[], cluster.now()).is_err());
    cluster.feed_many(20)?;
    cluster.rounds(2_000)?;
    assert_eq!(running(&cluster, &[0, 1]), 0, "not ready while the disk refuses");
    assert_eq!(cluster.parked(), [], "and nobody has to come for it");

    fs::remove_file(&path)?;
    fs::rename(&away, &path)?;
    cluster.feed_many(20)?;
    cluster.finish()
}

/// A database whose data cannot be read until it is rebuilt.
struct Damaging {
    inner: MemoryDatabase,
    damaged: Arc<AtomicBool>,
}

struct DamagedStore {
    inner: Box<dyn TaskStore>,
    damaged: Arc<AtomicBool>,
}

impl Database for Damaging {
    fn open(&self, task: &TaskId, stores: &[&'static str]) -> Result<Box<dyn TaskStore>, Error> {
        let inner = self.inner.open(task, stores)?;
        Ok(Box::new(DamagedStore { inner, damaged: Arc::clone(&self.damaged) }))
    }

    fn snapshot(&self, task: &TaskId) -> Result<Option<Box<dyn Snapshot>>, Error> {
        self.inner.snapshot(task)
    }

    fn flush(&self, owned: &[TaskId], now: Timestamp) -> Result<(), Error> {
        self.inner.flush(owned, now)
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        self.inner.memory()
    }
}

impl DamagedStore {
    fn readable(&self) -> Result<(), Error> {
        let damaged = self.damaged.load(Ordering::Relaxed);
        if damaged { Err(Error::Damaged("a block".to_owned())) } else { Ok(()) }
    }
}

impl Reads for DamagedStore {
    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.readable()?;
        self.inner.get(store, key)
    }

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Result<Entries, Error> {
        self.readable()?;
        self.inner.scan(store, scan)
    }
}

impl TaskStore for DamagedStore {
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
        self.inner.apply(base, writes, to)
    }

    fn begin_rebuild(&mut self, from: Rebuild) -> Result<(), Error> {
        self.inner.begin_rebuild(from)
    }

    fn finish_rebuild(&mut self) -> Result<(), Error> {
        self.damaged.store(false, Ordering::Relaxed);
        self.inner.finish_rebuild()
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.inner.clear()
    }
}

#[test]
fn damaged_state_is_rebuilt_beside_itself_without_a_restart() -> Outcome {
    let damaged = Arc::new(AtomicBool::new(false));
    let database = Damaging { inner: MemoryDatabase::default(), damaged: Arc::clone(&damaged) };
    // In steps that can be seen.
    let plan =
        Plan { tune: |application| application.tuning.restore_records_max = 3, ..Plan::default() };
    let mut cluster = Cluster::planned(&plan)?;
    cluster.start_with(0, cluster.log.clone(), Arc::new(database))?;
    cluster.feed_many(20)?;
    cluster.settle()?;
    damaged.store(true, Ordering::Relaxed);
    cluster.feed_many(20)?;
    let mut rebuilt = false;
    for _ in 0..2_000 {
        cluster.round()?;
        rebuilt |= cluster.worker(0).tasks().iter().any(|task| match &task.state {
            State::Restoring(restore) => restore.mode == Mode::Rebuild,
            _ => false,
        });
    }
    assert!(rebuilt, "from the changelog");
    assert_eq!(cluster.parked(), []);
    cluster.finish()
}
