//! What is done to a log from outside the application: foreign records, compaction, deletion, loss.

use std::sync::Arc;

use aplomb_state::ids::{Offset, Timestamp, TopicPartition};
use bytes::Bytes;

use super::{EmbeddedLog, record::Body};
use crate::log::{Committed, Error, Fetched, Isolation};

/// A record of somebody else, written outside transactions.
#[derive(Clone, Copy, Debug)]
pub struct Foreign<'a> {
    pub topic: &'a str,
    /// Absent: by the key's hash, as Kafka's clients do; in turn where there is no key.
    pub partition: Option<i32>,
    /// Absent: the log's own time.
    pub timestamp: Option<Timestamp>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// A record as it is kept, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub partition: i32,
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl<'a> Foreign<'a> {
    /// An empty record, to be filled in.
    pub fn to(topic: &'a str) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: None, headers: &[] }
    }
}

impl Kept {
    pub fn new(partition: i32, fetched: &Fetched<'_>) -> Self {
        let mut headers = Vec::new();
        fetched.headers.each(&mut |name, value| {
            headers.push((Bytes::copy_from_slice(name), value.map(Bytes::copy_from_slice)));
        });
        Self {
            partition,
            offset: fetched.offset,
            timestamp: fetched.timestamp,
            key: fetched.key.map(Bytes::copy_from_slice),
            value: fetched.value.map(Bytes::copy_from_slice),
            headers,
        }
    }
}

impl EmbeddedLog {
    /// Appends a record outside transactions, and says where.
    pub fn produce(&self, record: &Foreign<'_>) -> Result<(TopicPartition, Offset), Error> {
        let headers = record.headers.iter().copied();
        let body = Body::encode(&mut Vec::new(), record.key, record.value, headers)?;
        self.shared.with(|cluster, now| {
            let topic = cluster.topic_mut(record.topic)?;
            let partition = record.partition.unwrap_or_else(|| topic.place(record.key));
            let created = record.timestamp.unwrap_or(now);
            let offset = topic.append(partition, created, now, None, body)?;
            Ok((TopicPartition { topic: topic.name.clone(), partition }, offset))
        })
    }

    /// All that may be read of a topic, by partition and offset.
    pub fn read_all(&self, topic: &str, isolation: Isolation) -> Result<Vec<Kept>, Error> {
        self.shared.with(|cluster, _| {
            let mut kept = Vec::new();
            for (number, partition) in (0_i32..).zip(&cluster.topic(topic)?.partitions) {
                let low = partition.watermarks(isolation).low;
                partition.fetch(low, isolation, usize::MAX, |record| {
                    kept.push(Kept::new(number, &record.fetched()));
                })?;
            }
            Ok(kept)
        })
    }

    /// Compacts a topic now, whatever its `cleanup.policy`: the last record of each key stays,
    /// below the last stable offset.
    pub fn compact(&self, topic: &str) -> Result<(), Error> {
        self.shared.with(|cluster, now| {
            let compacted = cluster.topic_mut(topic)?;
            let delete_retention_ms = compacted.delete_retention_ms;
            for partition in &mut compacted.partitions {
                partition.compact(now, delete_retention_ms);
            }
            Ok(())
        })
    }

    /// Forgets what a group has committed, as a broker does with offsets that have expired.
    pub fn forget_offsets(&self, group: &str, partitions: &[TopicPartition]) {
        self.shared.with(|cluster, _| {
            cluster.group(&Arc::from(group), |group| {
                group.offsets.forget(|partition| partitions.contains(partition));
            });
        });
    }

    /// Deletes a topic and creates it again: its records are gone, its offsets begin at 0, and the
    /// broker forgets what groups have committed for it.
    pub fn recreate(&self, topic: &str) -> Result<(), Error> {
        self.shared.with(|cluster, _| cluster.recreate(topic))
    }

    /// What a group has committed, whatever an open transaction is about to commit.
    pub fn stable(&self, group: &str, partitions: &[TopicPartition]) -> Vec<Committed> {
        self.shared.with(|cluster, _| cluster.stable(group, partitions))
    }

    /// Forgets all that a group has committed, as the broker does when it was empty for too long.
    pub fn expire_offsets(&self, group: &str) {
        self.shared.with(|cluster, _| cluster.forget_offsets(group));
    }

    /// Nobody can read this partition from now on. It can be written to.
    pub fn stall(&self, partition: &TopicPartition) {
        self.shared.with(|cluster, _| cluster.stall(partition.clone()));
    }

    /// Every partition can be read again.
    pub fn resume(&self) {
        self.shared.with(|cluster, _| cluster.resume());
    }
}
