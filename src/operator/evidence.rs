//! What the log itself says about how far its inputs were handled.
//!
//! An internal task's position record is written in the transaction that commits its offset, so
//! the last one in the changelog *is* that offset.
//!
//! An external partition has no such record. But every effect names the input that caused it, so
//! everything up to the greatest cause was handled; and what lies behind it, if it was handled, had
//! no effect: the external stage has no state, so handling it once more has none either. Effects
//! are deleted in time, though. A note beside the ticks of an inbox says how far its partition was
//! handled: it covers what was deleted before it.

use std::collections::{BTreeMap, BTreeSet};

use aplomb_state::{
    ids::{NextOffset, Offset, Timestamp, TopicPartition},
    topology::Cleanup,
};

use super::Error;
use crate::{
    application::Application,
    changelog::{self, Entry},
    generation::Beginnings,
    log::{Fetched, Isolation, Log, Watermarks},
    names,
    position::{Metadata, Note, PositionRecord},
    scan::{self, Next},
};

/// Append times of different brokers may differ by so much.
const CLOCKS_DIFFER_MS: i64 = 60_000;
/// How much of a changelog's end is looked at first. A transaction ends with position records.
const TAIL_RECORDS: i64 = 10_000;

/// The last position record of a task. `None`: there is none.
pub(super) fn last_position(
    log: &impl Log,
    changelog: &TopicPartition,
) -> Result<Option<PositionRecord>, Error> {
    let marks = log.watermarks(std::slice::from_ref(changelog), Isolation::ReadCommitted)?;
    let Some(Watermarks { low, high }) = marks.first().copied() else { return Ok(None) };
    let mut tail = TAIL_RECORDS;
    loop {
        let from = low.max(NextOffset(high.0.saturating_sub(tail)));
        let mut last = None;
        let mut unknown = None;
        scan::range(log, changelog, from, high, &mut |record| {
            match changelog::read_record(record.key.unwrap_or_default(), record.value) {
                Ok(Entry::Position(position)) => last = Some(position),
                Ok(_) => {}
                Err(reason) => unknown = Some(reason),
            }
            Next::On
        })?;
        if let Some(reason) = unknown {
            return Err(Error::CannotKnow(format!("{changelog}: {reason}")));
        }
        if last.is_some() || from == low {
            return Ok(last);
        }
        tail = tail.saturating_mul(16);
    }
}

/// What is known of one external partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The least and the greatest input that caused something.
    pub causes: Option<(Offset, Offset)>,
    /// The note that says most, and when the last one was written.
    pub note: Option<(NextOffset, Metadata)>,
    pub noted_at: Option<Timestamp>,
    /// The inbox partitions that hold a note.
    pub noted_in: BTreeSet<TopicPartition>,
}

/// A partition with effects of the external stage whose first records are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub partition: TopicPartition,
    /// What is gone was written before this. `None`: only a note in the partition itself tells.
    pub before: Option<Timestamp>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub seen: BTreeMap<TopicPartition, Seen>,
    pub lost: Vec<Lost>,
}

impl Seen {
    /// Everything before this was handled.
    pub fn at_least(&self) -> Option<NextOffset> {
        let cause = self.causes.map(|(_, last)| last.next());
        let note = self.note.as_ref().map(|(next, _)| *next);
        cause.max(note)
    }

    /// Whether nothing behind [`Seen::at_least`] had an effect. `Err` names where one may have
    /// been.
    pub fn is_exact(&self, lost: &[Lost]) -> Result<(), TopicPartition> {
        let covered = |lost: &&Lost| match lost.before {
            None => self.noted_in.contains(&lost.partition),
            Some(before) => self.noted_at.is_some_and(|at| at >= before.plus_ms(CLOCKS_DIFFER_MS)),
        };
        match lost.iter().find(|lost| !covered(lost)) {
            Some(lost) => Err(lost.partition.clone()),
            None => Ok(()),
        }
    }

