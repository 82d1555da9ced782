//! Opening tasks and restoring them, a bounded step per turn; other tasks go on meanwhile.

use std::{sync::Arc, time::Duration};

use aplomb_state::{
    backend::{Reads, TaskStore},
    codec,
    envelope::Envelope,
    fold::{Fold, NoState},
    ids::{Generation, NextOffset, Timestamp, TopicPartition},
    mutation::{self, Mutation},
};
use rand::Rng;

use super::{REQUEST_WAIT, Worker};
use crate::{
    changelog::{self, Entry},
    log::{self, Committed, Consumer, Isolation, Log, Reader, Watermarks},
    metrics,
    open::{self, Decision, Facts, HasPosition},
    position::Metadata,
    restore::{self, Goal, Progress, Restore, Tombstones},
    task::{Announce, Running, State},
};

/// An offset held by a transaction that has not ended is asked for again after so long.
pub(super) const UNSTABLE_BACKOFF_MS: i64 = 50;
/// Restores side by side; the others wait their turn. Most are over soon after their reader has
/// connected.
const RESTORES_MAX: usize = 16;

impl<L: Log> Worker<L> {
    /// Looks at every task that is to be opened. `true`: some were.
    pub(super) fn open_tasks(&mut self) -> Result<bool, log::Error> {
        let now = self.clock.now();
        if self.producer.is_none() || self.member_id.is_empty() || self.check_kept {
            // `check_kept` learns the member id under which the tasks are opened.
            return Ok(false);
        }
        let due = |task: &crate::task::Task| match task.state {
            State::Opening { not_before } if not_before <= now => Some(task.id.input.clone()),
            _ => None,
        };
        let due: Vec<TopicPartition> = self.tasks.iter().filter_map(due).collect();
        if due.is_empty() || !self.recovery.may_try(now) {
            // One that failed is due again, before any other transaction begins.
            self.announce()?;
            return Ok(false);
        }
        // IMPORTANT: the open transaction ends first; opening waits for the broker.
        self.commit()?;
        let committed = self.consumer.committed(&due, REQUEST_WAIT)?;
        for (input, committed) in due.iter().zip(committed) {
            self.note_pending(input, committed == Committed::Unstable);
            let internal = self.task_mut(input).is_some_and(|task| task.stage > 0);
            let outcome = if internal {
                self.open_internal(input, &committed)
            } else {
                self.open_external(input, committed)
            };
            outcome?;
        }
        self.announce()?;
        Ok(true)
    }

    pub(super) fn wait_to_open(&mut self, input: &TopicPartition, ms: i64) {
        let not_before = self.now().plus_ms(ms);
        if let Some(task) = self.task_mut(input) {
            task.state = State::Opening { not_before };
        }
    }

    // --- internal tasks

