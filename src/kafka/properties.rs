//! Which librdkafka properties a user may set, and which ones the engine's guarantees rest on.

use std::collections::BTreeMap;

use rdkafka::{ClientConfig, error::KafkaError};

use super::KafkaSettings;
use crate::log::{Isolation, Member};

/// Properties that the engine sets itself, with the reason.
const OWNED: [(&str, &str); 19] = [
    ("group.id", "it is the application's id"),
    ("group.instance.id", "it follows from the pod's ordinal and the worker"),
    ("transactional.id", "a successor settles its predecessor's transactions by this name"),
    ("transaction.timeout.ms", "set transaction_timeout_ms instead: other limits follow from it"),
    ("enable.idempotence", "transactions need it"),
    ("acks", "transactions need all replicas"),
    ("max.in.flight.requests.per.connection", "the order of records depends on it"),
    ("enable.auto.commit", "offsets are committed within transactions only"),
    ("enable.auto.offset.store", "offsets are committed within transactions only"),
    ("isolation.level", "records of aborted transactions must never be read"),
    ("auto.offset.reset", "a position that is gone must be an error, never a silent reset"),
    ("partition.assignment.strategy", "rebalances must be cooperative"),
    ("group.remote.assignor", "assignments must be sticky"),
    ("enable.partition.eof", "the end of a partition drives the frontiers"),
    ("delivery.report.only.error", "offsets of written records are needed"),
    ("message.timeout.ms", "it follows from the transaction's time-out"),
    ("delivery.timeout.ms", "it follows from the transaction's time-out"),
    ("log.queue", "log lines go to the process's own log"),
    ("allow.auto.create.topics", "a misspelt topic must be an error"),
];

/// The properties that cannot be passed through, each with the reason.
pub fn check_properties(properties: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let refusal = |(key, value): (&String, &String)| {
        let reason = match OWNED.iter().find(|(owned, _)| owned == key) {
            Some((_, reason)) => format!("set by the engine: {reason}"),
            None => unknown(key, value)?,
        };
        Some((key.clone(), reason))
    };
    properties.iter().filter_map(refusal).collect()
}

/// Asks librdkafka, which knows all names and many values.
fn unknown(key: &str, value: &str) -> Option<String> {
    match ClientConfig::new().set(key, value).create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(_, reason, ..)) => Some(reason),
        Err(other) => Some(other.to_string()),
    }
}

/// What all clients share: the user's properties over our defaults.
fn common(settings: &KafkaSettings, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", &settings.client_id);
    for (key, value) in defaults {
        config.set(*key, *value);
    }
    for (key, value) in &settings.properties {
        config.set(key, value);
    }
    config.set("allow.auto.create.topics", "false");
    config
}

/// A client that asks and reads, without taking part in a group.
pub fn reading(settings: &KafkaSettings, group: &str, isolation: Isolation) -> ClientConfig {
    let defaults = [
        // An idle end is answered for by the broker within this time.
        ("fetch.wait.max.ms", "50"),
        // The default of a second would stop a partition for a second whenever its queue is full.
        ("fetch.queue.backoff.ms", "5"),
        // What librdkafka keeps of a record beside its payload is half a kilobyte.
        ("queued.min.messages", "4000"),
        ("reconnect.backoff.ms", "20"),
        ("reconnect.backoff.max.ms", "1000"),
        ("topic.metadata.propagation.max.ms", "5000"),
        // Where a connection has died without a word, this is how long a partition stands still.
        ("socket.timeout.ms", "10000"),
    ];
    let mut config = common(settings, &defaults);
    let level = match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    };
    config
        .set("group.id", group)
        .set("isolation.level", level)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true");
    // Outside a group the protocol plays no part, but its checks on other properties do.
    config.remove("group.protocol");
    if !settings.properties.contains_key("queued.max.messages.kbytes") {
        let kbytes = (settings.fetch_partition_bytes_max / 1024).max(64);
        config.set("queued.max.messages.kbytes", kbytes.to_string());
    }
    if !settings.properties.contains_key("fetch.message.max.bytes") {
        // A fetch brings so much on top of what is there already. It is compressed, so that it
        // becomes a multiple of that. A greater batch comes all the same, alone.
        let bytes = (settings.fetch_partition_bytes_max / 8).clamp(64 << 10, 1 << 20);
        config.set("fetch.message.max.bytes", bytes.to_string());
    }
    config
}