    /// Where the application began to read it.
    pub fn start(&self) -> Option<NextOffset> {
        let noted = self.note.as_ref().and_then(|(_, metadata)| metadata.start);
        noted.or(self.causes.map(|(first, _)| NextOffset(first.0)))
    }

    fn caused(&mut self, by: Offset) {
        let (first, last) = self.causes.unwrap_or((by, by));
        self.causes = Some((first.min(by), last.max(by)));
    }

    fn noted(&mut self, note: Note, place: &TopicPartition, at: Timestamp) {
        if self.note.as_ref().is_none_or(|(next, _)| *next <= note.next) {
            self.note = Some((note.next, note.metadata));
        }
        self.noted_at = self.noted_at.max(Some(at));
        self.noted_in.insert(place.clone());
    }
}

/// A partition that the external stage writes to.
struct Place {
    partition: TopicPartition,
    kind: PlaceKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PlaceKind {
    Inbox,
    /// Records go after so long.
    Output {
        retention_ms: i64,
    },
    /// Records may go at any time.
    Compacted,
}

impl Evidence {
    /// Reads every inbox and every output of the external stage. `progress` is told (done, of).
    pub fn gather<L: Log>(
        log: &L,
        application: &Application,
        now: Timestamp,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        let beginnings = Beginnings::read(log, application)?;
        let places = places(application);
        let partitions: Vec<_> = places.iter().map(|place| place.partition.clone()).collect();
        let marks = log.watermarks(&partitions, Isolation::ReadCommitted)?;
        let length = |marks: &Watermarks| u64::try_from(marks.high.0 - marks.low.0).unwrap_or(0);
        let total = marks.iter().map(length).sum();
        let mut evidence = Self::default();
        let mut done = 0;
        for (place, marks) in places.iter().zip(&marks) {
            let begun = beginnings.of(&place.partition);
            let from = marks.low.max(begun);
            let first_at = evidence.read(log, application, place, from, marks.high)?;
            evidence.note_lost(place, *marks, begun, first_at, now);
            done += length(marks);
            progress(done, total);
        }
        Ok(evidence)
    }

    pub fn of(&self, partition: &TopicPartition) -> Seen {
        self.seen.get(partition).cloned().unwrap_or_default()
    }

    /// Answers when the first record was written.
    fn read<L: Log>(
        &mut self,
        log: &L,
        application: &Application,
        place: &Place,
        from: NextOffset,
        to: NextOffset,
    ) -> Result<Option<Timestamp>, Error> {
        let stage = application.stage(0).map_or("", |stage| stage.definition.name);
        let mut first_at = None;
        scan::range(log, &place.partition, from, to, &mut |record| {
            first_at.get_or_insert(record.timestamp);
            self.take(application, stage, place, record);
            Next::On
        })?;
        Ok(first_at)
    }

    fn take(
        &mut self,
        application: &Application,
        stage: &str,
        place: &Place,
        record: &Fetched<'_>,
    ) {
        record.headers.each(&mut |name, value| {
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            let Some(text) = text else { return };
            if name == names::CAUSE_HEADER.as_bytes() {
                if let Some((partition, offset)) = cause(text, stage)
                    && application.source_of(&partition).is_some()
                {
                    self.seen.entry(partition).or_default().caused(offset);
                }
            } else if name == names::NOTE_HEADER.as_bytes()
                && place.kind == PlaceKind::Inbox
                && let Some(note) = Note::parse(text)
            {
                let seen = self.seen.entry(note.partition.clone()).or_default();
                seen.noted(note, &place.partition, record.timestamp);
            }
        });
    }

