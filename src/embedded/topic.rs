//! A topic: its partitions and the configuration entries that change what the log does.

use std::{collections::BTreeMap, sync::Arc};

use aplomb_state::{
    ids::{Offset, Timestamp},
    partitioner::partition_of,
};

use super::{
    partition::Partition,
    record::{Body, TransactionNumber},
};
use crate::log::{Class, Error, TopicDescription};

/// What Kafka fills in where a topic's configuration is silent.
const DEFAULTS: [(&str, &str); 5] = [
    ("cleanup.policy", "delete"),
    ("delete.retention.ms", "86400000"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.type", "CreateTime"),
    ("retention.ms", "604800000"),
];

#[derive(Debug)]
pub(super) struct Topic {
    pub name: Arc<str>,
    pub partitions: Vec<Partition>,
    pub delete_retention_ms: i64,
    config: Vec<(String, String)>,
    timestamps: Timestamps,
    cleanup: Cleanup,
    max_message_bytes: usize,
    /// Where the next record without a key goes.
    spread: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timestamps {
    Append,
    Create,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cleanup {
    Delete,
    Compact,
}

impl Topic {
    pub fn new(description: &TopicDescription) -> Result<Self, Error> {
        let name = &description.name;
        let mut config: BTreeMap<String, String> =
            DEFAULTS.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        config.extend(description.config.iter().cloned());
        let count = usize::try_from(description.partitions).unwrap_or_default();
        if count == 0 {
            return Err(Error::new(Class::Fatal, format!("topic {name} needs a partition")));
        }
        let timestamps = match entry(&config, "message.timestamp.type") {
            "CreateTime" => Timestamps::Create,
            "LogAppendTime" => Timestamps::Append,
            other => return Err(bad_entry(name, "message.timestamp.type", other)),
        };
        let policies = entry(&config, "cleanup.policy");
        let cleanup = if policies.split(',').any(|policy| policy.trim() == "compact") {
            Cleanup::Compact
        } else {
            Cleanup::Delete
        };
        Ok(Self {
            name: Arc::clone(name),
            partitions: std::iter::repeat_with(Partition::default).take(count).collect(),
            delete_retention_ms: number(name, &config, "delete.retention.ms")?,
            timestamps,
            cleanup,
            max_message_bytes: number(name, &config, "max.message.bytes")?,
            config: config.into_iter().collect(),
            spread: 0,
        })
    }

    pub fn describe(&self) -> TopicDescription {
        TopicDescription {
            name: Arc::clone(&self.name),
            partitions: i32::try_from(self.partitions.len()).unwrap_or(i32::MAX),
            config: self.config.clone(),
        }
    }

    pub fn partition(&self, partition: i32) -> Result<&Partition, Error> {
        usize::try_from(partition)
            .ok()
            .and_then(|index| self.partitions.get(index))
            .ok_or_else(|| unknown(&self.name, partition))
    }

    pub fn partition_mut(&mut self, partition: i32) -> Result<&mut Partition, Error> {
        usize::try_from(partition)
            .ok()
            .and_then(|index| self.partitions.get_mut(index))
            .ok_or_else(|| unknown(&self.name, partition))
    }

    pub fn append(
        &mut self,
        partition: i32,
        created: Timestamp,
        now: Timestamp,
        transaction: Option<TransactionNumber>,
        body: Body,
    ) -> Result<Offset, Error> {
        self.check(&body)?;
        let timestamp = match self.timestamps {
            Timestamps::Append => now,
            Timestamps::Create => created,
        };
        Ok(self.partition_mut(partition)?.append(timestamp, transaction, body))
    }

    /// The partition that Kafka's own clients choose for a key; in turn where there is none.
    pub fn place(&mut self, key: Option<&[u8]>) -> i32 {
        let count = i32::try_from(self.partitions.len()).unwrap_or(i32::MAX);
        if let Some(key) = key {
            return partition_of(key, count);
        }
        let place = self.spread % count;
        self.spread = place + 1;
        place
    }

    /// A record that a broker would refuse fails the transaction it belongs to.
    fn check(&self, body: &Body) -> Result<(), Error> {
        if self.cleanup == Cleanup::Compact && body.key().is_none() {
            let message = format!("topic {} is compacted: a record needs a key", self.name);
            return Err(Error::new(Class::Abort, message));
        }
        if body.len() > self.max_message_bytes {
            let message = format!(
                "a record of {} bytes is larger than the {} that topic {} takes",
                body.len(),
                self.max_message_bytes,
                self.name
            );
            return Err(Error::new(Class::Abort, message));
        }
        Ok(())
    }
}

fn entry<'a>(config: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    config.get(key).map_or("", String::as_str)
}

fn number<T: std::str::FromStr>(
    topic: &str,
    config: &BTreeMap<String, String>,
    key: &str,
) -> Result<T, Error> {
    let text = entry(config, key);
    text.parse().map_err(|_| bad_entry(topic, key, text))
}

fn bad_entry(topic: &str, key: &str, value: &str) -> Error {
    Error::new(Class::Fatal, format!("topic {topic}: {key}={value} is not understood"))
}

fn unknown(topic: &str, partition: i32) -> Error {
    Error::new(Class::Fatal, format!("topic {topic} has no partition {partition}"))
}
