//! The topology's own part of the configuration document: flow contracts and rules. JSON.
//!
//! It enters every inbox as a broadcast record, so that a rule takes effect at one record and a
//! replay gives the same verdicts. Unknown keys are refused by name: a misspelt rule must not
//! silently stay at its default.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

mod orders;
mod payments;
mod rules;

pub use orders::{OrderRules, StateRule};
pub use payments::PaymentRules;
pub use rules::{BootstrapEntries, Level, Levels, RestockOn, Rules, StockSemantics, TrackOnly};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub flows: Vec<Flow>,
    pub rules: Rules,
}

/// The contract of one external topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    pub name: String,
    pub topic: String,
    #[serde(default = "commercetools")]
    pub system: String,
    #[serde(default)]
    pub kind: FlowKind,
    /// The only project whose records may come this way. Absent: any.
    #[serde(default)]
    pub project_key: Option<String>,
    /// Who is asked when the flow breaks its contract.
    #[serde(default)]
    pub owner: String,
    /// The system's own location names → supply channel ids. A name that is not in here stands
    /// for itself.
    #[serde(default)]
    pub locations: BTreeMap<String, String>,
    /// What a status of the system's orders goes with. A status that is not in here breaks the
    /// contract.
    #[serde(default)]
    pub statuses: BTreeMap<String, StatusRule>,
    /// In front of the system's order numbers, and not part of them.
    #[serde(default)]
    pub order_number_prefix: Option<String>,
    /// The system takes part in every order, and says so: an acknowledgement, a refusal, a status.
    #[serde(default)]
    pub must_acknowledge: bool,
    /// How often the system sends at the latest.
    #[serde(default)]
    pub feed_interval_ms: Option<i64>,
    /// Whether the subscription behind the flow delivers every message type of a resource.
    #[serde(default)]
    pub sequence: SequenceMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowKind {
    /// Notifications of a commercetools subscription.
    #[default]
    Commercetools,
    /// `sor.<system>.stock.v1`.
    Stock,
    /// `sor.<system>.order.v1`.
    Order,
}

/// The states of an order beside which a system's status may stand. Absent: any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusRule {
    pub order_states: Option<BTreeSet<String>>,
    pub shipment_states: Option<BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SequenceMode {
    /// No `types` filter: a missing sequence number is a gap.
    #[default]
    Contiguous,
    /// With a `types` filter gaps are legal and only the order counts.
    Monotonic,
}

fn commercetools() -> String {
    "commercetools".to_owned()
}

impl Settings {
    /// The contract of a flow, by the name its records carry.
    pub fn flow(&self, name: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.name == name)
    }
}

/// Reads the document. An empty one is the defaults.
pub fn parse(bytes: &[u8]) -> Result<Settings, String> {
    if bytes.is_empty() {
        return Ok(Settings::default());
    }
    let settings: Settings = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    for flow in &settings.flows {
        if flow.name.is_empty() || flow.topic.is_empty() {
            return Err("a flow needs a name and a topic".to_owned());
        }
        if !names.insert(flow.name.as_str()) {
            return Err(format!("two flows are named {}", flow.name));
        }
    }
    settings.rules.check()?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_has_the_defaults() {
        for document in [&b""[..], b"{}", br#"{"flows":[],"rules":{}}"#] {
            assert_eq!(parse(document), Ok(Settings::default()));
        }
    }

    #[test]
    fn what_is_said_counts_and_the_rest_stays_default() {
        let document = br#"{
            "flows": [{"name": "ct", "topic": "ct.v1", "project_key": "acme"},
                      {"name": "wms", "topic": "sor.wms.stock.v1", "system": "wms",
                       "kind": "stock", "locations": {"B1": "channel-1"},
                       "feed_interval_ms": 60000}],
            "rules": {"gap_timeout_ms": 5000, "levels": {"x1": "warn"},
                      "bootstrap_entries": "none"}}"#;
        let settings = parse(document).expect("a valid document");
        assert_eq!(settings.flow("ct").map(|flow| flow.kind), Some(FlowKind::Commercetools));
        assert_eq!(settings.flow("wms").map(|flow| flow.kind), Some(FlowKind::Stock));
        assert_eq!(settings.rules.gap_timeout_ms, 5_000);
        assert_eq!(settings.rules.levels.x1, Level::Warn);
        assert_eq!(settings.rules.levels.x3, Level::Error);
        assert_eq!(settings.rules.bootstrap_entries, BootstrapEntries::None);
    }

    #[test]
    fn mistakes_are_named() {
        let rows = [
            (&br#"{"flow": []}"#[..], "`flow`"),
            (br#"{"rules": {"gap_timeout": 1}}"#, "`gap_timeout`"),
            (br#"{"rules": {"levels": {"x21": "warn"}}}"#, "`x21`"),
            (br#"{"flows": [{"name": "a", "topic": "t", "typo": 1}]}"#, "`typo`"),
            (br#"{"flows": [{"name": "a", "topic": ""}]}"#, "a flow needs"),
            (br#"{"flows": [{"name":"a","topic":"t"},{"name":"a","topic":"u"}]}"#, "named a"),
            (br#"{"rules": {"gap_timeout_ms": -1}}"#, "gap_timeout_ms"),
        ];
        for (document, expected) in rows {
            let mistake = parse(document).expect_err(expected);
            assert!(mistake.contains(expected), "{mistake}");
        }
    }
}
