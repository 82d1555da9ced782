//! The log on Apache Kafka, through librdkafka.
//!
//! Layout: `native` makes librdkafka safe to call; `consumer`, `input` and `leave` are a group
//! member; `producer` is a transactional producer, and `aside` keeps what may hang from its worker;
//! `reader` reads outside any group; `ends` watches where partitions end; `keeper` looks after
//! clients without a broker; `ask` and `admin` are questions; `properties` says what may be
//! configured; `error` says what errors mean.

mod admin;
mod aside;
mod ask;
mod consumer;
mod ends;
mod error;
mod input;
mod keeper;
mod leave;
mod native;
mod producer;
mod properties;
mod reader;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aplomb_state::ids::{NextOffset, Timestamp, TopicPartition};

use self::{admin::Admin, ends::Ends, keeper::Keeper, native::Client};
pub use self::{
    consumer::KafkaConsumer, native::GroupMetadata, producer::KafkaProducer,
    properties::check_properties, reader::KafkaReader,
};
use crate::log::{
    Class, Committed, Error, GroupDescription, Isolation, Log, Member, TopicDescription, Watermarks,
};

/// How to reach a cluster, and the limits under which it is used.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// librdkafka's properties as the user gave them, `bootstrap.servers` among them. See
    /// [`check_properties`] for those that are refused.
    pub properties: BTreeMap<String, String>,
    pub client_id: String,
    /// The group in whose name partitions are read and asked about outside any membership: access
    /// rights are given to groups, and this is the one an application surely has.
    pub group: String,
    pub transaction_timeout_ms: u32,
    /// Of the classic group protocol; heartbeats come three times as often.
    pub session_timeout_ms: u32,
    /// A worker that does not poll for so long loses its membership. The group waits so long for
    /// a member to join again, and a member so long for the group's answer to that: a connection
    /// that dies without a word at this moment costs as much. Turns are bounded by seconds.
    pub max_poll_interval_ms: u32,
    /// Prefetched records of one partition, in bytes.
    pub fetch_partition_bytes_max: usize,
    /// For questions about offsets and topics.
    pub request_timeout_ms: u32,
    /// Of topics that are created. -1: the broker's default.
    pub replication_factor: i32,
}

impl KafkaSettings {
    pub fn new(bootstrap_servers: &str, group: &str) -> Self {
        let key = "bootstrap.servers".to_owned();
        Self {
            properties: BTreeMap::from([(key, bootstrap_servers.to_owned())]),
            client_id: "aplomb".to_owned(),
            group: group.to_owned(),
            transaction_timeout_ms: 10_000,
            session_timeout_ms: 10_000,
            max_poll_interval_ms: 60_000,
            fetch_partition_bytes_max: 4 << 20,
            request_timeout_ms: 10_000,
            replication_factor: -1,
        }
    }
}

/// A Kafka cluster.
#[derive(Clone)]
pub struct KafkaLog(Arc<Cluster>);

struct Cluster {
    settings: KafkaSettings,
    committed: Arc<Client>,
    uncommitted: Arc<Client>,
    ends: Arc<Ends>,
    keeper: Arc<Keeper>,
    admin: Admin,
    /// Clients that ask what other groups have committed.
    groups: Mutex<HashMap<String, Arc<Client>>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.ends.stop();
        self.keeper.stop();
    }
}

impl KafkaLog {
    /// Makes the clients; they connect in the background. Refused properties are an error.
    pub fn connect(settings: KafkaSettings) -> Result<Self, Error> {
        let fatal = |reason: String| Error::new(Class::Fatal, reason);
        if let Some((key, reason)) = check_properties(&settings.properties).into_iter().next() {
            return Err(fatal(format!("property {key}: {reason}")));
        }
        let open = |isolation| {
            Client::consumer(&properties::reading(&settings, &settings.group, isolation))
                .map_err(|reason| fatal(format!("client: {reason}")))
        };
        let committed = open(Isolation::ReadCommitted)?;
        let uncommitted = open(Isolation::ReadUncommitted)?;
        let wait = Duration::from_millis(settings.request_timeout_ms.into());
        let admin = Admin::open(&properties::admin(&settings), wait)?;
        let ends = Ends::start(Arc::clone(&uncommitted))
            .map_err(|error| fatal(format!("thread: {error}")))?;
        let keeper = Keeper::start().map_err(|error| fatal(format!("thread: {error}")))?;
        keeper.keep(&committed);
        keeper.keep(&uncommitted);
        let groups = Mutex::default();
        let cluster = Cluster { settings, committed, uncommitted, ends, keeper, admin, groups };
        Ok(Self(Arc::new(cluster)))
    }

