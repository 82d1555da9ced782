//! The state of one task in RocksDB.

use std::{cell::RefCell, sync::Arc};

use rocksdb::{ReadOptions, WriteBatch};

use super::{
    engine::{self, Column},
    keys::{self, Range},
    meta::{Life, TaskRow},
    objects::Objects,
    session::Session,
};
use crate::{
    backend::{Error, Lease, Reads, Rebuild, StorePosition, TaskStore, Write},
    ids::{NextOffset, TaskId},
    scan::Scan,
    store::StoreId,
    topology::Entries,
};

/// Written only under the lease, and read by the one worker that holds it.
pub(super) struct RocksStore {
    lease: Lease,
    rows: Rows,
}

/// Everything but the lease, so that it can be changed while the lease is held.
struct Rows {
    task: TaskId,
    session: Arc<Session>,
    /// By [`StoreId`].
    columns: Arc<[Column]>,
    row_key: Vec<u8>,
    row: TaskRow,
    rebuilding: bool,
    objects: RefCell<Objects>,
    read_options: ReadOptions,
    /// The key being read, so that a read allocates nothing for it.
    key: RefCell<Vec<u8>>,
}

// === impl RocksStore ===

impl RocksStore {
    /// `lease` was taken before, so that nobody writes the row after it is read here.
    pub fn open(
        session: &Arc<Session>,
        task: &TaskId,
        columns: Arc<[Column]>,
        lease: Lease,
    ) -> Result<Self, Error> {
        let row_key = keys::task_row(task);
        let row = match session.row(&row_key)? {
            Some(row) => row,
            None => TaskRow::new(session.new_incarnation()),
        };
        let rows = Rows {
            task: task.clone(),
            session: Arc::clone(session),
            columns,
            row_key,
            row,
            rebuilding: false,
            objects: RefCell::new(Objects::new(&session.allowance)),
            read_options: ReadOptions::default(),
            key: RefCell::new(Vec::with_capacity(64)),
        };
        Ok(Self { lease, rows })
    }
}

impl Reads for RocksStore {
    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.rows.get(store, key)
    }

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Result<Entries, Error> {
        let column = self.rows.column(store)?;
        let range = self.rows.range(&self.rows.row.live);
        engine::scan(&self.rows.session.engine, column, range, scan)
    }
}

impl TaskStore for RocksStore {
    fn position(&self) -> Option<&StorePosition> {
        self.rows.row.live.position.as_ref()
    }

    fn rebuilding(&self) -> Option<&StorePosition> {
        self.rows.row.rebuild.as_ref()?.position.as_ref()
    }

    fn apply(
        &mut self,
        base: Option<NextOffset>,
        writes: &mut dyn Iterator<Item = Write<'_>>,
        to: &StorePosition,
    ) -> Result<(), Error> {
        let _held = self.lease.hold()?;
        self.rows.apply(base, writes, to)
    }

    fn begin_rebuild(&mut self, from: Rebuild) -> Result<(), Error> {
        let _held = self.lease.hold()?;
        self.rows.begin_rebuild(from)
    }

    fn finish_rebuild(&mut self) -> Result<(), Error> {
        let _held = self.lease.hold()?;
        self.rows.finish_rebuild()
    }

    fn clear(&mut self) -> Result<(), Error> {
        let _held = self.lease.hold()?;
        self.rows.clear()
    }
}

// === impl Rows ===

impl Rows {
    fn column(&self, store: StoreId) -> Result<&Column, Error> {
        let column = self.columns.get(usize::from(store.0));
        column.ok_or_else(|| Error::Storage(format!("{}: no store {}", self.task, store.0)))
    }

    fn range(&self, life: &Life) -> Range {
        Range::new(self.task.input.partition, life.incarnation)
    }

