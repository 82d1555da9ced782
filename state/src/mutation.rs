//! Deliberate breaks of the protocol, for the simulator to catch: a check that catches nothing
//! proves nothing.
//!
//! The switches exist only with the feature `mutations`, which only the simulator's table turns
//! on. Without it [`is_on`] is a constant `false`, and the compiler removes every place that asks:
//! what ships has neither a switch nor a branch. See `docs/simulation.md`.

/// One way to get it wrong. Each stands beside the line it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The stores are written before the broker has acknowledged the transaction.
    ApplyBeforeCommit,
    /// A rejected input keeps what it had written to the state.
    NoSavepoint,
    /// Effects leave before the savepoint closes: a rejected input's stay.
    OutputBeforeSavepoint,
    /// An input over a limit keeps what it had done: the limit is looked at outside the savepoint.
    LimitOutsideSavepoint,
    /// A store's position is written in a batch of its own, before the data.
    PositionInSecondBatch,
    /// A restore ends at the changelog's last stable offset instead of its high watermark.
    RestoreToLastStable,
    /// A restore ends at the first position record, whichever it is.
    RestoreEndsEarly,
    /// A store that is being restored is not marked so.
    RestoreUnmarked,
    /// Whoever opened the store once may write to it for ever.
    ApplyWithoutLease,
    /// A record lets the task's time rise and fires timers.
    TimersByRecords,
    /// A task's time follows a frontier down.
    TicksMayFall,
    /// A new owner begins with no frontiers.
    FrontierLostOnMove,
    /// The offsets of one task are left out of a transaction of several.
    OffsetsLeftOut,
    /// A rebuild deletes the old data before the new is complete.
    RebuildDeletesFirst,
    /// A commit goes out under whatever member id there is.
    NoMemberCheck,
    /// After a callback the tasks kept are not compared with what is committed.
    KeptNotCompared,
    /// A store is used as it stands, wherever the log is.
    ReuseAnyOffset,
    /// The generation of a store is not looked at.
    GenerationIgnored,
    /// A commit whose answer was lost counts as done.
    InDoubtIsSuccess,
    /// A commit whose answer was lost counts as aborted: the tasks are not opened again.
    InDoubtIsAbort,
    /// The producer is kept after a time-out inside a transaction.
    ProducerKeptAfterTimeout,
    /// The changelog gets the value that a key had before, not its last.
    ChangelogKeepsOldValue,
    /// Deletions are not written to the changelog.
    DeletionNotLogged,
    /// The changelog ends a transaction without a position record.
    PositionNotLogged,
    /// An aborted transaction leaves its overlay.
    OverlayKeptAfterAbort,
    /// The effects that a full queue held back are forgotten.
    HeldBackForgotten,
    /// What a transaction holds for compacted outputs is forgotten at its commit.
    LatestForgotten,
    /// A changelog that has lost records is read as if it were whole.
    LossOverlooked,
}

impl Mutation {
    pub const ALL: [Self; 28] = [
        Self::ApplyBeforeCommit,
        Self::NoSavepoint,
        Self::OutputBeforeSavepoint,
        Self::LimitOutsideSavepoint,
        Self::PositionInSecondBatch,
        Self::RestoreToLastStable,
        Self::RestoreEndsEarly,
        Self::RestoreUnmarked,
        Self::ApplyWithoutLease,
        Self::TimersByRecords,
        Self::TicksMayFall,
        Self::FrontierLostOnMove,
        Self::OffsetsLeftOut,
        Self::RebuildDeletesFirst,
        Self::NoMemberCheck,
        Self::KeptNotCompared,
        Self::ReuseAnyOffset,
        Self::GenerationIgnored,
        Self::InDoubtIsSuccess,
        Self::InDoubtIsAbort,
        Self::ProducerKeptAfterTimeout,
        Self::ChangelogKeepsOldValue,
        Self::DeletionNotLogged,
        Self::PositionNotLogged,
        Self::OverlayKeptAfterAbort,
        Self::HeldBackForgotten,
        Self::LatestForgotten,
        Self::LossOverlooked,
    ];
}

#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub const fn is_on(_: Mutation) -> bool {
    false
}

#[cfg(feature = "mutations")]
pub use self::switch::{is_on, with};

#[cfg(feature = "mutations")]
mod switch {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ON: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Puts back what was there, also after a panic.
    struct Before(Option<Mutation>);

    impl Drop for Before {
        fn drop(&mut self) {
            ON.set(self.0);
        }
    }

    pub fn is_on(mutation: Mutation) -> bool {
        ON.get() == Some(mutation)
    }

    /// Runs `work` on this thread with at most one break of the protocol.
    pub fn with<T>(mutation: Option<Mutation>, work: impl FnOnce() -> T) -> T {
        let _before = Before(ON.replace(mutation));
        work()
    }
}
