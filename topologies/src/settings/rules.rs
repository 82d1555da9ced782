//! The rule document, with the defaults of the domain.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{orders::OrderRules, payments::PaymentRules};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Every rule that can be turned. Durations are stream time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    pub levels: Levels,
    /// How long a missing sequence number is waited for.
    pub gap_timeout_ms: i64,
    /// How long, and over how many messages, a gap that was given up can still heal.
    pub heal_window_ms: i64,
    pub heal_window_messages: u32,
    /// How long a deleted resource leaves its marker.
    pub deletion_marker_ms: i64,
    /// How long after its first marker a batch may take to be whole.
    pub batch_within_ms: i64,
    /// How far ahead of the log a timestamp may be.
    pub clock_skew_ms: i64,
    /// Complete → Confirmed is legal with a warning.
    pub allow_reopen: bool,
    /// Keys or ids of product types without goods to be shipped.
    pub digital_product_types: BTreeSet<String>,
    pub track_only: TrackOnly,
    /// An order's lines are held all together or not at all.
    pub all_or_nothing: bool,
    pub ct_stock_semantics: StockSemantics,
    pub bootstrap_entries: BootstrapEntries,
    /// The system whose shipments move stock; others are only compared.
    pub shipments_from: String,
    /// commercetools' settling time for changes caused by orders.
    pub settle_ms: i64,
    pub ct_release_ms: i64,
    /// Tolerance of INV_ONHAND: the greater of units and per mille of the larger side.
    pub inv_onhand_units: i64,
    pub inv_onhand_per_mille: i64,
    pub orders: OrderRules,
    pub payments: PaymentRules,
    /// How long units may wait that were told to be back in stock, until the warehouse says so.
    pub restock_within_ms: i64,
    pub restock_on: RestockOn,
    /// Where lines without a supply channel are held. Empty: at the entry without a channel.
    pub default_location: String,
    /// A drift that opens again within this is flapping.
    pub cool_down_ms: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            levels: Levels::default(),
            gap_timeout_ms: MINUTE_MS,
            heal_window_ms: 7 * DAY_MS,
            heal_window_messages: 256,
            deletion_marker_ms: 30 * DAY_MS,
            batch_within_ms: 15 * MINUTE_MS,
            clock_skew_ms: 5 * MINUTE_MS,
            allow_reopen: false,
            digital_product_types: BTreeSet::new(),
            track_only: TrackOnly::default(),
            all_or_nothing: false,
            ct_stock_semantics: StockSemantics::default(),
            bootstrap_entries: BootstrapEntries::default(),
            shipments_from: "commercetools".to_owned(),
            settle_ms: 10 * SECOND_MS,
            ct_release_ms: 10 * MINUTE_MS,
            inv_onhand_units: 1,
            inv_onhand_per_mille: 10,
            orders: OrderRules::default(),
            payments: PaymentRules::default(),
            restock_within_ms: 48 * HOUR_MS,
            restock_on: RestockOn::default(),
            default_location: String::new(),
            cool_down_ms: HOUR_MS,
        }
    }
}

impl Rules {
    pub(super) fn check(&self) -> Result<(), String> {
        let durations = [
            ("gap_timeout_ms", self.gap_timeout_ms),
            ("heal_window_ms", self.heal_window_ms),
            ("deletion_marker_ms", self.deletion_marker_ms),
            ("batch_within_ms", self.batch_within_ms),
            ("clock_skew_ms", self.clock_skew_ms),
            ("settle_ms", self.settle_ms),
            ("ct_release_ms", self.ct_release_ms),
            ("inv_onhand_units", self.inv_onhand_units),
            ("inv_onhand_per_mille", self.inv_onhand_per_mille),
            ("restock_within_ms", self.restock_within_ms),
            ("cool_down_ms", self.cool_down_ms),
        ];
        let (orders, payments) = (self.orders.durations(), self.payments.durations());
        match durations.iter().chain(&orders).chain(&payments).find(|(_, value)| *value < 0) {
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

/// The cross-field rules by number, as far as they are judged.
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
    pub payment_amount: Level,
    pub payment_delayed: Level,
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
            x14: Error,
            x15: Error,
            x16: Error,
            x17: Warn,
            x18: Error,
            x19: Warn,
            x20: Error,
            payment_amount: Warn,
            payment_delayed: Warn,
        }
    }
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

/// Who says that returned units are on the shelf again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestockOn {
    /// A warehouse, by a delta with the reason `restock`.
    #[default]
    Warehouse,
    /// commercetools' message that they are back in stock.
    Message,
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
