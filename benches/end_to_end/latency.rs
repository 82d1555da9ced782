//! From sending a message to the first outputs that show it, as a reader of committed records sees
//! them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde::Deserialize;

use crate::live::{Application, Outcome};

const VIEWS: &str = "order.view.v1";
const RESERVATIONS: &str = "inventory.reservations.v1";
const WAIT: Duration = Duration::from_secs(10);

/// Reads both topics from their present ends.
pub struct Outputs {
    pending: Arc<Mutex<Pending>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Seen>>,
}

#[derive(Default)]
struct Pending {
    /// By order, then by sequence number.
    messages: HashMap<String, BTreeMap<u64, Instant>>,
    /// The greatest sequence number that a view had.
    covered: HashMap<String, u64>,
    placed: HashMap<String, Instant>,
}

/// Times from sending, in the order in which the outputs came.
#[derive(Default)]
pub struct Seen {
    pub views: Vec<Duration>,
    pub reservations: Vec<Duration>,
    /// When the first output of all was read.
    pub first: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    resource: Option<Resource>,
    sequence_number: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    type_id: String,
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    order_id: String,
    sequence: Option<u64>,
}

impl Outputs {
    pub fn watch(bootstrap: &str, application: &Application) -> Outcome<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "end-to-end")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        for topic in [VIEWS, RESERVATIONS] {
            let topic = format!("{}{topic}", application.prefix);
            for partition in 0..application.outputs {
                let (_, high) = consumer.fetch_watermarks(&topic, partition, WAIT)?;
                partitions.add_partition_offset(&topic, partition, Offset::Offset(high))?;
            }
        }
        consumer.assign(&partitions)?;
        let pending = Arc::new(Mutex::new(Pending::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&pending), Arc::clone(&stop));
        let thread = thread::spawn(move || read(&consumer, &shared, &stopped));
        Ok(Self { pending, stop, thread })
    }

    /// A notification is about to be sent.
    pub fn sending(&self, value: &[u8]) {
        let now = Instant::now();
        let Ok(told) = serde_json::from_slice::<Notification>(value) else { return };
        let (Some(resource), Some(sequence)) = (told.resource, told.sequence_number) else {
            return;
        };
        if resource.type_id == "order" {
            lock(&self.pending).sent(resource.id, sequence, now);
        }
    }

    /// What came until now, and a moment more.
    pub fn end(self) -> Outcome<Seen> {
        thread::sleep(Duration::from_secs(2));
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the reader panicked")?
    }
}

fn read(consumer: &BaseConsumer, pending: &Mutex<Pending>, stop: &AtomicBool) -> Outcome<Seen> {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let Some(record) = consumer.poll(Duration::from_millis(50)) else { continue };
        let record = record?;
        let now = Instant::now();
        seen.first.get_or_insert(now);
        let Some(Ok(output)) = record.payload().map(serde_json::from_slice::<Output>) else {
            continue;
        };
        let mut pending = lock(pending);
        match output.sequence {
            Some(sequence) => pending.viewed(&output.order_id, sequence, now, &mut seen.views),
            None => {
                let placed = pending.placed.remove(&output.order_id);
                seen.reservations.extend(placed.map(|placed| now - placed));
            }
        }
    }
    Ok(seen)
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pending {
    fn sent(&mut self, order: String, sequence: u64, now: Instant) {
        if self.covered.get(&order).is_some_and(|covered| *covered >= sequence) {
            return;
        }
        // What waits for this one waits since now: no view could cover it before.
        let messages = self.messages.entry(order.clone()).or_default();
        if messages.contains_key(&sequence) {
            return;
        }
        for (_, since) in messages.range_mut(sequence..) {
            *since = now;
        }
        messages.insert(sequence, now);
        if sequence == 1 {
            self.placed.insert(order, now);
        }
    }

    fn viewed(&mut self, order: &str, sequence: u64, now: Instant, times: &mut Vec<Duration>) {
        self.covered.insert(order.to_owned(), sequence);
        let Some(messages) = self.messages.get_mut(order) else { return };
        let later = messages.split_off(&(sequence + 1));
        times.extend(messages.values().map(|since| now - *since));
        *messages = later;
    }
}
