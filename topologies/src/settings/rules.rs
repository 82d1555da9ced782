//! The rule document, with the defaults of the domain.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Every rule that can be turned. Durations are stream time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    pub levels: Levels,
    pub graces_ms: Graces,
    /// How long a missing sequence number is waited for.
    pub gap_timeout_ms: i64,
    /// How long, and over how many messages, a gap that was given up can still heal.
    pub heal_window_ms: i64,
    pub heal_window_messages: u32,
    /// How long a deleted resource leaves its marker.
    pub deletion_marker_ms: i64,
    /// A condition on payments is judged again after this.
    pub payment_grace_ms: i64,
    /// How far ahead of the log a timestamp may be.
    pub clock_skew_ms: i64,
    /// Complete → Confirmed is legal with a warning.
    pub allow_reopen: bool,
    pub credit_owed_means: CreditOwed,
    /// Keys or ids of product types without goods to be shipped.
    pub digital_product_types: BTreeSet<String>,
    /// Payment methods for which goods may leave before the money.
    pub pay_later: BTreeSet<String>,
    pub track_only: TrackOnly,
    /// An order's lines are held all together or not at all.
    pub all_or_nothing: bool,
    pub ct_stock_semantics: StockSemantics,
    pub bootstrap_entries: BootstrapEntries,
    /// Where lines without a supply channel are held. Absent: at `~`.
    pub default_location: Option<String>,
    /// The system whose shipments move stock; others are only compared.
    pub shipments_from: String,
    pub restock_on: Restock,
    pub restock_within_ms: i64,
    /// commercetools' settling time for changes caused by orders.
    pub settle_ms: i64,
    pub ct_release_ms: i64,
    /// An unpaid hold expires after this. Absent: never.
    pub unpaid_ttl_ms: Option<i64>,
    /// Tolerance of INV_ONHAND: the greater of units and per mille of the larger side.
    pub inv_onhand_units: i64,
    pub inv_onhand_per_mille: i64,
    pub cart_hold_late_ms: i64,
    pub cart_hold_stuck_ms: i64,
    /// A drift that opens again within this is flapping.
    pub cool_down_ms: i64,
    pub ack_within_ms: i64,
    pub stuck_open_ms: i64,
    pub stuck_confirmed_ms: i64,
    pub freshness_stock_ms: i64,
    pub freshness_catalog_ms: i64,
    pub posting_ms: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            levels: Levels::default(),
            graces_ms: Graces::default(),
            gap_timeout_ms: MINUTE_MS,
            heal_window_ms: 7 * DAY_MS,
            heal_window_messages: 256,
            deletion_marker_ms: 30 * DAY_MS,
            payment_grace_ms: MINUTE_MS,
            clock_skew_ms: 5 * MINUTE_MS,
            allow_reopen: false,
            credit_owed_means: CreditOwed::default(),
            digital_product_types: BTreeSet::new(),
            pay_later: BTreeSet::new(),
            track_only: TrackOnly::default(),
            all_or_nothing: false,
            ct_stock_semantics: StockSemantics::default(),
            bootstrap_entries: BootstrapEntries::default(),
            default_location: None,
            shipments_from: "commercetools".to_owned(),
            restock_on: Restock::default(),
            restock_within_ms: 48 * HOUR_MS,
            settle_ms: 10 * SECOND_MS,
            ct_release_ms: 10 * MINUTE_MS,
            unpaid_ttl_ms: None,
            inv_onhand_units: 1,
            inv_onhand_per_mille: 10,
            cart_hold_late_ms: 5 * MINUTE_MS,
            cart_hold_stuck_ms: 24 * HOUR_MS,
            cool_down_ms: HOUR_MS,
            ack_within_ms: 15 * MINUTE_MS,
            stuck_open_ms: 24 * HOUR_MS,
            stuck_confirmed_ms: 72 * HOUR_MS,
            freshness_stock_ms: 24 * HOUR_MS,
            freshness_catalog_ms: 7 * DAY_MS,
            posting_ms: 24 * HOUR_MS,
        }
    }
}

