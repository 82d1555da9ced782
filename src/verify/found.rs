//! What stands in the topics, by cause.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use aplomb_state::{
    ids::{Offset, TopicPartition},
    topology::Cleanup,
};

use super::{Error, Input, Report};
use crate::{
    application::Application,
    generation::Beginnings,
    log::{Committed, Fetched, Isolation, Log},
    names,
    position::Note,
    scan::{self, Next},
    worker::ticks::OWN_CAUSE,
};

/// Which input caused a record, which of its effects it is, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Place in the list of inputs.
    pub input: u32,
    pub offset: Offset,
    pub effect: u32,
    /// Place in the list of destinations.
    pub destination: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub content: u64,
    pub offset: Offset,
}

/// A partition that records are written to.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub partition: TopicPartition,
    pub compacted: bool,
    /// Its first records of this generation are gone.
    pub trimmed: bool,
}

#[derive(Default)]
pub(super) struct Found {
    pub records: HashMap<Key, Vec<Standing>>,
    pub destinations: Vec<Destination>,
    pub places: HashMap<TopicPartition, u32>,
    /// By cause prefix: `stage/topic/partition`.
    pub inputs: HashMap<String, u32>,
    /// The first cause of each input that stands in each destination, with its effect, or that a
    /// note there stands before. Effects of an input partition stand in the order of their causes.
    first: HashMap<(u32, u32), (Offset, u32)>,
    /// Records caused by inputs that were not committed when the offsets were fixed.
    later: Vec<Later>,
}

/// Its input must be committed by the time the record can be read: they are one transaction.
struct Later {
    input: u32,
    offset: Offset,
    cause: String,
    place: String,
}

impl Found {
    pub(super) fn read<L: Log>(
        log: &L,
        application: &Application,
        inputs: &[Input],
        beginnings: &Beginnings,
        report: &mut Report,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        for (input, place) in inputs.iter().zip(0u32..) {
            let stage = application.stage(input.stage).map_or("", |stage| stage.definition.name);
            let prefix = format!("{stage}/{}", input.partition);
            found.inputs.insert(prefix, place);
        }
        let destinations = destinations(application);
        let partitions: Vec<_> =
            destinations.iter().map(|(partition, _)| partition.clone()).collect();
        let marks = log.watermarks(&partitions, Isolation::ReadCommitted)?;
        for (((partition, compacted), marks), place) in
            destinations.into_iter().zip(marks).zip(0u32..)
        {
            let begun = beginnings.of(&partition);
            let trimmed = marks.low > begun && !compacted;
            found.places.insert(partition.clone(), place);
            found.destinations.push(Destination {
                partition: partition.clone(),
                compacted,
                trimmed,
            });
            scan::range(log, &partition, marks.low, marks.high, &mut |record| {
                if record.offset.0 < begun.0 {
                    report.earlier += 1;
                } else {
                    found.take(inputs, place, record, report);
                }
                Next::On
            })?;
        }
        found.judge_later(log, application, inputs, report)?;
        Ok(found)
    }

    fn take(
        &mut self,
        inputs: &[Input],
        destination: u32,
        record: &Fetched<'_>,
        report: &mut Report,
    ) {
        let mut cause = None;
        record.headers.each(&mut |name, value| {
            let text = || value.and_then(|value| std::str::from_utf8(value).ok());
            if name == names::CAUSE_HEADER.as_bytes() {
                cause = text().map(str::to_owned);
            } else if name == names::NOTE_HEADER.as_bytes()
                && let Some(note) = text().and_then(Note::parse)
            {
                self.noted(inputs, destination, &note);
            }
        });
        let place = || format!("{} offset {}", self.place(destination), record.offset);
        let Some(cause) = cause else {
            report.add(super::Kind::Unexpected, "(none)".to_owned(), place());
            return;
        };
        if cause == OWN_CAUSE {
            return;
        }
        let Some((input, offset, effect)) = self.parse(&cause) else {
            report.add(super::Kind::Unexpected, cause, place());
            return;
        };
        let Some(known) = inputs.get(usize::try_from(input).unwrap_or(usize::MAX)) else { return };
        if offset.next() > known.committed {
            let place = place();
            self.later.push(Later { input, offset, cause, place });
            return;
        }
        self.first.entry((input, destination)).or_insert((offset, effect));
        if offset.0 < known.from.0 {
            report.not_judged += 1;
            return;
        }
        let standing = Standing { content: content_of(record), offset: record.offset };
        let key = Key { input, offset, effect, destination };
        self.records.entry(key).or_default().push(standing);
    }

