//! One opening of the database: from the disk to the first write that fails.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

use rocksdb::{FlushOptions, WriteBatch, WriteOptions};

use super::{
    engine::{Column, Engine},
    keys::{self, Incarnation},
    meta::TaskRow,
    objects::Allowance,
    opening::{self, MovedAside, Opened},
    options::{Budget, Memory},
};
use crate::{
    backend::{Error, Unflushed},
    ids::{TaskId, Timestamp},
};

/// What stores and snapshots need of the database. Kept open by each of them.
pub(super) struct Session {
    // IMPORTANT: fields drop in this order, and columns must go before the engine is closed.
    columns: RwLock<BTreeMap<String, Column>>,
    /// The columns of each stage that was opened, by [`crate::store::StoreId`].
    stages: Mutex<HashMap<Arc<str>, Arc<[Column]>>>,
    pub meta: Column,
    pub engine: Arc<Engine>,
    memory: Memory,
    pub allowance: Arc<Allowance>,
    write_options: WriteOptions,
    incarnations: AtomicU32,
    unflushed_writes: AtomicU64,
    unflushed_bytes: AtomicU64,
    has_failed: AtomicBool,
}

impl Session {
    pub fn open(path: &Path, budget: Budget) -> Result<(Arc<Self>, Option<MovedAside>), Error> {
        let memory = Memory::new(budget);
        let Opened { engine, columns, meta, greatest_incarnation, moved_aside } =
            opening::open(path, &memory)?;
        if let Some(aside) = &moved_aside {
            let (to, reason) = (aside.to.display(), &aside.reason);
            tracing::error!(%to, reason, "the database did not open and was moved aside");
        }
        let mut write_options = WriteOptions::default();
        write_options.disable_wal(true);
        let session = Self {
            columns: RwLock::new(columns),
            stages: Mutex::default(),
            meta,
            engine,
            allowance: Arc::new(Allowance::new(budget.object_cache_bytes())),
            memory,
            write_options,
            incarnations: AtomicU32::new(greatest_incarnation),
            unflushed_writes: AtomicU64::new(0),
            unflushed_bytes: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
        };
        Ok((Arc::new(session), moved_aside))
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// To see whether it is closed.
    pub fn engine(&self) -> Weak<Engine> {
        Arc::downgrade(&self.engine)
    }

    /// Nothing is written any more: what RocksDB took after an error may not be what it keeps.
    fn refuse_after_failure(&self) -> Result<(), Error> {
        if self.has_failed() {
            return Err(Error::Storage("closed after an earlier failure".to_owned()));
        }
        Ok(())
    }

    /// Whatever kind of error it is, RocksDB may refuse all writes from now on.
    fn broken(&self, error: rocksdb::Error) -> Error {
        self.has_failed.store(true, Ordering::Relaxed);
        Error::Storage(error.into_string())
    }

    pub fn known_columns(&self, stage: &Arc<str>) -> Option<Arc<[Column]>> {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.get(stage).map(Arc::clone)
    }

    pub fn stage_columns(&self, stage: &Arc<str>, stores: &[&str]) -> Result<Arc<[Column]>, Error> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::with_capacity(stores.len());
        for store in stores {
            found.push(self.column(&keys::column_name(stage, store))?);
        }
        let found: Arc<[Column]> = found.into();
        stages.insert(Arc::clone(stage), Arc::clone(&found));
        Ok(found)
    }

    /// Stamps a task's store as current. The caller sees to it that nobody writes to it meanwhile.
    pub fn stamp(&self, task: &TaskId, now: Timestamp) -> Result<(), Error> {
        let key = keys::task_row(task);
        let Some(mut row) = self.row(&key)? else { return Ok(()) };
        match &mut row.live.position {
            Some(position) if !position.restoring => {
                position.current_as_of = position.current_as_of.max(now);
            }
            _ => return Ok(()),
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(self.meta.handle(), &key, row.encode());
        self.write(batch)
    }

    pub fn unflushed(&self) -> Unflushed {
        Unflushed {
            writes: self.unflushed_writes.load(Ordering::Relaxed),
            bytes: self.unflushed_bytes.load(Ordering::Relaxed),
        }
    }

    pub fn memory_in_use(&self) -> Vec<(&'static str, u64)> {
        let mut parts = self.memory.usage().to_vec();
        parts.push(("table_readers", self.table_readers_bytes()));
        parts.push(("object_cache", self.allowance.bytes()));
        parts
    }

    pub fn row(&self, key: &[u8]) -> Result<Option<TaskRow>, Error> {
        // Where the backend's own rows cannot be read, no task can be opened: opening the database
        // anew finds that out, and moves it aside.
        let bytes = self.engine.get_pinned_cf(self.meta.handle(), key);
        let bytes = bytes.map_err(|error| self.broken(error))?;
        bytes.map(|bytes| TaskRow::decode(&bytes)).transpose()
    }

    pub fn new_incarnation(&self) -> Incarnation {
        Incarnation(self.incarnations.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        self.refuse_after_failure()?;
        let written = self.engine.write_opt(batch, &self.write_options);
        written.map_err(|error| self.broken(error))
    }

    pub fn applied(&self, writes: u64, bytes: usize) {
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

    pub fn columns_of(&self, stage: &str) -> Vec<Column> {
        let columns = self.columns.read().unwrap_or_else(PoisonError::into_inner);
        let named = columns.iter().filter(|(name, _)| keys::is_of_stage(name, stage));
        named.map(|(_, column)| column.clone()).collect()
    }

    fn all_columns(&self) -> Vec<Column> {
        let columns = self.columns.read().unwrap_or_else(PoisonError::into_inner);
        let stores = columns.values().cloned();
        stores.chain([self.meta.clone()]).collect()
    }

    pub fn flush(&self) -> Result<(), Error> {
        self.refuse_after_failure()?;
        let writes = self.unflushed_writes.load(Ordering::Relaxed);
        let bytes = self.unflushed_bytes.load(Ordering::Relaxed);
        let columns = self.all_columns();
        let handles: Vec<_> = columns.iter().map(Column::handle).collect();
        let flushed = self.engine.flush_cfs_opt(&handles, &FlushOptions::default());
        flushed.map_err(|error| self.broken(error))?;
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
