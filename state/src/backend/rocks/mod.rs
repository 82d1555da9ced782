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
mod session;
mod snapshot;
mod store;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use self::{engine::Engine, session::Session, snapshot::RocksSnapshot, store::RocksStore};
pub use self::{opening::MovedAside, options::Budget};
use super::{Database, Error, Leases, Snapshot, TaskStore, Unflushed};
use crate::ids::{TaskId, Timestamp};

/// The database of a process. It is closed, and flushed, when this and all stores and snapshots
/// that came of it are dropped.
///
/// After a failed write or flush RocksDB may refuse every later one, so that the session is over:
/// what was flushed is kept, and the changelogs have the rest. The next one to open a store opens
/// the database anew, once nobody holds anything of the old session.
pub struct RocksDatabase {
    path: PathBuf,
    budget: Budget,
    leases: Leases,
    state: Mutex<State>,
}

struct State {
    life: Life,
    moved_aside: Option<MovedAside>,
}

/// ```text
/// Open ──(a write or a flush failed)──> Open, failed ──(the next opener)──> Closing ──┐
///  ^                                                                                  │
///  └──────────────(nobody holds the engine any more: opened from the disk)────────────┘
/// ```
enum Life {
    Open(Arc<Session>),
    Closing(Weak<Engine>),
}

// === impl RocksDatabase ===

impl RocksDatabase {
    /// Opens the database in `path`, or makes one. What is there but cannot be opened for damage
    /// is moved aside, for its tasks to be rebuilt: see [`RocksDatabase::moved_aside`]. A database
    /// of another process, or of a newer build, is left alone and is an error.
    pub fn open(path: &Path, budget: Budget) -> Result<Self, Error> {
        let (session, moved_aside) = Session::open(path, budget)?;
        let state = State { life: Life::Open(session), moved_aside };
        let (path, leases) = (path.to_owned(), Leases::default());
        Ok(Self { path, budget, leases, state: Mutex::new(state) })
    }

    /// What was found in the way last and could not be opened.
    pub fn moved_aside(&self) -> Option<MovedAside> {
        self.state().moved_aside.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present session, whether it failed or not.
    fn session(&self) -> Option<Arc<Session>> {
        match &self.state().life {
            Life::Open(session) => Some(Arc::clone(session)),
            Life::Closing(_) => None,
        }
    }

    /// A session that takes writes. One that failed is let go of, and followed by another as soon
    /// as its engine is closed.
    fn healthy_session(&self) -> Result<Arc<Session>, Error> {
        let mut state = self.state();
        if let Life::Open(session) = &state.life {
            if !session.has_failed() {
                return Ok(Arc::clone(session));
            }
            let engine = session.engine();
            // Dropped here, the session closes the engine if nobody else holds it.
            state.life = Life::Closing(engine);
        }
        if let Life::Closing(engine) = &state.life
            && engine.strong_count() > 0
        {
            return Err(Error::Storage("the failed database is not closed yet".to_owned()));
        }
        let (session, moved_aside) = Session::open(&self.path, self.budget)?;
        tracing::warn!(path = %self.path.display(), "state database opened anew");
        state.moved_aside = moved_aside.or(state.moved_aside.take());
        state.life = Life::Open(Arc::clone(&session));
        Ok(session)
    }
}

impl Database for RocksDatabase {
    fn open(&self, task: &TaskId, stores: &[&'static str]) -> Result<Box<dyn TaskStore>, Error> {
        let session = self.healthy_session()?;
        let columns = session.stage_columns(&task.stage, stores)?;
        let lease = self.leases.take(task);
        Ok(Box::new(RocksStore::open(&session, task, columns, lease)?))
    }

    /// NOTE: also `None` while no task of the stage was opened by this process, since only its
    /// opener knows which store has which number.
    fn snapshot(&self, task: &TaskId) -> Result<Option<Box<dyn Snapshot>>, Error> {
        let Some(session) = self.session() else {
            return Err(Error::Storage("it failed and is being opened anew".to_owned()));
        };
        let Some(columns) = session.known_columns(&task.stage) else { return Ok(None) };
        let snapshot = RocksSnapshot::take(&session, task, columns)?;
        Ok(snapshot.map(|snapshot| Box::new(snapshot) as Box<dyn Snapshot>))
    }

    fn flush(&self, owned: &[TaskId], now: Timestamp) -> Result<(), Error> {
        let Some(session) = self.session() else { return Ok(()) };
        for task in owned {
            self.leases.between_writes(task, || session.stamp(task, now))?;
        }
        session.flush()
    }

    fn has_failed(&self) -> bool {
        match &self.state().life {
            Life::Open(session) => session.has_failed(),
            Life::Closing(_) => true,
        }
    }

    fn unflushed(&self) -> Unflushed {
        self.session().map(|session| session.unflushed()).unwrap_or_default()
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        self.session().map(|session| session.memory_in_use()).unwrap_or_default()
    }
}