pub fn member(settings: &KafkaSettings, member: &Member) -> ClientConfig {
    let mut config = reading(settings, &member.group, Isolation::ReadCommitted);
    if let Some(id) = &member.instance_id {
        config.set("group.instance.id", id);
    }
    if !settings.properties.contains_key("max.poll.interval.ms") {
        // librdkafka refuses one that is shorter than a session.
        let interval_ms = settings.max_poll_interval_ms.max(settings.session_timeout_ms);
        config.set("max.poll.interval.ms", interval_ms.to_string());
    }
    let is_consumer_protocol =
        settings.properties.get("group.protocol").is_some_and(|protocol| protocol == "consumer");
    if is_consumer_protocol {
        // Session and heartbeat are the broker's settings then, and librdkafka refuses ours.
        config
            .set("group.protocol", "consumer")
            .remove("session.timeout.ms")
            .remove("heartbeat.interval.ms");
        return config;
    }
    config.set("partition.assignment.strategy", "cooperative-sticky");
    if !settings.properties.contains_key("session.timeout.ms") {
        config.set("session.timeout.ms", settings.session_timeout_ms.to_string());
    }
    if !settings.properties.contains_key("heartbeat.interval.ms") {
        config.set("heartbeat.interval.ms", (settings.session_timeout_ms / 3).to_string());
    }
    config
}

pub fn producer(settings: &KafkaSettings, transactional_id: &str) -> ClientConfig {
    let defaults = [
        // A drain does not wait for this, so it costs no latency.
        ("linger.ms", "20"),
        ("compression.type", "lz4"),
        // The coordinator answers "concurrent transactions" until the last one's markers are
        // written; every such answer costs one back-off.
        ("retry.backoff.ms", "1"),
        ("retry.backoff.max.ms", "20"),
        ("reconnect.backoff.ms", "20"),
        ("reconnect.backoff.max.ms", "1000"),
        ("queue.buffering.max.messages", "500000"),
        ("queue.buffering.max.kbytes", "131072"),
        // A dead letter holds a whole input record and more.
        ("message.max.bytes", "33554432"),
    ];
    let mut config = common(settings, &defaults);
    config
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", settings.transaction_timeout_ms.to_string())
        .set("enable.idempotence", "true")
        .set("delivery.report.only.error", "false");
    if !settings.properties.contains_key("socket.timeout.ms") {
        // A request must not outlive the transaction it belongs to.
        let timeout = settings.transaction_timeout_ms.clamp(1_000, 60_000);
        config.set("socket.timeout.ms", timeout.to_string());
    }
    config.remove("group.protocol");
    config
}

pub fn admin(settings: &KafkaSettings) -> ClientConfig {
    let mut config = common(settings, &[]);
    config.remove("group.protocol");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(key: &str, value: &str) -> Option<String> {
        let properties = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        check_properties(&properties).into_iter().next().map(|(_, reason)| reason)
    }

    #[test]
    fn what_the_guarantees_rest_on_is_refused() {
        for (key, reason) in OWNED {
            assert_eq!(refused(key, "x"), Some(format!("set by the engine: {reason}")));
            assert!(
                unknown(key, "1").is_none_or(|answer| !answer.contains("No such")),
                "{key} is no property of librdkafka"
            );
        }
    }

    #[test]
    fn unknown_names_and_values_are_refused() {
        assert!(refused("bootstrap.server", "a:1").is_some());
        assert!(refused("linger.ms", "soon").is_some());
    }

    #[test]
    fn a_member_may_poll_as_rarely_as_its_session_lasts_and_as_the_user_says() {
        let interval = |settings: &KafkaSettings| {
            let id = Member { group: "g".to_owned(), instance_id: None };
            member(settings, &id).get("max.poll.interval.ms").map(str::to_owned)
        };
        let mut settings = KafkaSettings::new("a:1", "g");
        assert_eq!(interval(&settings).as_deref(), Some("60000"));
        settings.session_timeout_ms = 90_000;
        assert_eq!(interval(&settings).as_deref(), Some("90000"));
        let longer = ("max.poll.interval.ms".to_owned(), "120000".to_owned());
        settings.properties.extend([longer]);
        assert_eq!(interval(&settings).as_deref(), Some("120000"));
    }

    #[test]
    fn the_rest_passes() {
        for (key, value) in [
            ("bootstrap.servers", "a:1"),
            ("security.protocol", "sasl_ssl"),
            ("group.protocol", "consumer"),
            ("linger.ms", "5"),
        ] {
            assert_eq!(refused(key, value), None, "{key}");
        }
    }
}
