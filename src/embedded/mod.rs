//! The embedded log: Kafka's transactions, groups and topics in memory, on one clock.
//!
//! It is no mock. Control records take offsets, open transactions hold back `read_committed`
//! readers, producers are fenced by epochs, and a group goes on only when every member has
//! answered. What it leaves out: replication, and retention by time or size.
//!
//! On a [`VirtualClock`] nothing waits and nothing is random: the same calls in the same order give
//! the same log, offset by offset.
//!
//! ```
//! use aplomb::embedded::{EmbeddedLog, Foreign, VirtualClock};
//! use aplomb::log::{Isolation, Log, TopicDescription};
//!
//! let log = EmbeddedLog::new(VirtualClock::default());
//! log.create_topics(&[TopicDescription { name: "t".into(), partitions: 1, config: vec![] }])?;
//! log.produce(&Foreign { key: Some(b"key"), value: Some(b"value"), ..Foreign::to("t") })?;
//! let records = log.read_all("t", Isolation::ReadCommitted)?;
//! assert_eq!(records[0].value.as_deref(), Some(&b"value"[..]));
//! # Ok::<(), aplomb::log::Error>(())
//! ```
//!
//! Layout: `cluster` is the state behind one lock, made of `topic` and `partition` (records),
//! `transaction` (the transaction coordinator), `group`, `assignment` and `offsets` (the group
//! coordinator); `producer`, `consumer` and `reader` are the clients; `operations` is what an
//! operator or a foreign producer does from outside.

mod assignment;
mod clock;
mod cluster;
mod consumer;
mod faults;
mod group;
mod offsets;
mod operations;
mod partition;
mod producer;
mod reader;
mod record;
mod topic;
mod transaction;

use std::{sync::Arc, time::Duration};

use aplomb_state::ids::{NextOffset, Timestamp, TopicPartition};

use self::cluster::Shared;
pub use self::{
    clock::{LogClock, VirtualClock},
    consumer::EmbeddedConsumer,
    faults::{Call, Fault, Faults},
    group::Membership,
    operations::{Foreign, Kept},
    producer::EmbeddedProducer,
    reader::EmbeddedReader,
};
use crate::{
    clock::Clock,
    log::{
        Committed, Error, GroupDescription, Isolation, Log, Member, TopicDescription, Watermarks,
    },
};

/// A whole cluster in memory. Clones are further handles to the same cluster.
#[derive(Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    faults: Option<Arc<dyn Faults>>,
}

/// What a broker or a client would be configured with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A member that was silent for so long is dropped.
    pub session_timeout_ms: i64,
    /// So long the others wait for a member that is alive but does not answer.
    pub rebalance_timeout_ms: i64,
    /// A transaction that was open for so long is aborted, and its producer fenced.
    pub transaction_timeout_ms: i64,
    /// How many records of a partition a consumer buffers.
    pub fetch_records_max: usize,
    pub static_rejoin: StaticRejoin,
}

/// What a static member is told that joins again after the group had dropped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaticRejoin {
    /// That its partitions were lost.
    Lost,
    /// Nothing: it keeps them under another member id until an assignment says otherwise, as
    /// librdkafka does under cooperative assignment.
    Silent,
}

impl Default for Settings {
    /// Kafka's own defaults.
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 300_000,
            transaction_timeout_ms: 60_000,
            fetch_records_max: 500,
            static_rejoin: StaticRejoin::Lost,
        }
    }
}

impl EmbeddedLog {
    pub fn new(clock: impl Into<LogClock>) -> Self {
        Self::with_settings(clock, Settings::default())
    }

    pub fn with_settings(clock: impl Into<LogClock>, settings: Settings) -> Self {
        Self { shared: Arc::new(Shared::new(clock.into(), settings)), faults: None }
    }

    /// A handle to the same cluster whose ends fail as `faults` decides: so each simulated process
    /// has faults of its own.
    pub fn with_faults(&self, faults: Arc<dyn Faults>) -> Self {
        Self { shared: Arc::clone(&self.shared), faults: Some(faults) }
    }

    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }
}

impl Log for EmbeddedLog {
    type Group = Membership;
    type Consumer = EmbeddedConsumer;
    type Producer = EmbeddedProducer;
    type Reader = EmbeddedReader;

    fn consumer(&self, member: &Member) -> Result<EmbeddedConsumer, Error> {
        Ok(EmbeddedConsumer::new(Arc::clone(&self.shared), self.faults.clone(), member))
    }

    fn producer(&self, transactional_id: &str) -> Result<EmbeddedProducer, Error> {
        Ok(EmbeddedProducer::new(Arc::clone(&self.shared), self.faults.clone(), transactional_id))
    }

    fn reader(
        &self,
        from: &[(TopicPartition, NextOffset)],
        isolation: Isolation,
    ) -> Result<EmbeddedReader, Error> {
        let faults = self.faults.clone();
        Ok(EmbeddedReader::new(Arc::clone(&self.shared), faults, from, isolation))
    }

    fn watermarks(
        &self,
        partitions: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<Vec<Watermarks>, Error> {
        faults::ask(self.faults.as_deref(), Call::Watermarks)?;
        self.shared.with(|cluster, _| {
            let of = |partition| Ok(cluster.partition(partition)?.watermarks(isolation));
            partitions.iter().map(of).collect()
        })
    }

    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        at: Timestamp,
    ) -> Result<Vec<NextOffset>, Error> {
        self.shared.with(|cluster, _| {
            let of = |partition| Ok(cluster.partition(partition)?.offset_at(at));
            partitions.iter().map(of).collect()
        })
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        wait: Duration,
    ) -> Result<Vec<Committed>, Error> {
        Ok(self.shared.committed(group, partitions, wait))
    }

    fn describe_group(&self, group: &str, _: Duration) -> Result<GroupDescription, Error> {
        Ok(self.shared.with(|cluster, _| cluster.describe_group(group)))
    }

    fn topics(&self, names: &[Arc<str>]) -> Result<Vec<Option<TopicDescription>>, Error> {
        self.shared.with(|cluster, _| {
            let describe = |name: &Arc<str>| cluster.topic(name).ok().map(|topic| topic.describe());
            Ok(names.iter().map(describe).collect())
        })
    }

    fn create_topics(&self, topics: &[TopicDescription]) -> Result<(), Error> {
        self.shared.with(|cluster, now| {
            topics.iter().try_for_each(|description| cluster.create(description, now))
        })
    }

    fn delete_topics(&self, names: &[Arc<str>]) -> Result<(), Error> {
        self.shared.with(|cluster, _| names.iter().try_for_each(|name| cluster.delete(name)))
    }

    fn delete_records(&self, before: &[(TopicPartition, NextOffset)]) -> Result<(), Error> {
        self.shared.with(|cluster, _| {
            before.iter().try_for_each(|(of, offset)| {
                cluster.topic_mut(&of.topic)?.partition_mut(of.partition)?.delete(*offset)
            })
        })
    }

    fn outsider(&self, group: &str) -> Result<Membership, Error> {
        Ok(Membership::none(group, None))
    }
}
