//! Dead letters as people look at them, read from their topic; and sent [again](replay).

use std::{collections::BTreeMap, sync::Arc};

use aplomb_state::{
    ids::{NextOffset, TopicPartition},
    topology::Codec,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::{
    application::{Application, OutputTopic},
    log::{Fetched, Isolation, Log},
    scan::{self, Next},
};

pub mod replay;

/// Beside Kafka Streams' own, whose names begin with [`ERROR_HEADERS`].
const CODE_HEADER: &str = "code";
/// Where a dead letter says what went wrong, and where.
const ERROR_HEADERS: &str = "__streams.errors.";

/// At most so many are shown at once.
pub const LIMIT_MAX: usize = 1_000;

/// Which ones.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this code alone.
    pub code: Option<String>,
    pub limit: usize,
}

/// One dead letter. Text stands as it is, other bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    pub headers: BTreeMap<String, String>,
}

/// Where dead letters can be read.
pub trait Letters: Send + Sync {
    /// The latest first.
    fn latest(&self, wanted: &Wanted) -> Result<Vec<Letter>, String>;
}

/// Those of an application on its log.
pub struct OnLog<L: Log> {
    log: L,
    topic: OutputTopic,
}

/// The application's topic of dead letters: the one whose values are as received.
pub fn topic(application: &Application) -> Option<&OutputTopic> {
    let definitions = application.topology.outputs.iter();
    let place = definitions.clone().position(|output| output.codec == Codec::Bytes)?;
    application.outputs.get(place)
}

impl<L: Log> OnLog<L> {
    pub fn new(log: L, application: &Application) -> Option<Self> {
        topic(application).map(|topic| Self { log, topic: topic.clone() })
    }
}

impl<L: Log> Letters for OnLog<L> {
    fn latest(&self, wanted: &Wanted) -> Result<Vec<Letter>, String> {
        latest(&self.log, &self.topic, wanted).map_err(|error| error.to_string())
    }
}

fn latest<L: Log>(
    log: &L,
    topic: &OutputTopic,
    wanted: &Wanted,
) -> Result<Vec<Letter>, scan::Error> {
    let partitions = partitions(topic);
    let marks = log.watermarks(&partitions, Isolation::ReadCommitted)?;
    let mut found = Vec::new();
    for (partition, marks) in partitions.iter().zip(marks) {
        // Of one code alone more must be looked at.
        let depth = if wanted.code.is_some() { LIMIT_MAX * 10 } else { wanted.limit };
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        let from = NextOffset(marks.low.0.max(marks.high.0.saturating_sub(depth)));
        scan::range(log, partition, from, marks.high, &mut |record| {
            let letter = Letter::of(partition, record);
            if wanted.code.as_ref().is_none_or(|wanted| Some(wanted) == letter.code()) {
                found.push(letter);
            }
            Next::On
        })?;
    }
    found.sort_by_key(|letter| (-letter.timestamp, letter.partition, -letter.offset));
    found.truncate(wanted.limit);
    Ok(found)
}

fn partitions(topic: &OutputTopic) -> Vec<TopicPartition> {
    let all = 0..topic.partitions;
    all.map(|partition| TopicPartition { topic: Arc::clone(&topic.topic), partition }).collect()
}

impl Letter {
    /// `topic/partition/offset`
    pub fn place(&self) -> String {
        format!("{}/{}/{}", self.topic, self.partition, self.offset)
    }

    pub fn code(&self) -> Option<&String> {
        self.headers.get(CODE_HEADER)
    }

    pub fn of(partition: &TopicPartition, record: &Fetched<'_>) -> Self {
        let mut headers = BTreeMap::new();
        record.headers.each(&mut |name, value| {
            let name = String::from_utf8_lossy(name).into_owned();
            headers.insert(name, String::from_utf8_lossy(value.unwrap_or_default()).into_owned());
        });
        let text = record.value.and_then(|value| std::str::from_utf8(value).ok());
        let bytes = record.value.filter(|_| text.is_none());
        Self {
            topic: partition.topic.as_ref().to_owned(),
            partition: partition.partition,
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            key: record.key.map(|key| String::from_utf8_lossy(key).into_owned()),
            value: text.map(str::to_owned),
            value_base64: bytes.map(|bytes| STANDARD.encode(bytes)),
            headers,
        }
    }
}
