//! Feeds notifications at a steady rate, through a broker restart too.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aplomb::commerce::traffic::{Load, Traffic};
use aplomb_state::ids::Timestamp;
use rdkafka::{
    ClientConfig,
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
    types::RDKafkaErrorCode,
};

use crate::{
    Outcome,
    broker::{Broker, NOTIFICATIONS},
};

pub struct Feed(JoinHandle<Outcome<usize>>);

impl Feed {
    pub fn start(broker: &Broker, count: usize, per_second: u32, seed: u64) -> Self {
        let bootstrap = broker.bootstrap.clone();
        Self(thread::spawn(move || feed(&bootstrap, count, per_second, seed)))
    }

    pub fn join(self) -> Outcome<usize> {
        self.0.join().map_err(|_| "the feed panicked")?
    }
}

fn feed(bootstrap: &str, count: usize, per_second: u32, seed: u64) -> Outcome<usize> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let load = Load {
        orders: u64::MAX,
        seed,
        start: Timestamp(i64::try_from(now)?),
        orders_per_second: per_second / 8,
        ..Load::default()
    };
    let started = Instant::now();
    let mut fed = 0;
    for delivery in Traffic::load(&load).filter(|d| d.topic == NOTIFICATIONS).take(count) {
        let due = started
            + Duration::from_secs_f64(f64::from(u32::try_from(fed)?) / f64::from(per_second));
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let partition = i32::try_from(fed % 8)?;
        let mut record: BaseRecord<'_, (), Vec<u8>> =
            BaseRecord::to(NOTIFICATIONS).payload(&delivery.value).partition(partition);
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    producer.poll(Duration::from_millis(10));
                    record = back;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        producer.poll(Duration::ZERO);
        fed += 1;
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(fed)
}