    fn open_internal(
        &mut self,
        input: &TopicPartition,
        committed: &Committed,
    ) -> Result<(), log::Error> {
        if *committed == Committed::Unstable {
            self.wait_to_open(input, UNSTABLE_BACKOFF_MS);
            return Ok(());
        }
        let Some(stage) = self.application.stage_of(input) else { return Ok(()) };
        let Some(topics) = self.application.stage(stage).cloned() else { return Ok(()) };
        let Some(changelog) = topics.changelog else { return Ok(()) };
        let changelog = TopicPartition { topic: changelog, partition: input.partition };
        let Some(id) = self.application.task_id(stage, input.clone()) else { return Ok(()) };
        let store = match self.database.open(&id, &topics.definition.all_stores()) {
            Ok(store) => store,
            Err(error) => {
                self.store_failed(input, error);
                return Ok(());
            }
        };
        let both = [input.clone(), changelog.clone()];
        let isolation = if mutation::is_on(Mutation::RestoreToLastStable) {
            Isolation::ReadCommitted
        } else {
            Isolation::ReadUncommitted
        };
        let marks = self.log.watermarks(&both, isolation)?;
        let [inbox, log] = marks.as_slice() else { return Ok(()) };
        let mut facts = Facts {
            committed,
            store: store.position(),
            damaged: self.task_mut(input).is_some_and(|task| task.damaged),
            rebuilding: store.rebuilding(),
            changelog: *log,
            changelog_has_position: HasPosition::NotAsked,
            inbox_low: inbox.low,
            partitions: self.application.inbox_partitions,
            now: self.now(),
            delete_retention_ms: self.application.tuning.changelog_delete_retention_ms,
        };
        let mut decision = open::decide(&facts);
        if decision == Decision::Look {
            facts.changelog_has_position = self.look_for_position(&changelog, *log)?;
            if facts.changelog_has_position == HasPosition::NotAsked {
                self.wait_to_open(input, UNSTABLE_BACKOFF_MS);
                return Ok(());
            }
            decision = open::decide(&facts);
        }
        tracing::info!(task = %id, ?decision, "opening");
        if matches!(decision, Decision::Fatal(_))
            && self.consumer.committed(std::slice::from_ref(input), REQUEST_WAIT)?
                != std::slice::from_ref(committed)
        {
            // The offset moved between the readings: we slept, and somebody else has the task.
            self.wait_to_open(input, UNSTABLE_BACKOFF_MS);
            return Ok(());
        }
        let log = ChangelogAt { at: changelog, marks: *log, start: start_of(committed) };
        self.carry_out(input, stage, store, log, decision)
    }

    fn carry_out(
        &mut self,
        input: &TopicPartition,
        stage: u16,
        store: Box<dyn TaskStore>,
        changelog: ChangelogAt,
        decision: Decision,
    ) -> Result<(), log::Error> {
        let ChangelogAt { at: changelog, marks, start } = changelog;
        match decision {
            Decision::Wait | Decision::Look => {
                self.wait_to_open(input, UNSTABLE_BACKOFF_MS);
                Ok(())
            }
            Decision::Fatal(reason) => {
                self.park(input, reason);
                Ok(())
            }
            Decision::Fresh => {
                let generation = Generation(self.random_generation());
                let metadata = self.metadata(generation, Some(marks.low));
                self.run(input, stage, Some(store), metadata, NextOffset(0), Announce::FirstOffset);
                Ok(())
            }
            Decision::Reuse { next, generation } => {
                let metadata = self.metadata(generation, start);
                self.run(input, stage, Some(store), metadata, next, Announce::Nothing);
                self.start_running(input, next)
            }
            Decision::ReplayTail { next, generation, from } => {
                let metadata = self.metadata(generation, start);
                let goal = Goal { begun: self.now(), next, until: marks.high, from };
                let restore = Restore::tail(store, metadata, changelog, goal);
                self.restoring(input, restore);
                Ok(())
            }
            Decision::Rebuild { next, generation, from, how } => {
                let metadata = self.metadata(generation, start);
                let goal = Goal { begun: self.now(), next, until: marks.high, from };
                match Restore::rebuild(store, metadata, changelog, goal, how) {
                    Ok(restore) => self.restoring(input, restore),
                    Err(error) => self.store_failed(input, error),
                }
                Ok(())
            }
        }
    }

    fn restoring(&mut self, input: &TopicPartition, restore: Restore) {
        if let Some(task) = self.task_mut(input) {
            task.state = State::Restoring(Box::new(restore));
        }
    }

    pub(super) fn metadata(&self, generation: Generation, start: Option<NextOffset>) -> Metadata {
        Metadata {
            generation,
            fold_version: self.application.topology.fold_version,
            partitions: self.application.inbox_partitions,
            start,
        }
    }

    pub(super) fn random_generation(&mut self) -> u64 {
        self.random.random()
    }

