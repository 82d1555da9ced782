//! RocksDB itself: the engine, its columns, and how long what borrows it may live.

use std::sync::Arc;

use rocksdb::{
    BoundColumnFamily, DBRawIteratorWithThreadMode, DBWithThreadMode, ErrorKind, MultiThreaded,
    Options, SnapshotWithThreadMode,
};

use super::{super::Error, keys::Range};
use crate::{
    scan::{Order, Scan},
    topology::Entries,
};

pub(super) type Engine = DBWithThreadMode<MultiThreaded>;
type RowIterator<'a> = DBRawIteratorWithThreadMode<'a, Engine>;

/// One column family. Keeps the engine open.
#[derive(Clone)]
pub(super) struct Column {
    // IMPORTANT: fields drop in this order, and the handle must go before its engine.
    handle: Arc<BoundColumnFamily<'static>>,
    _engine: Arc<Engine>,
}

/// A fixed state of the whole engine. Keeps the engine open.
pub(super) struct Moment {
    // IMPORTANT: fields drop in this order, and the snapshot must go before its engine.
    snapshot: SnapshotWithThreadMode<'static, Engine>,
    _engine: Arc<Engine>,
}

// === impl Column ===

impl Column {
    pub fn find(engine: &Arc<Engine>, name: &str) -> Option<Self> {
        let handle = forever(engine).cf_handle(name)?;
        Some(Self { handle, _engine: Arc::clone(engine) })
    }

    pub fn create(engine: &Arc<Engine>, name: &str, options: &Options) -> Result<Self, Error> {
        engine.create_cf(name, options).map_err(failed)?;
        Self::find(engine, name)
            .ok_or_else(|| Error::Storage(format!("column {name} is gone after its creation")))
    }

    pub fn handle(&self) -> &Arc<BoundColumnFamily<'static>> {
        &self.handle
    }
}

// === impl Moment ===

impl Moment {
    pub fn of(engine: &Arc<Engine>) -> Self {
        Self { snapshot: forever(engine).snapshot(), _engine: Arc::clone(engine) }
    }

    pub fn get(&self, column: &Column, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.snapshot.get_cf(column.handle(), key).map_err(failed)
    }

    pub fn scan(&self, column: &Column, range: Range, scan: Scan<'_>) -> Result<Entries, Error> {
        let options = range.read_options(scan.prefix);
        let rows = self.snapshot.raw_iterator_cf_opt(column.handle(), options);
        collect(rows, range, scan)
    }
}

/// The engine for as long as its holder likes.
///
/// What comes of it must be kept beside a clone of the `Arc`, declared (and so dropped) before it:
/// see [`Column`] and [`Moment`], the only users.
fn forever(engine: &Arc<Engine>) -> &'static Engine {
    // SAFETY: an `Arc` never moves what it holds, and both users above keep a clone of it for
    // longer than what borrows from here.
    #[expect(unsafe_code, reason = "RocksDB's handles and snapshots borrow the engine")]
    unsafe {
        &*Arc::as_ptr(engine)
    }
}

pub(super) fn scan(
    engine: &Engine,
    column: &Column,
    range: Range,
    scan: Scan<'_>,
) -> Result<Entries, Error> {
    let options = range.read_options(scan.prefix);
    collect(engine.raw_iterator_cf_opt(column.handle(), options), range, scan)
}

/// The iterator's bounds keep to the range and the prefix.
fn collect(
    mut rows: RowIterator<'_>,
    range: Range,
    Scan { past, order, max, .. }: Scan<'_>,
) -> Result<Entries, Error> {
    let mut found = Entries::new();
    if max == 0 {
        return Ok(found);
    }
    let mut start = Vec::with_capacity(64);
    match (past, order) {
        (None, Order::Rising) => rows.seek_to_first(),
        (None, Order::Falling) => rows.seek_to_last(),
        (Some(past), _) => {
            range.key_into(past, &mut start);
            match order {
                Order::Rising => rows.seek(&start),
                Order::Falling => rows.seek_for_prev(&start),
            }
            if rows.key() == Some(start.as_slice()) {
                step(&mut rows, order);
            }
        }
    }
    while let Some((key, value)) = rows.item() {
        found.push((range.strip(key).to_vec(), value.to_vec()));
        if found.len() == max {
            return Ok(found);
        }
        step(&mut rows, order);
    }
    // An iterator ends at an error as it does at its bound.
    rows.status().map_err(failed)?;
    Ok(found)
}

fn step(rows: &mut RowIterator<'_>, order: Order) {
    match order {
        Order::Rising => rows.next(),
        Order::Falling => rows.prev(),
    }
}

pub(super) fn failed(error: rocksdb::Error) -> Error {
    match error.kind() {
        ErrorKind::Corruption => Error::Damaged(error.into_string()),
        _ => Error::Storage(error.into_string()),
    }
}
