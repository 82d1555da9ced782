//! Committed offsets that a transaction holds which has not ended: nobody may go on before it does.

use aplomb_state::ids::{Timestamp, TopicPartition};

use super::Worker;
use crate::{log::Log, task::Pending};

/// A transaction that outlived its time-out is complained of so often.
const COMPLAINT_MS: i64 = 30_000;

impl<L: Log> Worker<L> {
    /// The group's last answer about a task's offset.
    pub(super) fn note_pending(&mut self, input: &TopicPartition, is_pending: bool) {
        let (now, timeout) = (self.now(), self.application.tuning.transaction_timeout_ms);
        let Some(task) = self.task_mut(input) else { return };
        if !is_pending {
            task.pending = None;
            return;
        }
        let pending = task.pending.get_or_insert(Pending { since: now, complaint: Timestamp::MIN });
        let for_ms = now.0 - pending.since.0;
        if for_ms > timeout && now.0.saturating_sub(pending.complaint.0) >= COMPLAINT_MS {
            pending.complaint = now;
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
