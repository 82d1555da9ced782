//! How a task is opened: a pure function of the committed offset, the store and the changelog.
//!
//! Invariants:
//! - `OPEN-ORACLE` the committed offset alone says what happened to a transaction in doubt.
//! - `OPEN-NO-GUESS` where the three do not fit, the task parks; data is never wiped for it.

use aplomb_state::{
    backend::{Rebuild, StorePosition},
    ids::{Generation, NextOffset, Timestamp},
    mutation::{self, Mutation},
};

use crate::{
    log::{Committed, Watermarks},
    position::Metadata,
};

/// What is known when a task is to be opened. Read in this order: committed, store, changelog.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub committed: &'a Committed,
    pub store: Option<&'a StorePosition>,
    /// What the store holds could not be read.
    pub damaged: bool,
    /// Of a rebuild that did not finish.
    pub rebuilding: Option<&'a StorePosition>,
    /// Up to the high watermark, read after the committed offset.
    pub changelog: Watermarks,
    pub changelog_has_position: HasPosition,
    pub inbox_low: NextOffset,
    /// Partitions of the inbox, from the configuration.
    pub partitions: i32,
    pub now: Timestamp,
    /// `delete.retention.ms` of the changelog: an older store may have missed tombstones.
    pub delete_retention_ms: i64,
}

/// Whether any position record stands in the changelog. Only asked where nothing is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HasPosition {
    NotAsked,
    Yes,
    No,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A transaction that has not ended holds the offset.
    Wait,
    /// Nothing is committed and the changelog is not empty: look for a position record.
    Look,
    /// The first life of this task.
    Fresh,
    /// The store is where the log is: ready at once.
    Reuse { next: NextOffset, generation: Generation },
    /// Read the changelog from the store's position up to the position record of `next`.
    ReplayTail { next: NextOffset, generation: Generation, from: NextOffset },
    /// Read the whole changelog beside the old data.
    Rebuild { next: NextOffset, generation: Generation, from: NextOffset, how: Rebuild },
    /// Park, keep the data, and say this.
    Fatal(String),
}

/// What to do. See DESIGN §4 for the table.
pub fn decide(facts: &Facts<'_>) -> Decision {
    match facts.committed {
        Committed::Unstable => Decision::Wait,
        Committed::None => without_offset(facts),
        Committed::At { next, metadata } => match Metadata::parse(metadata) {
            Ok(metadata) => with_offset(facts, *next, &metadata),
            Err(reason) => Decision::Fatal(reason),
        },
    }
}

fn without_offset(facts: &Facts<'_>) -> Decision {
    let changelog_empty = facts.changelog.high <= facts.changelog.low;
    let help = "stop every process of the application and run `aplomb offsets restore`";
    if facts.store.is_some() {
        return Decision::Fatal(format!(
            "no offset is committed, but the state folder holds state of this task; {help}"
        ));
    }
    if facts.inbox_low > NextOffset(0) {
        return Decision::Fatal(format!(
            "no offset is committed, and the inbox begins at {} instead of 0; {help}",
            facts.inbox_low
        ));
    }
    match facts.changelog_has_position {
        _ if changelog_empty => Decision::Fresh,
        HasPosition::NotAsked => Decision::Look,
        HasPosition::No => Decision::Fresh,
        HasPosition::Yes => Decision::Fatal(format!(
            "no offset is committed, but the changelog holds a position of this task; {help}"
        )),
    }
}

fn with_offset(facts: &Facts<'_>, next: NextOffset, metadata: &Metadata) -> Decision {
    if metadata.partitions != facts.partitions {
        return Decision::Fatal(format!(
            "the inbox had {} partitions when this generation began, the configuration says {}; \
             set topics.partitions back to {}",
            metadata.partitions, facts.partitions, metadata.partitions
        ));
    }
    let generation = metadata.generation;
    let usable = |store: &&StorePosition| {
        let is_ours =
            store.generation == generation || mutation::is_on(Mutation::GenerationIgnored);
        is_ours && !facts.damaged
    };
    let Some(store) = facts.store.filter(usable) else {
        return rebuild(facts, next, metadata);
    };
    let is_cut_off = store.changelog > facts.changelog.high;
    if is_cut_off && !mutation::is_on(Mutation::LossOverlooked) {
        return Decision::Fatal(format!(
            "the store has read the changelog up to {}, which now ends at {}: it was deleted or \
             created again. The data is kept; stop every process of the application and run \
             `aplomb reset`, which begins anew",
            store.changelog, facts.changelog.high
        ));
    }
    if store.inbox > next {
        return Decision::Fatal(format!(
            "the store is at {}, ahead of the committed offset {next}; the data is kept. Were the \
             group's offsets set back? Then stop every process of the application and run `aplomb \
             offsets restore`. Does this state folder belong to another cluster? Then give this \
             one its own application.state_dir",
            store.inbox
        ));
    }
    let is_there = store.inbox == next || mutation::is_on(Mutation::ReuseAnyOffset);
    if is_there && !store.restoring {
        return Decision::Reuse { next, generation };
    }
    let from = store.changelog;
    let readable = from >= facts.changelog.low && from <= facts.changelog.high;
    if readable && is_recent(store.current_as_of, facts.now, facts.delete_retention_ms) {
        Decision::ReplayTail { next, generation, from }
    } else {
        rebuild(facts, next, metadata)
    }
}

