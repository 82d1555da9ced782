//! Writes checkpoints of the tasks this process owns, and trims their inboxes. One bounded step at
//! a time: the caller decides when.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use aplomb_state::{
    backend::{Database, Snapshot},
    ids::{NextOffset, TaskId, Timestamp, TopicPartition},
};

use super::{
    Checkpoint, Header, file,
    plan::{Known, Policy, Present, is_due, is_stale, trim_to},
};
use crate::{
    application::Application,
    log::{Isolation, Log},
    metrics,
};

/// See the module.
pub struct Keeper<L: Log> {
    log: L,
    application: Arc<Application>,
    database: Arc<dyn Database>,
    folder: PathBuf,
    policy: Policy,
    checkpoints: Vec<Checkpoint>,
    /// The first record of each inbox, as far as it is known.
    lows: HashMap<TopicPartition, NextOffset>,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub written: usize,
    /// Records deleted from inboxes.
    pub trimmed: u64,
    /// Checkpoints deleted.
    pub dropped: usize,
    /// Tasks for which something did not work.
    pub failed: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    #[error("checkpoint: {0}")]
    File(#[from] file::Error),
    #[error("state store: {0}")]
    Store(#[from] aplomb_state::backend::Error),
}

impl<L: Log> Keeper<L> {
    pub fn open(
        log: L,
        application: Arc<Application>,
        database: Arc<dyn Database>,
        folder: PathBuf,
        policy: Policy,
    ) -> io::Result<Self> {
        let checkpoints = super::list(&folder)?;
        let lows = HashMap::new();
        Ok(Self { log, application, database, folder, policy, checkpoints, lows })
    }

    /// Looks at every running task of this process. Writes at most one checkpoint, for it may take
    /// long: more are due if it wrote one. What fails for one task is said, and tried again in the
    /// next round.
    pub fn round(&mut self, owned: &[TaskId], now: Timestamp, stop: &AtomicBool) -> Round {
        let mut round = Round::default();
        for task in owned {
            if let Err(error) = self.look_at(task, now, stop, &mut round)
                && !matches!(error, Error::File(file::Error::Stopped))
            {
                tracing::warn!(%task, %error, "no checkpoint, or no trimming; will be tried again");
                round.failed += 1;
            }
        }
        metrics::record_keeping(&round);
        round
    }

    fn look_at(
        &mut self,
        task: &TaskId,
        now: Timestamp,
        stop: &AtomicBool,
        round: &mut Round,
    ) -> Result<(), Error> {
        let Some(snapshot) = self.database.snapshot(task)? else { return Ok(()) };
        let Some(position) = snapshot.position().cloned() else { return Ok(()) };
        if position.restoring {
            return Ok(());
        }
        // A store is never ahead of the log: what it holds is committed.
        let (generation, committed) = (position.generation, position.inbox);
        let present = Present { generation, committed, now };
        let known: Vec<Known> = self.of(&task.input).map(|one| known(&one.header)).collect();
        if round.written == 0 && is_due(self.policy, present, &known) {
            let header = Header {
                inbox: task.input.clone(),
                next: committed,
                generation,
                fold_version: position.fold_version,
                taken: now,
            };
            self.write(task, header, snapshot.as_ref(), stop)?;
            round.written += 1;
        }
        drop(snapshot);
        self.trim(task, present, &known, round)
    }

    fn of(&self, inbox: &TopicPartition) -> impl Iterator<Item = &Checkpoint> {
        self.checkpoints.iter().filter(move |one| one.header.inbox == *inbox)
    }

    fn write(
        &mut self,
        task: &TaskId,
        header: Header,
        snapshot: &dyn Snapshot,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let stage = self.application.stage_of(&task.input).and_then(|s| self.application.stage(s));
        let Some(stage) = stage else { return Ok(()) };
        let stores = u8::try_from(stage.definition.all_stores().len()).unwrap_or(u8::MAX);
        let checkpoint = file::write(&self.folder, header, snapshot, stores, stop)?;
        tracing::info!(%task, next = %checkpoint.header.next, "checkpoint written");
        // The same offset again is the same state: the file took the place of the old one.
        self.checkpoints.retain(|one| one.path != checkpoint.path);
        self.checkpoints.push(checkpoint);
        Ok(())
    }

    fn trim(
        &mut self,
        task: &TaskId,
        present: Present,
        known: &[Known],
        round: &mut Round,
    ) -> Result<(), Error> {
        let inbox = &task.input;
        let low = match self.lows.get(inbox) {
            Some(low) => *low,
            None => {
                let one = std::slice::from_ref(inbox);
                let marks = self.log.watermarks(one, Isolation::ReadUncommitted)?;
                marks.first().map(|marks| marks.low).unwrap_or_default()
            }
        };
        let to = trim_to(self.policy, present, known).filter(|to| *to > low);
        if let Some(to) = to {
            // IMPORTANT: nothing is deleted for a checkpoint that cannot be read.
            if let Err(error) = self.check(inbox, to) {
                self.checkpoints.retain(|one| one.header.inbox != *inbox || one.header.next != to);
                return Err(error);
            }
            self.log.delete_records(&[(inbox.clone(), to)])?;
            round.trimmed += u64::try_from(to.0 - low.0).unwrap_or(0);
            tracing::info!(%task, from = %low, %to, "inbox trimmed");
        }
        let low = to.unwrap_or(low);
        self.lows.insert(inbox.clone(), low);
        let stale = |one: &Checkpoint| {
            one.header.inbox == *inbox && is_stale(known_of(one), present.generation, low)
        };
        for one in self.checkpoints.extract_if(.., |one| stale(one)) {
            match fs::remove_file(&one.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %one.path.display(), %error, "cannot be deleted");
                }
                _ => round.dropped += 1,
            }
        }
        Ok(())
    }

    fn check(&self, inbox: &TopicPartition, next: NextOffset) -> Result<(), Error> {
        for one in self.of(inbox).filter(|one| one.header.next == next) {
            file::read(&one.path, &mut |_, _, _| Ok(()))?;
        }
        Ok(())
    }
}

fn known_of(one: &Checkpoint) -> Known {
    known(&one.header)
}

fn known(header: &Header) -> Known {
    Known { next: header.next, generation: header.generation, taken: header.taken }
}
