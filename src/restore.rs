//! Replaying a task's changelog into its store, in bounded steps.
//!
//! Invariants:
//! - `RESTORE-END` a replay ends only at the position record of the committed offset; reaching the
//!   high watermark without it is fatal.
//! - `RESTORE-MARK` the first batch marks the store as restoring.
//! - `RESTORE-FRESH` until its end, a store that is being restored is current as of when it was
//!   last whole, or when its rebuild began: a tombstone that it has yet to read may be gone later.
//!   Nothing is applied that was read when one may have been gone already.

use std::time::Duration;

use aplomb_state::{
    backend::{self, Rebuild, StorePosition, TaskStore},
    ids::{Generation, NextOffset, Timestamp, TopicPartition},
    mutation::{self, Mutation},
    overlay::Overlay,
};

use crate::{
    changelog::{self, Entry},
    clock::Clock,
    log::{self, Reader},
    open,
    position::Metadata,
};

/// A replay under way. The reader is kept beside it, as its type is the log's.
pub struct Restore {
    pub store: Box<dyn TaskStore>,
    pub metadata: Metadata,
    pub changelog: TopicPartition,
    /// The committed offset to reach.
    pub next: NextOffset,
    /// The changelog's high watermark, uncommitted data included, read after the offset.
    pub until: NextOffset,
    pub from: NextOffset,
    pub mode: Mode,
    /// What is there already may lack tombstones from then on.
    as_of: Timestamp,
    /// Where the store's inbox offset stands while it is marked as restoring.
    base: Option<NextOffset>,
    reached: bool,
    /// Changelog records replayed.
    pub records: u64,
    pub begun: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Over the present data.
    Tail,
    /// Beside it.
    Rebuild,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Going,
    Done,
}

#[derive(Debug)]
pub enum Error {
    Log(log::Error),
    Store(backend::Error),
    /// It took too long, or stood still: what it needs of the changelog may be gone. Look again.
    Outdated,
    /// Park the task and say this.
    Fatal(String),
}

impl Restore {
    pub fn tail(
        store: Box<dyn TaskStore>,
        metadata: Metadata,
        changelog: TopicPartition,
        goal: Goal,
    ) -> Self {
        let known = store.position();
        let base = known.map(|position| position.inbox);
        let as_of = known.map_or(goal.begun, |position| position.current_as_of);
        Self::new(store, metadata, changelog, goal, Mode::Tail, Begun { base, as_of })
    }

    pub fn rebuild(
        mut store: Box<dyn TaskStore>,
        metadata: Metadata,
        changelog: TopicPartition,
        goal: Goal,
        from: Rebuild,
    ) -> Result<Self, backend::Error> {
        store.begin_rebuild(from)?;
        let known = store.rebuilding();
        let base = known.map(|position| position.inbox);
        let as_of = known.map_or(goal.begun, |position| position.current_as_of);
        // One that was complete and could not take the place of the old data.
        let is_complete = store.rebuilding().is_some_and(|position| {
            !position.restoring
                && position.inbox == goal.next
                && position.generation == metadata.generation
        });
        let begun = Begun { base, as_of };
        let mut restore = Self::new(store, metadata, changelog, goal, Mode::Rebuild, begun);
        restore.reached = is_complete;
        Ok(restore)
    }

    fn new(
        store: Box<dyn TaskStore>,
        metadata: Metadata,
        changelog: TopicPartition,
        goal: Goal,
        mode: Mode,
        Begun { base, as_of }: Begun,
    ) -> Self {
        let Goal { begun, next, until, from } = goal;
        Self {
            store,
            metadata,
            changelog,
            next,
            until,
            from,
            mode,
            as_of,
            base,
            reached: false,
            records: 0,
            begun,
        }
    }

