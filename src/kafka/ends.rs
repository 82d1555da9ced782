//! Where partitions end. One thread per cluster asks the broker about all started partitions
//! together, twice a second.
//!
//! Invariant: an end is stored with an instant before the request for it was sent, so whoever has
//! taken everything below it has, as of that instant, taken everything there was.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use aplomb_state::ids::{NextOffset, Timestamp, TopicPartition};

use super::{ask, native::Client};

const INTERVAL: Duration = Duration::from_millis(500);
/// New partitions are asked about without waiting for the next turn, but not each by itself.
const GATHER: Duration = Duration::from_millis(10);
const REQUEST: Duration = Duration::from_secs(5);
const OFFSET_END: i64 = -1;

/// The end of a partition, and an instant before the broker was asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub at: Timestamp,
    pub end: NextOffset,
}

#[derive(Default)]
pub struct Ends {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Default)]
struct Watched {
    partitions: BTreeMap<TopicPartition, Watch>,
    is_stopped: bool,
    is_urgent: bool,
}

#[derive(Default)]
struct Watch {
    /// Members of one process can hold a partition in turn while it moves.
    watchers: usize,
    seen: Option<Seen>,
}

impl Ends {
    /// Starts the thread. It ends after [`Ends::stop`].
    pub fn start(client: Arc<Client>) -> std::io::Result<Arc<Self>> {
        let ends = Arc::new(Self::default());
        let shared = Arc::clone(&ends);
        std::thread::Builder::new()
            .name("aplomb-ends".to_owned())
            .spawn(move || shared.run(&client))?;
        Ok(ends)
    }

    pub fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    pub fn watch(&self, partition: &TopicPartition) {
        let mut watched = self.lock();
        watched.partitions.entry(partition.clone()).or_default().watchers += 1;
        watched.is_urgent = true;
        self.changed.notify_all();
    }

    pub fn unwatch(&self, partition: &TopicPartition) {
        let mut watched = self.lock();
        if let Some(watch) = watched.partitions.get_mut(partition) {
            watch.watchers = watch.watchers.saturating_sub(1);
            if watch.watchers == 0 {
                watched.partitions.remove(partition);
            }
        }
    }

    pub fn seen(&self, partition: &TopicPartition) -> Option<Seen> {
        self.lock().partitions.get(partition)?.seen
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, client: &Arc<Client>) {
        while let Some(partitions) = self.due() {
            if partitions.is_empty() {
                continue;
            }
            let at = now();
            let asked: Vec<_> = partitions.iter().map(|one| (one.clone(), OFFSET_END)).collect();
            match ask::offsets(client, &asked, REQUEST) {
                Ok(ends) => self.store(at, partitions.iter().zip(ends)),
                Err(error) => tracing::debug!(%error, "ends not known"),
            }
        }
    }

    /// Waits for the next turn; then all partitions, or `None` to stop.
    fn due(&self) -> Option<Vec<TopicPartition>> {
        let until = Instant::now() + INTERVAL;
        let mut watched = self.lock();
        while !watched.is_stopped && !watched.is_urgent {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(watched, left);
            watched = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if watched.is_urgent && !watched.is_stopped {
            let waited = self.changed.wait_timeout_while(watched, GATHER, |now| !now.is_stopped);
            watched = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        watched.is_urgent = false;
        (!watched.is_stopped).then(|| watched.partitions.keys().cloned().collect())
    }

    fn store<'a>(
        &self,
        at: Timestamp,
        ends: impl Iterator<Item = (&'a TopicPartition, Result<i64, crate::log::Error>)>,
    ) {
        let mut watched = self.lock();
        for (partition, end) in ends {
            match (end, watched.partitions.get_mut(partition)) {
                (Ok(end), Some(watch)) => watch.seen = Some(Seen { at, end: NextOffset(end) }),
                (Err(error), _) => tracing::debug!(%partition, %error, "end not known"),
                (Ok(_), None) => {}
            }
        }
    }
}

/// The wall clock: it stands beside instants that brokers and other processes put into the log.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
