//! What all records of systems of record have in common: `sor.<system>.<entity>.v1`.

use aplomb_state::{ids::Timestamp, record::Trace, rejection::Rejection};
use serde::Deserialize;

use super::{Text, unreadable, violation};
use crate::{settings::Flow, time};

/// Borrowed from the record. `V` is the entity's value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(bound(deserialize = "V: Deserialize<'de>"))]
pub(super) struct Envelope<'a, V> {
    #[serde(default, borrow)]
    pub event_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    system: Option<Text<'a>>,
    #[serde(default, borrow)]
    project_key: Option<Text<'a>>,
    #[serde(borrow)]
    entity: Text<'a>,
    #[serde(default, borrow)]
    pub ids: Option<Ids<'a>>,
    #[serde(default, borrow)]
    as_of: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub batch_id: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(default = "none")]
    pub value: Option<V>,
}

fn none<V>() -> Option<V> {
    None
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ids<'a> {
    #[serde(default, borrow)]
    pub sku: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub order_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub order_number: Option<Text<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Snapshot,
    Delta,
    Complete,
    Ack,
    Reject,
    Heartbeat,
}

/// What every record says, checked against the flow's contract.
pub(super) struct Head {
    pub project: String,
    pub as_of: Timestamp,
    pub kind: Kind,
    pub cause_id: String,
}

pub(super) fn read<'a, V: Deserialize<'a>>(
    bytes: &'a [u8],
    entity: &str,
    flow: &Flow,
    trace: &Trace,
    logged_at: Timestamp,
) -> Result<(Head, Envelope<'a, V>), Rejection> {
    let envelope: Envelope<'a, V> =
        serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    let told = envelope.entity.trimmed();
    if told != entity {
        return Err(violation("entity", format!("a record of {told} in a feed of {entity}s")));
    }
    if let Some(system) = given(envelope.system.as_ref())
        && system != flow.system
    {
        let detail = format!("a record of {system}; the flow's contract says {}", flow.system);
        return Err(violation("system", detail));
    }
    let project = given(envelope.project_key.as_ref()).or(flow.project_key.as_deref());
    let Some(project) = project.filter(|project| !project.contains(':')) else {
        return Err(violation("projectKey", "neither record nor contract names the project"));
    };
    let as_of = match given(envelope.as_of.as_ref()) {
        Some(text) => {
            let instant = time::parse(text);
            instant.ok_or_else(|| violation("asOf", format!("asOf {text} is no instant")))?
        }
        None => logged_at,
    };
    let kind = match envelope.kind.trimmed() {
        "snapshot" => Kind::Snapshot,
        "delta" => Kind::Delta,
        "complete" => Kind::Complete,
        "ack" => Kind::Ack,
        "reject" => Kind::Reject,
        "heartbeat" => Kind::Heartbeat,
        other => return Err(violation("kind", format!("kind {other} is not in the contract"))),
    };
    let event_id = given(envelope.event_id.as_ref());
    if matches!(kind, Kind::Delta | Kind::Ack | Kind::Reject) && event_id.is_none() {
        return Err(violation("eventId", "a delta, ack or reject needs an eventId"));
    }
    let cause_id = match event_id {
        Some(event_id) => format!("s:{}:{entity}:{event_id}", flow.system),
        None => format!("b:{}:{}:{}", trace.topic, trace.partition, trace.offset),
    };
    Ok((Head { project: project.to_owned(), as_of, kind, cause_id }, envelope))
}

/// The batch that a refused record belongs to, if it says so much.
pub(super) fn batch_of(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Batch {
        batch_id: Option<String>,
    }
    let batch: Batch = serde_json::from_slice(bytes).ok()?;
    batch.batch_id.filter(|batch_id| !batch_id.trim().is_empty())
}

pub(super) fn given<'a>(field: Option<&'a Text<'_>>) -> Option<&'a str> {
    field.map(Text::trimmed).filter(|text| !text.is_empty())
}

pub(super) fn owned(field: Option<&Text<'_>>) -> Option<String> {
    given(field).map(str::to_owned)
}
