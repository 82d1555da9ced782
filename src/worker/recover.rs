//! What the worker does about an error, by its class.
//!
//! Invariant `OUTCOME-NEVER-GUESSED`: a transaction whose end is not known has no path of its own;
//! the producer is made anew, which settles it, and the committed offset says what happened.
//!
//! Invariant `WORKER-GOES-ON`: a worker stops only where another process uses its identity, or
//! where it can never succeed.

use std::time::Duration;

use aplomb_state::{
    ids::{NextOffset, Timestamp, TopicPartition},
    mutation::{self, Mutation},
};

use super::{Stop, Worker};
use crate::{
    log::{self, Class, Consumer, Log, Producer},
    metrics,
    task::State,
};

/// A new producer waits so long for the old transaction to be settled before it tries again.
const INIT_WAIT: Duration = Duration::from_secs(5);

/// So many fencings without a time-out of our own within the window mean that another process uses
/// this identity.
const FENCINGS_MAX: usize = 3;
const FENCING_WINDOW_MS: i64 = 5 * 60 * 1_000;

/// Two aborts at the same offsets: go on one record at a time.
const ABORTS_AT_SAME_OFFSETS: u32 = 2;
/// One record alone that aborts so often is to blame.
const ABORTS_OF_ONE_RECORD: u32 = 3;

/// So long a worker that the group has left behind waits for the callback that follows, before it
/// tries once more. The newer protocol moves its epoch without any.
const CALLBACK_WAIT_MS: i64 = 200;

/// What went wrong lately.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// A callback of the group is awaited until then.
    callback_until: Option<Timestamp>,
    aborted_at: Vec<(TopicPartition, NextOffset)>,
    aborts: u32,
    fencings: Vec<Timestamp>,
    /// Pauses that grow while the broker cannot be reached.
    failures: u32,
    not_before: Option<Timestamp>,
}

impl Recovery {
    /// The bound on records per transaction: one, while a record is being found out.
    pub(super) fn records_max(&self, usual: usize) -> usize {
        if self.aborts >= ABORTS_AT_SAME_OFFSETS { 1 } else { usual }
    }

    pub(super) fn succeeded(&mut self) {
        self.aborted_at.clear();
        self.aborts = 0;
        self.failures = 0;
        self.not_before = None;
    }

    fn aborted(&mut self, offsets: Vec<(TopicPartition, NextOffset)>) -> u32 {
        if self.aborted_at == offsets {
            self.aborts += 1;
        } else {
            self.aborted_at = offsets;
            self.aborts = 1;
        }
        self.aborts
    }

    /// `true`: too often, somebody else has our identity.
    fn fenced(&mut self, now: Timestamp) -> bool {
        self.fencings.retain(|at| now.0 - at.0 < FENCING_WINDOW_MS);
        self.fencings.push(now);
        self.fencings.len() >= FENCINGS_MAX
    }

    fn back_off(&mut self, now: Timestamp) {
        self.failures = (self.failures + 1).min(8);
        self.not_before = Some(now.plus_ms(10 << self.failures));
    }

    fn left_behind(&mut self, now: Timestamp) {
        self.callback_until = Some(now.plus_ms(CALLBACK_WAIT_MS));
    }

    pub(super) fn awaits_callback(&self, now: Timestamp) -> bool {
        self.callback_until.is_some_and(|until| now < until)
    }

    pub(super) fn called_back(&mut self) {
        self.callback_until = None;
    }

    pub(super) fn may_try(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|at| now >= at)
    }
}

impl<L: Log> Worker<L> {
    pub(super) fn recover(&mut self, error: log::Error) -> Result<(), Stop> {
        let now = self.now();
        metrics::record_error(error.class);
        match error.class {
            Class::Retry => {
                tracing::debug!(%error, "will be tried again");
                if self.transaction.is_some() {
                    return self.recover_by_abort(&error);
                }
                self.recovery.back_off(now);
                Ok(())
            }
            Class::Abort => self.recover_by_abort(&error),
            Class::Migrated => self.recover_by_new_producer(&error, self.own_time_out(now)),
            Class::Fatal => Err(Stop { reason: error.message }),
        }
    }

    /// Drops what the transaction did and goes on from what is committed.
    fn recover_by_abort(&mut self, error: &log::Error) -> Result<(), Stop> {
        tracing::warn!(%error, "transaction aborted");
        let now = self.now();
        let timed_out = self.own_time_out(now);
        if error.outdated {
            self.recovery.left_behind(now);
        }
        if self.drop_transaction().is_some()
            && let Some(producer) = &mut self.producer
            && let Err(abort) = producer.abort(INIT_WAIT)
        {
            tracing::warn!(error = %abort, "abort failed; the producer is made anew");
            return self.recover_by_new_producer(&abort, timed_out);
        }
        if self.producer.as_ref().is_some_and(Producer::tainted)
            && !mutation::is_on(Mutation::ProducerKeptAfterTimeout)
        {
            return self.recover_by_new_producer(error, timed_out);
        }
        if error.rejoined {
            self.reopen_lost();
            self.unassigned = true;
            self.member_id.clear();
            return Ok(());
        }
        if !error.blameless && error.class == Class::Abort {
            let aborts = self.recovery.aborted(self.committed_offsets());
            if aborts >= ABORTS_AT_SAME_OFFSETS + ABORTS_OF_ONE_RECORD {
                self.blame(error);
            }
        }
        self.rewind();
        Ok(())
    }

