//! `aplomb verify`: is what stands in the topics what the inputs must give?
//!
//! It fixes the committed offsets, folds every inbox again from its beginning through the same
//! handlers, and compares every output and every send by its cause: nothing missing, nothing
//! twice, nothing different. The external stage is checked the same way against its topics.
//! Ticks and configuration broadcasts are inputs in their own right, taken as they stand. What
//! generations before the last `aplomb reset` left is counted, not judged.
//!
//! Invariant `EFFECT-ONCE`: what stands in the topics is what the committed inputs give.

mod base;
mod expect;
mod found;

use std::sync::Arc;

use aplomb_state::ids::{NextOffset, TopicPartition};

use self::{expect::Refold, found::Found};
use crate::{
    application::Application,
    checkpoint::Checkpoint,
    generation::Beginnings,
    log::{Committed, Isolation, Log},
    position::Metadata,
    scan,
};

/// Deviations named one by one; the rest is counted.
pub const NAMED_MAX: usize = 1_000;

/// Why the question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    /// The inputs are not all there any more, or belong to another build.
    #[error("{0}")]
    CannotKnow(String),
}

impl From<scan::Error> for Error {
    fn from(error: scan::Error) -> Self {
        match error {
            scan::Error::Log(error) => Self::Log(error),
            other => Self::CannotKnow(other.to_string()),
        }
    }
}

/// What was compared and what deviates.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Inputs folded again.
    pub inputs: u64,
    /// Records that agree.
    pub matching: u64,
    /// Superseded records that compaction has removed.
    pub compacted: u64,
    /// Records whose cause or place lies past retention.
    pub not_judged: u64,
    /// Records that generations before the last reset wrote.
    pub earlier: u64,
    pub missing: u64,
    pub doubled: u64,
    pub different: u64,
    /// Records that no input accounts for.
    pub unexpected: u64,
    pub deviations: Vec<Deviation>,
    /// What was folded from a checkpoint, and checkpoints that cannot be read.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    pub kind: Kind,
    /// `stage/topic/partition/offset/n`
    pub cause: String,
    /// Topic, partition and, where the record stands, its offset.
    pub place: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Missing,
    Doubled,
    Different,
    Unexpected,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.missing + self.doubled + self.different + self.unexpected == 0
    }

    fn add(&mut self, kind: Kind, cause: String, place: String) {
        match kind {
            Kind::Missing => self.missing += 1,
            Kind::Doubled => self.doubled += 1,
            Kind::Different => self.different += 1,
            Kind::Unexpected => self.unexpected += 1,
        }
        if self.deviations.len() < NAMED_MAX {
            self.deviations.push(Deviation { kind, cause, place });
        }
    }
}

/// The checkpoints that a fold may begin with, and which of them it takes.
#[derive(Debug, Default)]
pub struct Checkpoints {
    pub known: Vec<Checkpoint>,
    pub choice: Choice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// As much is folded again as the inboxes hold.
    #[default]
    Oldest,
    /// As little as possible.
    Newest,
}

/// An input partition and how far its task has committed.
#[derive(Clone, Debug)]
struct Input {
    stage: u16,
    partition: TopicPartition,
    /// The first offset to fold.
    from: NextOffset,
    committed: NextOffset,
    /// The state before `from`. Absent: there was none.
    base: Option<Checkpoint>,
}

/// Folds and compares. `progress` is told (done, of) in records.
pub fn verify<L: Log>(
    log: &L,
    application: &Arc<Application>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, Error> {
    verify_from(log, application, &Checkpoints::default(), progress)
}

/// As [`verify`], where inboxes were trimmed.
pub fn verify_from<L: Log>(
    log: &L,
    application: &Arc<Application>,
    checkpoints: &Checkpoints,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, Error> {
    let beginnings = Beginnings::read(log, application)?;
    let mut report = Report::default();
    let inputs = inputs(log, application, &beginnings, checkpoints, &mut report)?;
    let found = Found::read(log, application, &inputs, &beginnings, &mut report)?;
    let mut refold = Refold::new(log, application, found);
    let total: i64 = inputs.iter().map(|input| input.committed.0 - input.from.0).sum();
    let total = u64::try_from(total).unwrap_or(0);
    let mut done = 0;
    for input in &inputs {
        refold.fold(input, &mut report)?;
        done += u64::try_from(input.committed.0 - input.from.0).unwrap_or(0);
        progress(done, total);
    }
    refold.finish(&mut report);
    Ok(report)
}

fn inputs<L: Log>(
    log: &L,
    application: &Application,
    beginnings: &Beginnings,
    checkpoints: &Checkpoints,
    report: &mut Report,
) -> Result<Vec<Input>, Error> {
    let mut partitions = application.external_partitions();
    partitions.extend(application.inbox_partitions());
    let committed = scan::committed(log, &application.id, &partitions)?;
    let marks = log.watermarks(&partitions, Isolation::ReadUncommitted)?;
    let mut inputs = Vec::new();
    for ((partition, committed), marks) in partitions.iter().zip(committed).zip(marks) {
        let Some(stage) = application.stage_of(partition) else { continue };
        let Committed::At { next, metadata } = committed else { continue };
        let metadata = metadata_of(application, partition, &metadata)?;
        let (partition, committed) = (partition.clone(), next);
        let input = if stage == 0 {
            let from = metadata.start.unwrap_or(marks.low).max(marks.low);
            Input { stage, partition, from, committed, base: None }
        } else {
            let begun = beginnings.of(&partition);
            let from = begun.max(marks.low);
            let whole = Input { stage, partition, from, committed, base: None };
            base::choose(whole, begun, &metadata, checkpoints, report)?
        };
        inputs.push(input);
    }
    if inputs.is_empty() {
        return Err(Error::CannotKnow(format!(
            "the group {} has committed nothing: has `aplomb run` run with this configuration?",
            application.id
        )));
    }
    Ok(inputs)
}

fn metadata_of(
    application: &Application,
    partition: &TopicPartition,
    text: &str,
) -> Result<Metadata, Error> {
    let metadata = Metadata::parse(text).map_err(Error::CannotKnow)?;
    let ours = application.topology.fold_version;
    if metadata.fold_version != ours {
        return Err(Error::CannotKnow(format!(
            "{partition} was folded by version {} of the handlers, this build has {}: verify with \
             the build that ran",
            metadata.fold_version.0, ours.0
        )));
    }
    Ok(metadata)
}
