//! `aplomb offsets restore`: the group's offsets made what the log says they are.
//!
//! An internal task's offset is the last position record of its changelog. An external partition's
//! is known by the effects it had; see [`super::evidence`]. One that is there and agrees is left
//! alone.

use aplomb_state::ids::{FoldVersion, Generation, NextOffset, Timestamp, TopicPartition};

use super::{
    Entry, Error, OffsetsFile, Operator, changelog_of,
    evidence::{Evidence, Lost, Seen, last_position},
    offsets::all_inputs,
};
use crate::{
    application::Application,
    log::{Committed, Isolation, Log, Watermarks},
    position::{Metadata, PositionRecord},
    scan,
};

/// What becomes of one input partition's offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It agrees with the log.
    Keep,
    /// The task was never opened: it begins at 0 by itself.
    First,
    Set {
        next: NextOffset,
        metadata: Metadata,
        why: &'static str,
    },
}

/// What is to be done, in the order of the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoration {
    pub changes: Vec<(TopicPartition, Committed, Change)>,
}

impl Restoration {
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|(_, _, change)| !matches!(change, Change::Set { .. }))
    }
}

/// Everything that the decision about an internal task rests on.
struct Inner<'a> {
    committed: &'a Committed,
    position: Option<&'a PositionRecord>,
    inbox: Watermarks,
    partitions: i32,
    /// What a file says.
    given: Option<&'a Entry>,
}

/// The same for an external partition.
struct Outer<'a> {
    committed: &'a Committed,
    seen: &'a Seen,
    lost: &'a [Lost],
    marks: Watermarks,
    partitions: i32,
    given: Option<&'a Entry>,
    /// For an offset whose metadata is nowhere to be found.
    generation: Generation,
    fold_version: FoldVersion,
}

enum Problem {
    Refused(String),
    CannotKnow(String),
}

