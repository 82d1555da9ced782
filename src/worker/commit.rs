//! Ending a transaction, and what may only happen after the broker acknowledged it.
//!
//! The order is the protocol; each step's failure is an error of the whole transaction:
//! group metadata → last records of compacted outputs → changelogs and position records → input
//! offsets → drain → end → stores.
//!
//! Invariant `OFFSET-RISES`: a committed offset never goes back, and stays in its generation.

use std::{sync::Arc, time::Duration};

use aplomb_state::{
    backend,
    ids::{NextOffset, Timestamp, TopicPartition},
    mutation::{self, Mutation},
};

use super::{Transaction, Worker, process};
use crate::{
    changelog,
    log::{self, Class, Consumer, Log, Producer, ToSend},
    metrics,
    position::PositionRecord,
    task::{Announce, Running, State},
};

/// A step that is due asks at least so long: an answer may be there already.
const LEFT_MS_MIN: i64 = 10;
/// Commits may take half of the time.
const RESTS_PER_COMMIT: i64 = 1;

impl<L: Log> Worker<L> {
    /// When nothing waits to be read, or at the bounds, and not more often than the minimum.
    /// `true`: a transaction ended, so that there may be something to read.
    pub(super) fn commit_if_due(&mut self, handled: usize) -> Result<bool, log::Error> {
        let Some(transaction) = &self.transaction else { return Ok(false) };
        let tuning = &self.application.tuning;
        let now = self.clock.now();
        let rested = now >= self.rested_at();
        let due = now.0 - transaction.begun.0 >= tuning.commit_interval_ms_max
            || self.transaction_is_full()
            || (handled < tuning.turn_records_max && rested);
        if due {
            self.commit()?;
        }
        Ok(due)
    }

    /// How long until an open transaction has to end.
    pub(super) fn until_commit(&self) -> Duration {
        let Some(transaction) = &self.transaction else { return Duration::MAX };
        let tuning = &self.application.tuning;
        let last = transaction.begun.plus_ms(tuning.commit_interval_ms_max);
        let left = self.rested_at().min(last).0 - self.clock.now().0;
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    /// From here on a commit may follow the last one. Where commits are slow they become fewer, so
    /// that a part of the time is left for the work.
    fn rested_at(&self) -> Timestamp {
        let least = self.application.tuning.commit_interval_ms_min;
        self.last_commit.plus_ms(least.max(RESTS_PER_COMMIT * self.last_commit_ms))
    }

    /// Commits the open transaction, if there is one.
    pub(super) fn commit(&mut self) -> Result<(), log::Error> {
        self.commit_within(self.application.tuning.commit_wait_ms_max, Vec::new())
    }

    /// As [`Worker::commit`], for what a rebalance takes away: the group waits for it.
    pub(super) fn commit_at_revocation(&mut self) -> Result<(), log::Error> {
        self.commit_within(self.application.tuning.revoke_wait_ms_max, Vec::new())
    }

    /// As [`Worker::commit`], with offsets of partitions that have no task yet.
    pub(super) fn commit_with(
        &mut self,
        first: Vec<(TopicPartition, NextOffset, String)>,
    ) -> Result<(), log::Error> {
        self.commit_within(self.application.tuning.commit_wait_ms_max, first)
    }

    /// `wait_ms_max` is one budget for all steps that wait for the broker.
    fn commit_within(
        &mut self,
        wait_ms_max: i64,
        first: Vec<(TopicPartition, NextOffset, String)>,
    ) -> Result<(), log::Error> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        let (begun, done, announces) = (transaction.begun, transaction.done, transaction.announces);
        let started = self.clock.now();
        let (group, member) = self.consumer.group()?;
        if member.is_empty()
            || (member != self.member_id && !mutation::is_on(Mutation::NoMemberCheck))
        {
            self.check_kept = false;
            let message = format!("member {:?} is now {member:?}: rejoined", self.member_id);
            return Err(log::Error { rejoined: true, ..super::own_error(Class::Abort, message) });
        }
        let deadline = started.plus_ms(wait_ms_max);
        // IMPORTANT: effects that a full queue held back belong to records whose offsets go out.
        while !self.send_waiting()? {
            if let Some(producer) = &mut self.producer {
                producer.drain(super::REQUEST_WAIT)?;
            }
        }
        let waiting = self.transaction.as_ref().map_or(0, Transaction::bytes);
        self.send_latest()?;
        self.send_changelogs()?;
        let mut offsets = self.offsets();
        offsets.extend(first);
        if mutation::is_on(Mutation::OffsetsLeftOut) && offsets.len() > 1 {
            offsets.pop();
        }
        let clock = Arc::clone(&self.clock);
        let left = || {
            let left_ms = (deadline.0 - clock.now().0).max(LEFT_MS_MIN);
            Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
        };
        let Some(producer) = &mut self.producer else {
            return Err(super::own_error(Class::Abort, "the producer is gone"));
        };
        producer.send_offsets(&offsets, &group, left())?;
        producer.drain(left())?;
        if mutation::is_on(Mutation::ApplyBeforeCommit) {
            self.apply(clock.now(), announces)?;
        }
        let tainted = self.end(left())?;
        let ended = self.transaction.take();
        self.recovery.succeeded();
        let now = self.clock.now();
        self.last_commit = now;
        self.last_commit_ms = now.0 - started.0;
        self.apply(now, announces)?;
        metrics::record_commit(&metrics::CommitFacts {
            records: done.records,
            rejections: done.rejections,
            timers: done.timers,
            open_ms: now.0 - begun.0,
            commit_ms: now.0 - started.0,
        });
        if let Some(Transaction { told, .. }) = &ended {
            metrics::record_told(told, waiting, &self.application, now);
        }
        if tainted {
            self.producer = None;
        }
        Ok(())
    }

