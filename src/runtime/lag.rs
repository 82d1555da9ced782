//! How much waits in the inboxes of the whole group: intake yields above a bound.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use aplomb_state::ids::{NextOffset, TopicPartition};

use crate::{
    application::Application,
    log::{Committed, Error, Isolation, Log, Watermarks},
    worker::Shared,
};

const INTERVAL: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_millis(500);
/// A partition without progress for so long is stuck and leaves the bound: intake must not wait
/// for it for ever.
const STUCK_AFTER: Duration = Duration::from_secs(30);

pub(super) struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(super) fn start(log: impl Log, application: Arc<Application>, shared: Arc<Shared>) -> Self {
        let told = Arc::clone(&shared);
        let named = thread::Builder::new().name("lag".to_owned());
        let thread = named.spawn(move || {
            let partitions = application.inbox_partitions();
            let mut waiting = Waiting::default();
            while !told.stop.load(Ordering::Relaxed) {
                match ask(&log, &application.id, &partitions) {
                    Ok((committed, marks)) => {
                        let lag = waiting.lag(&partitions, &committed, &marks, Instant::now());
                        told.downstream_lag.store(lag, Ordering::Relaxed);
                    }
                    Err(error) => tracing::debug!(%error, "lag is not known"),
                }
                thread::sleep(INTERVAL);
            }
        });
        let thread = thread.inspect_err(|error| tracing::error!(%error, "no lag watcher")).ok();
        Self { shared, thread }
    }

    pub(super) fn stop(mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(
    log: &impl Log,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<(Vec<Committed>, Vec<Watermarks>), Error> {
    let committed = log.committed(group, partitions, WAIT)?;
    Ok((committed, log.watermarks(partitions, Isolation::ReadUncommitted)?))
}

/// When each partition last moved.
#[derive(Default)]
struct Waiting(HashMap<TopicPartition, (NextOffset, Instant)>);

impl Waiting {
    fn lag(
        &mut self,
        partitions: &[TopicPartition],
        committed: &[Committed],
        marks: &[Watermarks],
        now: Instant,
    ) -> i64 {
        let mut total: i64 = 0;
        for ((partition, committed), marks) in partitions.iter().zip(committed).zip(marks) {
            // An unstable offset moves at this moment.
            let Committed::At { next, .. } = committed else { continue };
            let seen = self.0.entry(partition.clone()).or_insert((*next, now));
            if seen.0 != *next {
                *seen = (*next, now);
            }
            if now.duration_since(seen.1) < STUCK_AFTER {
                total = total.saturating_add((marks.high.0 - next.0).max(0));
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_partition_leaves_the_bound_until_it_moves() {
        let partitions = [TopicPartition::new("in", 0), TopicPartition::new("in", 1)];
        let at = |next| Committed::At { next: NextOffset(next), metadata: String::new() };
        let marks = |high| Watermarks { low: NextOffset(0), high: NextOffset(high) };
        let start = Instant::now();
        let mut waiting = Waiting::default();
        let mut lag = |first, second, seconds| {
            let now = start + Duration::from_secs(seconds);
            waiting.lag(&partitions, &[at(first), at(second)], &[marks(100), marks(50)], now)
        };
        assert_eq!(lag(0, 0, 0), 150);
        assert_eq!(lag(10, 0, 20), 140);
        assert_eq!(lag(20, 0, 31), 80, "the second stands still for over 30 s");
        assert_eq!(lag(20, 1, 32), 129, "it moved again");
    }
}
