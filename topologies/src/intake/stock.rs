//! The stock feed of a system of record: `sor.<system>.stock.v1`.
//!
//! A feed of the system `commercetools` tells of inventory entries: the snapshot by which the first
//! day begins.

use aplomb_state::{ids::Timestamp, record::Trace, rejection::Rejection};
use serde::Deserialize;

use super::{
    Text,
    envelope::{self, Envelope, Head, Kind, given, owned},
    violation,
};
use crate::{
    drifts::COMMERCETOOLS,
    messages::skus::{
        BatchEnded, CartHolds, Cause, EntryReading, NO_CHANNEL, SkuMessage, StockKind,
        WarehouseStock,
    },
    settings::Flow,
};

/// What a record of the feed says.
pub(super) struct Stock {
    pub project: String,
    pub as_of: Timestamp,
    pub says: Says,
}

pub(super) enum Says {
    /// Something about a sku.
    Sku(String, SkuMessage),
    /// For every task.
    Ended(BatchEnded),
    /// Heartbeats, acknowledgements and rejections have no effect on stock.
    Nothing,
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
    /// Of an inventory entry: its id, and what carts leave of it.
    #[serde(default, borrow)]
    entry_id: Option<Text<'a>>,
    #[serde(default)]
    available_quantity: Option<i64>,
    /// Of a complete marker.
    #[serde(default)]
    partitions: Option<i32>,
    #[serde(default)]
    count: Option<u64>,
}

pub(super) fn read(
    bytes: &[u8],
    flow: &Flow,
    trace: &Trace,
    logged_at: Timestamp,
) -> Result<Stock, Rejection> {
    let (head, envelope) = envelope::read::<Value<'_>>(bytes, "stock", flow, trace, logged_at)?;
    let says = match head.kind {
        Kind::Snapshot if flow.system == COMMERCETOOLS => entry(&head, &envelope, flow)?,
        Kind::Snapshot => stock(&head, &envelope, flow, StockKind::Snapshot)?,
        Kind::Delta => stock(&head, &envelope, flow, StockKind::Delta)?,
        Kind::Complete => Says::Ended(ended(&head, &envelope, flow, trace)?),
        Kind::Ack | Kind::Reject | Kind::Heartbeat => Says::Nothing,
    };
    let Head { project, as_of, .. } = head;
    Ok(Stock { project, as_of, says })
}

/// The place and the quantity that a record names.
struct Place<'a> {
    sku: &'a str,
    location: &'a str,
    quantity: i64,
    value: &'a Value<'a>,
}

fn place<'a>(
    envelope: &'a Envelope<'a, Value<'a>>,
    flow: &'a Flow,
) -> Result<Place<'a>, Rejection> {
    let sku = given(envelope.ids.as_ref().and_then(|ids| ids.sku.as_ref()));
    let sku = sku.ok_or_else(|| violation("ids.sku", "a stock record without its sku"))?;
    let value = envelope.value.as_ref();
    let value = value.ok_or_else(|| violation("value", "a stock record without a value"))?;
    let quantity =
        value.quantity.ok_or_else(|| violation("value.quantity", "no quantity was given"))?;
    let location = given(value.location.as_ref()).unwrap_or(NO_CHANNEL);
    let location = flow.locations.get(location).map_or(location, String::as_str);
    Ok(Place { sku, location, quantity, value })
}

fn stock(
    head: &Head,
    envelope: &Envelope<'_, Value<'_>>,
    flow: &Flow,
    kind: StockKind,
) -> Result<Says, Rejection> {
    let Place { sku, location, quantity, value } = place(envelope, flow)?;
    let message = WarehouseStock {
        project: head.project.clone(),
        system: flow.system.clone(),
        flow: flow.name.clone(),
        sku: sku.to_owned(),
        location: location.to_owned(),
        kind,
        batch_id: owned(envelope.batch_id.as_ref()),
        as_of: head.as_of,
        quantity,
        reason: owned(value.reason.as_ref()),
        order_number: owned(value.order_number.as_ref()),
        line_id: owned(value.line_item_id.as_ref()),
        cause: Cause { id: head.cause_id.clone(), ..Cause::default() },
        event_id: owned(envelope.event_id.as_ref()),
    };
    Ok(Says::Sku(sku.to_owned(), SkuMessage::Warehouse(message)))
}

/// An inventory entry as it stood when the snapshot was taken. What its messages say later counts
/// more.
fn entry(head: &Head, envelope: &Envelope<'_, Value<'_>>, flow: &Flow) -> Result<Says, Rejection> {
    let Place { sku, location, quantity, value } = place(envelope, flow)?;
    let carts = value.available_quantity.map(|available| CartHolds {
        units: quantity.saturating_sub(available),
        as_of: head.as_of,
    });
    let message = EntryReading {
        project: head.project.clone(),
        sku: sku.to_owned(),
        location: location.to_owned(),
        entry_id: owned(value.entry_id.as_ref()).unwrap_or_default(),
        revision: 0,
        sequence: 0,
        as_of: head.as_of,
        on_stock: quantity,
        old_on_stock: None,
        carts,
        restockable_in_days: None,
        expected_delivery: None,
        safety_stock: None,
        batch_id: owned(envelope.batch_id.as_ref()),
        cause: Cause { id: head.cause_id.clone(), ..Cause::default() },
    };
    Ok(Says::Sku(sku.to_owned(), SkuMessage::Reading(message)))
}

fn ended(
    head: &Head,
    envelope: &Envelope<'_, Value<'_>>,
    flow: &Flow,
    trace: &Trace,
) -> Result<BatchEnded, Rejection> {
    let batch_id = owned(envelope.batch_id.as_ref());
    let batch_id = batch_id.ok_or_else(|| violation("batchId", "a marker without its batch"))?;
    let partitions = envelope.value.as_ref().and_then(|value| value.partitions);
    let partitions = partitions.filter(|partitions| *partitions > 0).ok_or_else(|| {
        violation("value.partitions", "a marker must say how many partitions the feed has")
    })?;
    let count = envelope.value.as_ref().and_then(|value| value.count).ok_or_else(|| {
        let detail = "a marker must say how many records of its batch its partition holds";
        violation("value.count", detail)
    })?;
    Ok(BatchEnded {
        project: head.project.clone(),
        system: flow.system.clone(),
        flow: flow.name.clone(),
        batch_id,
        partitions,
        partition: trace.partition,
        count,
        as_of: head.as_of,
        cause: Cause { id: head.cause_id.clone(), ..Cause::default() },
    })
}
