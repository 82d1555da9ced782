//! The raw transactional copy: every record to another topic, with the offsets in the transaction,
//! through the same clients. No state, no parsing: what nobody can go below.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aplomb::{
    kafka::KafkaLog,
    log::{Consumer, GroupEvent, Leave, Log, Member, Producer, ToSend, TopicDescription},
};
use aplomb_state::ids::{NextOffset, TopicPartition};

use crate::{
    live::{Application, Outcome},
    usage,
};

const TOPIC: &str = "copy";
const WAIT: Duration = Duration::from_secs(10);
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

pub struct Copied {
    pub time: Duration,
    pub cpu: Duration,
}

/// Copies this many records.
pub fn run(log: &KafkaLog, application: &Application, records: usize) -> Outcome<Copied> {
    let to: Arc<str> = TOPIC.into();
    let partitions = application.partitions;
    let topic = TopicDescription { name: Arc::clone(&to), partitions, config: Vec::new() };
    log.create_topics(&[topic])?;
    let process = std::process::id();
    let (started, before) = (Instant::now(), usage::cpu(process)?);
    let mut consumer = log.consumer(&Member { group: TOPIC.to_owned(), instance_id: None })?;
    consumer.subscribe(&[application.input.as_str().into()])?;
    let inputs = assigned(&mut consumer)?;
    let mut producer = log.producer(TOPIC)?;
    producer.init_transactions(WAIT)?;
    let mut next = vec![NextOffset(0); inputs.len()];
    let mut copied = 0;
    while copied < records {
        producer.begin()?;
        let begun = Instant::now();
        while begun.elapsed() < COMMIT_INTERVAL && copied < records {
            consumer.poll(Duration::from_millis(1))?;
            for (input, next) in inputs.iter().zip(&mut next) {
                copied += some(&mut consumer, &mut producer, input, &to, next)?;
            }
        }
        let (group, _) = consumer.group()?;
        let offset =
            |(input, next): (&TopicPartition, &NextOffset)| (input.clone(), *next, String::new());
        let offsets: Vec<_> = inputs.iter().zip(&next).map(offset).collect();
        producer.send_offsets(&offsets, &group, WAIT)?;
        producer.drain(WAIT)?;
        producer.commit(WAIT)?;
    }
    let copied = Copied { time: started.elapsed(), cpu: usage::cpu(process)? - before };
    consumer.close(Leave::Leave)?;
    Ok(copied)
}

fn assigned<C: Consumer>(consumer: &mut C) -> Outcome<Vec<TopicPartition>> {
    loop {
        if let Some(GroupEvent::Assigned(partitions)) = consumer.poll(WAIT)? {
            consumer.accept(&partitions)?;
            for partition in &partitions {
                consumer.start(partition, NextOffset(0))?;
            }
            return Ok(partitions);
        }
    }
}

/// A few records of one partition.
fn some<C: Consumer, P: Producer>(
    consumer: &mut C,
    producer: &mut P,
    input: &TopicPartition,
    to: &Arc<str>,
    next: &mut NextOffset,
) -> Outcome<usize> {
    let mut count = 0;
    while count < 1_000
        && let Some(head) = consumer.head(input)?
    {
        let mut sent = Ok(());
        consumer.take(input, &mut |record| {
            let record = ToSend {
                topic: to,
                partition: input.partition,
                timestamp: None,
                key: record.key,
                value: record.value,
                headers: &[],
                receipt: 0,
            };
            sent = loop {
                match producer.send(&record) {
                    Ok(true) => break Ok(()),
                    Ok(false) => producer.poll(),
                    Err(error) => break Err(error),
                }
            };
        })?;
        sent?;
        *next = head.offset.next();
        count += 1;
    }
    Ok(count)
}