/// Whether no tombstone can have gone that state of `as_of` needs to hear of. A tenth of the time
/// is for the clocks of the machines, which differ.
pub fn is_recent(as_of: Timestamp, now: Timestamp, delete_retention_ms: i64) -> bool {
    as_of > now.minus_ms(delete_retention_ms - delete_retention_ms / 10)
}

/// What a rebuild would read must be there from the first record of the generation on: compaction
/// never moves the beginning of a changelog, only deletion does.
fn rebuild(facts: &Facts<'_>, next: NextOffset, metadata: &Metadata) -> Decision {
    let (low, generation) = (facts.changelog.low, metadata.generation);
    let has_lost = |start: &NextOffset| low > *start && !mutation::is_on(Mutation::LossOverlooked);
    if let Some(start) = metadata.start.filter(has_lost) {
        return Decision::Fatal(format!(
            "the state must be rebuilt, but the changelog begins at {low} instead of {start}: \
             records were deleted. Stop every process of the application and run `aplomb reset`, \
             which begins anew"
        ));
    }
    let begun = facts.rebuilding.filter(|begun| {
        begun.generation == generation
            && !facts.damaged
            && begun.changelog >= low
            && begun.changelog <= facts.changelog.high
            && is_recent(begun.current_as_of, facts.now, facts.delete_retention_ms)
    });
    match begun {
        Some(begun) => {
            Decision::Rebuild { next, generation, from: begun.changelog, how: Rebuild::Resume }
        }
        None => Decision::Rebuild { next, generation, from: low, how: Rebuild::Fresh },
    }
}

#[cfg(test)]
mod tests {
    use aplomb_state::ids::FoldVersion;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const RETENTION_MS: i64 = 1_000;

    fn committed(next: i64, generation: u64, partitions: i32) -> Committed {
        let metadata = Metadata {
            generation: Generation(generation),
            fold_version: FoldVersion(1),
            partitions,
            start: None,
        };
        Committed::At { next: NextOffset(next), metadata: metadata.to_string() }
    }

    /// As [`committed`], with the changelog's beginning when the generation began.
    fn born_at(start: i64, next: i64, generation: u64) -> Committed {
        let metadata = Metadata {
            generation: Generation(generation),
            fold_version: FoldVersion(1),
            partitions: 8,
            start: Some(NextOffset(start)),
        };
        Committed::At { next: NextOffset(next), metadata: metadata.to_string() }
    }

    fn store(generation: u64, inbox: i64, changelog: i64) -> StorePosition {
        StorePosition {
            generation: Generation(generation),
            inbox: NextOffset(inbox),
            changelog: NextOffset(changelog),
            fold_version: FoldVersion(1),
            restoring: false,
            current_as_of: NOW,
        }
    }

