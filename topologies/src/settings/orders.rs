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
    /// How long a system's status may not go with the order's states: the same day.
    pub desync_ms: i64,
    /// How long a system that must acknowledge orders may take for one.
    pub ack_within_ms: i64,
    /// How long an order that another system names may be unknown here.
    pub unknown_ms: i64,
    /// Order numbers that differ in case alone are one.
    pub number_ignores_case: bool,
    /// Leading zeros are no part of an order number.
    pub number_ignores_zeros: bool,
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
            desync_ms: 8 * HOUR_MS,
            ack_within_ms: 15 * MINUTE_MS,
            unknown_ms: HOUR_MS,
            number_ignores_case: false,
            number_ignores_zeros: false,
            states: BTreeMap::new(),
        }
    }
}

impl OrderRules {
    pub(super) fn durations(&self) -> [(&'static str, i64); 8] {
        [
            ("orders.ship_quantity_ms", self.ship_quantity_ms),
            ("orders.no_delivery_ms", self.no_delivery_ms),
            ("orders.stuck_open_ms", self.stuck_open_ms),
            ("orders.stuck_confirmed_ms", self.stuck_confirmed_ms),
            ("orders.order_number_ms", self.order_number_ms),
            ("orders.desync_ms", self.desync_ms),
            ("orders.ack_within_ms", self.ack_within_ms),
            ("orders.unknown_ms", self.unknown_ms),
        ]
    }

    /// An order number as all systems would write it.
    pub fn canonical(&self, number: &str) -> String {
        let mut number = number.trim();
        if self.number_ignores_zeros {
            let bare = number.trim_start_matches('0');
            number = if bare.is_empty() { number } else { bare };
        }
        if self.number_ignores_case { number.to_uppercase() } else { number.to_owned() }
    }

    /// Key and rule of the custom state with that id.
    pub fn state(&self, id: &str) -> Option<(&str, &StateRule)> {
        let known = self.states.iter().find(|(_, rule)| rule.ids.contains(id));
        known.map(|(key, rule)| (key.as_str(), rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_all_systems_would_write_them() {
        let plain = OrderRules::default();
        let loose = OrderRules {
            number_ignores_case: true,
            number_ignores_zeros: true,
            ..OrderRules::default()
        };
        // number, plainly, loosely
        for (number, plainly, loosely) in
            [(" n-7 ", "n-7", "N-7"), ("0042", "0042", "42"), ("000", "000", "000")]
        {
            assert_eq!(plain.canonical(number), plainly);
            assert_eq!(loose.canonical(number), loosely);
        }
    }
}
