//! Tasks that move a thousand times leave nothing behind: no open store, no memory, no file.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

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

use crate::harness::{Cluster, Outcome, Plan, TASKS};

const REASSIGNMENTS: usize = 1_000;
/// What an allocator may keep for itself.
const RSS_GROWTH_BYTES_MAX: usize = 48 << 20;

/// Stores opened and dropped.
#[derive(Default)]
struct Balance {
    opened: AtomicUsize,
    dropped: AtomicUsize,
}

impl Balance {
    fn open(&self) -> usize {
        self.opened.load(Ordering::Relaxed) - self.dropped.load(Ordering::Relaxed)
    }
}

struct Counting {
    inner: Arc<dyn Database>,
    balance: Arc<Balance>,
}

struct CountedStore {
    inner: Box<dyn TaskStore>,
    balance: Arc<Balance>,
}

impl Drop for CountedStore {
    fn drop(&mut self) {
        self.balance.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Database for Counting {
    fn open(&self, task: &TaskId, stores: &[&'static str]) -> Result<Box<dyn TaskStore>, Error> {
        let inner = self.inner.open(task, stores)?;
        self.balance.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(CountedStore { inner, balance: Arc::clone(&self.balance) }))
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

impl Reads for CountedStore {
    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.inner.get(store, key)
    }

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Result<Entries, Error> {
        self.inner.scan(store, scan)
    }
}

impl TaskStore for CountedStore {
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
        self.inner.finish_rebuild()
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.inner.clear()
    }
}

/// Two workers on databases of their own; the second comes and goes, and takes a part of the tasks
/// each time. `measure` is asked after a tenth, when all is warm, and at the end.
fn reassign(
    databases: [Arc<dyn Database>; 2],
    measure: &dyn Fn() -> Outcome<[usize; 2]>,
) -> Outcome<[[usize; 2]; 2]> {
    let balance = Arc::new(Balance::default());
    let counting = |inner: &Arc<dyn Database>| {
        Arc::new(Counting { inner: Arc::clone(inner), balance: Arc::clone(&balance) })
    };
    let mut cluster = Cluster::planned(&Plan::default())?;
    cluster.start_with(0, cluster.log.clone(), counting(&databases[0]))?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let (mut moved, mut warm) = (0, None);
    while moved < REASSIGNMENTS {
        cluster.start_with(1, cluster.log.clone(), counting(&databases[1]))?;
        cluster.feed_many(1)?;
        cluster.settle()?;
        moved += 2 * cluster.worker(1).tasks().len();
        assert!(balance.open() <= TASKS, "{} stores are open", balance.open());
        cluster.leave(1)?;
        cluster.settle()?;
        if warm.is_none() && moved >= REASSIGNMENTS / 10 {
            warm = Some(measure()?);
        }
    }
    let hot = measure()?;
    cluster.finish()?;
    cluster.leave(0)?;
    assert_eq!(balance.open(), 0, "every opened store was closed");
    assert!(balance.opened.load(Ordering::Relaxed) > REASSIGNMENTS / 2);
    Ok([warm.ok_or("too few reassignments")?, hot])
}

#[test]
fn every_opened_store_is_closed_over_a_thousand_reassignments() -> Outcome {
    let database = || Arc::new(MemoryDatabase::default()) as Arc<dyn Database>;
    reassign([database(), database()], &|| Ok([0, 0]))?;
    Ok(())
}

/// Open files and resident bytes of this process. Other tests run beside it.
fn resources() -> Outcome<[usize; 2]> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split(' ').nth(1).ok_or("no resident pages")?.parse()?;
    let files = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.to_string_lossy().contains("aplomb-plateau"))
        .count();
    Ok([files, pages * 4_096])
}

#[test]
fn rocksdb_keeps_neither_files_nor_memory_over_a_thousand_reassignments() -> Outcome {
    let folder = tempfile::Builder::new().prefix("aplomb-plateau").tempdir()?;
    let open = |name: &str| -> Outcome<Arc<dyn Database>> {
        Ok(Arc::new(RocksDatabase::open(&folder.path().join(name), Budget::default())?))
    };
    let [warm, hot] = reassign([open("first")?, open("second")?], &resources)?;
    assert!(hot[0] <= warm[0] + 8, "{} files were open, now {}", warm[0], hot[0]);
    let grown = hot[1].saturating_sub(warm[1]);
    println!("resident: {} MiB, then {} MiB", warm[1] >> 20, hot[1] >> 20);
    assert!(grown < RSS_GROWTH_BYTES_MAX, "{grown} bytes more than after a tenth");
    Ok(())
}
