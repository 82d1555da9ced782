//! What the HTTP API answers against the last compacted views.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aplomb::log::{Isolation, Log, Reader};
use aplomb_state::ids::TopicPartition;
use serde_json::Value;

use crate::{Outcome, broker::Broker, process::Service};

const ORDER_VIEWS: &str = "aplomb.order.view.v1";

/// Answers how many keys are the same. Timers may still change a view between the two readings:
/// what differs is read again until the limit.
pub fn compare(broker: &Broker, services: &[Service], limit: Duration) -> Outcome<usize> {
    let deadline = Instant::now() + limit;
    loop {
        let views = last_views(broker)?;
        let mut differing = Vec::new();
        for (key, view) in &views {
            let answer = ask(services, key);
            if answer.as_ref() != Some(view) {
                differing.push((key.clone(), answer));
            }
        }
        if views.is_empty() {
            return Err("no order view was written".into());
        }
        if differing.is_empty() {
            return Ok(views.len());
        }
        if Instant::now() > deadline {
            let count = differing.len();
            let (key, answer) = differing.swap_remove(0);
            let view = views.get(&key);
            return Err(format!(
                "{count} of {} differ, {key}: topic {view:?}, HTTP {answer:?}",
                views.len()
            )
            .into());
        }
    }
}

fn ask(services: &[Service], key: &str) -> Option<Value> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let path = key.replacen(':', "/", 1);
    services.iter().find_map(|service| {
        let url = format!("http://127.0.0.1:{}/orders/{path}", service.port);
        let mut answer = agent.get(&url).call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        if answer.status() != 200 {
            return None;
        }
        let answer: Value = serde_json::from_str(&text).ok()?;
        answer.get("value").cloned()
    })
}

fn last_views(broker: &Broker) -> Outcome<BTreeMap<String, Value>> {
    let partitions: Vec<_> = (0..8).map(|n| TopicPartition::new(ORDER_VIEWS, n)).collect();
    let marks = broker.log.watermarks(&partitions, Isolation::ReadCommitted)?;
    let from: Vec<_> = partitions.iter().zip(&marks).map(|(p, m)| (p.clone(), m.low)).collect();
    let mut reader = broker.log.reader(&from, Isolation::ReadCommitted)?;
    let mut views: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    while partitions.iter().zip(&marks).any(|(p, marks)| reader.position(p) < marks.high) {
        reader.read(10_000, Duration::from_secs(1), &mut |_, record| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            views.insert(key, record.value.map(<[u8]>::to_vec));
        })?;
    }
    let parsed = views.into_iter().filter_map(|(key, value)| {
        let value = serde_json::from_slice(&value?);
        Some(value.map(|value| (key, value)))
    });
    Ok(parsed.collect::<Result<_, _>>()?)
}