    fn note_lost(
        &mut self,
        place: &Place,
        marks: Watermarks,
        begun: NextOffset,
        first_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        let before = match place.kind {
            PlaceKind::Compacted => Some(now),
            _ if marks.low <= begun => return,
            PlaceKind::Inbox => None,
            PlaceKind::Output { retention_ms } => {
                Some(first_at.unwrap_or(now.minus_ms(retention_ms)))
            }
        };
        self.lost.push(Lost { partition: place.partition.clone(), before });
    }
}

/// The external input behind a cause header, `stage/topic/partition/offset/n`.
fn cause(text: &str, stage: &str) -> Option<(TopicPartition, Offset)> {
    let rest = text.strip_prefix(stage)?.strip_prefix('/')?;
    let (rest, _effect) = rest.rsplit_once('/')?;
    let (rest, offset) = rest.rsplit_once('/')?;
    let (topic, partition) = rest.rsplit_once('/')?;
    let partition = TopicPartition::new(topic, partition.parse().ok()?);
    Some((partition, Offset(offset.parse().ok()?)))
}

fn places(application: &Application) -> Vec<Place> {
    let inboxes = application.inbox_partitions().into_iter();
    let mut places: Vec<Place> =
        inboxes.map(|partition| Place { partition, kind: PlaceKind::Inbox }).collect();
    let definition = application.stage(0).map(|stage| &stage.definition);
    let written = definition.map(|definition| definition.outputs.clone()).unwrap_or_default();
    for (definition, output) in application.topology.outputs.iter().zip(&application.outputs) {
        if !written.contains(&definition.topic) {
            continue;
        }
        let kind = match definition.cleanup {
            Cleanup::Delete { retention_ms } => PlaceKind::Output { retention_ms },
            Cleanup::Compact | Cleanup::CompactAndDelete { .. } => PlaceKind::Compacted,
        };
        places.extend((0..output.partitions).map(|partition| Place {
            partition: TopicPartition { topic: output.topic.clone(), partition },
            kind,
        }));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_the_external_stage_are_told_from_others() {
        let rows = [
            ("split/lines/1/42/0", Some(("lines", 1, 42))),
            ("split/a.b-c/0/7/12", Some(("a.b-c", 0, 7))),
            ("counts/words.inbox.counts/1/42/0", None),
            ("splitter/lines/1/42/0", None),
            ("split/lines/1/42", None),
            ("~", None),
        ];
        for (text, expected) in rows {
            let expected = expected.map(|(topic, partition, offset)| {
                (TopicPartition::new(topic, partition), Offset(offset))
            });
            assert_eq!(cause(text, "split"), expected, "{text}");
        }
    }

    #[test]
    fn what_was_deleted_must_be_covered_by_a_note() {
        let inbox = TopicPartition::new("inbox", 0);
        let output = TopicPartition::new("dead", 0);
        let minute = |n: i64| Timestamp(n * CLOCKS_DIFFER_MS);
        let noted = |inboxes: &[&TopicPartition], at: Option<Timestamp>| Seen {
            noted_at: at,
            noted_in: inboxes.iter().map(|one| (*one).clone()).collect(),
            ..Seen::default()
        };
        let trimmed = || Lost { partition: inbox.clone(), before: None };
        let expired = |at| Lost { partition: output.clone(), before: Some(at) };
        // what is known, what is gone, where an effect may have been
        let rows = [
            (noted(&[], None), vec![], None),
            (noted(&[], None), vec![trimmed()], Some(&inbox)),
            (noted(&[&output], Some(minute(9))), vec![trimmed()], Some(&inbox)),
            (noted(&[&inbox], Some(minute(9))), vec![trimmed()], None),
            (noted(&[], None), vec![expired(minute(1))], Some(&output)),
            (noted(&[&inbox], Some(minute(2))), vec![expired(minute(1))], None),
            (noted(&[&inbox], Some(minute(1))), vec![expired(minute(1))], Some(&output)),
            (noted(&[&inbox], Some(minute(2))), vec![trimmed(), expired(minute(3))], Some(&output)),
        ];
        for (seen, lost, expected) in rows {
            assert_eq!(seen.is_exact(&lost).err().as_ref(), expected, "{seen:?} {lost:?}");
        }
    }
}
