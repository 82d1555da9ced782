//! The shapes of the records in the inventory and drift topics.

use serde::Serialize;

use crate::{messages::skus::Cause, outputs::CauseShape, time::Iso};

use aplomb_state::ids::Timestamp;

use super::{
    ledger::{Confidence, Figures},
    place::{Event, Reason},
    state::{Hold, HoldKey, LocationKey},
};

/// A change of what a line of an order holds of a sku.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InventoryEvent<'a> {
    /// `InventoryReserved`, `InventoryBackordered`, `InventoryReallocated`, `InventoryReleased`,
    /// `InventoryShipped`, `InventoryRestocked` or `InventoryWrittenOff`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Key of the commercetools project.
    pub project_key: &'a str,
    /// `variant.sku` of commercetools.
    pub sku: &'a str,
    /// Id of the supply channel of the stock; `~` without one.
    pub location: &'a str,
    /// Id of the commercetools order.
    pub order_id: &'a str,
    /// Id of the order's line item.
    pub line_item_id: &'a str,
    /// Units of stock that the event is about.
    pub quantity: i64,
    /// `ordered`, `backfill` or `deliveryReversed`; only of `InventoryReserved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// When backordered units are expected, ISO 8601 UTC; absent: no date, or none needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<Iso>,
    /// What brought it about.
    pub cause: CauseShape<'a>,
    /// When the cause happened, by its own clock: ISO 8601 UTC.
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

/// What a line of an order holds of a sku now, in units of stock.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reservation<'a> {
    /// Key of the commercetools project.
    pub project_key: &'a str,
    /// Id of the commercetools order.
    pub order_id: &'a str,
    /// Id of the order's line item.
    pub line_item_id: &'a str,
    /// `variant.sku` of commercetools.
    pub sku: &'a str,
    /// Id of the supply channel of the stock; `~` without one.
    pub location: &'a str,
    /// Units ordered: reserved, backordered, shipped and cancelled together.
    pub ordered: i64,
    /// Units of stock held for it.
    pub reserved: i64,
    /// Units of it that stock does not cover yet.
    pub backordered: i64,
    /// Units that left.
    pub shipped: i64,
    /// Units that will not be shipped.
    pub cancelled: i64,
    /// Units on their way back or here again, of those shipped.
    pub returned: i64,
    /// When its units are given back, ISO 8601 UTC; absent: they do not expire.
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

/// How much of a sku there is at a location, in units of stock.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Availability<'a> {
    /// Key of the commercetools project.
    pub project_key: &'a str,
    /// `variant.sku` of commercetools.
    pub sku: &'a str,
    /// Id of the supply channel of the stock; `~` without one.
    pub location: &'a str,
    /// Units there: the warehouse's count and moves since; without one what commercetools has on
    /// stock, and what unshipped orders took from it. 0 without a reading.
    pub on_hand: i64,
    /// Units of stock held for orders.
    pub reserved: i64,
    /// Units of orders that stock does not cover yet.
    pub backordered: i64,
    /// Units in carts: `quantityOnStock` less `availableQuantity` of the inventory entry.
    pub cart_holds: i64,
    /// Units kept back, by the inventory entry; 0 if never told.
    pub safety_stock: i64,
    /// Units available to promise: `atpRaw`, never below 0.
    pub atp: i64,
    /// `onHand` less `reserved`, `backordered`, `cartHolds` and `safetyStock`; may be below 0.
    pub atp_raw: i64,
    /// Greatest instant that any of the figures tells of, ISO 8601 UTC.
    pub as_of: Iso,
    /// `physical`: a warehouse counts; `platform`: commercetools alone tells; `none`: no reading.
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