    /// Whether any committed position record stands in a changelog without a committed offset.
    /// `NotAsked`: an open transaction hides the end, ask again.
    fn look_for_position(
        &mut self,
        changelog: &TopicPartition,
        marks: Watermarks,
    ) -> Result<HasPosition, log::Error> {
        let from = [(changelog.clone(), marks.low)];
        let mut reader = self.log.reader(&from, Isolation::ReadCommitted)?;
        let mut found = false;
        loop {
            let read = reader.read(10_000, Duration::from_millis(200), &mut |_, record| {
                let entry = changelog::read_record(record.key.unwrap_or_default(), record.value);
                found |= matches!(entry, Ok(Entry::Position(_)));
            })?;
            if found {
                return Ok(HasPosition::Yes);
            }
            if reader.position(changelog) >= marks.high {
                return Ok(HasPosition::No);
            }
            if read == 0 {
                return Ok(HasPosition::NotAsked);
            }
        }
    }

    // --- restoring

    /// One bounded step for each restore under way. `true`: there was something to read.
    pub(super) fn restore_tasks(&mut self) -> Result<bool, log::Error> {
        let restoring = |task: &crate::task::Task| {
            matches!(task.state, State::Restoring(_)).then(|| task.id.input.clone())
        };
        let inputs: Vec<_> = self.tasks.iter().filter_map(restoring).take(RESTORES_MAX).collect();
        let mut busy = false;
        for input in inputs {
            busy |= self.restore_task(&input)?;
        }
        Ok(busy)
    }

    fn restore_task(&mut self, input: &TopicPartition) -> Result<bool, log::Error> {
        let max = self.application.tuning.restore_records_max;
        let tombstones = Tombstones {
            clock: self.clock.as_ref(),
            delete_retention_ms: self.application.tuning.changelog_delete_retention_ms,
        };
        let Some(task) = self.tasks.iter_mut().find(|task| task.id.input == *input) else {
            return Ok(false);
        };
        let (id, stage) = (task.id.clone(), task.stage);
        let State::Restoring(restore) = &mut task.state else { return Ok(false) };
        if !self.readers.contains_key(&id) {
            let from = [(restore.changelog.clone(), restore.from)];
            let reader = self.log.reader(&from, Isolation::ReadCommitted)?;
            self.readers.insert(id.clone(), reader);
        }
        let Some(reader) = self.readers.get_mut(&id) else { return Ok(false) };
        let before = reader.position(&restore.changelog);
        match restore.step(reader, max, &tombstones) {
            Ok(Progress::Going) => Ok(reader.position(&restore.changelog) > before),
            Ok(Progress::Done) => {
                self.readers.remove(&id);
                self.restored(input, stage)?;
                Ok(true)
            }
            Err(restore::Error::Log(error)) if error.class == log::Class::Retry => Ok(false),
            Err(restore::Error::Outdated) => {
                self.reopen(input, 0);
                Ok(true)
            }
            Err(restore::Error::Log(error)) => Err(error),
            Err(restore::Error::Store(error)) => {
                self.store_failed(input, error);
                Ok(false)
            }
            Err(restore::Error::Fatal(reason)) => self.restore_failed(input, reason),
        }
    }

    /// The changelog does not lead to the offset that was committed when the restore began. It need
    /// not, if somebody else has gone on since and it was compacted.
    fn restore_failed(
        &mut self,
        input: &TopicPartition,
        reason: String,
    ) -> Result<bool, log::Error> {
        let goal = self.task_mut(input).and_then(|task| match &task.state {
            State::Restoring(restore) => Some(restore.next),
            _ => None,
        });
        let now = self.consumer.committed(std::slice::from_ref(input), REQUEST_WAIT)?;
        match now.first() {
            Some(Committed::At { next, .. }) if Some(*next) == goal => self.park(input, reason),
            _ => self.reopen(input, UNSTABLE_BACKOFF_MS),
        }
        Ok(false)
    }

