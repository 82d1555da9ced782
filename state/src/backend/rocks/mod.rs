//! State in RocksDB: one database per process, one column family per store.
//!
//! Rows are keyed by partition and incarnation, then by their own key. A rebuild writes under an
//! incarnation of its own beside the present one; finishing it names the new one in the task's row
//! and drops the old, in one batch.
//!
//! There is no write-ahead log: the changelog topic is one. `atomic_flush` makes what a crash
//! leaves one consistent state over all columns, so every task's data is the fold at exactly the
//! position beside it.

mod engine;
mod keys;
mod meta;
mod objects;
mod opening;
mod options;
mod snapshot;
mod store;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use rocksdb::{FlushOptions, WriteBatch, WriteOptions};

use self::{
    engine::{Column, Engine, failed},
    keys::Incarnation,
    meta::TaskRow,
    objects::Allowance,
    opening::Opened,
    options::Memory,
    snapshot::RocksSnapshot,
    store::RocksStore,
};
pub use self::{opening::MovedAside, options::Budget};
use super::{Database, Error, Leases, Snapshot, TaskStore, Unflushed};
use crate::ids::{TaskId, Timestamp};

/// The database of a process. It is closed, and flushed, when this and all stores and snapshots
/// that came of it are dropped.
pub struct RocksDatabase {
    shared: Arc<Shared>,
    leases: Leases,
    /// The columns of each stage that was opened, by [`crate::store::StoreId`].
    stages: Mutex<HashMap<Arc<str>, Arc<[Column]>>>,
    moved_aside: Option<MovedAside>,
}

/// What stores and snapshots need of the database.
struct Shared {
    // IMPORTANT: fields drop in this order, and columns must go before the engine is closed.
    columns: RwLock<BTreeMap<String, Column>>,
    meta: Column,
    engine: Arc<Engine>,
    memory: Memory,
    allowance: Arc<Allowance>,
    write_options: WriteOptions,
    incarnations: AtomicU32,
    unflushed_writes: AtomicU64,
    unflushed_bytes: AtomicU64,
}

// === impl RocksDatabase ===

impl RocksDatabase {
    /// Opens the database in `path`, or makes one. What is there but cannot be opened for damage
    /// is moved aside, for its tasks to be rebuilt: see [`RocksDatabase::moved_aside`]. A database
    /// of another process, or of a newer build, is left alone and is an error.
    ///
    /// NOTE: after a failed write or flush RocksDB may refuse every later one. Dropping all stores
    /// and opening the database again is then the only way on; what was flushed is kept.
    pub fn open(path: &Path, budget: Budget) -> Result<Self, Error> {
        let memory = Memory::new(budget);
        let Opened { engine, columns, meta, greatest_incarnation, moved_aside } =
            opening::open(path, &memory)?;
        let mut write_options = WriteOptions::default();
        write_options.disable_wal(true);
        let shared = Shared {
            columns: RwLock::new(columns),
            meta,
            engine,
            allowance: Arc::new(Allowance::new(budget.object_cache_bytes())),
            memory,
            write_options,
            incarnations: AtomicU32::new(greatest_incarnation),
            unflushed_writes: AtomicU64::new(0),
            unflushed_bytes: AtomicU64::new(0),
        };
        let shared = Arc::new(shared);
        let (leases, stages) = (Leases::default(), Mutex::default());
        Ok(Self { shared, leases, stages, moved_aside })
    }

    /// What was found in the way and could not be opened.
    pub fn moved_aside(&self) -> Option<&MovedAside> {
        self.moved_aside.as_ref()
    }

    fn stage_columns(&self, stage: &Arc<str>, stores: &[&str]) -> Result<Arc<[Column]>, Error> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::with_capacity(stores.len());
        for store in stores {
            found.push(self.shared.column(&keys::column_name(stage, store))?);
        }
        let found: Arc<[Column]> = found.into();
        stages.insert(Arc::clone(stage), Arc::clone(&found));
        Ok(found)
    }

    fn stamp(&self, task: &TaskId, now: Timestamp) -> Result<(), Error> {
        let key = keys::task_row(task);
        self.leases.between_writes(task, || {
            let Some(mut row) = self.shared.row(&key)? else { return Ok(()) };
            match &mut row.live.position {
                Some(position) if !position.restoring => {
                    position.current_as_of = position.current_as_of.max(now);
                }
                _ => return Ok(()),
            }
            let mut batch = WriteBatch::default();
            batch.put_cf(self.shared.meta.handle(), &key, row.encode());
            self.shared.write(batch)
        })
    }
}