    fn kind(decision: &Decision) -> &'static str {
        match decision {
            Decision::Wait => "wait",
            Decision::Look => "look",
            Decision::Fresh => "fresh",
            Decision::Reuse { .. } => "reuse",
            Decision::ReplayTail { .. } => "tail",
            Decision::Rebuild { how: Rebuild::Fresh, .. } => "rebuild",
            Decision::Rebuild { how: Rebuild::Resume, .. } => "resume",
            Decision::Fatal(_) => "fatal",
        }
    }

    #[test]
    fn the_table() {
        use HasPosition::{No, NotAsked, Yes};
        let nine = committed(9, 7, 8);
        let born = born_at(2, 9, 7);
        let restoring = StorePosition { restoring: true, ..store(7, 5, 3) };
        let restoring_at = StorePosition { restoring: true, ..store(7, 9, 3) };
        let old = StorePosition { current_as_of: Timestamp(0), ..store(7, 5, 3) };
        let (none, unstable) = (Committed::None, Committed::Unstable);
        // committed, store, rebuilding, changelog low..high, position?, inbox low, expected
        type Row<'a> = (
            &'a Committed,
            Option<StorePosition>,
            Option<StorePosition>,
            (i64, i64),
            HasPosition,
            i64,
            &'static str,
        );
        let rows: Vec<Row<'_>> = vec![
            (&unstable, None, None, (0, 0), NotAsked, 0, "wait"),
            (&unstable, Some(store(7, 9, 9)), None, (0, 9), NotAsked, 0, "wait"),
            (&none, None, None, (0, 0), NotAsked, 0, "fresh"),
            (&none, None, None, (0, 4), NotAsked, 0, "look"),
            (&none, None, None, (0, 4), No, 0, "fresh"),
            (&none, None, None, (0, 4), Yes, 0, "fatal"),
            (&none, None, None, (0, 0), NotAsked, 3, "fatal"),
            (&none, Some(store(7, 0, 0)), None, (0, 0), NotAsked, 0, "fatal"),
            (&nine, Some(store(7, 9, 20)), None, (0, 20), NotAsked, 0, "reuse"),
            (&nine, Some(store(7, 9, 20)), None, (30, 40), NotAsked, 0, "reuse"),
            (&nine, Some(store(7, 5, 3)), None, (0, 20), NotAsked, 0, "tail"),
            (&nine, Some(restoring), None, (0, 20), NotAsked, 0, "tail"),
            (&nine, Some(restoring_at), None, (0, 20), NotAsked, 0, "tail"),
            (&nine, Some(old), None, (0, 20), NotAsked, 0, "rebuild"),
            (&nine, Some(store(7, 5, 3)), None, (4, 20), NotAsked, 0, "rebuild"),
            (&nine, Some(store(7, 5, 21)), None, (0, 20), NotAsked, 0, "fatal"),
            (&nine, Some(store(7, 9, 21)), None, (0, 20), NotAsked, 0, "fatal"),
            (&born, Some(store(7, 5, 3)), None, (2, 20), NotAsked, 0, "tail"),
            (&born, Some(store(7, 5, 3)), None, (4, 20), NotAsked, 0, "fatal"),
            (&born, None, None, (2, 20), NotAsked, 0, "rebuild"),
            (&born, None, None, (3, 20), NotAsked, 0, "fatal"),
            (&nine, Some(store(6, 9, 20)), None, (0, 20), NotAsked, 0, "rebuild"),
            (&nine, None, None, (0, 20), NotAsked, 0, "rebuild"),
            (&nine, None, Some(store(7, 0, 5)), (0, 20), NotAsked, 0, "resume"),
            (&nine, None, Some(store(6, 0, 5)), (0, 20), NotAsked, 0, "rebuild"),
            (&nine, None, Some(store(7, 0, 5)), (6, 20), NotAsked, 0, "rebuild"),
            (&nine, Some(store(7, 10, 20)), None, (0, 20), NotAsked, 0, "fatal"),
        ];
        for (number, row) in rows.into_iter().enumerate() {
            let (committed, store, rebuilding, changelog, position, inbox_low, expected) = row;
            let facts = Facts {
                committed,
                store: store.as_ref(),
                damaged: false,
                rebuilding: rebuilding.as_ref(),
                changelog: Watermarks {
                    low: NextOffset(changelog.0),
                    high: NextOffset(changelog.1),
                },
                changelog_has_position: position,
                inbox_low: NextOffset(inbox_low),
                partitions: 8,
                now: NOW,
                delete_retention_ms: RETENTION_MS,
            };
            assert_eq!(kind(&decide(&facts)), expected, "row {number}: {facts:?}");
        }
    }

    #[test]
    fn damaged_data_is_rebuilt_from_the_start() {
        let committed = committed(9, 7, 8);
        let whole = store(7, 9, 3);
        let facts = Facts {
            committed: &committed,
            store: Some(&whole),
            damaged: true,
            rebuilding: Some(&whole),
            changelog: Watermarks { low: NextOffset(2), high: NextOffset(20) },
            changelog_has_position: HasPosition::NotAsked,
            inbox_low: NextOffset(0),
            partitions: 8,
            now: NOW,
            delete_retention_ms: RETENTION_MS,
        };
        let from_low = Decision::Rebuild {
            next: NextOffset(9),
            generation: Generation(7),
            from: NextOffset(2),
            how: Rebuild::Fresh,
        };
        assert_eq!(decide(&facts), from_low);
    }

    #[test]
    fn another_partition_count_or_foreign_metadata_is_fatal() {
        let foreign = Committed::At { next: NextOffset(1), metadata: String::new() };
        for committed in [&committed(9, 7, 4), &foreign] {
            let facts = Facts {
                committed,
                store: None,
                damaged: false,
                rebuilding: None,
                changelog: Watermarks { low: NextOffset(0), high: NextOffset(1) },
                changelog_has_position: HasPosition::NotAsked,
                inbox_low: NextOffset(0),
                partitions: 8,
                now: NOW,
                delete_retention_ms: RETENTION_MS,
            };
            assert!(matches!(decide(&facts), Decision::Fatal(_)));
        }
    }
}
