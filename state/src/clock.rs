//! A task's time: the least frontier over all partitions of the stages before it.
//!
//! Invariants:
//! - `TIME-RISES` a task's time never falls, and neither does a frontier.
//! - `TIME-LOG` it is a function of the ticks read, their append times and the configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    codec::Format,
    envelope::Frontier,
    ids::{Timestamp, TopicPartition},
    mutation::{self, Mutation},
};

/// Downtime of the whole group must not count as silence of one partition: a step between two
/// ticks counts at most this much.
const STEP_MS_MAX: i64 = 2_000;

/// A partition of a stage before the reader's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Upstream {
    pub stage: u16,
    pub input: TopicPartition,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Heard {
    frontier: Timestamp,
    /// How long the others have moved without it.
    still_ms: i64,
}

/// Persisted as one row of the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    time: Timestamp,
    last_tick: Option<Timestamp>,
    heard: BTreeMap<Upstream, Heard>,
}

impl Format for Clock {
    const VERSION: u8 = 1;
}

impl Default for Clock {
    fn default() -> Self {
        Self { time: Timestamp::MIN, last_tick: None, heard: BTreeMap::new() }
    }
}

impl Clock {
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Takes in one tick that was appended at `appended`, and answers the task's time after it.
    ///
    /// `expected` is the set to wait for; one of it that was never heard from is minus infinity
    /// and stands still from the first tick on. One that stands still for `hold_ms` while others
    /// move is left out until it moves again.
    pub fn observe(
        &mut self,
        frontiers: &[Frontier],
        appended: Timestamp,
        expected: &[Upstream],
        hold_ms: i64,
    ) -> Timestamp {
        let step = self.last_tick.map_or(0, |last| (appended.0 - last.0).clamp(0, STEP_MS_MAX));
        self.last_tick = Some(self.last_tick.map_or(appended, |last| last.max(appended)));
        for upstream in expected {
            if !self.heard.contains_key(upstream) {
                let silent = Heard { frontier: Timestamp::MIN, still_ms: 0 };
                self.heard.insert(upstream.clone(), silent);
            }
        }
        let moved = self.raise(frontiers, appended);
        if !moved.is_empty() {
            for (upstream, heard) in &mut self.heard {
                if moved.contains(upstream) {
                    heard.still_ms = 0;
                } else {
                    heard.still_ms = heard.still_ms.saturating_add(step);
                }
            }
        }
        let least = expected
            .iter()
            .filter_map(|upstream| self.heard.get(upstream))
            .filter(|heard| heard.still_ms < hold_ms)
            .map(|heard| heard.frontier)
            .min();
        let least = least.unwrap_or(Timestamp::MIN);
        self.time =
            if mutation::is_on(Mutation::TicksMayFall) { least } else { self.time.max(least) };
        self.time
    }

    /// What no record may do; see [`Mutation::TimersByRecords`].
    pub(crate) fn rise(&mut self, to: Timestamp) {
        self.time = self.time.max(to);
    }

    fn raise(&mut self, frontiers: &[Frontier], appended: Timestamp) -> Vec<Upstream> {
        let mut moved = Vec::new();
        for frontier in frontiers {
            let at = frontier.at.min(appended);
            let upstream = Upstream { stage: frontier.stage, input: frontier.input.clone() };
            if let Some(heard) = self.heard.get_mut(&upstream)
                && (at > heard.frontier || mutation::is_on(Mutation::TicksMayFall))
            {
                heard.frontier = at;
                moved.push(upstream);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD_MS: i64 = 10_000;

    fn upstream(partition: i32) -> Upstream {
        Upstream { stage: 0, input: TopicPartition::new("in", partition) }
    }

    fn tick(frontiers: &[(i32, i64)]) -> Vec<Frontier> {
        frontiers
            .iter()
            .map(|&(partition, at)| Frontier {
                stage: 0,
                input: TopicPartition::new("in", partition),
                at: Timestamp(at),
            })
            .collect()
    }

    #[test]
    fn the_least_frontier_rules_and_never_falls() {
        let expected = [upstream(0), upstream(1)];
        let mut clock = Clock::default();
        // (frontiers, appended at, time after)
        let rows: [(&[(i32, i64)], i64, i64); 7] = [
            (&[(0, 100)], 200, i64::MIN),          // 1 not heard from yet
            (&[(1, 90)], 210, 90),                 // the least
            (&[(1, 150)], 220, 100),               // now 0 is the least
            (&[(0, 80), (1, 120)], 230, 100),      // late and repeated ticks change nothing
            (&[(0, 9_999), (1, 9_999)], 300, 300), // capped by the append time
            (&[(7, 10)], 310, 300),                // not in the set
            (&[(0, 305), (1, 305)], 320, 305),
        ];
        for (frontiers, appended, time) in rows {
            let after = clock.observe(&tick(frontiers), Timestamp(appended), &expected, HOLD_MS);
            assert_eq!(after, Timestamp(time), "{frontiers:?}");
        }
    }

    #[test]
    fn a_silent_partition_is_left_out_after_the_hold_and_counts_again_once_it_moves() {
        let expected = [upstream(0), upstream(1)];
        let mut clock = Clock::default();
        clock.observe(&tick(&[(0, 1_000), (1, 1_000)]), Timestamp(1_000), &expected, HOLD_MS);
        for second in 2..=10 {
            let at = second * 1_000;
            let time = clock.observe(&tick(&[(0, at)]), Timestamp(at), &expected, HOLD_MS);
            assert_eq!(time, Timestamp(1_000), "second {second}");
        }
        let time = clock.observe(&tick(&[(0, 11_000)]), Timestamp(11_000), &expected, HOLD_MS);
        assert_eq!(time, Timestamp(11_000), "left out after ten seconds");
        clock.observe(&tick(&[(1, 5_000)]), Timestamp(11_500), &expected, HOLD_MS);
        let time = clock.observe(&tick(&[(0, 12_000)]), Timestamp(12_000), &expected, HOLD_MS);
        assert_eq!(time, Timestamp(11_000), "counts again, and time does not fall");
        let time = clock.observe(&tick(&[(1, 11_800)]), Timestamp(12_100), &expected, HOLD_MS);
        assert_eq!(time, Timestamp(11_800));
    }

    #[test]
    fn downtime_of_the_whole_group_counts_for_nothing() {
        let expected = [upstream(0), upstream(1)];
        let mut clock = Clock::default();
        clock.observe(&tick(&[(0, 1_000), (1, 1_000)]), Timestamp(1_000), &expected, HOLD_MS);
        let after = 1_000 + 3_600_000;
        let time = clock.observe(&tick(&[(0, after)]), Timestamp(after), &expected, HOLD_MS);
        assert_eq!(time, Timestamp(1_000), "an hour without ticks is one step of two seconds");
    }
}
