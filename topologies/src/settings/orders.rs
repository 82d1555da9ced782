//! Rules about orders.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How long an order may be as it should not stay, and what its custom states mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderRules {
    /// X7: shipped, and deliveries tell of less.
    pub ship_quantity_ms: i64,
    /// X9: shipped, and no delivery tells of it. Then the rest counts as shipped.
    pub no_delivery_ms: i64,
    /// X17, by the state that is not left.
    pub stuck_open_ms: i64,
    pub stuck_confirmed_ms: i64,
    /// X19: confirmed, and without a number.
    pub order_number_ms: i64,
    /// Custom states by their key. Messages name them by id, which differs by environment.
    pub states: BTreeMap<String, StateRule>,
}

/// What a custom state allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateRule {
    /// Its ids.
    pub ids: BTreeSet<String>,
    /// X18: the order states beside which it may stand. Absent: any.
    pub order_states: Option<BTreeSet<String>>,
    /// Keys of the states that may follow. Absent: any; empty: it is final.
    pub transitions: Option<BTreeSet<String>>,
}

impl Default for OrderRules {
    fn default() -> Self {
        Self {
            ship_quantity_ms: 10 * MINUTE_MS,
            no_delivery_ms: 4 * HOUR_MS,
            stuck_open_ms: 24 * HOUR_MS,
            stuck_confirmed_ms: 72 * HOUR_MS,
            order_number_ms: 15 * MINUTE_MS,
            states: BTreeMap::new(),
        }
    }
}

impl OrderRules {
    pub(super) fn durations(&self) -> [(&'static str, i64); 5] {
        [
            ("orders.ship_quantity_ms", self.ship_quantity_ms),
            ("orders.no_delivery_ms", self.no_delivery_ms),
            ("orders.stuck_open_ms", self.stuck_open_ms),
            ("orders.stuck_confirmed_ms", self.stuck_confirmed_ms),
            ("orders.order_number_ms", self.order_number_ms),
        ]
    }

    /// Key and rule of the custom state with that id.
    pub fn state(&self, id: &str) -> Option<(&str, &StateRule)> {
        let known = self.states.iter().find(|(_, rule)| rule.ids.contains(id));
        known.map(|(key, rule)| (key.as_str(), rule))
    }
}
