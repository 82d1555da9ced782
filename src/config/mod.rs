//! The configuration: one TOML file, overridden by the environment, checked as a whole.
//!
//! Every mistake is reported at once, with the key and what is allowed. The caller of
//! [`Config::load`] exits with [`EXIT_CODE`] when there is one.
//!
//! Invariant: names no business type. A flow's own keys, the rules and the bootstrap table are
//! handed to the topology as JSON, and its parser is the judge of them.

mod document;
mod environment;
mod error;
mod reader;
mod sections;
#[cfg(test)]
mod test;

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, path::PathBuf};

use aplomb_state::stage::Settings;
use serde_json::Value as Json;

pub use self::error::{Error, Mistake};
use crate::{
    application::{Naming, Start, Tuning},
    kafka::KafkaSettings,
};

/// `EX_CONFIG` of sysexits.h.
pub const EXIT_CODE: u8 = 78;

/// A configuration without a mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub application: Application,
    pub kafka: Kafka,
    pub start: Start,
    pub topics: Topics,
    pub worker: Worker,
    pub memory: Memory,
    pub http: Http,
    pub log: Log,
    pub time: Time,
    pub inbox: Inbox,
    /// Raised by whoever changes flows, rules or bootstrap: tasks keep the greatest.
    pub revision: u64,
    pub flows: Vec<Flow>,
    /// The topology's own tables, as JSON.
    pub rules: Json,
    /// A key `K` of this table is the topology's rule `bootstrap_K`.
    pub bootstrap: Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Names the group, the transactional ids and the internal topics.
    pub id: String,
    /// The pod's number. Absent: dynamic membership and random transactional ids.
    pub ordinal: Option<u32>,
    pub state_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    pub bootstrap: String,
    pub transaction_timeout_ms: u64,
    pub session_timeout_ms: u64,
    pub group_protocol: GroupProtocol,
    /// Passed to librdkafka as they stand.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    Classic,
    /// KIP-848.
    Consumer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Before the name of every output topic.
    pub prefix: String,
    /// Of every inbox and its changelog. Never changed once the application has state.
    pub partitions: i32,
    pub output_partitions: i32,
    /// -1: the broker's default.
    pub replication_factor: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub threads: usize,
    pub commit_interval_ms_min: u64,
    pub commit_interval_ms_max: u64,
    pub commit_records_max: usize,
    pub commit_bytes_max: usize,
    /// Records of one task handled before another has its turn.
    pub turn_records_max: usize,
    pub poll_wait_ms_max: u64,
    /// How long intake waits for an empty partition that is known to hold more.
    pub merge_wait_ms_max: u64,
    /// Intake yields while the stages behind it lag by more than this.
    pub intake_lag_records_max: u64,
    /// Changelog records restored before another task has its turn.
    pub restore_records_max: usize,
    pub flush_interval_ms_max: u64,
    pub flush_bytes_max: usize,
    pub drain_ms_max: u64,
    pub revoke_ms_max: u64,
    pub shutdown_ms_max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of the state database and the records that are fetched ahead, together.
    pub budget_bytes: usize,
}

impl Memory {
    /// A quarter is for records that are fetched ahead.
    pub fn fetched_bytes(&self) -> usize {
        self.budget_bytes / 4
    }

    pub fn database_bytes(&self) -> usize {
        self.budget_bytes - self.fetched_bytes()
    }

    /// What one partition may hold of them, if the process owns all partitions of so many topics:
    /// half of its share, since librdkafka counts payloads alone, and a last fetch comes on top.
    fn fetched_partition_bytes(&self, partitions: i32) -> usize {
        let partitions = TOPICS_FETCHED * usize::try_from(partitions).unwrap_or(1).max(1);
        (self.fetched_bytes() / partitions / 2).clamp(FETCHED_BYTES_MIN, FETCHED_BYTES_MAX)
    }
}