    /// Reads at most `records_max` and applies them in one batch. Never waits.
    pub fn step<R: Reader>(
        &mut self,
        reader: &mut R,
        records_max: usize,
        tombstones: &Tombstones<'_>,
    ) -> Result<Progress, Error> {
        if self.reached {
            return self.finish();
        }
        let mut batch = Overlay::default();
        let mut failure = None;
        let (next, generation) = (self.next, self.metadata.generation);
        let mut reached = false;
        let mut reached_at = None;
        let read = reader.read(records_max, Duration::ZERO, &mut |_, record| {
            if reached || failure.is_some() {
                return;
            }
            match changelog::read_record(record.key.unwrap_or_default(), record.value) {
                Ok(Entry::Write(write)) => match write.value {
                    Some(value) => batch.put(write.store, write.key, value.to_vec()),
                    None => batch.delete(write.store, write.key),
                },
                Ok(Entry::Position(position)) => {
                    let is_it = position.inbox == next && position.generation == generation;
                    if is_it || mutation::is_on(Mutation::RestoreEndsEarly) {
                        reached = true;
                        reached_at = Some(record.offset.next());
                    }
                }
                // It says where the generation began, which is nothing of the state.
                Ok(Entry::Generation(_)) => {}
                Err(reason) => failure = Some(reason),
            }
        });
        let read = read?;
        // IMPORTANT: asked only now. A process may stand still for a day while it reads.
        if !tombstones.are_there_since(self.as_of) {
            return Err(Error::Outdated);
        }
        self.records += u64::try_from(read).unwrap_or(0);
        if let Some(reason) = failure {
            return Err(Error::Fatal(reason));
        }
        self.reached = reached;
        let position = reached_at.unwrap_or_else(|| reader.position(&self.changelog));
        if !reached && position >= self.until {
            return Err(Error::Fatal(format!(
                "{} was read to its end at {position} without the position of the committed \
                 offset {}; it was re-created or lost records. Stop every process of the \
                 application and run `aplomb reset`, which begins anew",
                self.changelog, self.next
            )));
        }
        if read > 0 || reached {
            self.apply(&batch, generation, position).map_err(Error::Store)?;
        }
        if reached { self.finish() } else { Ok(Progress::Going) }
    }

    fn finish(&mut self) -> Result<Progress, Error> {
        if self.mode == Mode::Rebuild {
            self.store.finish_rebuild().map_err(Error::Store)?;
        }
        Ok(Progress::Done)
    }

    fn apply(
        &mut self,
        batch: &Overlay,
        generation: Generation,
        changelog: NextOffset,
    ) -> Result<(), backend::Error> {
        // While restoring, the store keeps the inbox offset it had: it is behind until the end.
        let unfinished = self.base.unwrap_or(NextOffset(0));
        let to = StorePosition {
            generation,
            inbox: if self.reached { self.next } else { unfinished },
            changelog,
            fold_version: self.metadata.fold_version,
            restoring: !self.reached && !mutation::is_on(Mutation::RestoreUnmarked),
            // Whole, it is as of the committed offset, which was read when this began.
            current_as_of: if self.reached { self.begun } else { self.as_of },
        };
        self.store.apply(self.base, &mut batch.writes(), &to)?;
        self.base = Some(to.inbox);
        Ok(())
    }

    /// The changelog offset that the store has, for progress.
    pub fn reached_position(&self) -> NextOffset {
        let position = match self.mode {
            Mode::Tail => self.store.position(),
            Mode::Rebuild => self.store.rebuilding(),
        };
        position.map_or(self.from, |position| position.changelog.max(self.from))
    }

    /// The task's store, once done.
    pub fn into_store(self) -> Box<dyn TaskStore> {
        self.store
    }
}

impl From<log::Error> for Error {
    fn from(error: log::Error) -> Self {
        // Trimmed since it began.
        if error.out_of_range { Self::Outdated } else { Self::Log(error) }
    }
}

/// How long the changelog keeps them, by which clock.
pub struct Tombstones<'a> {
    pub clock: &'a dyn Clock,
    pub delete_retention_ms: i64,
}

