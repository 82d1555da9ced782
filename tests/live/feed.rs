//! Feeds notifications at a steady rate, through a broker restart too.

use std::{
    ffi::CString,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aplomb::commerce::traffic::{Load, NOTIFICATIONS, Traffic};
use aplomb_state::ids::Timestamp;
use rdkafka::{
    ClientConfig,
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
    types::RDKafkaErrorCode,
};

use super::{Application, Outcome, broker::Broker};

const LOOK_AROUND: Duration = Duration::from_secs(3);
const FLUSHED: Duration = Duration::from_secs(120);

/// How much, how fast, and which.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// It ends after so many.
    pub most: usize,
    pub per_second: u32,
    /// Few make hot keys.
    pub skus: usize,
    pub seed: u64,
}

pub struct Feed {
    thread: Option<JoinHandle<Outcome<usize>>>,
    progress: Arc<Progress>,
}

#[derive(Default)]
pub struct Progress {
    fed: AtomicUsize,
    stop: AtomicBool,
}

impl Progress {
    pub fn fed(&self) -> usize {
        self.fed.load(Ordering::Relaxed)
    }

    /// Before the count is reached.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Feed {
    pub fn start(broker: &Broker, application: &Application, pace: Pace) -> Self {
        let bootstrap = broker.bootstrap.clone();
        let application = application.clone();
        let progress = Arc::new(Progress::default());
        let shared = Arc::clone(&progress);
        let thread = thread::spawn(move || feed(&bootstrap, &application, pace, &shared));
        Self { thread: Some(thread), progress }
    }

    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Until all is fed, or it was stopped.
    pub fn join(mut self) -> Outcome<usize> {
        let thread = self.thread.take().ok_or("joined already")?;
        thread.join().map_err(|_| "the feed panicked")?
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.progress.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn feed(
    bootstrap: &str,
    application: &Application,
    pace: Pace,
    progress: &Progress,
) -> Outcome<usize> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .create()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let load = Load {
        orders: u64::MAX,
        seed: pace.seed,
        skus: pace.skus,
        start: Timestamp(i64::try_from(now)?),
        orders_per_second: pace.per_second / 8,
        ..Load::default()
    };
    let started = Instant::now();
    let mut looked = started;
    let notifications = Traffic::load(&load).filter(|delivery| delivery.topic == NOTIFICATIONS);
    for (fed, delivery) in notifications.take(pace.most).enumerate() {
        let second = f64::from(u32::try_from(fed)?) / f64::from(pace.per_second);
        let due = started + Duration::from_secs_f64(second);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if progress.stop.load(Ordering::Relaxed) {
            break;
        }
        if looked.elapsed() > LOOK_AROUND {
            look_around(&producer, bootstrap);
            looked = Instant::now();
        }
        let partition = i32::try_from(fed)? % application.partitions;
        hand_over(&producer, &application.input, partition, &delivery.value)?;
        progress.fed.store(fed + 1, Ordering::Relaxed);
    }
    let until = Instant::now() + FLUSHED;
    loop {
        match producer.flush(LOOK_AROUND) {
            Ok(()) => return Ok(progress.fed()),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => look_around(&producer, bootstrap),
        }
    }
}

/// A client that has lost all its brokers does not find them again by itself
/// (<https://github.com/confluentinc/librdkafka/issues/5301>).
fn look_around(producer: &BaseProducer, bootstrap: &str) {
    let client = producer.client();
    if client.fetch_metadata(None, Duration::from_millis(200)).is_ok() {
        return;
    }
    if let Ok(bootstrap) = CString::new(bootstrap) {
        #[expect(unsafe_code, reason = "the wrapper has no call for this")]
        // SAFETY: the handle is live, the list a C string, which is copied.
        unsafe {
            rdkafka_sys::rd_kafka_brokers_add(client.native_ptr(), bootstrap.as_ptr());
        }
    }
}

/// Waits while the queue is full. Without a partition the client chooses one.
pub fn hand_over(
    producer: &BaseProducer,
    topic: &str,
    partition: impl Into<Option<i32>>,
    value: &[u8],
) -> Outcome {
    let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(topic).payload(value);
    record.partition = partition.into();
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
    Ok(())
}