impl Rules {
    pub(super) fn check(&self) -> Result<(), String> {
        let durations = [
            ("gap_timeout_ms", self.gap_timeout_ms),
            ("heal_window_ms", self.heal_window_ms),
            ("deletion_marker_ms", self.deletion_marker_ms),
            ("payment_grace_ms", self.payment_grace_ms),
            ("clock_skew_ms", self.clock_skew_ms),
            ("settle_ms", self.settle_ms),
            ("ct_release_ms", self.ct_release_ms),
            ("unpaid_ttl_ms", self.unpaid_ttl_ms.unwrap_or(0)),
            ("inv_onhand_units", self.inv_onhand_units),
            ("inv_onhand_per_mille", self.inv_onhand_per_mille),
            ("cool_down_ms", self.cool_down_ms),
        ];
        match durations.iter().find(|(_, value)| *value < 0) {
            Some((name, value)) => Err(format!("{name} is {value}: it cannot be negative")),
            None => Ok(()),
        }
    }
}

/// What a broken cross-field rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Not looked at.
    Off,
    /// `legal_with_warning`, and a case.
    Warn,
    /// `violation`, and a case.
    Error,
}

/// The cross-field rules by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Levels {
    pub x1: Level,
    pub x2: Level,
    pub x3: Level,
    pub x4: Level,
    pub x5: Level,
    pub x6: Level,
    pub x7: Level,
    pub x8: Level,
    pub x9: Level,
    pub x10: Level,
    pub x11: Level,
    pub x12: Level,
    pub x13: Level,
    pub x14: Level,
    pub x15: Level,
    pub x16: Level,
    pub x17: Level,
    pub x18: Level,
    pub x19: Level,
    pub x20: Level,
}

impl Default for Levels {
    fn default() -> Self {
        use Level::{Error, Warn};
        Self {
            x1: Error,
            x2: Warn,
            x3: Error,
            x4: Warn,
            x5: Error,
            x6: Error,
            x7: Warn,
            x8: Error,
            x9: Warn,
            x10: Error,
            x11: Warn,
            x12: Error,
            x13: Warn,
            x14: Warn,
            x15: Error,
            x16: Error,
            x17: Warn,
            x18: Error,
            x19: Warn,
            x20: Error,
        }
    }
}

/// How long a cross-field rule may stay broken before it counts. Those not named here have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Graces {
    pub x6: i64,
    pub x7: i64,
    pub x9: i64,
    pub x10: i64,
    pub x11: i64,
    pub x14: i64,
    pub x19: i64,
    /// Shipped without a delivery: the rest is consumed after this.
    pub case_27: i64,
}

impl Default for Graces {
    fn default() -> Self {
        Self {
            x6: 14 * DAY_MS,
            x7: 10 * MINUTE_MS,
            x9: 4 * HOUR_MS,
            x10: 10 * MINUTE_MS,
            x11: 10 * MINUTE_MS,
            x14: 24 * HOUR_MS,
            x19: 15 * MINUTE_MS,
            case_27: 4 * HOUR_MS,
        }
    }
}

/// What CreditOwed says in this shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreditOwed {
    /// As the reference has it: the order was made on a credit basis.
    #[default]
    OnCredit,
    /// We owe the customer.
    OwedToCustomer,
}

/// What a shortage of a TrackOnly line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackOnly {
    #[default]
    Oversold,
    /// As if a date had been promised.
    Backorder,
}

/// What commercetools' `quantityOnStock` stands for in this shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockSemantics {
    #[default]
    Sellable,
    Physical,
}

/// Where the entries that existed before the first day come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapEntries {
    /// There were none: a sku without an entry has none.
    None,
    /// From a snapshot, until whose `complete` marker holds wait.
    #[default]
    Snapshot,
}

/// When returned goods are sellable again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restock {
    #[default]
    Warehouse,
    Message,
}
