//! What the process wrote, written again by a raw producer: no logic could go below its cost with
//! these records and this client.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aplomb::{
    kafka::KafkaLog,
    log::{Isolation, Log, Producer, ToSend, TopicDescription},
    scan,
};
use aplomb_state::ids::TopicPartition;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use crate::{
    live::{Application, Outcome, broker::Broker},
    usage,
};

const WAIT: Duration = Duration::from_secs(30);
/// As long as the process's own in a backlog.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// Every so manieth record is written again.
const SAMPLE: usize = 8;

/// Of the whole.
#[derive(Default)]
pub struct Same {
    pub records: usize,
    pub bytes: usize,
    /// By topic, without the application's prefix.
    pub topics: Vec<(String, Share)>,
    pub time: Duration,
    pub cpu: Duration,
    pub broker: Duration,
}

/// What one topic holds.
#[derive(Default)]
pub struct Share {
    pub records: usize,
    pub headers: usize,
    /// Keys and values.
    pub bytes: usize,
}

struct Record {
    topic: Arc<str>,
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

/// Inboxes, changelogs and outputs of the application.
pub fn run(broker: &Broker, application: &Application) -> Outcome<Same> {
    let prefix = format!("{}.", application.id);
    let topics = topics(&broker.bootstrap, &prefix)?;
    let again = topics.iter().map(|(name, partitions)| TopicDescription {
        name: to(name),
        partitions: *partitions,
        config: Vec::new(),
    });
    broker.log.create_topics(&again.collect::<Vec<_>>())?;
    let mut all = Same::default();
    let mut sample = Vec::new();
    for (name, partitions) in &topics {
        let share = read(&broker.log, name, *partitions, &mut all, &mut sample)?;
        all.topics.push((name.trim_start_matches(&prefix).to_owned(), share));
    }
    let mut producer = broker.log.producer("again")?;
    producer.init_transactions(WAIT)?;
    let (process, node) = (std::process::id(), broker.process_id(0)?);
    let started = Instant::now();
    let (before, broker_before) = (usage::cpu(process)?, usage::cpu(node)?);
    write(&mut producer, &sample)?;
    let share = f64::from(u32::try_from(all.records)?) / f64::from(u32::try_from(sample.len())?);
    all.time = started.elapsed().mul_f64(share);
    all.cpu = (usage::cpu(process)? - before).mul_f64(share);
    all.broker = (usage::cpu(node)? - broker_before).mul_f64(share);
    Ok(all)
}

fn to(name: &str) -> Arc<str> {
    format!("again.{name}").into()
}

fn topics(bootstrap: &str, prefix: &str) -> Outcome<Vec<(String, i32)>> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let metadata = consumer.fetch_metadata(None, WAIT)?;
    let own = metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix));
    own.map(|topic| Ok((topic.name().to_owned(), i32::try_from(topic.partitions().len())?)))
        .collect()
}

fn read(
    log: &KafkaLog,
    name: &str,
    partitions: i32,
    all: &mut Same,
    sample: &mut Vec<Record>,
) -> Outcome<Share> {
    let mut share = Share::default();
    let partitions: Vec<_> = (0..partitions).map(|n| TopicPartition::new(name, n)).collect();
    let marks = log.watermarks(&partitions, Isolation::ReadCommitted)?;
    let topic = to(name);
    for (from, marks) in partitions.iter().zip(marks) {
        scan::range(log, from, marks.low, marks.high, &mut |record| {
            let mut headers = Vec::new();
            record.headers.each(&mut |name, value| {
                let name = String::from_utf8_lossy(name).into_owned();
                headers.push((name, value.unwrap_or_default().to_vec()));
            });
            let told: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
            let bytes = length(record.key) + length(record.value);
            all.bytes += told + bytes;
            share.records += 1;
            share.headers += told;
            share.bytes += bytes;
            if all.records.is_multiple_of(SAMPLE) {
                sample.push(Record {
                    topic: Arc::clone(&topic),
                    partition: from.partition,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers,
                });
            }
            all.records += 1;
            scan::Next::On
        })?;
    }
    Ok(share)
}

fn write<P: Producer>(producer: &mut P, records: &[Record]) -> Outcome {
    let mut left = records.iter().peekable();
    while left.peek().is_some() {
        producer.begin()?;
        let begun = Instant::now();
        while begun.elapsed() < COMMIT_INTERVAL
            && let Some(Record { topic, partition, key, value, headers }) = left.next()
        {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            let record = ToSend {
                topic,
                partition: *partition,
                timestamp: None,
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &headers,
                receipt: 0,
            };
            while !producer.send(&record)? {
                producer.poll();
            }
        }
        producer.drain(WAIT)?;
        producer.commit(WAIT)?;
    }
    Ok(())
}
