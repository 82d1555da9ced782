//! The records of the drift topics, whichever actor compares, and where their sides come from.

use aplomb_state::{
    record::Trace,
    topology::{Filter, List},
};
use serde::{Deserialize, Serialize};

use crate::{messages::skus::Cause, resources, skus, time::Iso};

/// `/drifts?status=&kind=&sku=&order=`: what is suspected and open of stock, and open of orders.
pub fn list() -> List {
    const FILTERS: &[Filter] = &[
        Filter { name: "status", values: &["suspect", "open"] },
        Filter { name: "kind", values: &[] },
        Filter { name: "sku", values: &[] },
        Filter { name: "order", values: &[] },
    ];
    List { name: "drifts", filters: FILTERS, rows: &[skus::drifts::ROWS, resources::ORDER_DRIFTS] }
}

/// Where a side's value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub system: String,
    pub flow: String,
    pub trace: Trace,
    pub cause: Cause,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Drift<'a> {
    #[serde(rename = "type")]
    pub event: &'static str,
    pub drift_id: &'a str,
    pub project_key: &'a str,
    pub kind: &'static str,
    pub code: &'static str,
    pub status: &'static str,
    pub entity: Entity<'a>,
    /// Of a sku.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<&'a str>,
    pub field: &'static str,
    pub sides: [Side<'a>; 2],
    pub tolerance: i64,
    /// How often it opened again within the cool-down, in a row.
    #[serde(skip_serializing_if = "is_zero")]
    pub flaps: u32,
    pub first_seen: Iso,
    pub opened_at: Iso,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Iso>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(flaps: &u32) -> bool {
    *flaps == 0
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entity<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: &'a str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Side<'a> {
    pub system: &'a str,
    pub value: SideValue<'a>,
    pub as_of: Iso,
    pub trace: SideTrace<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum SideValue<'a> {
    Units(i64),
    Text(&'a str),
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SideTrace<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<&'a str>,
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
