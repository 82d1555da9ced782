//! The configuration document that intake broadcasts into the inboxes.

use std::{collections::BTreeMap, sync::Arc};

use aplomb_state::{
    envelope::{Configuration, Source},
    stage::Settings,
};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::{Config, Flow};

/// The topology's own part, as JSON.
fn body(flows: &[&Flow], rules: &Map<String, Json>) -> Vec<u8> {
    let flows: Vec<&Json> = flows.iter().map(|flow| &flow.document).collect();
    json!({ "flows": flows, "rules": rules }).to_string().into_bytes()
}

/// The rules with those of the bootstrap table, sorted.
fn rules(config: &Config) -> Map<String, Json> {
    let entries = |table: &Json| table.as_object().cloned().unwrap_or_default().into_iter();
    let bootstrap = entries(&config.bootstrap).map(|(key, value)| (bootstrap_rule(&key), value));
    let all: BTreeMap<String, Json> = entries(&config.rules).chain(bootstrap).collect();
    all.into_iter().collect()
}

fn bootstrap_rule(key: &str) -> String {
    format!("bootstrap_{key}")
}

/// What the topology's parser has against the document, by key. It stops at its first mistake, so
/// it is asked about each flow and each rule alone.
pub(super) fn mistakes(
    config: &Config,
    settings: fn(&[u8]) -> Result<Settings, String>,
) -> Vec<(String, String)> {
    let rules = rules(config);
    let flows: Vec<&Flow> = config.flows.iter().collect();
    let Err(whole) = settings(&body(&flows, &rules)) else { return Vec::new() };
    let mut mistakes = Vec::new();
    for (index, flow) in config.flows.iter().enumerate() {
        if let Err(problem) = settings(&body(&[flow], &Map::new())) {
            mistakes.push((format!("flows[{index}]"), without_place(&problem)));
        }
    }
    for (key, value) in rules {
        let alone = Map::from_iter([(key.clone(), value)]);
        if let Err(problem) = settings(&body(&[], &alone)) {
            let key = match key.strip_prefix("bootstrap_") {
                Some(key) => format!("bootstrap.{key}"),
                None => format!("rules.{key}"),
            };
            mistakes.push((key, without_place(&problem)));
        }
    }
    if mistakes.is_empty() {
        mistakes.push(("flows, rules".to_owned(), without_place(&whole)));
    }
    mistakes
}

/// Line and column are those of a JSON text that nobody sees.
fn without_place(problem: &str) -> String {
    problem.split(" at line ").next().unwrap_or(problem).to_owned()
}

impl Config {
    /// The external topics, in the order of the file.
    pub fn external_topics(&self) -> Vec<Arc<str>> {
        self.flows.iter().map(|flow| flow.topic.as_str().into()).collect()
    }

    /// `partitions`: of each external topic. `Err` names those that are missing.
    pub fn document(
        &self,
        partitions: &BTreeMap<Arc<str>, i32>,
    ) -> Result<Configuration, Vec<String>> {
        let missing: Vec<String> = self
            .flows
            .iter()
            .filter(|flow| !partitions.contains_key(flow.topic.as_str()))
            .map(|flow| flow.topic.clone())
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let source = |flow: &Flow| Source {
            flow: flow.name.clone(),
            topic: flow.topic.clone(),
            partitions: partitions.get(flow.topic.as_str()).copied().unwrap_or(0),
            allowed_disorder_ms: flow.allowed_disorder_ms,
        };
        let mut sources: Vec<Source> = self.flows.iter().map(source).collect();
        sources.sort_by(|left, right| left.topic.cmp(&right.topic));
        let flows: Vec<&Flow> = self.flows.iter().collect();
        let body = body(&flows, &rules(self));
        let hash = hash(&sources, self.time.hold_ms, &body);
        Ok(Configuration {
            revision: self.revision,
            hash,
            sources,
            time_hold_ms: self.time.hold_ms,
            body,
        })
    }
}

/// Hex of SHA-256 over everything but the revision. Each part goes in with its length, so that no
/// two documents give the same bytes.
fn hash(sources: &[Source], time_hold_ms: i64, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(bytes);
    };
    for source in sources {
        part(source.flow.as_bytes());
        part(source.topic.as_bytes());
        part(&source.partitions.to_be_bytes());
        part(&source.allowed_disorder_ms.to_be_bytes());
    }
    part(&time_hold_ms.to_be_bytes());
    part(body);
    hex::encode(digest.finalize())
}
