//! `aplomb reset`: a new generation of an application, from inputs of one's choice.
//!
//! The steps, each of which may be the last one of a process that dies:
//!
//! 1. Every offset is committed with a mark on which no task opens.
//! 2. The changelogs are deleted and made anew. Inboxes stay: their offsets name causes, and none
//!    is given twice.
//! 3. One transaction writes, for each internal task, where its generation begins and its first
//!    position, which is the inbox's end; and commits that with the new generation, and the chosen
//!    offsets of the inputs.
//! 4. The inboxes' old records are deleted.
//!
//! A store of an earlier generation, on whatever disk, is rebuilt from the new changelog. Outputs
//! are kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aplomb_state::ids::{Generation, NextOffset, Timestamp, TopicPartition};

use super::{
    ChangelogRecord, Error, Offset, OffsetsFile, Operator, changelog_of, offsets::all_inputs,
};
use crate::{
    application::{Application, Start},
    changelog,
    log::{Committed, Isolation, Log, TopicDescription},
    position::{GenerationRecord, Metadata, PositionRecord, RESETTING},
    scan, topics,
};

/// A deleted topic is gone everywhere within so long.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Where the inputs are to be read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inputs {
    At(Start),
    /// Every external partition must be in it.
    File(OffsetsFile),
}

/// What is being done, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Mark,
    Changelogs,
    Begin,
    Inboxes,
}

/// A reset that was thought through and not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    pub generation: Generation,
    /// Each external partition, where its offset is, and where it will be.
    pub inputs: Vec<(TopicPartition, Committed, NextOffset)>,
    pub inboxes: Vec<TopicPartition>,
    /// As they will be made.
    pub changelogs: Vec<TopicDescription>,
}

impl Reset {
    /// `plan` describes the application's topics; those that are there must be as it says.
    pub fn plan<L: Log>(
        log: &L,
        application: &Application,
        plan: &[TopicDescription],
        inputs: &Inputs,
        generation: Generation,
    ) -> Result<Self, Error> {
        let external = application.external_partitions();
        let committed = scan::committed(log, &application.id, &external)?;
        let marks = log.watermarks(&external, Isolation::ReadUncommitted)?;
        let starts: Vec<NextOffset> = match inputs {
            Inputs::At(Start::Earliest) => marks.iter().map(|marks| marks.low).collect(),
            Inputs::At(Start::Latest) => marks.iter().map(|marks| marks.high).collect(),
            Inputs::At(Start::At(at)) => log.offsets_at(&external, *at)?,
            Inputs::File(file) => external
                .iter()
                .zip(&marks)
                .map(|(input, marks)| from_file(file, input, marks.low, marks.high))
                .collect::<Result<_, _>>()?,
        };
        let inputs = external.into_iter().zip(committed).zip(starts);
        let is_changelog = |topic: &&TopicDescription| {
            application.stages.iter().any(|stage| stage.changelog.as_ref() == Some(&topic.name))
        };
        let changelogs: Vec<_> = plan.iter().filter(is_changelog).cloned().collect();
        refuse_other_topics(log, plan, &changelogs)?;
        Ok(Self {
            generation,
            inputs: inputs.map(|((input, now), then)| (input, now, then)).collect(),
            inboxes: application.inbox_partitions(),
            changelogs,
        })
    }

    /// Does it. What fails leaves an application that does not run until a reset has ended.
    pub fn carry_out<L: Log>(
        &self,
        operator: &mut Operator<'_, L>,
        progress: &mut dyn FnMut(Step),
    ) -> Result<(), Error> {
        let (log, application) = (operator.log, operator.application);
        progress(Step::Mark);
        operator.write(&[], &marked(log, application)?)?;
        progress(Step::Changelogs);
        self.make_changelogs_anew(log)?;
        progress(Step::Begin);
        let ends = ends(log, &self.inboxes)?;
        let (records, offsets) = self.begin(log, application, &ends)?;
        operator.write(&records, &offsets)?;
        progress(Step::Inboxes);
        let before: Vec<_> = self.inboxes.iter().cloned().zip(ends).collect();
        log.delete_records(&before)?;
        Ok(())
    }

