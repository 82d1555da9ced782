//! The backend's own rows: the format of the database, and one row per task.
//!
//! Invariant `INCARNATION-LISTED`: rows exist only under an incarnation that a task row names,
//! since both are written in one batch. So the numbers in use can be counted at open.

use serde::{Deserialize, Serialize};

use super::keys::Incarnation;
use crate::{
    backend::{Error, StorePosition},
    codec::{self, Format},
};

/// Raised when a build that knows only the old layout must not touch the database.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DatabaseFormat;

impl Format for DatabaseFormat {
    const VERSION: u8 = 1;
}

/// What is known of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskRow {
    pub live: Life,
    /// Of an unfinished rebuild.
    pub rebuild: Option<Life>,
}

/// One incarnation and where it stands. Without a position, nothing was written under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub incarnation: Incarnation,
    pub position: Option<StorePosition>,
}

#[derive(Serialize, Deserialize)]
struct StoredRow {
    live: StoredLife,
    rebuild: Option<StoredLife>,
}

impl Format for StoredRow {
    const VERSION: u8 = 1;
}

#[derive(Serialize, Deserialize)]
struct StoredLife {
    incarnation: u32,
    /// Encoded on its own, so that its own format version stands beside it.
    #[serde(with = "serde_bytes")]
    position: Option<Vec<u8>>,
}

// === impl TaskRow ===

impl TaskRow {
    pub fn new(live: Incarnation) -> Self {
        Self { live: Life { incarnation: live, position: None }, rebuild: None }
    }

    pub fn encode(&self) -> Vec<u8> {
        let rebuild = self.rebuild.as_ref().filter(|life| life.position.is_some());
        codec::encode(&StoredRow { live: stored(&self.live), rebuild: rebuild.map(stored) })
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let row: StoredRow = codec::decode(bytes)?;
        Ok(Self { live: life(&row.live)?, rebuild: row.rebuild.as_ref().map(life).transpose()? })
    }

    pub fn greatest_incarnation(&self) -> u32 {
        let rebuild = self.rebuild.as_ref().map_or(0, |life| life.incarnation.0);
        rebuild.max(self.live.incarnation.0)
    }
}

fn stored(life: &Life) -> StoredLife {
    StoredLife {
        incarnation: life.incarnation.0,
        position: life.position.as_ref().map(codec::encode),
    }
}

fn life(stored: &StoredLife) -> Result<Life, Error> {
    let position = stored.position.as_deref().map(codec::decode).transpose()?;
    Ok(Life { incarnation: Incarnation(stored.incarnation), position })
}