    /// Ends the transaction; answers whether the producer is to be made anew.
    fn end(&mut self, wait: Duration) -> Result<bool, log::Error> {
        let Some(producer) = &mut self.producer else {
            return Err(super::own_error(Class::Abort, "the producer is gone"));
        };
        match producer.commit(wait) {
            Err(error) if error.in_doubt && mutation::is_on(Mutation::InDoubtIsSuccess) => {}
            ended => ended?,
        }
        Ok(producer.tainted())
    }

    /// The last value of each key, then the position record, for every task that has progress.
    /// Deletions that delete nothing are forgotten first, so that neither log nor store gets them.
    fn send_changelogs(&mut self) -> Result<(), log::Error> {
        let Some(producer) = &mut self.producer else {
            return Err(super::own_error(Class::Abort, "the producer is gone"));
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for (index, task) in self.tasks.iter_mut().enumerate() {
            let State::Running(running) = &mut task.state else { continue };
            let changelog = self.application.stage(task.stage).and_then(|s| s.changelog.as_ref());
            let (Some(topic), true) = (changelog, running.has_progress()) else { continue };
            let partition = task.id.input.partition;
            if let Some(store) = &running.store {
                running.fold.forget_absent(store.as_ref());
            }
            for write in running.fold.overlay().writes() {
                if write.value.is_none() && mutation::is_on(Mutation::DeletionNotLogged) {
                    continue;
                }
                changelog::write_record(&write, &mut key, &mut value);
                if mutation::is_on(Mutation::ChangelogKeepsOldValue)
                    && let Some(store) = &running.store
                    && let Ok(Some(old)) = store.get(write.store, write.key)
                {
                    let old = backend::Write { value: Some(&old), ..write };
                    changelog::write_record(&old, &mut key, &mut value);
                }
                let value = write.value.is_some().then_some(value.as_slice());
                let record = ToSend {
                    topic,
                    partition,
                    timestamp: None,
                    key: Some(&key),
                    value,
                    headers: &[],
                    receipt: 0,
                };
                process::send_now(producer, &record)?;
            }
            if mutation::is_on(Mutation::PositionNotLogged) {
                continue;
            }
            let position = changelog::position_value(&PositionRecord {
                inbox: running.next,
                generation: running.generation(),
                fold_version: running.metadata.fold_version,
            });
            let record = ToSend {
                topic,
                partition,
                timestamp: None,
                key: Some(changelog::position_key()),
                value: Some(&position),
                headers: &[],
                receipt: index + 1,
            };
            process::send_now(producer, &record)?;
        }
        Ok(())
    }

    /// Of the tasks with progress; the present ones where none has any.
    fn offsets(&self) -> Vec<(TopicPartition, NextOffset, String)> {
        let offset = |running: &Running, input: &TopicPartition| {
            (input.clone(), running.next, running.metadata.to_string())
        };
        let running = || {
            self.tasks.iter().filter_map(|task| match &task.state {
                State::Running(running) => Some((running, &task.id.input)),
                _ => None,
            })
        };
        let announces = self.transaction.as_ref().is_some_and(|open| open.announces);
        let progress: Vec<_> = running()
            .filter(|(running, _)| running.has_progress() || (announces && running.is_announcing()))
            .map(|(running, input)| offset(running, input))
            .collect();
        if progress.is_empty() {
            running().map(|(running, input)| offset(running, input)).collect()
        } else {
            progress
        }
    }

    /// Brings the stores to where the committed offsets are.
    fn apply(&mut self, now: Timestamp, announces: bool) -> Result<(), log::Error> {
        let Some(producer) = &self.producer else { return Ok(()) };
        let mut failed = Vec::new();
        let mut started = Vec::new();
        let mut recreated = Vec::new();
        for (index, task) in self.tasks.iter_mut().enumerate() {
            let State::Running(running) = &mut task.state else { continue };
            let takes_part = running.has_progress() || (announces && running.is_announcing());
            if !takes_part {
                continue;
            }
            let acknowledged = producer.acknowledged(index + 1).map(|offset| offset.next());
            if let Some(reason) = went_back(running, acknowledged) {
                recreated.push((task.id.input.clone(), reason));
                continue;
            }
            match apply_task(running, acknowledged, now) {
                Ok(()) => {
                    if running.is_announcing() {
                        running.announce = Announce::Nothing;
                        started.push((task.id.input.clone(), running.next));
                    }
                    running.committed = running.next;
                    running.last_progress = now;
                    running.fold.committed();
                }
                Err(error) => failed.push((task.id.input.clone(), error)),
            }
        }
        for (input, error) in failed {
            self.store_failed(&input, error);
        }
        for (input, reason) in recreated {
            self.park(&input, reason);
        }
        for (input, next) in started {
            self.consumer.start(&input, next)?;
        }
        Ok(())
    }

    /// The transaction is over for us, whatever became of it: nothing of it is kept.
    pub(super) fn drop_transaction(&mut self) -> Option<Transaction> {
        self.held_back = false;
        self.transaction.take()
    }
}

/// Offsets of a topic only grow. Where the position record came to lie before what the store has
/// read, the changelog is another one: what it held before is gone.
fn went_back(running: &Running, acknowledged: Option<NextOffset>) -> Option<String> {
    let known = running.store.as_ref()?.position()?.changelog;
    let at = acknowledged.filter(|at| *at < known && !mutation::is_on(Mutation::LossOverlooked))?;
    Some(format!(
        "the changelog was at {known} and is now at {at}: it was deleted or created again. The data \
         is kept; stop every process of the application and run `aplomb reset`, which begins anew"
    ))
}

fn apply_task(
    running: &mut Running,
    changelog: Option<NextOffset>,
    now: Timestamp,
) -> Result<(), backend::Error> {
    let fresh = running.announce == Announce::FirstOffset;
    let base = (!fresh).then_some(running.committed);
    let Some(store) = &running.store else { return Ok(()) };
    let known = store.position().map(|position| position.changelog);
    let changelog = changelog.or(known).unwrap_or(NextOffset(0));
    let to = running.store_position(changelog, now);
    let Some(store) = &mut running.store else { return Ok(()) };
    if mutation::is_on(Mutation::PositionInSecondBatch) {
        store.apply(base, &mut std::iter::empty(), &to)?;
        return store.apply(Some(to.inbox), &mut running.fold.overlay().writes(), &to);
    }
    store.apply(base, &mut running.fold.overlay().writes(), &to)
}