    fn make_changelogs_anew(&self, log: &impl Log) -> Result<(), Error> {
        let names: Vec<Arc<str>> =
            self.changelogs.iter().map(|topic| Arc::clone(&topic.name)).collect();
        let found = log.topics(&names)?;
        let there: Vec<_> = found.into_iter().flatten().map(|topic| topic.name).collect();
        log.delete_topics(&there)?;
        let deadline = Instant::now() + GONE_WITHIN;
        while log.topics(&there)?.iter().any(Option::is_some) {
            if Instant::now() > deadline {
                return Err(Error::Refused(
                    "the changelogs were deleted but are there still; run this again".to_owned(),
                ));
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        log.create_topics(&self.changelogs)?;
        topics::wait_until_there(log, &self.changelogs)?;
        Ok(())
    }

    /// What the one transaction writes.
    fn begin<L: Log>(
        &self,
        log: &L,
        application: &Application,
        ends: &[NextOffset],
    ) -> Result<(Vec<ChangelogRecord>, Vec<Offset>), Error> {
        let metadata = |partitions: i32, start: Option<NextOffset>| Metadata {
            generation: self.generation,
            fold_version: application.topology.fold_version,
            partitions,
            start,
        };
        let mut outputs = output_ends(log, application)?;
        let (mut records, mut offsets) = (Vec::new(), Vec::new());
        for (inbox, end) in self.inboxes.iter().zip(ends) {
            let Some(partition) = changelog_of(application, inbox) else { continue };
            let begun = GenerationRecord {
                generation: self.generation,
                start: *end,
                outputs: std::mem::take(&mut outputs),
            };
            let position = PositionRecord {
                inbox: *end,
                generation: self.generation,
                fold_version: application.topology.fold_version,
            };
            records.push(ChangelogRecord {
                partition: partition.clone(),
                key: changelog::generation_key(),
                value: changelog::generation_value(&begun),
            });
            records.push(ChangelogRecord {
                partition,
                key: changelog::position_key(),
                value: changelog::position_value(&position),
            });
            // Where the new changelog begins.
            let metadata = metadata(application.inbox_partitions, Some(NextOffset(0)));
            offsets.push((inbox.clone(), *end, metadata.to_string()));
        }
        for (input, _, start) in &self.inputs {
            let partitions = application.source_of(input).map_or(1, |source| source.partitions);
            let metadata = metadata(partitions, Some(*start));
            offsets.push((input.clone(), *start, metadata.to_string()));
        }
        Ok((records, offsets))
    }
}

/// Every offset as it is, with the mark; 0 where there is none.
fn marked<L: Log>(log: &L, application: &Application) -> Result<Vec<Offset>, Error> {
    let inputs = all_inputs(application);
    let committed = scan::committed(log, &application.id, &inputs)?;
    let mark = |(input, committed): (TopicPartition, Committed)| {
        let next = match committed {
            Committed::At { next, .. } => next,
            Committed::None | Committed::Unstable => NextOffset(0),
        };
        (input, next, RESETTING.to_owned())
    };
    Ok(inputs.into_iter().zip(committed).map(mark).collect())
}

fn ends<L: Log>(log: &L, partitions: &[TopicPartition]) -> Result<Vec<NextOffset>, Error> {
    let marks = log.watermarks(partitions, Isolation::ReadUncommitted)?;
    Ok(marks.iter().map(|marks| marks.high).collect())
}

/// Where the outputs of the new generation begin.
fn output_ends<L: Log>(
    log: &L,
    application: &Application,
) -> Result<Vec<(TopicPartition, NextOffset)>, Error> {
    let partitions = application.output_partitions();
    let ends = ends(log, &partitions)?;
    Ok(partitions.into_iter().zip(ends).collect())
}

/// A changelog may be missing or wrong: it is made anew. All else must be as planned.
fn refuse_other_topics(
    log: &impl Log,
    plan: &[TopicDescription],
    changelogs: &[TopicDescription],
) -> Result<(), Error> {
    let others: Vec<_> = plan.iter().filter(|topic| !changelogs.contains(topic)).cloned().collect();
    let differences = topics::differences(log, &others, &[])?;
    if differences.is_empty() {
        return Ok(());
    }
    let said: Vec<String> = differences.iter().map(ToString::to_string).collect();
    Err(Error::Refused(format!(
        "the topics are not as the configuration needs them: {}; `aplomb topics check` says what \
         mends it",
        said.join("; ")
    )))
}

fn from_file(
    file: &OffsetsFile,
    input: &TopicPartition,
    low: NextOffset,
    high: NextOffset,
) -> Result<NextOffset, Error> {
    let Some(entry) = file.of(input) else {
        return Err(Error::Refused(format!("the file has no offset of {input}")));
    };
    let next = NextOffset(entry.offset);
    if next < low || next > high {
        return Err(Error::Refused(format!(
            "{input}: the file says {next}, but the topic holds {low} to {high}"
        )));
    }
    Ok(next)
}

/// Parses `earliest`, `latest` or an instant.
pub fn parse_start(text: &str) -> Option<Start> {
    match text {
        "earliest" => Some(Start::Earliest),
        "latest" => Some(Start::Latest),
        time => {
            let instant: jiff::Timestamp = time.parse().ok()?;
            Some(Start::At(Timestamp(instant.as_millisecond())))
        }
    }
}