    fn new_life(&self) -> Life {
        Life { incarnation: self.session.new_incarnation(), position: None }
    }

    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if let Some(known) = self.objects.borrow_mut().get(store, key) {
            return Ok(known);
        }
        let column = self.column(store)?;
        let mut row_key = self.key.borrow_mut();
        self.range(&self.row.live).key_into(key, &mut row_key);
        let engine = &self.session.engine;
        let found = engine.get_pinned_cf_opt(column.handle(), &*row_key, &self.read_options);
        let value = found.map_err(engine::failed)?.map(|pinned| pinned.to_vec());
        self.objects.borrow_mut().insert(store, key, value.as_deref());
        Ok(value)
    }

    /// A flush may have stamped the stored row since.
    fn refresh(&mut self) -> Result<(), Error> {
        if let Some(stored) = self.session.row(&self.row_key)? {
            self.row.live = stored.live;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        base: Option<NextOffset>,
        writes: &mut dyn Iterator<Item = Write<'_>>,
        to: &StorePosition,
    ) -> Result<(), Error> {
        self.refresh()?;
        let mut row = self.row.clone();
        let life = if self.rebuilding {
            row.rebuild.get_or_insert_with(|| self.new_life())
        } else {
            &mut row.live
        };
        let found = life.position.as_ref().map(|position| position.inbox);
        if found != base {
            return Err(Error::Base { task: self.task.clone(), found, base });
        }
        life.position = Some(to.clone());
        let range = self.range(life);
        let outcome = self.write_all(range, writes, &row);
        match outcome {
            Ok(()) => self.row = row,
            // The objects of the batch are in the cache already.
            Err(_) => self.objects.get_mut().clear(),
        }
        outcome
    }

    /// Data and position in one batch.
    fn write_all(
        &mut self,
        range: Range,
        writes: &mut dyn Iterator<Item = Write<'_>>,
        row: &TaskRow,
    ) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        let mut key = Vec::with_capacity(64);
        let (mut count, mut bytes) = (0_u64, 0_usize);
        for write in writes {
            let handle = self.column(write.store)?.handle();
            range.key_into(write.key, &mut key);
            match write.value {
                Some(value) => batch.put_cf(handle, &key, value),
                None => batch.delete_cf(handle, &key),
            }
            count += 1;
            bytes += key.len() + write.value.map_or(0, <[u8]>::len);
            if !self.rebuilding {
                self.objects.get_mut().insert(write.store, write.key, write.value);
            }
        }
        batch.put_cf(self.session.meta.handle(), &self.row_key, row.encode());
        self.session.write(batch)?;
        self.session.applied(count, bytes);
        Ok(())
    }

    fn begin_rebuild(&mut self, from: Rebuild) -> Result<(), Error> {
        if from == Rebuild::Fresh
            && let Some(left) = &self.row.rebuild
        {
            let mut batch = WriteBatch::default();
            self.drop_life(left, &mut batch);
            self.refresh()?;
            let row = TaskRow { live: self.row.live.clone(), rebuild: None };
            self.put_row(&row, &mut batch);
            self.session.write(batch)?;
            self.row = row;
        }
        self.rebuilding = true;
        Ok(())
    }

    fn finish_rebuild(&mut self) -> Result<(), Error> {
        let live = self.row.rebuild.clone().unwrap_or_else(|| self.new_life());
        let row = TaskRow { live, rebuild: None };
        let mut batch = WriteBatch::default();
        self.drop_life(&self.row.live, &mut batch);
        self.put_row(&row, &mut batch);
        self.replace(row, batch)
    }

    fn clear(&mut self) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        self.drop_life(&self.row.live, &mut batch);
        if let Some(rebuild) = &self.row.rebuild {
            self.drop_life(rebuild, &mut batch);
        }
        let row = TaskRow::new(self.session.new_incarnation());
        self.put_row(&row, &mut batch);
        self.replace(row, batch)
    }

    fn replace(&mut self, row: TaskRow, batch: WriteBatch) -> Result<(), Error> {
        self.session.write(batch)?;
        self.row = row;
        self.rebuilding = false;
        self.objects.get_mut().clear();
        Ok(())
    }

    /// A row that says nothing is not kept.
    fn put_row(&self, row: &TaskRow, batch: &mut WriteBatch) {
        let meta = self.session.meta.handle();
        if row.live.position.is_none() && row.rebuild.is_none() {
            batch.delete_cf(meta, &self.row_key);
        } else {
            batch.put_cf(meta, &self.row_key, row.encode());
        }
    }

    /// In all columns of the stage: an earlier version of it may have had other stores.
    fn drop_life(&self, life: &Life, batch: &mut WriteBatch) {
        if life.position.is_none() {
            return;
        }
        let (first, end) = self.range(life).bounds();
        for column in self.session.columns_of(&self.task.stage) {
            batch.delete_range_cf(column.handle(), first.as_slice(), end.as_slice());
        }
    }
}