impl Tombstones<'_> {
    fn are_there_since(&self, as_of: Timestamp) -> bool {
        open::is_recent(as_of, self.clock.now(), self.delete_retention_ms)
    }
}

/// Where the store stands.
struct Begun {
    base: Option<NextOffset>,
    as_of: Timestamp,
}

/// From where to where.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// When the restore began.
    pub begun: Timestamp,
    pub next: NextOffset,
    pub until: NextOffset,
    pub from: NextOffset,
}

#[cfg(test)]
mod tests {
    use aplomb_state::{
        backend::{Database, memory::MemoryDatabase},
        ids::{FoldVersion, Offset, TaskId},
    };

    use super::*;
    use crate::{
        embedded::VirtualClock,
        log::{Fetched, Headers},
        position::PositionRecord,
    };

    const RETENTION_MS: i64 = 1_000;
    const GOAL: NextOffset = NextOffset(7);
    const GENERATION: Generation = Generation(1);

    /// The process stands still while it reads, and the rest of the changelog was compacted.
    struct Stalls(VirtualClock, i64);

    struct NoHeaders;

    impl Headers for NoHeaders {
        fn each(&self, _: &mut dyn FnMut(&[u8], Option<&[u8]>)) {}
    }

    impl Reader for Stalls {
        fn read(
            &mut self,
            _: usize,
            _: Duration,
            each: &mut dyn FnMut(&TopicPartition, &Fetched<'_>),
        ) -> Result<usize, log::Error> {
            self.0.advance(self.1);
            let value = changelog::position_value(&PositionRecord {
                inbox: GOAL,
                generation: GENERATION,
                fold_version: FoldVersion(0),
            });
            let record = Fetched {
                offset: Offset(9),
                timestamp: Timestamp(0),
                key: Some(changelog::position_key()),
                value: Some(&value),
                headers: &NoHeaders,
            };
            each(&TopicPartition::new("changelog", 0), &record);
            Ok(1)
        }

        fn position(&mut self, _: &TopicPartition) -> NextOffset {
            NextOffset(10)
        }
    }

    #[test]
    fn what_is_read_after_tombstones_may_have_gone_is_not_applied() {
        for (stall_ms, is_done) in [(0, true), (899, true), (900, false), (20_000, false)] {
            let clock = VirtualClock::starting_at(Timestamp(5_000));
            let input = TopicPartition::new("inbox", 0);
            let task = TaskId { stage: "stage".into(), input };
            let mut store = MemoryDatabase::default().open(&task, &[]).expect("opens");
            let position = StorePosition {
                generation: GENERATION,
                inbox: NextOffset(3),
                changelog: NextOffset(4),
                fold_version: FoldVersion(0),
                restoring: false,
                current_as_of: Timestamp(5_000),
            };
            store.apply(None, &mut std::iter::empty(), &position).expect("applied");
            let metadata = Metadata {
                generation: GENERATION,
                fold_version: FoldVersion(0),
                partitions: 1,
                start: None,
            };
            let goal = Goal {
                begun: Timestamp(5_000),
                next: GOAL,
                until: NextOffset(10),
                from: NextOffset(4),
            };
            let changelog = TopicPartition::new("changelog", 0);
            let mut restore = Restore::tail(store, metadata, changelog, goal);
            let tombstones = Tombstones { clock: &clock, delete_retention_ms: RETENTION_MS };
            let step = restore.step(&mut Stalls(clock.clone(), stall_ms), 100, &tombstones);
            let store = restore.into_store();
            let inbox = store.position().map(|position| position.inbox);
            if is_done {
                assert!(matches!(step, Ok(Progress::Done)), "{stall_ms}: {step:?}");
                assert_eq!(inbox, Some(GOAL), "{stall_ms}");
            } else {
                assert!(matches!(step, Err(Error::Outdated)), "{stall_ms}: {step:?}");
                assert_eq!(inbox, Some(NextOffset(3)), "{stall_ms}");
            }
        }
    }
}
