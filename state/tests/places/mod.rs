//! The backends under test, and short ways to use them.
#![allow(dead_code, reason = "not every test file uses all of it")]

use std::sync::Arc;

use aplomb_state::{
    backend::{Database, Error, StorePosition, TaskStore, Write, memory::MemoryDatabase},
    ids::{FoldVersion, Generation, NextOffset, TaskId, Timestamp, TopicPartition},
    store::StoreId,
};

pub const STORES: &[&str] = &["~task", "~timers", "first", "second"];
pub const FIRST: StoreId = StoreId(2);
pub const SECOND: StoreId = StoreId(3);

/// Where a database can be opened again and again.
pub enum Place {
    Memory(MemoryDatabase),
    #[cfg(feature = "rocksdb")]
    Rocks(tempfile::TempDir),
}

impl Place {
    pub fn open(&self) -> Arc<dyn Database> {
        match self {
            Self::Memory(database) => Arc::new(database.clone()),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(folder) => Arc::new(rocks(&folder.path().join("state"))),
        }
    }
}

/// With so small a budget that its limits are met.
#[cfg(feature = "rocksdb")]
pub fn rocks(path: &std::path::Path) -> aplomb_state::backend::rocks::RocksDatabase {
    use aplomb_state::backend::rocks::{Budget, RocksDatabase};
    let budget = Budget { memory_bytes: 8 << 20, ..Budget::default() };
    RocksDatabase::open(path, budget).unwrap()
}

pub fn on_every_backend(test: impl Fn(&Place)) {
    test(&Place::Memory(MemoryDatabase::default()));
    #[cfg(feature = "rocksdb")]
    test(&Place::Rocks(tempfile::tempdir().unwrap()));
}

pub fn task(stage: &str, partition: i32) -> TaskId {
    let input = TopicPartition::new(format!("inbox.{stage}"), partition);
    TaskId { stage: stage.into(), input }
}

pub fn position(inbox: i64) -> StorePosition {
    StorePosition {
        generation: Generation(7),
        inbox: NextOffset(inbox),
        changelog: NextOffset(inbox * 2),
        fold_version: FoldVersion(1),
        restoring: false,
        current_as_of: Timestamp(0),
    }
}

/// Store, key and value.
pub type Change<'a> = (StoreId, &'a [u8], Option<&'a [u8]>);

pub fn put(
    store: &mut dyn TaskStore,
    base: Option<i64>,
    to: i64,
    writes: &[Change<'_>],
) -> Result<(), Error> {
    let mut writes = writes.iter().map(|&(store, key, value)| Write { store, key, value });
    store.apply(base.map(NextOffset), &mut writes, &position(to))
}