impl Database for RocksDatabase {
    fn open(&self, task: &TaskId, stores: &[&'static str]) -> Result<Box<dyn TaskStore>, Error> {
        let columns = self.stage_columns(&task.stage, stores)?;
        let lease = self.leases.take(task);
        Ok(Box::new(RocksStore::open(&self.shared, task, columns, lease)?))
    }

    /// NOTE: also `None` while no task of the stage was opened by this process, since only its
    /// opener knows which store has which number.
    fn snapshot(&self, task: &TaskId) -> Result<Option<Box<dyn Snapshot>>, Error> {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(columns) = stages.get(&task.stage).map(Arc::clone) else { return Ok(None) };
        drop(stages);
        let snapshot = RocksSnapshot::take(&self.shared, task, columns)?;
        Ok(snapshot.map(|snapshot| Box::new(snapshot) as Box<dyn Snapshot>))
    }

    fn flush(&self, owned: &[TaskId], now: Timestamp) -> Result<(), Error> {
        for task in owned {
            self.stamp(task, now)?;
        }
        self.shared.flush()
    }

    fn unflushed(&self) -> Unflushed {
        Unflushed {
            writes: self.shared.unflushed_writes.load(Ordering::Relaxed),
            bytes: self.shared.unflushed_bytes.load(Ordering::Relaxed),
        }
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        let mut parts = self.shared.memory.usage().to_vec();
        parts.push(("table_readers", self.shared.table_readers_bytes()));
        parts.push(("object_cache", self.shared.allowance.bytes()));
        parts
    }
}

// === impl Shared ===

impl Shared {
    fn row(&self, key: &[u8]) -> Result<Option<TaskRow>, Error> {
        let bytes = self.engine.get_pinned_cf(self.meta.handle(), key).map_err(failed)?;
        bytes.map(|bytes| TaskRow::decode(&bytes)).transpose()
    }

    fn new_incarnation(&self) -> Incarnation {
        Incarnation(self.incarnations.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        self.engine.write_opt(batch, &self.write_options).map_err(failed)
    }

    fn applied(&self, writes: u64, bytes: usize) {
        self.unflushed_writes.fetch_add(writes, Ordering::Relaxed);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.unflushed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn column(&self, name: &str) -> Result<Column, Error> {
        let mut columns = self.columns.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(column) = columns.get(name) {
            return Ok(column.clone());
        }
        let column = Column::create(&self.engine, name, &self.memory.column_options())?;
        columns.insert(name.to_owned(), column.clone());
        Ok(column)
    }

    fn columns_of(&self, stage: &str) -> Vec<Column> {
        let columns = self.columns.read().unwrap_or_else(PoisonError::into_inner);
        let named = columns.iter().filter(|(name, _)| keys::is_of_stage(name, stage));
        named.map(|(_, column)| column.clone()).collect()
    }

    fn all_columns(&self) -> Vec<Column> {
        let columns = self.columns.read().unwrap_or_else(PoisonError::into_inner);
        let stores = columns.values().cloned();
        stores.chain([self.meta.clone()]).collect()
    }

    fn flush(&self) -> Result<(), Error> {
        let writes = self.unflushed_writes.load(Ordering::Relaxed);
        let bytes = self.unflushed_bytes.load(Ordering::Relaxed);
        let columns = self.all_columns();
        let handles: Vec<_> = columns.iter().map(Column::handle).collect();
        self.engine.flush_cfs_opt(&handles, &FlushOptions::default()).map_err(failed)?;
        // What was applied meanwhile still counts.
        self.unflushed_writes.fetch_sub(writes, Ordering::Relaxed);
        self.unflushed_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn table_readers_bytes(&self) -> u64 {
        let bytes = |column: &Column| {
            let property = rocksdb::properties::ESTIMATE_TABLE_READERS_MEM;
            self.engine.property_int_value_cf(column.handle(), property).ok().flatten()
        };
        self.all_columns().iter().filter_map(bytes).sum()
    }
}
