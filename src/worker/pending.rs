//! Committed offsets that a transaction holds which has not ended: nobody may go on before it does.

use aplomb_state::ids::TopicPartition;

use super::Worker;
use crate::{log::Log, task::Pending};

impl<L: Log> Worker<L> {
    /// The group's last answer about a task's offset.
    pub(super) fn note_pending(&mut self, input: &TopicPartition, is_pending: bool) {
        let (now, timeout) = (self.now(), self.application.tuning.transaction_timeout_ms);
        let Some(task) = self.task_mut(input) else { return };
        if !is_pending {
            task.pending = None;
            return;
        }
        let pending = task.pending.get_or_insert(Pending::since(now));
        if let Some(for_ms) = pending.complaint(now, timeout) {
            tracing::warn!(
                task = %task.id,
                for_ms,
                "an open transaction holds the committed offset beyond its time-out: the broker \
                 should have ended it. Kafka's `kafka-transactions find-hanging` shows it, and \
                 `abort` ends it"
            );
        }
    }
}
