//! The value of an inbox record. Versioned; an unknown version parks the task.

use serde::{Deserialize, Serialize};

use crate::{
    codec::Format,
    ids::{Timestamp, TopicPartition},
    record::{External, Kind, Trace},
};

/// So many hops are a loop between actors: a rejection.
pub const HOPS_MAX: u8 = 16;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Envelope<'a> {
    Message {
        kind: Kind,
        at: Timestamp,
        hops: u8,
        trace: Trace,
        #[serde(borrow)]
        external: Option<External<'a>>,
        #[serde(borrow, with = "serde_bytes")]
        body: &'a [u8],
    },
    /// The frontiers of one worker's tasks.
    Tick(Vec<Frontier>),
    /// More timers were due than one tick may fire.
    SelfTick,
    Configuration(Configuration),
}

impl Format for Envelope<'_> {
    const VERSION: u8 = 1;
}

/// Nothing timed before `at` will come from this task any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    pub stage: u16,
    pub input: TopicPartition,
    pub at: Timestamp,
}

/// Whatever else handlers read. It reaches them through their inbox, so that a fold of the inbox
/// needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    pub revision: u64,
    /// Hex of SHA-256 over everything below.
    pub hash: String,
    /// The external topics and their partition counts.
    pub sources: Vec<Source>,
    /// How long a silent partition holds time back once the others move.
    pub time_hold_ms: i64,
    /// The topology's own document.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl Format for Configuration {
    const VERSION: u8 = 1;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub flow: String,
    pub topic: String,
    pub partitions: i32,
    pub allowed_disorder_ms: i64,
}
