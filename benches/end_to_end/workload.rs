//! Notifications as a subscription without a key delivers them: orders of two lines, about eight
//! messages each, 5 % doubled, 10 % overtaken, 20,000 skus of which few are popular, 1.2 KB in the
//! mean, over all partitions.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aplomb::commerce::traffic::{Load, NOTIFICATIONS, Traffic};
use aplomb_state::ids::Timestamp;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, Producer},
};

use crate::live::{Application, Outcome, feed::hand_over};

const SKUS: usize = 20_000;

/// Goes on where it stopped.
pub struct Workload {
    notifications: Box<dyn Iterator<Item = Vec<u8>>>,
    producer: BaseProducer,
    application: Application,
}

impl Workload {
    /// All its instants lie in the past: the log's time must not hold the deadlines back.
    pub fn new(bootstrap: &str, application: &Application, seed: u64) -> Outcome<Self> {
        // An idempotent one has five requests of a partition on their way at the most. While it
        // waits for their answers it asks the clock without a pause, and takes half a core from
        // the broker that is to answer.
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("compression.type", "lz4")
            .create()?;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let load = Load {
            orders: u64::MAX,
            seed,
            skus: SKUS,
            start: Timestamp(now - 86_400_000),
            orders_per_second: 250,
            ..Load::default()
        };
        let notifications = Traffic::load(&load)
            .filter(|delivery| delivery.topic == NOTIFICATIONS)
            .map(|delivery| delivery.value);
        let notifications = Box::new(notifications);
        Ok(Self { notifications, producer, application: application.clone() })
    }

    /// Sends so many as fast as it goes, to each partition in turn; answers their bytes.
    pub fn backlog(&mut self, records: usize) -> Outcome<usize> {
        let mut bytes = 0;
        for nth in 0..records {
            let partition = i32::try_from(nth)? % self.application.partitions;
            bytes += self.send(Some(partition), |_| {})?;
        }
        self.producer.flush(Duration::from_secs(120))?;
        Ok(bytes)
    }

    /// Sends at this pace, to the partitions that the client chooses for records without a key;
    /// `before` sees each record at the moment it is handed over.
    pub fn steady(
        &mut self,
        per_second: u32,
        time: Duration,
        mut before: impl FnMut(&[u8]),
    ) -> Outcome {
        let started = Instant::now();
        let mut due = Duration::ZERO;
        while due < time {
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            self.send(None, &mut before)?;
            due += Duration::from_secs(1) / per_second;
        }
        Ok(self.producer.flush(Duration::from_secs(120))?)
    }

    fn send(&mut self, partition: Option<i32>, mut before: impl FnMut(&[u8])) -> Outcome<usize> {
        let value = self.notifications.next().ok_or("the traffic ended")?;
        before(&value);
        hand_over(&self.producer, &self.application.input, partition, &value)?;
        Ok(value.len())
    }
}
