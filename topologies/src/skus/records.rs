//! The shapes of the records in the inventory and drift topics.

use serde::Serialize;

use crate::{messages::skus::Cause, outputs::CauseShape, time::Iso};

use aplomb_state::ids::Timestamp;

use super::{
    ledger::{Confidence, Figures},
    place::{Event, Reason},
    state::{Hold, HoldKey, LocationKey},
};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InventoryEvent<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub project_key: &'a str,
    pub sku: &'a str,
    pub location: &'a str,
    pub order_id: &'a str,
    pub line_item_id: &'a str,
    pub quantity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<Iso>,
    pub cause: CauseShape<'a>,
    pub at: Iso,
}

impl<'a> InventoryEvent<'a> {
    pub fn of(event: Event, key: &'a HoldKey, cause: &'a Cause, at: Timestamp) -> Self {
        let (project_key, sku) = key.at.parts();
        let (kind, quantity, reason, promise) = match event {
            Event::Reserved(quantity, reason) => {
                ("InventoryReserved", quantity, Some(reason_name(reason)), None)
            }
            Event::Backordered(quantity, promise) => {
                ("InventoryBackordered", quantity, None, promise.date())
            }
            Event::Reallocated(quantity, promise) => {
                ("InventoryReallocated", quantity, None, promise.date())
            }
            Event::Released(quantity) => ("InventoryReleased", quantity, None, None),
            Event::Shipped(quantity) => ("InventoryShipped", quantity, None, None),
            Event::Restocked(quantity) => ("InventoryRestocked", quantity, None, None),
            Event::WrittenOff(quantity) => ("InventoryWrittenOff", quantity, None, None),
        };
        Self {
            kind,
            project_key,
            sku,
            location: &key.at.location,
            order_id: &key.order_id,
            line_item_id: &key.line_id,
            quantity,
            reason,
            promise: promise.map(Iso),
            cause: cause.into(),
            at: Iso(at),
        }
    }
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Ordered => "ordered",
        Reason::Backfill => "backfill",
        Reason::DeliveryReversed => "deliveryReversed",
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reservation<'a> {
    pub project_key: &'a str,
    pub order_id: &'a str,
    pub line_item_id: &'a str,
    pub sku: &'a str,
    pub location: &'a str,
    pub ordered: i64,
    pub reserved: i64,
    pub backordered: i64,
    pub shipped: i64,
    pub cancelled: i64,
    pub returned: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Iso>,
}

impl<'a> Reservation<'a> {
    pub fn of(key: &'a HoldKey, hold: &Hold) -> Self {
        let (project_key, sku) = key.at.parts();
        Self {
            project_key,
            order_id: &key.order_id,
            line_item_id: &key.line_id,
            sku,
            location: &key.at.location,
            ordered: hold.ordered,
            reserved: hold.reserved,
            backordered: hold.backordered,
            shipped: hold.shipped,
            cancelled: hold.cancelled,
            returned: hold.returned,
            expires_at: None,
        }
    }
}

pub fn reservation_key(key: &HoldKey) -> String {
    let (project, sku) = key.at.parts();
    let location = &key.at.location;
    format!("{project}:{}:{}:{sku}:{location}", key.order_id, key.line_id)
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Availability<'a> {
    pub project_key: &'a str,
    pub sku: &'a str,
    pub location: &'a str,
    pub on_hand: i64,
    pub reserved: i64,
    pub backordered: i64,
    pub cart_holds: i64,
    pub safety_stock: i64,
    pub atp: i64,
    pub atp_raw: i64,
    pub as_of: Iso,
    pub confidence: &'static str,
}

impl<'a> Availability<'a> {
    pub fn of(at: &'a LocationKey, figures: &Figures, as_of: Timestamp) -> Self {
        let (project_key, sku) = at.parts();
        Self {
            project_key,
            sku,
            location: &at.location,
            on_hand: figures.on_hand,
            reserved: figures.reserved,
            backordered: figures.backordered,
            cart_holds: figures.cart_holds,
            safety_stock: figures.safety,
            atp: figures.atp(),
            atp_raw: figures.atp_raw(),
            as_of: Iso(as_of),
            confidence: confidence_name(figures.confidence),
        }
    }
}

fn confidence_name(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Physical => "physical",
        Confidence::Platform => "platform",
        Confidence::None => "none",
    }
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![
        crate::schemas::of::<InventoryEvent<'_>>(crate::outputs::INVENTORY_EVENTS),
        crate::schemas::of::<Reservation<'_>>(crate::outputs::INVENTORY_RESERVATIONS),
        crate::schemas::of::<Availability<'_>>(crate::outputs::INVENTORY_AVAILABILITY),
        crate::schemas::of::<Availability<'_>>(crate::outputs::INVENTORY_HISTORY),
    ]
}
