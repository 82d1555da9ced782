//! The configuration document that intake broadcasts into the inboxes.

use std::{collections::BTreeMap, sync::Arc};

use aplomb_state::envelope::{Configuration, Source};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{Config, Flow};

/// The topology's own part, as JSON.
pub(super) fn body(flows: &[Flow], rules: &Json, bootstrap: &Json) -> Vec<u8> {
    let flows: Vec<&Json> = flows.iter().map(|flow| &flow.document).collect();
    json!({ "flows": flows, "rules": rules, "bootstrap": bootstrap }).to_string().into_bytes()
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
        let body = body(&self.flows, &self.rules, &self.bootstrap);
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
