//! What the HTTP API answers against the last compacted records: orders, cases, and the figures of
//! every sku and location.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aplomb::log::{Isolation, Log, Reader};
use aplomb_state::ids::TopicPartition;
use serde_json::Value;

use super::{Application, Outcome, broker::Broker, http, process::Service};

/// One kind of answer and the topic that must agree with it.
struct Kind {
    /// Without the prefix.
    topic: &'static str,
    /// The path that answers for a record.
    path: fn(&str, &Value) -> Option<String>,
    /// The part of the answer that the record holds.
    part: fn(&Value, &Value) -> Option<Value>,
}

const KINDS: [Kind; 3] = [
    Kind {
        topic: "order.view.v1",
        path: |key, _| Some(format!("orders/{}", key.replacen(':', "/", 1))),
        part: |_, answer| Some(answer.clone()),
    },
    Kind {
        topic: "exceptions.v1",
        path: |key, record| Some(format!("cases/{}/{key}", record.get("projectKey")?.as_str()?)),
        part: |_, answer| Some(answer.clone()),
    },
    Kind {
        topic: "inventory.availability.v1",
        path: |_, record| {
            let text = |field| record.get(field).and_then(Value::as_str);
            Some(format!("skus/{}/{}", text("projectKey")?, text("sku")?))
        },
        part: |record, answer| {
            let locations = answer.get("locations")?.as_array()?;
            let same = |one: &&Value| one.get("location") == record.get("location");
            locations.iter().find(same)?.get("availability").cloned()
        },
    },
];

/// Answers how many keys are the same. Timers may still change a view between the two readings:
/// what differs is read again until the limit.
pub fn compare(
    broker: &Broker,
    application: &Application,
    services: &[Service],
    limit: Duration,
) -> Outcome<Vec<usize>> {
    let deadline = Instant::now() + limit;
    let compare = |kind| compare_kind(broker, application, services, kind, deadline);
    KINDS.iter().map(compare).collect()
}

fn compare_kind(
    broker: &Broker,
    application: &Application,
    services: &[Service],
    kind: &Kind,
    deadline: Instant,
) -> Outcome<usize> {
    let topic = format!("{}{}", application.prefix, kind.topic);
    loop {
        let records = last_records(broker, &topic, application.outputs)?;
        if records.is_empty() {
            return Err(format!("{topic} holds nothing").into());
        }
        let differing: Vec<_> = records
            .iter()
            .filter_map(|(key, record)| {
                let path = (kind.path)(key, record)?;
                let answer = ask(services, &path).and_then(|answer| (kind.part)(record, &answer));
                let same = answer.as_ref().map(judged) == Some(judged(record));
                (!same).then_some((path, record, answer))
            })
            .collect();
        let Some((path, record, answer)) = differing.first() else { return Ok(records.len()) };
        if Instant::now() > deadline {
            let (count, of) = (differing.len(), records.len());
            let both = format!("topic {record}, HTTP {answer:?}");
            return Err(format!("{count} of {of} differ, {path}: {both}").into());
        }
    }
}

/// A record of availability is written when a figure changes; its time is of that change.
fn judged(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut()
        && object.contains_key("atp")
    {
        object.remove("asOf");
    }
    value
}

fn ask(services: &[Service], path: &str) -> Option<Value> {
    services.iter().find_map(|service| {
        let (status, text) = http::get(service.port, path)?;
        if status != 200 {
            return None;
        }
        let answer: Value = serde_json::from_str(&text).ok()?;
        answer.get("value").cloned()
    })
}

fn last_records(broker: &Broker, topic: &str, partitions: i32) -> Outcome<BTreeMap<String, Value>> {
    let partitions: Vec<_> = (0..partitions).map(|n| TopicPartition::new(topic, n)).collect();
    let marks = broker.log.watermarks(&partitions, Isolation::ReadCommitted)?;
    let from: Vec<_> = partitions.iter().zip(&marks).map(|(p, m)| (p.clone(), m.low)).collect();
    let mut reader = broker.log.reader(&from, Isolation::ReadCommitted)?;
    let mut records: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    while partitions.iter().zip(&marks).any(|(p, marks)| reader.position(p) < marks.high) {
        reader.read(10_000, Duration::from_secs(1), &mut |_, record| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            records.insert(key, record.value.map(<[u8]>::to_vec));
        })?;
    }
    let parsed = records.into_iter().filter_map(|(key, value)| {
        let value = serde_json::from_slice(&value?);
        Some(value.map(|value| (key, value)))
    });
    Ok(parsed.collect::<Result<_, _>>()?)
}
