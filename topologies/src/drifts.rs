//! The records of the drift topics, whichever actor compares, and where their sides come from.

use aplomb_state::{
    context::Context,
    ids::Timestamp,
    record::Trace,
    topology::{Filter, List},
};
use serde::{Deserialize, Serialize};

use crate::{messages::skus::Cause, outputs::Money, resources, skus, time::Iso};

/// `/drifts?status=&kind=&sku=&order=&payment=`: what is suspected and open of stock, and open of
/// orders and payments.
pub fn list() -> List {
    const FILTERS: &[Filter] = &[
        Filter { name: "status", values: &["suspect", "open"] },
        Filter { name: "kind", values: &[] },
        Filter { name: "sku", values: &[] },
        Filter { name: "order", values: &[] },
        Filter { name: "payment", values: &[] },
    ];
    List { name: "drifts", filters: FILTERS, rows: &[skus::drifts::ROWS, resources::DRIFTS] }
}

/// The name of the system whose projects these are.
pub const COMMERCETOOLS: &str = "commercetools";

/// Where a side's value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub system: String,
    pub flow: String,
    pub trace: Trace,
    pub cause: Cause,
}

impl Source {
    /// The record at hand.
    pub fn at_hand(ctx: &Context<'_>, system: &str, cause: &Cause) -> Self {
        Self {
            system: system.to_owned(),
            flow: ctx.trace().flow.clone(),
            trace: ctx.trace().clone(),
            cause: cause.clone(),
        }
    }
}

/// How a drift went before, to tell flapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    pub resolved_at: Option<Timestamp>,
    /// How often the drift reopened within the cool-down, in a row.
    pub flaps: u32,
}

impl Past {
    /// Flaps once it opens again, having been seen first at that instant.
    pub fn flaps_if(self, first_seen: Timestamp, cool_down_ms: i64) -> u32 {
        if self.is_recent(first_seen, cool_down_ms) { self.flaps.saturating_add(1) } else { 0 }
    }

    pub fn is_recent(self, at: Timestamp, cool_down_ms: i64) -> bool {
        self.resolved_at.is_some_and(|resolved| at <= resolved.plus_ms(cool_down_ms))
    }
}

/// What a case says of its drift, and that it comes and goes.
pub fn flapping(mut detail: String, flaps: u32) -> String {
    if flaps > 0 {
        detail.push_str(&format!("; flapping, reopened {flaps} times"));
    }
    detail
}

/// Two sides that should be equal and were not for longer than they may.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Drift<'a> {
    /// `DriftOpened`, `DriftUpdated` (still open, with other values) or `DriftResolved`.
    #[serde(rename = "type")]
    pub event: &'static str,
    /// Of this drift for all time; `caseId` of its case as well.
    pub drift_id: &'a str,
    /// Key of the commercetools project.
    pub project_key: &'a str,
    /// What differs: `INV_ONHAND`, `INV_CT_OVERSTATED`, `INV_UNEXPLAINED_DELTA`, `OVERSOLD`,
    /// `ORDER_STATE_DESYNC`, `ORDER_MISSING_IN_SOR`, `PAYMENT_AMOUNT`, `PAYMENT_STATE_LAG`,
    /// `PAYMENT_DELAYED` or `ORPHAN_PAYMENT`.
    pub kind: &'static str,
    /// Code of its case.
    pub code: &'static str,
    /// `open` or `resolved`.
    pub status: &'static str,
    /// What it is about.
    pub entity: Entity<'a>,
    /// Id of the supply channel of the stock, `~` without one; only of a sku.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<&'a str>,
    /// What is compared: `quantityOnStock`, `oldQuantityOnStock`, `onHand`; `status` or
    /// `acknowledgement` of an order; `captured` or `amountPlanned` of its payments, its
    /// `paymentState`; the `order` of a payment.
    pub field: &'static str,
    /// The two sides: commercetools' own or its orders', then the other. Of an order and its
    /// payments the order's side is the first; of a payment without an order the payment's.
    pub sides: [Side<'a>; 2],
    /// By how many units of stock the sides may differ; 0 for all else.
    pub tolerance: i64,
    /// How often it opened again within the cool-down, in a row; absent: never.
    #[serde(skip_serializing_if = "is_zero")]
    pub flaps: u32,
    /// When the sides began to differ, ISO 8601 UTC.
    pub first_seen: Iso,
    /// When they had differed for too long, ISO 8601 UTC.
    pub opened_at: Iso,
    /// When they were equal again, ISO 8601 UTC; absent while open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Iso>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(flaps: &u32) -> bool {
    *flaps == 0
}

/// What a drift is about.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entity<'a> {
    /// `sku`, `order` or `payment`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The sku, or the id of the order or payment in commercetools.
    pub id: &'a str,
}

/// One of the values compared.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Side<'a> {
    /// Who says so: `commercetools`, or the system's name in its records.
    pub system: &'a str,
    /// What it says.
    pub value: SideValue<'a>,
    /// When that was so, ISO 8601 UTC.
    pub as_of: Iso,
    /// The record that told it.
    pub trace: SideTrace<'a>,
}

/// A number of units, a state, or an amount.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum SideValue<'a> {
    /// Units of stock.
    Units(i64),
    /// A system's status, or `acknowledged`, `rejected`, `absent` without one; of commercetools
    /// `orderState/shipmentState`, or the `paymentState` (`absent` without one); of a payment's
    /// order its id, `absent` without one.
    Text(&'a str),
    /// What payments come to; an order's total.
    Money(&'a Money),
}

/// Where the record behind a value stands.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SideTrace<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset in the partition.
    pub offset: i64,
    /// `id` of the commercetools message; absent where no message is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<&'a str>,
    /// `typeId:id` of the commercetools resource; absent where none is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<&'a str>,
    /// Version of the resource after the change; absent where not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl<'a> SideTrace<'a> {
    pub fn of(source: &'a Source) -> Self {
        Self {
            topic: &source.trace.topic,
            partition: source.trace.partition,
            offset: source.trace.offset.0,
            message_id: source.cause.message_id.as_deref(),
            resource: source.cause.resource.as_deref(),
            version: source.cause.version,
        }
    }
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![
        crate::schemas::of::<Drift<'_>>(crate::outputs::DRIFT_EVENTS),
        crate::schemas::of::<Drift<'_>>(crate::outputs::DRIFT_OPEN),
    ]
}
