//! What a worker says about itself, off the record path: about once a second, and whenever a task
//! changes its state.

use aplomb_state::ids::{NextOffset, Timestamp};

use crate::{
    log::Consumer,
    status::{Membership, Status, TaskState, TaskStatus},
    task::{Running, State, Task},
};

const INTERVAL_MS: i64 = 500;

/// Tells the process's [`Status`] about one worker.
pub struct Reporter {
    status: Status,
    worker: usize,
    last: Timestamp,
    states: Vec<&'static str>,
}

impl Reporter {
    pub fn new(status: Status, worker: usize) -> Self {
        Self { status, worker, last: Timestamp::MIN, states: Vec::new() }
    }

    pub(super) fn update<C: Consumer>(
        &mut self,
        consumer: &mut C,
        tasks: &[Task],
        member_id: &str,
        now: Timestamp,
    ) {
        let changed = tasks.len() != self.states.len()
            || tasks.iter().zip(&self.states).any(|(task, state)| name(task) != *state);
        if !changed && now.0.saturating_sub(self.last.0) < INTERVAL_MS {
            return;
        }
        self.last = now;
        self.states.clear();
        self.states.extend(tasks.iter().map(name));
        let joined = if member_id.is_empty() { Membership::Joining } else { Membership::Member };
        let worker = self.worker;
        let statuses: Vec<_> = tasks
            .iter()
            .map(|task| (task.id.clone(), describe(worker, consumer, task, now)))
            .collect();
        self.status.report(worker, joined, statuses, now);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.status.worker_gone(self.worker);
    }
}

fn name(task: &Task) -> &'static str {
    match task.state {
        State::Opening { .. } => "opening",
        State::Restoring(_) => "restoring",
        State::Running(_) => "running",
        State::Parked { .. } => "parked",
    }
}

fn describe<C: Consumer>(
    worker: usize,
    consumer: &mut C,
    task: &Task,
    now: Timestamp,
) -> TaskStatus {
    let status = match &task.state {
        State::Opening { .. } => TaskStatus::new(worker, TaskState::Opening, now),
        State::Parked { reason } => {
            TaskStatus::new(worker, TaskState::Parked { reason: reason.clone() }, now)
        }
        State::Restoring(restore) => {
            let state = TaskState::Restoring {
                from: restore.from.0,
                position: restore.reached_position().0,
                end: restore.until.0,
            };
            TaskStatus::new(worker, state, now)
        }
        State::Running(running) => running_status(worker, consumer, task, running),
    };
    let pending_ms = task.pending.map(|pending| now.0 - pending.since.0);
    TaskStatus { pending_ms, ..status }
}

fn running_status<C: Consumer>(
    worker: usize,
    consumer: &mut C,
    task: &Task,
    running: &Running,
) -> TaskStatus {
    let drained = consumer.drained_at(&task.id.input);
    // Control records after the last record are nobody's lag.
    let end = match drained {
        Some(_) => Some(running.next),
        None => consumer.end(&task.id.input),
    };
    TaskStatus {
        position: Some(running.committed),
        end: end.map(|end| NextOffset(end.0.max(running.committed.0))),
        as_of: drained.or((running.handled_at > Timestamp::MIN).then_some(running.handled_at)),
        progressed: drained.unwrap_or(running.last_progress).max(running.last_progress),
        ..TaskStatus::new(worker, TaskState::Running, running.last_progress)
    }
}
