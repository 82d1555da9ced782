//! Checkpoints: a task's state at a committed offset, in a file of its own.
//!
//! An inbox cannot be kept for ever, and `verify` folds it from a known state. So the owner of a
//! task writes its state down now and then, and deletes the inbox's records before a checkpoint
//! once that is old enough: from there on `verify` folds from the checkpoint.
//!
//! Layout: `file` is the form on disk; `plan` decides what is due, and is pure; `keeper` does it.
//!
//! Invariants:
//! - `CHECKPOINT-COMMITTED` a checkpoint is the fold of every inbox record before its offset, which
//!   is committed.
//! - `TRIM-BASE` an inbox is never trimmed beyond a whole checkpoint, nor beyond what is committed.

mod file;
mod keeper;
mod plan;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aplomb_state::{
    codec::Format,
    ids::{FoldVersion, Generation, NextOffset, Timestamp, TopicPartition},
};
use serde::{Deserialize, Serialize};

pub use self::{
    file::{Error, read, write},
    keeper::{Keeper, Round},
    plan::Policy,
};
use crate::names;

/// What a checkpoint is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub inbox: TopicPartition,
    /// The state is the fold of every record before this.
    pub next: NextOffset,
    pub generation: Generation,
    pub fold_version: FoldVersion,
    pub taken: Timestamp,
}

impl Format for Header {
    const VERSION: u8 = 1;
}

/// One that is there. Its contents were not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub path: PathBuf,
    pub header: Header,
}

impl Header {
    fn file_name(&self) -> String {
        let Self { inbox, next, .. } = self;
        format!("{}.{}.{:020}{}", inbox.topic, inbox.partition, next.0, names::CHECKPOINT_SUFFIX)
    }
}

/// All checkpoints of a folder, by inbox and offset. A folder that is not there has none; a file
/// that is none is left out.
pub fn list(folder: &Path) -> io::Result<Vec<Checkpoint>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if !name.unwrap_or_default().ends_with(names::CHECKPOINT_SUFFIX) {
            continue;
        }
        match file::header(&path) {
            Ok(header) => found.push(Checkpoint { path, header }),
            Err(error) => tracing::warn!(path = %path.display(), %error, "no checkpoint"),
        }
    }
    let key = |one: &Checkpoint| (one.header.inbox.clone(), one.header.next);
    found.sort_by_key(key);
    Ok(found)
}

#[cfg(test)]
mod test;
