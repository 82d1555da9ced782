//! What the group tells the worker, and what becomes of its tasks.
//!
//! Invariant `MEMBER-COMPARE`: after every callback, empty ones too, the tasks kept, running or
//! restoring, are compared with what the group has committed; librdkafka can rejoin without saying
//! that anything was lost.

use std::cmp::Reverse;

use aplomb_state::{
    ids::{NextOffset, Timestamp, TopicPartition},
    mutation::{self, Mutation},
};

use super::{REQUEST_WAIT, Worker};
use crate::{
    log::{self, Class, Committed, Consumer, GroupEvent, Log},
    metrics,
    task::{Announce, State, Task},
};

impl<L: Log> Worker<L> {
    pub(super) fn group_event(&mut self, event: GroupEvent) -> Result<(), log::Error> {
        self.check_kept = true;
        self.recovery.called_back();
        self.unassigned = false;
        metrics::record_rebalance();
        match event {
            GroupEvent::Assigned(partitions) => self.assigned(&partitions),
            GroupEvent::Revoked(partitions) => self.revoked(&partitions),
            GroupEvent::Lost(partitions) => {
                tracing::warn!(count = partitions.len(), "partitions lost");
                // Nothing may be committed for them, so nothing of the transaction is.
                let aborted = self.abort("partitions were lost");
                self.forget(&partitions);
                self.consumer.release(&partitions)?;
                aborted
            }
        }
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), log::Error> {
        self.consumer.accept(partitions)?;
        for input in partitions {
            let Some(stage) = self.application.stage_of(input) else { continue };
            let Some(id) = self.application.task_id(stage, input.clone()) else { continue };
            if self.tasks.iter().any(|task| task.id == id) {
                continue;
            }
            tracing::info!(task = %id, "assigned");
            let state = State::Opening { not_before: Timestamp::MIN };
            self.tasks.push(Task { id, stage, state, damaged: false, pending: None });
        }
        self.tasks.sort_by(|a, b| (Reverse(a.stage), &a.id).cmp(&(Reverse(b.stage), &b.id)));
        Ok(())
    }

    /// The whole transaction is committed or dropped before any partition is given up. An outcome
    /// in doubt is not waited for: the next owner settles it by our transactional id's successor
    /// or by the time-out.
    fn revoked(&mut self, partitions: &[TopicPartition]) -> Result<(), log::Error> {
        let outcome = self.commit_at_revocation();
        if let Err(error) = &outcome {
            tracing::warn!(%error, "the transaction is dropped at a revocation");
        }
        self.forget(partitions);
        self.consumer.release(partitions)?;
        outcome
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        for input in partitions {
            tracing::info!(partition = %input, "given up");
        }
        self.tasks.retain(|task| !partitions.contains(&task.id.input));
        self.readers.retain(|id, _| !partitions.contains(&id.input));
    }

    /// Compares the tasks kept with what the group has committed. What differs was lost and is
    /// opened again.
    pub(super) fn check_kept_tasks(&mut self) -> Result<(), log::Error> {
        let (_, member) = self.consumer.group()?;
        if member.is_empty() {
            // Between two memberships; an event will follow.
            return Ok(());
        }
        if member != self.member_id {
            let known = !self.member_id.is_empty();
            tracing::info!(from = %self.member_id, to = %member, "member of the group");
            self.member_id = member;
            self.check_kept = false;
            if known && !mutation::is_on(Mutation::KeptNotCompared) {
                self.reopen_lost();
                return self.abort("the group gave us another member id");
            }
            return Ok(());
        }
        let kept: Vec<_> = self.tasks.iter().filter_map(kept).collect();
        let inputs: Vec<_> = kept.iter().map(|(input, _)| input.clone()).collect();
        if inputs.is_empty() || mutation::is_on(Mutation::KeptNotCompared) {
            self.check_kept = false;
            return Ok(());
        }
        let committed = self.consumer.committed(&inputs, REQUEST_WAIT)?;
        let mut lost = Vec::new();
        for (input, theirs) in inputs.iter().zip(&committed) {
            self.note_pending(input, *theirs == Committed::Unstable);
        }
        for ((input, ours), theirs) in kept.into_iter().zip(committed) {
            match (ours, theirs) {
                (Kept::At(ours), Committed::At { next, .. }) if next == ours => {}
                (Kept::Unsaid, Committed::None) => {}
                // Somebody else's, or our own of before. Nothing is handled until it is known.
                (_, Committed::Unstable) => {
                    return self.abort("an offset of a kept task is unstable");
                }
                (ours, theirs) => {
                    tracing::warn!(partition = %input, ?ours, ?theirs, "kept task was lost meanwhile");
                    lost.push(input);
                }
            }
        }
        self.check_kept = false;
        for input in &lost {
            self.reopen(input, 0);
        }
        if lost.is_empty() { Ok(()) } else { self.abort("kept tasks were lost meanwhile") }
    }

    /// Opens a task again from what is committed.
    pub(super) fn reopen(&mut self, input: &TopicPartition, backoff_ms: i64) {
        let not_before = self.now().plus_ms(backoff_ms);
        if let Err(error) = self.consumer.hold(input) {
            tracing::warn!(partition = %input, %error, "cannot hold a partition");
        }
        if let Some(task) = self.task_mut(input)
            && !matches!(task.state, State::Parked { .. })
        {
            task.state = State::Opening { not_before };
        }
        self.readers.retain(|id, _| id.input != *input);
    }

    pub(super) fn reopen_all(&mut self) {
        let inputs: Vec<_> = self.tasks.iter().map(|task| task.id.input.clone()).collect();
        for input in inputs {
            self.reopen(&input, 0);
        }
    }

    /// Opens every task again under a new member id, whatever it was parked for: somebody else may
    /// have had it, and have gone on.
    pub(super) fn reopen_lost(&mut self) {
        for task in &mut self.tasks {
            if matches!(task.state, State::Parked { .. }) {
                task.state = State::Opening { not_before: Timestamp::MIN };
            }
        }
        self.reopen_all();
    }

    /// Aborts the open transaction and rewinds every running task to what is committed.
    pub(super) fn abort(&mut self, reason: &str) -> Result<(), log::Error> {
        if self.transaction.is_none() {
            return Ok(());
        }
        Err(log::Error { blameless: true, ..super::own_error(Class::Abort, reason) })
    }
}

/// What is committed for a task, as its worker believes.
#[derive(Clone, Copy, Debug)]
enum Kept {
    At(NextOffset),
    /// Nothing: its first transaction is still to come.
    Unsaid,
}

fn kept(task: &Task) -> Option<(TopicPartition, Kept)> {
    let kept = match &task.state {
        State::Running(running) => match running.announce {
            Announce::FirstOffset => Kept::Unsaid,
            // A partition that was added to a known topic.
            Announce::Configuration if running.committed == NextOffset(0) => return None,
            Announce::Configuration | Announce::Nothing => Kept::At(running.committed),
        },
        // Its goal is what was committed when it began.
        State::Restoring(restore) => Kept::At(restore.next),
        State::Opening { .. } | State::Parked { .. } => return None,
    };
    Some((task.id.input.clone(), kept))
}
