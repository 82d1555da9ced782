//! The expected list is written from the domain's tables, not from the code's.

use std::collections::BTreeSet;

use super::*;

/// Table by table, row by row: (severity, actions, SLA, codes).
const DOMAIN: &[(&str, &str, &str, &str)] = &[
    ("high", "TRE", "SD", "MALFORMED_JSON CONTRACT_VIOLATION UNKNOWN_NOTIFICATION_TYPE"),
    ("info", "S", "NC", "UNKNOWN_MESSAGE_TYPE HISTORY_MISSING"),
    ("high", "RE", "SD", "SCHEMA_INCOMPATIBLE"),
    ("high", "TE", "CB", "PAYLOAD_MISSING"),
    ("low", "S", "SD", "DUPLICATE_DROPPED"),
    ("high", "E", "SD", "DUPLICATE_CONFLICT SEQUENCE_CONFLICT"),
    ("med", "TR", "SD", "SEQUENCE_GAP SILENT_CHANGE"),
    ("critical", "RE", "CB", "ENV_MISMATCH IDENT_ENV_PREFIX"),
    ("high", "RSE", "SD", "IDENT_DUPLICATE IDENT_ORPHAN IDENT_MISSING"),
    ("critical", "RE", "CB", "OVERSOLD INV_CT_OVERSTATED"),
    (
        "high",
        "RSE",
        "SD",
        "INV_ONHAND INV_UNEXPLAINED_DELTA INV_CHANNEL_MOVED INV_INVARIANT CT_RELEASE_PENDING \
         RETURN_NOT_RESTOCKED CART_HOLD_STUCK INV_STOREFRONT_AVAIL",
    ),
    ("high", "TE", "SD", "STALE_RECORD STALE_SNAPSHOT STALE_SOURCE"),
    (
        "high",
        "RE",
        "SD",
        "RESERVE_NO_ENTRY RESERVE_SKU_MISSING RESERVE_LINE_UNKNOWN RESERVE_ENTRY_DELETED \
         UOM_MISMATCH",
    ),
    ("med", "RS", "SD", "RESERVATION_EXPIRED"),
    ("high", "RSE", "SD", "ORDER_ILLEGAL_TRANSITION ORDER_TERMINAL_LEFT STATUS_INCOMPATIBLE"),
    ("critical", "E", "SD", "ORDER_SHIPPED_UNPAID"),
    (
        "high",
        "RE",
        "SD",
        "ORDER_COMPLETE_NOT_SHIPPED ORDER_CANCELLED_AFTER_SHIP ORDER_OVERDELIVERED \
         EDIT_BELOW_SHIPPED ORDER_SHIP_QTY SHIPPED_NO_DELIVERY ORDER_LINE_STATE_SUM",
    ),
    ("high", "TE", "SD", "ORDER_STUCK"),
    (
        "high",
        "TRE",
        "SD",
        "ORDER_REJECTED ORDER_STATE_DESYNC ORDER_MISSING_IN_SOR ORDER_UNKNOWN_IN_CT \
         ORDER_QTY_DESYNC ORDER_VIEW_DIVERGED",
    ),
    ("high", "RSE", "SD", "ORDER_COMPLETE_UNPAID"),
    ("high", "TRE", "FC", "PAYMENT_NOT_POSTED POSTING_WITHOUT_PAYMENT REFUND_NOT_POSTED"),
    ("critical", "E", "FC", "REFUND_EXCEEDS_CAPTURE CURRENCY_MISMATCH"),
    (
        "high",
        "RSE",
        "FC",
        "REFUND_MISMATCH RETURN_REFUND_MISSING CANCELLED_NOT_REFUNDED RETURN_EXCEEDS_DELIVERED",
    ),
    (
        "med",
        "TR",
        "SD",
        "PAYMENT_DELAYED PAYMENT_STATE_LAG PAYMENT_AMOUNT PAYMENT_TX_UNKNOWN PSP_STATE_CONFLICT \
         PAID_NOT_CAPTURED",
    ),
    ("critical", "RE", "CB", "ORPHAN_PAYMENT ORDER_DELETED_WITH_CAPTURE"),
    (
        "high",
        "RSE",
        "CB",
        "PRICE_ORDER_VS_LIVE PRICE_STOREFRONT_VS_CT PRICE_LINE_TOTAL ORDER_TOTAL",
    ),
    ("med", "RS", "NC", "PRICE_ERP_VS_CT"),
    ("med", "RS", "NC", "CATALOG_ATTR CATALOG_MISSING_ATTR CATALOG_CATEGORY CATALOG_UNPUBLISHED"),
    ("med", "RSE", "SD", "MANUAL_OVERRIDE"),
    ("high", "TE", "SD", "SOR_UNAVAILABLE CIRCUIT_OPEN RATE_LIMITED"),
    ("high", "TRSE", "SD", "RETRY_STORM RETRY_EXHAUSTED"),
    ("med", "E", "SD", "VOLUME_ANOMALY CONSUMER_LAG"),
    ("critical", "RE", "CB", "CREDENTIAL_EXPIRING SUBSCRIPTION_UNHEALTHY"),
    ("med", "RS", "SD", "CUSTOMER_DESYNC"),
    ("high", "RE", "SD", "PII_ERASURE_PENDING"),
    ("low", "S", "NC", "CLOCK_SKEW"),
];

#[test]
fn names_are_unique() {
    let names: BTreeSet<_> = CODES.iter().map(|code| code.name).collect();
    assert_eq!(names.len(), CODES.len());
}

#[test]
fn the_table_is_the_domains() {
    let mut expected = BTreeSet::new();
    for (severity, actions, sla, names) in DOMAIN {
        for name in names.split_whitespace() {
            let code = of(name).unwrap_or_else(|| panic!("{name} is missing"));
            let severity = if *severity == "med" { "medium" } else { severity };
            assert_eq!(code.severity.as_str(), severity, "{name}");
            assert_eq!(letters(code.actions), *actions, "{name}");
            let class = match *sla {
                "CB" => Sla::CheckoutBlocking,
                "SD" => Sla::SameDay,
                "NC" => Sla::NextCycle,
                _ => Sla::FinanceClose,
            };
            assert_eq!(code.sla, class, "{name}");
            assert!(!code.owner.is_empty() && !code.effect.is_empty(), "{name}");
            expected.insert(name);
        }
    }
    let present: BTreeSet<_> = CODES.iter().map(|code| code.name).collect();
    assert_eq!(present, expected);
}

fn letters(actions: &[Action]) -> String {
    let letter = |action: &Action| match action {
        Action::Retry => 'T',
        Action::Repair => 'R',
        Action::Suppress => 'S',
        Action::Escalate => 'E',
    };
    actions.iter().map(letter).collect()
}

#[test]
fn due_times_are_the_defaults_of_the_domain() {
    // (class, name in outputs, minutes)
    let rows = [
        (Sla::CheckoutBlocking, "checkout-blocking", 15),
        (Sla::SameDay, "same-day", 8 * 60),
        (Sla::NextCycle, "next-cycle", 24 * 60),
        (Sla::FinanceClose, "finance-close", 72 * 60),
    ];
    for (class, name, minutes) in rows {
        assert_eq!(class.as_str(), name);
        assert_eq!(class.due_after_ms(), minutes * 60_000);
    }
}