    /// The offsets are read once more: what they do not cover now was written without them.
    fn judge_later<L: Log>(
        &mut self,
        log: &L,
        application: &Application,
        inputs: &[Input],
        report: &mut Report,
    ) -> Result<(), Error> {
        if self.later.is_empty() {
            return Ok(());
        }
        let partitions: Vec<_> = inputs.iter().map(|input| input.partition.clone()).collect();
        let committed = scan::committed(log, &application.id, &partitions)?;
        for later in std::mem::take(&mut self.later) {
            let index = usize::try_from(later.input).unwrap_or(usize::MAX);
            let covered = matches!(
                committed.get(index),
                Some(Committed::At { next, .. }) if later.offset.next() <= *next
            );
            if !covered {
                report.add(super::Kind::Unexpected, later.cause, later.place);
            }
        }
        Ok(())
    }

    /// Of a destination whose first records are gone: whether this one may have been among them.
    pub(super) fn may_be_trimmed(&self, key: &Key) -> bool {
        let first = self.first.get(&(key.input, key.destination));
        first.is_none_or(|first| (key.offset, key.effect) < *first)
    }

    /// Effects of what came after it stand behind the note.
    fn noted(&mut self, inputs: &[Input], destination: u32, note: &Note) {
        let is_it = |(input, _): &(&Input, u32)| input.partition == note.partition;
        if let Some((_, input)) = inputs.iter().zip(0u32..).find(is_it) {
            self.first.entry((input, destination)).or_insert((Offset(note.next.0), 0));
        }
    }

    fn parse(&self, cause: &str) -> Option<(u32, Offset, u32)> {
        let (rest, effect) = cause.rsplit_once('/')?;
        let (prefix, offset) = rest.rsplit_once('/')?;
        let input = *self.inputs.get(prefix)?;
        Some((input, Offset(offset.parse().ok()?), effect.parse().ok()?))
    }

    pub(super) fn place(&self, destination: u32) -> String {
        let index = usize::try_from(destination).unwrap_or(usize::MAX);
        self.destinations.get(index).map_or_else(String::new, |d| d.partition.to_string())
    }

    /// The cause as the header has it.
    pub(super) fn cause(&self, key: &Key) -> String {
        let prefix = self.inputs.iter().find(|(_, input)| **input == key.input);
        let prefix = prefix.map_or("?", |(prefix, _)| prefix.as_str());
        format!("{prefix}/{}/{}", key.offset, key.effect)
    }
}

/// Every partition that handlers write to, and whether its topic is compacted.
fn destinations(application: &Application) -> Vec<(TopicPartition, bool)> {
    let mut all = Vec::new();
    for (definition, output) in application.topology.outputs.iter().zip(&application.outputs) {
        let compacted = !matches!(definition.cleanup, Cleanup::Delete { .. });
        let partitions = 0..output.partitions;
        all.extend(partitions.map(|partition| {
            (TopicPartition { topic: Arc::clone(&output.topic), partition }, compacted)
        }));
    }
    all.extend(application.inbox_partitions().into_iter().map(|inbox| (inbox, false)));
    all
}

/// Everything of a record but its place and its time, which is the broker's.
fn content_of(record: &Fetched<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.key.unwrap_or_default().hash(&mut hasher);
    record.value.hash(&mut hasher);
    record.headers.each(&mut |name, value| {
        if name != names::CAUSE_HEADER.as_bytes() {
            name.hash(&mut hasher);
            value.hash(&mut hasher);
        }
    });
    hasher.finish()
}

/// As [`content_of`], for a record that should stand somewhere.
pub(super) fn content_of_effect(effect: &aplomb_state::effect::Effect) -> u64 {
    let mut hasher = DefaultHasher::new();
    effect.key.as_slice().hash(&mut hasher);
    effect.value.as_deref().hash(&mut hasher);
    for (name, value) in effect.headers.iter() {
        name.as_bytes().hash(&mut hasher);
        Some(value).hash(&mut hasher);
    }
    hasher.finish()
}
