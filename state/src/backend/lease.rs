//! Who may write to a task's store. Process-wide, one holder per task.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Error;
use crate::{
    ids::TaskId,
    mutation::{self, Mutation},
};

/// The holders of all tasks. A new lease ends the one before.
#[derive(Clone, Debug, Default)]
pub struct Leases(Arc<Mutex<HashMap<TaskId, Arc<Mutex<u64>>>>>);

/// The right to write to one task's store, until somebody else opens it.
#[derive(Debug)]
pub struct Lease {
    task: TaskId,
    holder: Arc<Mutex<u64>>,
    number: u64,
}

impl Leases {
    pub fn take(&self, task: &TaskId) -> Lease {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = Arc::clone(leases.entry(task.clone()).or_default());
        // IMPORTANT: waits for a write under way, so that the new holder reads what it wrote.
        let mut latest = holder.lock().unwrap_or_else(PoisonError::into_inner);
        *latest += 1;
        let number = *latest;
        drop(latest);
        Lease { task: task.clone(), holder, number }
    }

    /// Runs `work` while no holder of the task's lease is writing, whoever that is.
    pub fn between_writes<T>(&self, task: &TaskId, work: impl FnOnce() -> T) -> T {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = Arc::clone(leases.entry(task.clone()).or_default());
        // IMPORTANT: the map's lock goes before `work`, which may wait for the disk.
        drop(leases);
        let _between = holder.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }
}

impl Lease {
    /// Holds the lease for the time of one write. An error means that it is somebody else's now.
    pub fn hold(&self) -> Result<MutexGuard<'_, u64>, Error> {
        let latest = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if *latest == self.number || mutation::is_on(Mutation::ApplyWithoutLease) {
            Ok(latest)
        } else {
            Err(Error::LeaseLost(self.task.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TopicPartition;

    #[test]
    fn a_new_lease_ends_the_one_before() {
        let leases = Leases::default();
        let task = TaskId { stage: "skus".into(), input: TopicPartition::new("inbox.skus", 3) };
        let first = leases.take(&task);
        assert!(first.hold().is_ok());
        let second = leases.take(&task);
        assert_eq!(first.hold().err(), Some(Error::LeaseLost(task)));
        assert!(second.hold().is_ok());
    }
}
