//! Partitions that nobody owns although the group is at rest.
//!
//! A static member that comes back gets what it had, without a rebalance. If it was killed between
//! giving up partitions and its second join, the coordinator goes on waiting for a rebalance that
//! nobody asks for, and what was to move stays without an owner. One member then leaves the group
//! and joins it again, which divides everything anew.
//!
//! Invariant `OWNER-FOUND`: a partition without an owner gets one within a bounded time.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use aplomb_state::ids::{Timestamp, TopicPartition};

use crate::{
    application::Application,
    clock::Clock,
    log::{GroupDescription, Log},
    worker::Shared,
};

const INTERVAL: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_secs(5);
/// The thread looks so often whether it is to end.
const STEP: Duration = Duration::from_millis(100);

/// Asks the coordinator every few seconds, and tells the worker that is to join anew.
pub(super) struct Watcher(Option<JoinHandle<()>>);

impl Watcher {
    pub(super) fn start(
        log: impl Log,
        application: Arc<Application>,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
    ) -> Self {
        let named = thread::Builder::new().name("owners".to_owned());
        let thread = named.spawn(move || {
            let mut inputs = application.external_partitions();
            inputs.extend(application.inbox_partitions());
            // Whoever gives partitions up commits first: that may take so long.
            let mut unowned = Unowned::after_ms(2 * application.tuning.revoke_wait_ms_max);
            while wait(&shared) {
                match log.describe_group(&application.id, WAIT) {
                    Ok(group) => {
                        if let Some(member) = unowned.look(&group, &inputs, clock.now()) {
                            let told = shared.rejoin.lock();
                            *told.unwrap_or_else(PoisonError::into_inner) = Some(member);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "the group's owners are not known"),
                }
            }
        });
        Self(thread.inspect_err(|error| tracing::error!(%error, "no watcher of owners")).ok())
    }

    pub(super) fn stop(mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// `false`: the process stops.
fn wait(shared: &Shared) -> bool {
    for _ in 0..INTERVAL.as_millis() / STEP.as_millis() {
        if shared.stop.load(Ordering::Relaxed) {
            return false;
        }
        thread::sleep(STEP);
    }
    true
}

/// What was seen, and since when nothing of it changed.
pub struct Unowned {
    after_ms: i64,
    seen: Option<(GroupDescription, Timestamp)>,
}

impl Unowned {
    pub fn after_ms(after_ms: i64) -> Self {
        Self { after_ms, seen: None }
    }

    /// The member that is to leave and join again. Every process comes to the same answer by
    /// itself: the first in the order of ids.
    pub fn look(
        &mut self,
        group: &GroupDescription,
        inputs: &[TopicPartition],
        now: Timestamp,
    ) -> Option<String> {
        let is_owned = |input| group.members.iter().any(|member| member.owns.contains(input));
        if !group.stable || group.members.is_empty() || inputs.iter().all(is_owned) {
            self.seen = None;
            return None;
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == group => *since,
            _ => now,
        };
        if now.0 - since.0 < self.after_ms {
            self.seen = Some((group.clone(), since));
            return None;
        }
        self.seen = None;
        group.members.first().map(|member| member.id.clone())
    }
}

#[cfg(test)]
mod tests {
    use crate::log::MemberDescription;

    use super::*;

    fn inputs(range: std::ops::Range<i32>) -> Vec<TopicPartition> {
        range.map(|partition| TopicPartition::new("in", partition)).collect()
    }

    fn group(stable: bool, first: i32, second: i32) -> GroupDescription {
        let member = |id: &str, range| MemberDescription {
            id: id.to_owned(),
            owns: inputs(range).into_iter().collect(),
        };
        let members = vec![member("a", 0..first), member("b", first..second)];
        GroupDescription { stable, members }
    }

    #[test]
    fn only_what_stays_without_an_owner_makes_a_member_join_anew() {
        let all = inputs(0..4);
        let nobody = GroupDescription { stable: true, members: Vec::new() };
        // What is seen at which instant, and who is told.
        let rows = [
            (0, group(true, 2, 4), None),
            (1, group(true, 2, 3), None),
            (9, group(true, 2, 3), None),
            (10, group(false, 2, 3), None),
            (11, group(true, 2, 3), None),
            (15, group(true, 1, 3), None),
            (24, group(true, 1, 3), None),
            (25, group(true, 1, 3), Some("a")),
            (26, group(true, 1, 3), None),
            (35, group(true, 2, 4), None),
            (36, nobody.clone(), None),
            (99, nobody, None),
        ];
        let mut unowned = Unowned::after_ms(10);
        for (at, seen, expected) in rows {
            let told = unowned.look(&seen, &all, Timestamp(at));
            assert_eq!(told.as_deref(), expected, "at {at}");
        }
    }
}
