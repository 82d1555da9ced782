//! The records of the output topics, as far as the summary reads them. An analyst would read the
//! same fields; everything else is left alone.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use super::{inputs::Inputs, text::money};
use crate::embedded::Kept;

/// What stands in the log when the day is over. Outputs by their names without the prefix.
#[derive(Default)]
pub(super) struct Topics {
    pub inputs: Inputs,
    pub outputs: BTreeMap<&'static str, Vec<Kept>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderView {
    pub project_key: String,
    pub order_id: String,
    pub order_state: Option<String>,
    pub shipment_state: Option<String>,
    pub total: Option<Money>,
    pub open_codes: Vec<String>,
    pub incomplete: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Money {
    pub cent_amount: i64,
    pub currency_code: String,
}

#[derive(Deserialize)]
pub(super) struct PaymentView {
    pub captured: Option<Money>,
    pub refunded: Option<Money>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub project_key: String,
    pub order_id: String,
    pub verdict: String,
    /// The `ce_id` of a verdict that this one replaces.
    pub supersedes: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct InventoryEvent {
    #[serde(rename = "type")]
    pub kind: String,
    pub quantity: i64,
    pub reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Reservation {
    pub reserved: i64,
    pub backordered: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drift {
    #[serde(rename = "type")]
    pub event: String,
    pub project_key: String,
    pub kind: String,
    pub entity: Entity,
    #[serde(default)]
    pub field: String,
    /// Of stock.
    #[serde(default)]
    pub location: Option<String>,
    pub sides: [Side; 2],
    pub first_seen: String,
}

#[derive(Deserialize)]
pub(super) struct Entity {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
}

#[derive(Deserialize)]
pub(super) struct Side {
    pub system: String,
    pub value: SideValue,
}

/// Units, an amount, or a state in the system's own words.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum SideValue {
    Units(i64),
    State(String),
    Money(Money),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Case {
    pub case_id: String,
    pub code: String,
    pub severity: String,
    pub status: String,
    pub entity: Entity,
    pub project_key: Option<String>,
    pub business_effect: String,
    pub owner: String,
    pub sla: Deadline,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deadline {
    pub due_at: String,
}

// === impl SideValue ===

impl SideValue {
    pub fn units(&self) -> i64 {
        match self {
            Self::Units(units) => *units,
            Self::State(_) | Self::Money(_) => 0,
        }
    }
}

impl std::fmt::Display for SideValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Units(units) => units.fmt(formatter),
            Self::State(state) => state.fmt(formatter),
            Self::Money(Money { cent_amount, currency_code }) => {
                money(currency_code, *cent_amount).fmt(formatter)
            }
        }
    }
}

// === impl Topics ===

impl Topics {
    /// All values of a topic. What cannot be read is left out: the summary is no validator.
    pub fn all<T: DeserializeOwned>(&self, topic: &str) -> impl Iterator<Item = (&Kept, T)> {
        self.records(topic).iter().filter_map(|kept| {
            let value = kept.value.as_ref()?;
            Some((kept, serde_json::from_slice(value).ok()?))
        })
    }

    /// The last value of each key that is not deleted, by key.
    pub fn latest<T: DeserializeOwned>(&self, topic: &str) -> Vec<T> {
        let records = self.records(topic).iter();
        let by_key: BTreeMap<_, _> = records.map(|kept| (&kept.key, &kept.value)).collect();
        let values = by_key.into_values().flatten();
        values.filter_map(|value| serde_json::from_slice(value).ok()).collect()
    }

    pub fn records(&self, topic: &str) -> &[Kept] {
        self.outputs.get(topic).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The text of a header.
pub(super) fn header<'a>(kept: &'a Kept, name: &str) -> Option<&'a str> {
    let (_, value) = kept.headers.iter().find(|(key, _)| key == name.as_bytes())?;
    std::str::from_utf8(value.as_ref()?).ok()
}
