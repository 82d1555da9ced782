//! What a store that fails means for its task, and for the others on the same database.
//!
//! Invariant `STORE-FAILS-ALONE`: the log is right whatever the store says. A task whose store
//! failed is closed and opened again; nothing committed is done again, nothing is lost.

use aplomb_state::{
    backend,
    fold::{Fault, Remedy},
    ids::TopicPartition,
};

use super::Worker;
use crate::{
    log::{self, Log},
    task::{State, Task},
};

/// A failed database is tried again after so long.
const BACKOFF_MS: i64 = 1_000;

impl<L: Log> Worker<L> {
    pub(super) fn store_failed(&mut self, input: &TopicPartition, error: backend::Error) {
        let fault = Fault::from(error);
        self.mend(input, fault.remedy, fault.reason);
    }

    /// Does for a task what helps against its fault.
    pub(super) fn mend(&mut self, input: &TopicPartition, remedy: Remedy, reason: String) {
        match remedy {
            Remedy::Park => self.park(input, reason),
            Remedy::Reopen => {
                tracing::error!(partition = %input, reason, "store closed; will be opened again");
                self.reopen(input, BACKOFF_MS);
            }
            Remedy::Rebuild => {
                tracing::error!(partition = %input, reason, "store damaged; will be rebuilt");
                if let Some(task) = self.task_mut(input) {
                    task.damaged = true;
                }
                self.reopen(input, BACKOFF_MS);
            }
        }
    }

    /// A database that failed is opened anew by the first who opens a task on it, once nobody holds
    /// a store of it: so every worker lets go of its own.
    pub(super) fn leave_failed_database(&mut self) -> Result<(), log::Error> {
        if !self.database.has_failed() {
            return Ok(());
        }
        if !self.tasks.iter().any(holds_a_store) {
            return Ok(());
        }
        // What was handled can be committed all the same: that needs no store.
        self.commit()?;
        let holding = self.tasks.iter().filter(|task| holds_a_store(task));
        let inputs: Vec<_> = holding.map(|task| task.id.input.clone()).collect();
        for input in &inputs {
            let reason = "the state database failed".to_owned();
            self.mend(input, Remedy::Reopen, reason);
        }
        Ok(())
    }
}

fn holds_a_store(task: &Task) -> bool {
    match &task.state {
        State::Running(running) => running.store.is_some(),
        State::Restoring(_) => true,
        State::Opening { .. } | State::Parked { .. } => false,
    }
}