    fn restored(&mut self, input: &TopicPartition, stage: u16) -> Result<(), log::Error> {
        let opening = State::Opening { not_before: Timestamp::MIN };
        let Some(task) = self.task_mut(input) else { return Ok(()) };
        let State::Restoring(restore) = std::mem::replace(&mut task.state, opening) else {
            return Ok(());
        };
        task.damaged = false;
        let (next, metadata) = (restore.next, restore.metadata.clone());
        let (records, begun) = (restore.records, restore.begun);
        let metadata =
            Metadata { fold_version: self.application.topology.fold_version, ..metadata };
        self.run(input, stage, Some(restore.into_store()), metadata, next, Announce::Nothing);
        let name = self.application.stage(stage).map_or("", |topics| topics.definition.name);
        metrics::record_restore(name, records, self.now().0 - begun.0);
        self.start_running(input, next)
    }

    // --- running

    pub(super) fn run(
        &mut self,
        input: &TopicPartition,
        stage: u16,
        store: Option<Box<dyn TaskStore>>,
        metadata: Metadata,
        next: NextOffset,
        announce: Announce,
    ) {
        let application = Arc::clone(&self.application);
        let reads = store.as_deref().map_or(&NoState as &dyn Reads, |store| store as &dyn Reads);
        let handler = application.topology.stages.get(usize::from(stage)).cloned();
        let id = application.task_id(stage, input.clone());
        let (Some(handler), Some(id)) = (handler, id) else { return };
        let inner = application.inner_upstream(stage);
        let opened = Fold::open(&application.topology, handler, id, inner, reads);
        let opened = opened.and_then(|mut fold| {
            if stage == 0 {
                fold.configure(application.configuration.clone())?;
            }
            Ok(fold)
        });
        match opened {
            Ok(fold) => {
                let last_progress = self.now();
                let running = Running {
                    fold,
                    store,
                    metadata,
                    committed: next,
                    next,
                    announce,
                    sent: 0,
                    input: 0,
                    waiting_since: None,
                    last_progress,
                    handled_at: Timestamp::MIN,
                };
                if let Some(task) = self.task_mut(input) {
                    task.state = State::Running(Box::new(running));
                }
            }
            Err(fault) => self.mend(input, fault.remedy, fault.reason),
        }
    }

    fn start_running(
        &mut self,
        input: &TopicPartition,
        next: NextOffset,
    ) -> Result<(), log::Error> {
        let runs = self.task_mut(input).is_some_and(|task| task.running().is_some());
        if runs { self.consumer.start(input, next) } else { Ok(()) }
    }

    /// Writes the first transaction of the tasks that need one: first offsets, and the
    /// configuration document from whoever opened an external partition, before any record.
    fn announce(&mut self) -> Result<(), log::Error> {
        let announces = |wanted: fn(Announce) -> bool| {
            self.tasks.iter().any(|task| match &task.state {
                State::Running(running) => wanted(running.announce),
                _ => false,
            })
        };
        if !announces(|announce| announce != Announce::Nothing) {
            return Ok(());
        }
        let configure = announces(|announce| announce == Announce::Configuration);
        self.begin()?;
        if let Some(transaction) = &mut self.transaction {
            transaction.announces = true;
        }
        if configure {
            let document = Envelope::Configuration(self.application.configuration.clone());
            let value = codec::encode(&document);
            for stage in self.application.inner_stages() {
                self.send_to_inbox(stage, &value, &[])?;
            }
        }
        self.commit()
    }
}

/// A changelog partition and what is known of it.
struct ChangelogAt {
    at: TopicPartition,
    marks: Watermarks,
    /// Where it began when the generation did. Unknown to generations of older builds.
    start: Option<NextOffset>,
}

fn start_of(committed: &Committed) -> Option<NextOffset> {
    match committed {
        Committed::At { metadata, .. } => Metadata::parse(metadata).ok()?.start,
        Committed::None | Committed::Unstable => None,
    }
}
