//! The stock feed of a system of record: `sor.<system>.stock.v1`.

use aplomb_state::{ids::Timestamp, record::Trace, rejection::Rejection};
use serde::Deserialize;

use super::{Text, unreadable, violation};
use crate::{
    messages::skus::{Cause, NO_CHANNEL, StockKind, WarehouseStock},
    settings::Flow,
    time,
};

/// What a record of the feed says.
pub(super) struct Stock {
    pub project: String,
    pub as_of: Timestamp,
    /// Absent for heartbeats, acknowledgements, rejections and complete markers, which are known
    /// and have no effect yet.
    pub message: Option<WarehouseStock>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(default, borrow)]
    event_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    system: Option<Text<'a>>,
    #[serde(default, borrow)]
    project_key: Option<Text<'a>>,
    #[serde(borrow)]
    entity: Text<'a>,
    #[serde(default, borrow)]
    ids: Option<Ids<'a>>,
    #[serde(default, borrow)]
    as_of: Option<Text<'a>>,
    #[serde(default, borrow)]
    batch_id: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(default, borrow)]
    value: Option<Value<'a>>,
}

#[derive(Default, Deserialize)]
struct Ids<'a> {
    #[serde(default, borrow)]
    sku: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value<'a> {
    #[serde(default, borrow)]
    location: Option<Text<'a>>,
    #[serde(default)]
    quantity: Option<i64>,
    #[serde(default, borrow)]
    reason: Option<Text<'a>>,
    #[serde(default, borrow)]
    order_number: Option<Text<'a>>,
    #[serde(default, borrow)]
    line_item_id: Option<Text<'a>>,
}

pub(super) fn read(
    bytes: &[u8],
    flow: &Flow,
    trace: &Trace,
    logged_at: Timestamp,
) -> Result<Stock, Rejection> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    let entity = envelope.entity.trimmed();
    if entity != "stock" {
        return Err(violation("entity", format!("a record of {entity} in a stock feed")));
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
        "snapshot" => Some(StockKind::Snapshot),
        "delta" => Some(StockKind::Delta),
        "complete" | "ack" | "reject" | "heartbeat" => None,
        other => return Err(violation("kind", format!("kind {other} is not in the contract"))),
    };
    let needs_id = matches!(envelope.kind.trimmed(), "delta" | "ack" | "reject");
    if needs_id && given(envelope.event_id.as_ref()).is_none() {
        return Err(violation("eventId", "a delta, ack or reject needs an eventId"));
    }
    let project = project.to_owned();
    let message =
        kind.map(|kind| stock(&envelope, flow, trace, &project, as_of, kind)).transpose()?;
    Ok(Stock { project, as_of, message })
}

fn stock(
    envelope: &Envelope<'_>,
    flow: &Flow,
    trace: &Trace,
    project: &str,
    as_of: Timestamp,
    kind: StockKind,
) -> Result<WarehouseStock, Rejection> {
    let sku = given(envelope.ids.as_ref().and_then(|ids| ids.sku.as_ref()));
    let sku = sku.ok_or_else(|| violation("ids.sku", "a stock record without its sku"))?;
    let value = envelope.value.as_ref();
    let value = value.ok_or_else(|| violation("value", "a stock record without a value"))?;
    let quantity =
        value.quantity.ok_or_else(|| violation("value.quantity", "no quantity was given"))?;
    let location = given(value.location.as_ref()).unwrap_or(NO_CHANNEL);
    let location = flow.locations.get(location).map_or(location, String::as_str);
    let event_id = owned(envelope.event_id.as_ref());
    Ok(WarehouseStock {
        project: project.to_owned(),
        system: flow.system.clone(),
        flow: flow.name.clone(),
        sku: sku.to_owned(),
        location: location.to_owned(),
        kind,
        batch_id: owned(envelope.batch_id.as_ref()),
        as_of,
        quantity,
        reason: owned(value.reason.as_ref()),
        order_number: owned(value.order_number.as_ref()),
        line_id: owned(value.line_item_id.as_ref()),
        cause: Cause { id: cause_id(flow, event_id.as_deref(), trace), ..Cause::default() },
        event_id,
    })
}

fn cause_id(flow: &Flow, event_id: Option<&str>, trace: &Trace) -> String {
    match event_id {
        Some(event_id) => format!("s:{}:stock:{event_id}", flow.system),
        None => format!("b:{}:{}:{}", trace.topic, trace.partition, trace.offset),
    }
}

fn given<'a>(field: Option<&'a Text<'_>>) -> Option<&'a str> {
    field.map(Text::trimmed).filter(|text| !text.is_empty())
}

fn owned(field: Option<&Text<'_>>) -> Option<String> {
    given(field).map(str::to_owned)
}