/// Reads the log and decides. Writes nothing.
pub fn plan_restore<L: Log>(
    log: &L,
    application: &Application,
    from: Option<&OffsetsFile>,
    now: Timestamp,
    generation: Generation,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restoration, Error> {
    let inputs = all_inputs(application);
    let committed = scan::committed(log, &application.id, &inputs)?;
    let marks = log.watermarks(&inputs, Isolation::ReadUncommitted)?;
    let evidence = Evidence::gather(log, application, now, progress)?;
    let mut changes = Vec::with_capacity(inputs.len());
    for ((input, committed), marks) in inputs.into_iter().zip(committed).zip(marks) {
        let given = from.and_then(|file| file.of(&input));
        let decided = match changelog_of(application, &input) {
            Some(changelog) => {
                let position = last_position(log, &changelog)?;
                inner(&Inner {
                    committed: &committed,
                    position: position.as_ref(),
                    inbox: marks,
                    partitions: application.inbox_partitions,
                    given,
                })
            }
            None => outer(&Outer {
                committed: &committed,
                seen: &evidence.of(&input),
                lost: &evidence.lost,
                marks,
                partitions: application.source_of(&input).map_or(1, |source| source.partitions),
                given,
                generation,
                fold_version: application.topology.fold_version,
            }),
        };
        let change = decided.map_err(|problem| match problem {
            Problem::Refused(why) => Error::Refused(format!("{input}: {why}")),
            Problem::CannotKnow(why) => Error::CannotKnow(format!("{input}: {why}")),
        })?;
        changes.push((input, committed, change));
    }
    Ok(Restoration { changes })
}

/// Writes it in one transaction.
pub fn restore<L: Log>(
    operator: &mut Operator<'_, L>,
    restoration: &Restoration,
) -> Result<(), Error> {
    let set = |(input, _, change): &(TopicPartition, Committed, Change)| match change {
        Change::Set { next, metadata, .. } => Some((input.clone(), *next, metadata.to_string())),
        Change::Keep | Change::First => None,
    };
    let offsets: Vec<_> = restoration.changes.iter().filter_map(set).collect();
    if offsets.is_empty() {
        return Ok(());
    }
    operator.write(&[], &offsets)
}

const RESET: &str = "only `aplomb reset`, which begins anew, helps";
const FROM_FILE: &str = "Write where to go on into a file, {\"application\": …, \"offsets\": [{\"topic\": …, \
     \"partition\": …, \"offset\": …}]}, and give it with --from; or begin anew with `aplomb reset`";

fn inner(facts: &Inner<'_>) -> Result<Change, Problem> {
    let present = present(facts.committed)?;
    let Watermarks { low, high } = facts.inbox;
    let Some(position) = facts.position else {
        if present.is_none() && low == NextOffset(0) {
            return Ok(Change::First);
        }
        return Err(Problem::Refused(format!(
            "its changelog holds no position: it was re-created or lost records; {RESET}"
        )));
    };
    let next = position.inbox;
    if next < low || next > high {
        return Err(Problem::Refused(format!(
            "its changelog says that {next} comes next, but the inbox holds {low} to {high}; {RESET}"
        )));
    }
    if let Some(given) = facts.given.filter(|given| given.offset != next.0) {
        return Err(Problem::Refused(format!(
            "the file says {}, its changelog says {next}, which is right; take the line out",
            given.offset
        )));
    }
    if let Some((committed, metadata)) = &present {
        if metadata.partitions != facts.partitions {
            return Err(Problem::Refused(format!(
                "the inbox had {} partitions when this generation began; set topics.partitions back",
                metadata.partitions
            )));
        }
        if *committed == next && metadata.generation == position.generation {
            return Ok(Change::Keep);
        }
    }
    // A changelog begins at 0: it is compacted, and made anew by a reset.
    let start = present.and_then(|(_, metadata)| metadata.start).unwrap_or_default();
    let metadata = Metadata {
        generation: position.generation,
        fold_version: position.fold_version,
        partitions: facts.partitions,
        start: Some(start),
    };
    Ok(Change::Set { next, metadata, why: "the last position in its changelog" })
}

fn outer(facts: &Outer<'_>) -> Result<Change, Problem> {
    let present = present(facts.committed)?;
    let at_least = facts.seen.at_least();
    if let Some((committed, metadata)) = &present
        && at_least.is_none_or(|least| *committed >= least)
    {
        return agreeing(facts, *committed, metadata, at_least);
    }
    if let Some(given) = facts.given {
        return from_file(facts, given, at_least);
    }
    let help = FROM_FILE;
    let Some(next) = at_least else {
        if facts.marks.high == NextOffset(0) {
            let metadata = made_up(facts, NextOffset(0));
            return Ok(Change::Set { next: NextOffset(0), metadata, why: "it is empty" });
        }
        return Err(Problem::CannotKnow(format!(
            "nothing in the log says how far it was read. {help}"
        )));
    };
    if let Err(place) = facts.seen.is_exact(facts.lost) {
        return Err(Problem::CannotKnow(format!(
            "it was read to {next} at least, but {place} has lost records that may say more. {help}"
        )));
    }
    if next > facts.marks.high {
        return Err(Problem::Refused(format!(
            "it was read to {next}, but ends at {}: it was re-created; {RESET}",
            facts.marks.high
        )));
    }
    let noted = facts.seen.note.as_ref().map(|(_, metadata)| metadata.clone());
    let start = facts.seen.start().unwrap_or(next);
    let metadata = noted.unwrap_or_else(|| made_up(facts, start));
    Ok(Change::Set { next, metadata, why: "what it caused" })
}

/// What is committed does not contradict the log; but the topic may hold it no more.
fn agreeing(
    facts: &Outer<'_>,
    committed: NextOffset,
    metadata: &Metadata,
    at_least: Option<NextOffset>,
) -> Result<Change, Problem> {
    let Watermarks { low, high } = facts.marks;
    if committed > high {
        return Err(Problem::Refused(format!(
            "{committed} comes next, but it ends at {high}: it was re-created; {RESET}"
        )));
    }
    if committed >= low {
        return Ok(Change::Keep);
    }
    // Which records are passed over is for a person to say.
    let Some(given) = facts.given else {
        return Err(Problem::Refused(format!(
            "{committed} comes next, but it begins at {low}: records were deleted unread. {FROM_FILE}"
        )));
    };
    match from_file(facts, given, at_least)? {
        Change::Set { next, why, .. } => Ok(Change::Set { next, metadata: metadata.clone(), why }),
        other => Ok(other),
    }
}

fn from_file(
    facts: &Outer<'_>,
    given: &Entry,
    at_least: Option<NextOffset>,
) -> Result<Change, Problem> {
    let next = NextOffset(given.offset);
    if let Some(least) = at_least.filter(|least| *least > next) {
        return Err(Problem::Refused(format!(
            "the file says {next}, but what lies before {least} was handled already: its effects \
             would be there twice"
        )));
    }
    let Watermarks { low, high } = facts.marks;
    if next < low || next > high {
        return Err(Problem::Refused(format!(
            "the file says {next}, but the topic holds {low} to {high}"
        )));
    }
    let metadata = match given.metadata.as_deref().map(Metadata::parse) {
        Some(Ok(metadata)) => metadata,
        Some(Err(reason)) => return Err(Problem::Refused(format!("in the file, {reason}"))),
        None => made_up(facts, facts.seen.start().unwrap_or(next)),
    };
    Ok(Change::Set { next, metadata, why: "the file" })
}

fn made_up(facts: &Outer<'_>, start: NextOffset) -> Metadata {
    Metadata {
        generation: facts.generation,
        fold_version: facts.fold_version,
        partitions: facts.partitions,
        start: Some(start),
    }
}

/// What is committed, if it is ours.
fn present(committed: &Committed) -> Result<Option<(NextOffset, Metadata)>, Problem> {
    match committed {
        Committed::At { next, metadata } => Metadata::parse(metadata)
            .map(|metadata| Some((*next, metadata)))
            .map_err(Problem::Refused),
        Committed::None => Ok(None),
        Committed::Unstable => Err(Problem::CannotKnow("a transaction holds its offset".into())),
    }
}

#[cfg(test)]
mod test;