    /// One record alone keeps aborting its transaction: its task parks and names it.
    fn blame(&mut self, error: &log::Error) {
        let moved = self.tasks.iter().filter_map(|task| match &task.state {
            State::Running(running) if running.next != running.committed => {
                Some((task.id.input.clone(), running.input))
            }
            _ => None,
        });
        let moved: Vec<_> = moved.collect();
        if let [(input, offset)] = moved.as_slice() {
            let reason = format!("the record at offset {offset} cannot be committed: {error}");
            self.park(input, reason);
            self.recovery.succeeded();
        }
    }

    fn committed_offsets(&self) -> Vec<(TopicPartition, NextOffset)> {
        let committed = self.tasks.iter().filter_map(|task| match &task.state {
            State::Running(running) => Some((task.id.input.clone(), running.committed)),
            _ => None,
        });
        committed.collect()
    }

    fn rewind(&mut self) {
        let mut failed = Vec::new();
        for task in &mut self.tasks {
            let State::Running(running) = &mut task.state else { continue };
            let moved = running.has_progress();
            if let Err(fault) = running.roll_back() {
                failed.push((task.id.input.clone(), Some(fault)));
            } else if moved
                && running.announce == crate::task::Announce::Nothing
                && let Err(error) = self.consumer.start(&task.id.input, running.committed)
            {
                tracing::warn!(task = %task.id, %error, "cannot rewind");
                failed.push((task.id.input.clone(), None));
            }
        }
        for (input, fault) in failed {
            match fault {
                Some(fault) => self.mend(&input, fault.remedy, fault.reason),
                None => self.reopen(&input, 0),
            }
        }
    }

    /// The outcome is not known, or an older epoch of ours was fenced.
    fn recover_by_new_producer(&mut self, error: &log::Error, timed_out: bool) -> Result<(), Stop> {
        tracing::warn!(%error, in_doubt = error.in_doubt, "producer dropped; tasks open again");
        let now = self.now();
        if !error.in_doubt {
            metrics::record_fencing();
            let tainted = self.producer.as_ref().is_some_and(Producer::tainted);
            if !tainted && !timed_out && self.recovery.fenced(now) {
                return Err(Stop {
                    reason: format!(
                        "fenced {FENCINGS_MAX} times within five minutes without a time-out of \
                         our own: another process uses the transactional id {:?}. Give every pod \
                         its own application.ordinal",
                        self.transactional_id
                    ),
                });
            }
        }
        self.drop_transaction();
        self.producer = None;
        self.recovery.back_off(now);
        if error.in_doubt && mutation::is_on(Mutation::InDoubtIsAbort) {
            self.rewind();
            return Ok(());
        }
        self.reopen_all();
        self.check_kept = false;
        Ok(())
    }

    /// Whether the coordinator may have timed our transaction out.
    fn own_time_out(&self, now: Timestamp) -> bool {
        let timeout = self.application.tuning.transaction_timeout_ms;
        self.transaction.as_ref().is_some_and(|open| now.0 - open.begun.0 >= timeout)
    }

    /// Makes a producer where there is none. Until it is there no task opens: its initialisation
    /// settles what an earlier one left.
    pub(super) fn settle_producer(&mut self) -> Result<(), log::Error> {
        if self.producer.is_some() || !self.recovery.may_try(self.clock.now()) {
            return Ok(());
        }
        let mut producer = self.log.producer(&self.transactional_id)?;
        match producer.init_transactions(INIT_WAIT) {
            Ok(()) => {
                self.producer = Some(producer);
                Ok(())
            }
            Err(error) if error.class == Class::Fatal => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the producer is not ready yet");
                self.recovery.back_off(self.clock.now());
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_left_behind_waits_for_a_callback_or_a_moment() {
        let at = Timestamp;
        let mut recovery = Recovery::default();
        assert!(!recovery.awaits_callback(at(0)));
        recovery.left_behind(at(0));
        assert!(recovery.awaits_callback(at(CALLBACK_WAIT_MS - 1)));
        assert!(!recovery.awaits_callback(at(CALLBACK_WAIT_MS)));
        recovery.left_behind(at(1_000));
        recovery.called_back();
        assert!(!recovery.awaits_callback(at(1_000)));
    }
}
