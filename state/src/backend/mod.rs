//! Where a task's state lives. One trait, two backends: memory and RocksDB (feature `rocksdb`).
//!
//! Invariants:
//! - `STORE-BEHIND` a store may be behind the log, never ahead: [`TaskStore::apply`] is called
//!   only after the broker acknowledged the transaction.
//! - `STORE-LEASE` only the latest opener of a task's store may write to it.
//! - `STORE-ATOMIC` data and position change together or not at all.
//! - `STORE-RISES` a store's position never goes back while its process lives.
//! - `STORE-KEPT` the old data stays until the new is complete.

mod lease;
pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocks;

use serde::{Deserialize, Serialize};

pub use self::lease::{Lease, Leases};
use crate::{
    codec::{self, Format},
    ids::{FoldVersion, Generation, NextOffset, TaskId, Timestamp},
    scan::Scan,
    store::StoreId,
    topology::Entries,
};

/// What a store holds, in terms of its task's inbox and changelog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePosition {
    pub generation: Generation,
    /// The state is the fold of every inbox record before this one.
    pub inbox: NextOffset,
    /// Replay goes on from here.
    pub changelog: NextOffset,
    pub fold_version: FoldVersion,
    /// A replay is under way: the data is not the fold of any inbox offset.
    pub restoring: bool,
    /// The log's time when the store was last known to be current. Changelog tombstones are kept
    /// for `delete.retention.ms`; an older store may have missed some.
    pub current_as_of: Timestamp,
}

impl Format for StorePosition {
    const VERSION: u8 = 1;
}

/// One write, borrowed. `None` deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    pub store: StoreId,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Reads of committed state.
pub trait Reads {
    fn get(&self, store: StoreId, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    fn scan(&self, store: StoreId, scan: Scan<'_>) -> Result<Entries, Error>;
}

/// A consistent view of a task's committed state, with its position.
pub trait Snapshot: Reads + Send {
    fn position(&self) -> Option<&StorePosition>;
}

/// The state of one task, held under a lease.
pub trait TaskStore: Reads + Send {
    /// Of the data that reads see. `None`: empty.
    fn position(&self) -> Option<&StorePosition>;

    /// Of an unfinished rebuild that [`TaskStore::begin_rebuild`] would go on with.
    fn rebuilding(&self) -> Option<&StorePosition>;

    /// Writes data and position in one batch, if the lease still holds and the stored inbox offset
    /// is `base`. While a rebuild is under way, writes go beside the present data.
    fn apply(
        &mut self,
        base: Option<NextOffset>,
        writes: &mut dyn Iterator<Item = Write<'_>>,
        to: &StorePosition,
    ) -> Result<(), Error>;

    /// From now on `apply` writes beside the present data, `base` being the rebuild's own offset.
    /// `Fresh` drops what an earlier unfinished rebuild left.
    fn begin_rebuild(&mut self, from: Rebuild) -> Result<(), Error>;

    /// The rebuilt data takes the place of the old, which is dropped.
    fn finish_rebuild(&mut self) -> Result<(), Error>;

    /// Drops all data and the position.
    fn clear(&mut self) -> Result<(), Error>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    Fresh,
    Resume,
}

/// The state of a process: one database for all its tasks. Shared by its workers.
pub trait Database: Send + Sync {
    /// Opens a task's store and takes over its lease: an earlier opener can no longer write.
    /// `stores` are the names behind [`StoreId`], in order. A database that failed is opened anew
    /// by this, once nobody holds a store of it; until then it is [`Error::Storage`].
    fn open(&self, task: &TaskId, stores: &[&'static str]) -> Result<Box<dyn TaskStore>, Error>;

    /// Committed values for people, whoever holds the lease. `None`: nothing is known of the task.
    fn snapshot(&self, task: &TaskId) -> Result<Option<Box<dyn Snapshot>>, Error>;

    /// Makes what was applied durable. Stamps the stores of `owned` as current at `now`.
    fn flush(&self, owned: &[TaskId], now: Timestamp) -> Result<(), Error>;

    /// It refuses writes: everybody is to let go of its stores and to open them again.
    fn has_failed(&self) -> bool {
        false
    }

    /// What a crash now would have to replay: the worker decides by it when to flush.
    fn unflushed(&self) -> Unflushed {
        Unflushed::default()
    }

    /// Bytes of memory in use, by part, for metrics.
    fn memory(&self) -> Vec<(&'static str, u64)>;
}

/// What was applied since the last flush, over all tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unflushed {
    pub writes: u64,
    /// Keys and values.
    pub bytes: u64,
}

/// Why a store could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another worker of this process took the task over: drop it.
    #[error("the lease of {0} is held by another worker")]
    LeaseLost(TaskId),
    /// The store is not where the batch starts from: open the task again.
    #[error("the store of {task} is at {found:?}, the batch starts from {base:?}")]
    Base { task: TaskId, found: Option<NextOffset>, base: Option<NextOffset> },
    /// Written by a build this one does not know: run a newer build.
    #[error(transparent)]
    Format(#[from] codec::Error),
    /// What is stored cannot be read: rebuild the task's store beside it.
    #[error("state store is damaged: {0}")]
    Damaged(String),
    /// The disk or the database failed: close the tasks on it and try again later.
    #[error("state store: {0}")]
    Storage(String),
}