    fn wait(&self) -> Duration {
        Duration::from_millis(self.0.settings.request_timeout_ms.into())
    }

    fn client(&self, isolation: Isolation) -> &Client {
        match isolation {
            Isolation::ReadCommitted => &self.0.committed,
            Isolation::ReadUncommitted => &self.0.uncommitted,
        }
    }

    fn offsets(
        &self,
        isolation: Isolation,
        partitions: &[TopicPartition],
        at: i64,
    ) -> Result<Vec<i64>, Error> {
        let asked: Vec<_> = partitions.iter().map(|one| (one.clone(), at)).collect();
        ask::offsets(self.client(isolation), &asked, self.wait())?.into_iter().collect()
    }

    fn group(&self, name: &str) -> Result<Arc<Client>, Error> {
        if name == self.0.settings.group {
            return Ok(Arc::clone(&self.0.committed));
        }
        let mut groups = self.0.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = groups.get(name) {
            return Ok(Arc::clone(client));
        }
        let config = properties::reading(&self.0.settings, name, Isolation::ReadCommitted);
        let client = Client::consumer(&config)
            .map_err(|reason| Error::new(Class::Fatal, format!("client: {reason}")))?;
        self.0.keeper.keep(&client);
        groups.insert(name.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

/// Offsets that stand for the ends, as `ListOffsets` has them.
const BEGINNING: i64 = -2;
const END: i64 = -1;

impl Log for KafkaLog {
    type Group = GroupMetadata;
    type Consumer = KafkaConsumer;
    type Producer = KafkaProducer;
    type Reader = KafkaReader;

    fn consumer(&self, member: &Member) -> Result<Self::Consumer, Error> {
        let config = properties::member(&self.0.settings, member);
        let consumer = KafkaConsumer::open(&config, self.clone(), Arc::clone(&self.0.ends))?;
        self.0.keeper.keep(&consumer.client);
        Ok(consumer)
    }

    fn producer(&self, transactional_id: &str) -> Result<Self::Producer, Error> {
        let config = properties::producer(&self.0.settings, transactional_id);
        let producer = KafkaProducer::open(&config)?;
        self.0.keeper.keep(&producer.client);
        Ok(producer)
    }

    fn reader(
        &self,
        from: &[(TopicPartition, NextOffset)],
        isolation: Isolation,
    ) -> Result<Self::Reader, Error> {
        let settings = &self.0.settings;
        let config = properties::reading(settings, &settings.group, isolation);
        let reader = KafkaReader::open(&config, from)?;
        self.0.keeper.keep(&reader.client);
        Ok(reader)
    }

    fn watermarks(
        &self,
        partitions: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<Vec<Watermarks>, Error> {
        let low = self.offsets(isolation, partitions, BEGINNING)?;
        let high = self.offsets(isolation, partitions, END)?;
        let pair = |(low, high)| Watermarks { low: NextOffset(low), high: NextOffset(high) };
        Ok(low.into_iter().zip(high).map(pair).collect())
    }

    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        at: Timestamp,
    ) -> Result<Vec<NextOffset>, Error> {
        // Negative instants would stand for the ends.
        let found = self.offsets(Isolation::ReadUncommitted, partitions, at.0.max(0))?;
        if found.iter().all(|offset| *offset >= 0) {
            return Ok(found.into_iter().map(NextOffset).collect());
        }
        let ends = self.offsets(Isolation::ReadUncommitted, partitions, END)?;
        let pick = |(found, end)| NextOffset(if found >= 0 { found } else { end });
        Ok(found.into_iter().zip(ends).map(pick).collect())
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        wait: Duration,
    ) -> Result<Vec<Committed>, Error> {
        ask::committed(&*self.group(group)?, partitions, wait)
    }

    fn describe_group(&self, group: &str, wait: Duration) -> Result<GroupDescription, Error> {
        ask::describe_group(&self.0.committed, group, wait)
    }

    fn topics(&self, names: &[Arc<str>]) -> Result<Vec<Option<TopicDescription>>, Error> {
        self.0.admin.topics(names)
    }

    fn create_topics(&self, topics: &[TopicDescription]) -> Result<(), Error> {
        self.0.admin.create(topics, self.0.settings.replication_factor)
    }

    fn delete_topics(&self, names: &[Arc<str>]) -> Result<(), Error> {
        self.0.admin.delete(names)
    }

    fn delete_records(&self, before: &[(TopicPartition, NextOffset)]) -> Result<(), Error> {
        self.0.admin.delete_records(before)
    }

    fn outsider(&self, group: &str) -> Result<Self::Group, Error> {
        let none = || Error::new(Class::Fatal, format!("no name of a group: {group:?}"));
        GroupMetadata::outsider(group).ok_or_else(none)
    }
}