/// Inputs and inboxes that can be full at a time.
const TOPICS_FETCHED: usize = 4;
/// Below this a fetch costs more than it brings.
const FETCHED_BYTES_MIN: usize = 128 << 10;
/// Beyond this nothing gets faster.
const FETCHED_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: SocketAddr,
    /// Holds the token that callers must bear. The token itself is in no configuration.
    pub token_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// As `RUST_LOG`: `info,aplomb=debug`.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbox {
    /// Records are kept for so long at least; before that, a checkpoint stands in for them.
    pub keep_ms: i64,
    /// From one checkpoint of a task to the next.
    pub checkpoint_interval_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// How long a silent partition holds time back once the others move.
    pub hold_ms: i64,
}

/// One external topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    pub name: String,
    pub topic: String,
    pub allowed_disorder_ms: i64,
    /// The keys of the table as JSON, for the topology, name and topic among them.
    pub document: Json,
}

/// What the parser needs from elsewhere.
pub struct Checks<'a> {
    /// Reads the topology's document; `Err` says what is wrong with it.
    pub settings: fn(&[u8]) -> Result<Settings, String>,
    /// Properties of librdkafka that the engine owns, with the reason.
    pub properties: &'a dyn Fn(&BTreeMap<String, String>) -> Vec<(String, String)>,
    /// Beneath the file: what `demo` and `replay` take for granted.
    pub defaults: toml::Table,
}

impl Config {
    /// Reads the file and the process's environment.
    pub fn load(path: &Path, checks: &Checks<'_>) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|error| Error::file(path, &error))?;
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::parse(&text, variables, checks)
    }

    /// `variables`: the environment, or as much of it as should count.
    pub fn parse(
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
        checks: &Checks<'_>,
    ) -> Result<Self, Error> {
        let file: toml::Table = text.parse().map_err(|error| Error::syntax(&error))?;
        let mut table = checks.defaults.clone();
        overlay(&mut table, file);
        let mut mistakes = Vec::new();
        let overrides = environment::apply(&mut table, variables, &mut mistakes);
        let reader = reader::Reader::new(&table, &overrides);
        let config = sections::read(&reader, checks);
        mistakes.extend(reader.into_mistakes());
        if mistakes.is_empty() { Ok(config) } else { Err(Error { mistakes }) }
    }
}

impl Config {
    pub fn naming(&self) -> Naming {
        Naming {
            application_id: self.application.id.clone(),
            output_prefix: self.topics.prefix.clone(),
            inbox_partitions: self.topics.partitions,
            output_partitions: self.topics.output_partitions,
        }
    }

    /// How to reach the cluster.
    pub fn kafka_settings(&self) -> KafkaSettings {
        let kafka = &self.kafka;
        let ms = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let mut settings = KafkaSettings::new(&kafka.bootstrap, &self.application.id);
        settings.properties.extend(kafka.properties.clone());
        settings.transaction_timeout_ms = ms(kafka.transaction_timeout_ms);
        settings.session_timeout_ms = ms(kafka.session_timeout_ms);
        settings.replication_factor = self.topics.replication_factor;
        settings.fetch_partition_bytes_max =
            self.memory.fetched_partition_bytes(self.topics.partitions);
        if kafka.group_protocol == GroupProtocol::Consumer {
            settings.properties.insert("group.protocol".to_owned(), "consumer".to_owned());
        }
        settings
    }

    /// The bounds of the worker's loop.
    pub fn tuning(&self) -> Tuning {
        let worker = &self.worker;
        let ms = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Tuning {
            commit_interval_ms_max: ms(worker.commit_interval_ms_max),
            commit_interval_ms_min: ms(worker.commit_interval_ms_min),
            commit_records_max: worker.commit_records_max,
            commit_bytes_max: worker.commit_bytes_max,
            transaction_timeout_ms: ms(self.kafka.transaction_timeout_ms),
            commit_wait_ms_max: ms(worker.drain_ms_max),
            revoke_wait_ms_max: ms(worker.revoke_ms_max),
            turn_records_max: worker.turn_records_max,
            restore_records_max: worker.restore_records_max,
            merge_wait_ms_max: ms(worker.merge_wait_ms_max),
            downstream_lag_max: ms(worker.intake_lag_records_max),
            changelog_delete_retention_ms: crate::topics::CHANGELOG_DELETE_RETENTION_MS,
            ..Tuning::default()
        }
    }
}

/// Tables are merged, all else is replaced.
fn overlay(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => overlay(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}
