//! What a worker says about itself, off the record path.

use aplomb_state::ids::Timestamp;

use crate::task::Task;

#[derive(Debug, Default)]
pub struct WorkerStatus;

impl WorkerStatus {
    pub(super) fn update(&self, _tasks: &[Task], _now: Timestamp) {}
}
