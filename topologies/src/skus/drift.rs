//! The comparator: two sides that should be equal, and how long they may differ.
//!
//! ```text
//!            differs                deadline
//!   Rest ───────────────▶ Suspect ───────────▶ Open ◀─┐ differs with other values: Updated
//!    ▲                      │  Opened            │ └──┘
//!    └──────────────────────┴────────────────────┘
//!       equal: silently            equal: Resolved
//! ```
//! A record never opens a drift, only the deadline does: a later record could still be in time.

use aplomb_state::ids::Timestamp;
use serde::{Deserialize, Serialize};

use crate::drifts::Past;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watch {
    Rest(Past),
    Suspect { first_seen: Timestamp, deadline: Timestamp, past: Past },
    Open { first_seen: Timestamp, opened_at: Timestamp, values: Values, past: Past },
}

/// The sides, commercetools' first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    pub ours: i64,
    pub theirs: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The sides were compared at a record whose event time is `at`.
    Differ {
        at: Timestamp,
        values: Values,
        grace_ms: i64,
    },
    Agree {
        at: Timestamp,
    },
    /// The deadline passed, and the sides are these.
    Deadline {
        deadline: Timestamp,
        values: Values,
        cool_down_ms: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    Schedule(Timestamp),
    Cancel(Timestamp),
    Opened,
    Updated,
    Resolved { first_seen: Timestamp, opened_at: Timestamp },
}

impl Default for Watch {
    fn default() -> Self {
        Self::Rest(Past::default())
    }
}

impl Watch {
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Rest(_))
    }

    /// How often a drift that is open has opened again.
    pub fn flaps(self) -> u32 {
        if let Self::Open { past, .. } = self { past.flaps } else { 0 }
    }

    pub fn next(self, input: Input) -> (Self, Action) {
        match (self, input) {
            (Self::Rest(past), Input::Differ { at, grace_ms, .. }) => {
                let deadline = at.plus_ms(grace_ms);
                (Self::Suspect { first_seen: at, deadline, past }, Action::Schedule(deadline))
            }
            (Self::Suspect { deadline, past, .. }, Input::Agree { .. }) => {
                (Self::Rest(past), Action::Cancel(deadline))
            }
            (
                Self::Suspect { first_seen, deadline: own, past },
                Input::Deadline { deadline, values, cool_down_ms },
            ) if own == deadline => {
                let past = Past { flaps: past.flaps_if(first_seen, cool_down_ms), ..past };
                (Self::Open { first_seen, opened_at: deadline, values, past }, Action::Opened)
            }
            (
                Self::Open { first_seen, opened_at, values: before, past },
                Input::Differ { values, .. },
            ) if before != values => {
                (Self::Open { first_seen, opened_at, values, past }, Action::Updated)
            }
            (Self::Open { first_seen, opened_at, past, .. }, Input::Agree { at }) => {
                let past = Past { resolved_at: Some(at), ..past };
                (Self::Rest(past), Action::Resolved { first_seen, opened_at })
            }
            (state, _) => (state, Action::Nothing),
        }
    }
}

/// Units by which the sides of INV_ONHAND may differ.
pub fn on_hand_tolerance(values: Values, units: i64, per_mille: i64) -> i64 {
    let larger = values.ours.saturating_abs().max(values.theirs.saturating_abs());
    units.max(larger.saturating_mul(per_mille) / 1_000)
}

/// How long a difference may last: commercetools settles, and the slower feed comes round.
pub fn grace_ms(settle_ms: i64, feed_interval_ms: Option<i64>) -> i64 {
    let feed = feed_interval_ms.unwrap_or(0).max(0);
    settle_ms.max(feed.saturating_add(feed / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Past = Past { resolved_at: None, flaps: 0 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn differ(seconds: i64, theirs: i64) -> Input {
        Input::Differ { at: at(seconds), values: Values { ours: 5, theirs }, grace_ms: 10_000 }
    }

    fn deadline(seconds: i64) -> Input {
        let values = Values { ours: 5, theirs: 9 };
        Input::Deadline { deadline: at(seconds), values, cool_down_ms: 3_600_000 }
    }

    #[test]
    fn every_state_and_input() {
        let suspect = Watch::Suspect { first_seen: at(1), deadline: at(11), past: FIRST };
        let open = |theirs| Watch::Open {
            first_seen: at(1),
            opened_at: at(11),
            values: Values { ours: 5, theirs },
            past: FIRST,
        };
        let rest = Watch::Rest(FIRST);
        let resolved = Watch::Rest(Past { resolved_at: Some(at(20)), flaps: 0 });
        let was = Action::Resolved { first_seen: at(1), opened_at: at(11) };
        // state, input, state after, action
        let rows = [
            (rest, differ(1, 9), suspect, Action::Schedule(at(11))),
            (rest, Input::Agree { at: at(1) }, rest, Action::Nothing),
            (rest, deadline(11), rest, Action::Nothing),
            (suspect, differ(5, 8), suspect, Action::Nothing),
            (suspect, Input::Agree { at: at(5) }, rest, Action::Cancel(at(11))),
            (suspect, deadline(9), suspect, Action::Nothing),
            (suspect, deadline(11), open(9), Action::Opened),
            (open(9), differ(12, 9), open(9), Action::Nothing),
            (open(9), differ(12, 7), open(7), Action::Updated),
            (open(9), deadline(11), open(9), Action::Nothing),
            (open(9), Input::Agree { at: at(20) }, resolved, was),
        ];
        for (state, input, after, action) in rows {
            assert_eq!(state.next(input), (after, action), "{state:?} {input:?}");
        }
    }

    #[test]
    fn reopening_within_the_cool_down_is_flapping() {
        // first seen, flaps before, flaps after
        for (seen, before, after) in [(30, 0, 1), (3_620, 1, 2), (3_621, 2, 0)] {
            let past = Past { resolved_at: Some(at(20)), flaps: before };
            let (suspect, _) = Watch::Rest(past).next(differ(seen, 9));
            let (open, action) = suspect.next(deadline(seen + 10));
            assert_eq!(action, Action::Opened);
            let Watch::Open { past, .. } = open else { panic!("{open:?}") };
            assert_eq!(past.flaps, after, "seen at {seen}");
        }
    }

    #[test]
    fn tolerance_is_a_unit_or_a_hundredth_rounded_down() {
        for (ours, theirs, expected) in [(0, 5, 1), (199, 100, 1), (200, 3, 2), (-250, 3, 2)] {
            let values = Values { ours, theirs };
            assert_eq!(on_hand_tolerance(values, 1, 10), expected, "{values:?}");
        }
    }

    #[test]
    fn grace_follows_the_slower_feed() {
        for (interval, expected) in [(None, 10_000), (Some(1_000), 10_000), (Some(60_000), 90_000)]
        {
            assert_eq!(grace_ms(10_000, interval), expected);
        }
    }
}
