//! What is due for one task. Pure.

use aplomb_state::ids::{Generation, NextOffset, Timestamp};

/// How long inboxes are kept, and how often state is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// An inbox goes back so far at least.
    pub keep_ms: i64,
    /// From one checkpoint of a task to the next.
    pub interval_ms: i64,
}

/// A checkpoint, as far as the decision goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub next: NextOffset,
    pub generation: Generation,
    pub taken: Timestamp,
}

/// The task as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub generation: Generation,
    pub committed: NextOffset,
    pub now: Timestamp,
}

/// Whether the state is to be written down now.
pub(super) fn is_due(policy: Policy, present: Present, known: &[Known]) -> bool {
    let ours = known.iter().filter(|one| one.generation == present.generation);
    let newest = ours.map(|one| one.taken).max();
    newest.is_none_or(|taken| taken <= present.now.minus_ms(policy.interval_ms))
}

/// Up to where the inbox may be deleted: the newest checkpoint that is old enough.
pub(super) fn trim_to(policy: Policy, present: Present, known: &[Known]) -> Option<NextOffset> {
    let oldest = present.now.minus_ms(policy.keep_ms);
    known
        .iter()
        .filter(|one| one.generation == present.generation)
        .filter(|one| one.taken <= oldest && one.next <= present.committed)
        .map(|one| one.next)
        .max()
}

/// Whether a checkpoint is of no more use: the inbox does not go back to it, or it belongs to
/// another generation.
pub(super) fn is_stale(one: Known, generation: Generation, inbox_low: NextOffset) -> bool {
    one.generation != generation || one.next < inbox_low
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Generation = Generation(1);
    const OTHER: Generation = Generation(2);
    const POLICY: Policy = Policy { keep_ms: 700, interval_ms: 300 };

    fn known(next: i64, generation: Generation, taken: i64) -> Known {
        Known { next: NextOffset(next), generation, taken: Timestamp(taken) }
    }

    #[test]
    fn the_table() {
        let (a, b, c) = (known(10, OURS, 100), known(20, OURS, 400), known(30, OURS, 800));
        let foreign = known(25, OTHER, 100);
        // now, committed, checkpoints, whether one is due, trimmed to
        let rows: [(i64, i64, &[Known], bool, Option<i64>); 10] = [
            (100, 50, &[], true, None),
            (399, 50, &[a], false, None),
            (400, 50, &[a], true, None),
            (800, 50, &[a], true, Some(10)),
            (799, 50, &[a, b], true, None),
            (1_100, 50, &[a, b, c], true, Some(20)),
            (1_099, 50, &[a, b, c], false, Some(10)),
            (9_000, 50, &[a, b, c], true, Some(30)),
            // Offsets that were set back, which parks the task, delete nothing ahead of them.
            (9_000, 15, &[a, b, c], true, Some(10)),
            (800, 50, &[foreign], true, None),
        ];
        for (number, (now, committed, checkpoints, due, trimmed)) in rows.into_iter().enumerate() {
            let present =
                Present { generation: OURS, committed: NextOffset(committed), now: Timestamp(now) };
            assert_eq!(is_due(POLICY, present, checkpoints), due, "row {number}");
            let expected = trimmed.map(NextOffset);
            assert_eq!(trim_to(POLICY, present, checkpoints), expected, "row {number}");
        }
        assert!(is_stale(foreign, OURS, NextOffset(0)));
        assert!(is_stale(a, OURS, NextOffset(11)));
        assert!(!is_stale(a, OURS, NextOffset(10)));
    }
}
