//! A task: one stage's partition, with its state and where it stands.
//!
//! ```text
//!                 ┌──────────── reopen (in doubt, rejoined, store failed or damaged) ──────┐
//!                 v                                                                      │
//! assigned ──> Opening ──> Restoring ──> Announcing ──> Running ──> (revoked, lost) ──> gone
//!                 │            │             │             │
//!                 └────────────┴─────────────┴─────────────┴──> Parked (says why and what helps)
//! ```
//!
//! Invariant `STORE-CLOSED`: a store is open while its task holds it, and no longer.

use aplomb_state::{
    backend::{StorePosition, TaskStore},
    fold::{Fault, Fold, NoState},
    ids::{Generation, NextOffset, TaskId, Timestamp},
    mutation::{self, Mutation},
};

use crate::position::Metadata;

/// Owned by one worker, which alone changes it.
pub struct Task {
    pub id: TaskId,
    /// Place of the stage in the topology; 0 is the external one.
    pub stage: u16,
    pub state: State,
    /// What its store holds could not be read: it is rebuilt at the next opening.
    pub damaged: bool,
    /// It waits for a transaction to end.
    pub pending: Option<Pending>,
}

/// Its committed offset is held by a transaction that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub since: Timestamp,
    /// When that was last said to people.
    complaint: Option<Timestamp>,
}

/// A transaction that outlived its time-out is complained of so often.
const COMPLAINT_MS: i64 = 30_000;

impl Pending {
    pub fn since(now: Timestamp) -> Self {
        Self { since: now, complaint: None }
    }

    /// How long it has lasted, if that is longer than the broker should let it, and people have not
    /// been told for a while.
    pub fn complaint(&mut self, now: Timestamp, timeout_ms: i64) -> Option<i64> {
        let for_ms = now.0 - self.since.0;
        let is_fresh = self.complaint.is_some_and(|last| now.0 - last.0 < COMPLAINT_MS);
        if for_ms <= timeout_ms || is_fresh {
            return None;
        }
        self.complaint = Some(now);
        Some(for_ms)
    }
}

pub enum State {
    /// Its committed offset, store and changelog are to be looked at, not before `not_before`.
    Opening { not_before: Timestamp },
    /// Replaying its changelog. The reader lives with the worker's restores.
    Restoring(Box<crate::restore::Restore>),
    /// Handling records.
    Running(Box<Running>),
    /// Stopped until an operator has mended what `reason` says.
    Parked { reason: String },
}

/// A task that handles records.
pub struct Running {
    pub fold: Fold,
    /// Absent for the external stage.
    pub store: Option<Box<dyn TaskStore>>,
    pub metadata: Metadata,
    /// What the group has committed, and the store holds.
    pub committed: NextOffset,
    /// After the last record handled.
    pub next: NextOffset,
    /// The first transaction is still to be committed: no record is taken before it.
    pub announce: Announce,
    /// Effects of the present input that are with the producer already.
    pub sent: usize,
    /// The offset of the input whose effects are in the outbox.
    pub input: i64,
    /// When the broker was last ahead of an empty fetch buffer, for the merge of intake.
    pub waiting_since: Option<Timestamp>,
    /// When it last committed something.
    pub last_progress: Timestamp,
    /// The log's time of the last record handled.
    pub handled_at: Timestamp,
}

/// What a task's first transaction has to say before any record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    Nothing,
    /// A fresh task commits its first offset with its generation.
    FirstOffset,
    /// An external partition was opened: the configuration goes to every inbox partition.
    Configuration,
}

impl Task {
    pub fn running(&mut self) -> Option<&mut Running> {
        match &mut self.state {
            State::Running(running) => Some(running),
            _ => None,
        }
    }
}

impl Running {
    /// Whether the present transaction must commit something for it.
    pub fn has_progress(&self) -> bool {
        self.next != self.committed || self.announce == Announce::FirstOffset
    }

    pub fn is_announcing(&self) -> bool {
        self.announce != Announce::Nothing
    }

    pub fn has_unsent(&self) -> bool {
        self.sent < self.fold.outbox().len()
    }

    /// Drops what the transaction did.
    pub fn roll_back(&mut self) -> Result<(), Fault> {
        self.next = self.committed;
        self.sent = 0;
        if mutation::is_on(Mutation::OverlayKeptAfterAbort) {
            return Ok(());
        }
        match &self.store {
            Some(store) => self.fold.reset(store.as_ref()),
            None => self.fold.reset(&NoState),
        }
    }

    pub fn store_position(&self, changelog: NextOffset, now: Timestamp) -> StorePosition {
        StorePosition {
            generation: self.metadata.generation,
            inbox: self.next,
            changelog,
            fold_version: self.metadata.fold_version,
            restoring: false,
            current_as_of: now,
        }
    }

    pub fn frontier(&mut self) -> Result<Timestamp, Fault> {
        match &self.store {
            Some(store) => self.fold.frontier(store.as_ref()),
            None => Ok(Timestamp::MIN),
        }
    }

    pub fn generation(&self) -> Generation {
        self.metadata.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_beyond_its_time_out_is_complained_of_now_and_then() {
        let mut pending = Pending::since(Timestamp(1_000));
        let at = [1_000, 61_000, 61_001, 61_002, 91_000, 91_001, 91_002, 500_000];
        let said = at.map(|now| pending.complaint(Timestamp(now), 60_000));
        let expected = [None, None, Some(60_001), None, None, Some(90_001), None, Some(499_000)];
        assert_eq!(said, expected);
    }
}
