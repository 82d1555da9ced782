//! The table itself, in the order of the domain's own.

use super::{
    Action::{Escalate as E, Repair as R, Retry as T, Suppress as S},
    Code,
    Severity::{Critical, High, Info, Low, Medium},
    Sla::{CheckoutBlocking, FinanceClose, NextCycle, SameDay},
};

macro_rules! codes {
    ($($severity:ident $sla:ident $owner:literal $actions:tt $effect:literal:
        $($name:ident)+;)*) => {
        /// Every code there is.
        pub const CODES: &[Code] = &[$($(Code {
            name: stringify!($name),
            severity: $severity,
            effect: $effect,
            owner: $owner,
            actions: &$actions,
            sla: $sla,
        },)+)*];
    };
}

codes! {
    High SameDay "integration-ops" [T, R, E] "This change did not reach any downstream system":
        MALFORMED_JSON CONTRACT_VIOLATION UNKNOWN_NOTIFICATION_TYPE;
    Info NextCycle "platform-eng" [S] "A new commercetools fact is not used yet":
        UNKNOWN_MESSAGE_TYPE;
    High SameDay "contract owner" [R, E] "A system's contract changed; its records are held":
        SCHEMA_INCOMPATIBLE;
    High CheckoutBlocking "integration-ops" [T, E] "The order is held until its data is fetched":
        PAYLOAD_MISSING;
    // Counted, never a case.
    Low SameDay "integration-ops" [S] "None":
        DUPLICATE_DROPPED;
    High SameDay "integration-ops" [E] "Two versions of one fact, first kept":
        DUPLICATE_CONFLICT SEQUENCE_CONFLICT;
    Medium SameDay "integration-ops" [T, R] "A change was missed; view may be stale":
        SEQUENCE_GAP SILENT_CHANGE;
    Info NextCycle "integration-ops" [S] "History before this point is not known":
        HISTORY_MISSING;
    Critical CheckoutBlocking "integration-ops" [R, E]
        "Test data may become a real order, or a real one an orphan":
        ENV_MISMATCH IDENT_ENV_PREFIX;
    High SameDay "data steward" [R, S, E] "Record counted twice, or lost to the other system":
        IDENT_DUPLICATE IDENT_ORPHAN IDENT_MISSING;
    Critical CheckoutBlocking "inventory planning" [R, E] "Customers bought units we do not have":
        OVERSOLD;
    Critical CheckoutBlocking "inventory planning" [R, E]
        "Storefront will sell units already sold":
        INV_CT_OVERSTATED;
    High SameDay "inventory planning" [R, S, E]
        "Stock shown differs from the warehouse: oversell or lost sales":
        INV_ONHAND INV_UNEXPLAINED_DELTA INV_CHANNEL_MOVED INV_INVARIANT CT_RELEASE_PENDING
        RETURN_NOT_RESTOCKED CART_HOLD_STUCK INV_STOREFRONT_AVAIL;
    // Together: stale inventory.
    High SameDay "WMS/ERP owner" [T, E] "Availability is shown from old numbers":
        STALE_RECORD STALE_SNAPSHOT STALE_SOURCE;
    High SameDay "catalog / inventory" [R, E] "Ordered units are not held":
        RESERVE_NO_ENTRY RESERVE_SKU_MISSING RESERVE_LINE_UNKNOWN RESERVE_ENTRY_DELETED
        UOM_MISMATCH;
    Medium SameDay "order mgmt" [R, S] "Held units were given back; a paid customer may lose them":
        RESERVATION_EXPIRED;
    High SameDay "order mgmt" [R, S, E] "Systems disagree on what may happen next":
        ORDER_ILLEGAL_TRANSITION ORDER_TERMINAL_LEFT STATUS_INCOMPATIBLE;
    Critical SameDay "payments-finance" [E] "Goods left without money":
        ORDER_SHIPPED_UNPAID;
    High SameDay "order mgmt" [R, E] "Customer receives the wrong goods or none":
        ORDER_COMPLETE_NOT_SHIPPED ORDER_CANCELLED_AFTER_SHIP ORDER_OVERDELIVERED
        EDIT_BELOW_SHIPPED ORDER_SHIP_QTY SHIPPED_NO_DELIVERY ORDER_LINE_STATE_SUM;
    High SameDay "order mgmt" [T, E] "Order does not move; customer waits":
        ORDER_STUCK;
    High SameDay "order mgmt" [T, R, E] "ERP/OMS refused the order; it will not be fulfilled":
        ORDER_REJECTED;
    High SameDay "order mgmt" [T, R, E] "Service and warehouse see different orders":
        ORDER_STATE_DESYNC ORDER_MISSING_IN_SOR ORDER_UNKNOWN_IN_CT ORDER_QTY_DESYNC
        ORDER_VIEW_DIVERGED;
    High SameDay "payments-finance" [R, S, E] "Order closed without the money":
        ORDER_COMPLETE_UNPAID;
    High FinanceClose "payments-finance" [T, R, E] "Money taken is not in the books":
        PAYMENT_NOT_POSTED POSTING_WITHOUT_PAYMENT;
    High FinanceClose "payments-finance" [T, R, E]
        "Refund cleared at the gateway, books still show revenue":
        REFUND_NOT_POSTED;
    Critical FinanceClose "payments-finance" [E] "More money returned than taken":
        REFUND_EXCEEDS_CAPTURE CURRENCY_MISMATCH;
    High FinanceClose "payments-finance" [R, S, E] "Partial reversal does not add up":
        REFUND_MISMATCH RETURN_REFUND_MISSING CANCELLED_NOT_REFUNDED RETURN_EXCEEDS_DELIVERED;
    Medium SameDay "payments-finance" [T, R]
        "Order waits for, or ships without, confirmed money":
        PAYMENT_DELAYED PAYMENT_STATE_LAG PAYMENT_AMOUNT PAYMENT_TX_UNKNOWN PSP_STATE_CONFLICT
        PAID_NOT_CAPTURED;
    Critical CheckoutBlocking "payments-finance" [R, E] "Customer paid, no order exists":
        ORPHAN_PAYMENT ORDER_DELETED_WITH_CAPTURE;
    High CheckoutBlocking "pricing" [R, S, E] "Customer charged another price than shown":
        PRICE_ORDER_VS_LIVE PRICE_STOREFRONT_VS_CT PRICE_LINE_TOTAL ORDER_TOTAL;
    Medium NextCycle "pricing" [R, S] "Margin or contract price wrong":
        PRICE_ERP_VS_CT;
    Medium NextCycle "catalog-PIM" [R, S] "Product page or filter wrong; search index unstable":
        CATALOG_ATTR CATALOG_MISSING_ATTR CATALOG_CATEGORY CATALOG_UNPUBLISHED;
    Medium SameDay "owner of the entity" [R, S, E]
        "A manual fix bypassed the contract and will drift":
        MANUAL_OVERRIDE;
    High SameDay "integration-ops" [T, E] "Updates queue; numbers age until recovery":
        SOR_UNAVAILABLE CIRCUIT_OPEN RATE_LIMITED;
    High SameDay "integration-ops" [T, R, S, E]
        "Peak traffic harmed by retries / record needs a person":
        RETRY_STORM RETRY_EXHAUSTED;
    Medium SameDay "platform-eng" [E] "Events missing or late":
        VOLUME_ANOMALY CONSUMER_LAG;
    Critical CheckoutBlocking "platform-eng" [R, E]
        "Feed will stop; undelivered notifications are not kept":
        CREDENTIAL_EXPIRING SUBSCRIPTION_UNHEALTHY;
    Medium SameDay "CRM owner" [R, S] "Customer gets wrong group, price or message":
        CUSTOMER_DESYNC;
    High SameDay "privacy" [R, E] "Personal data kept too long":
        PII_ERASURE_PENDING;
    Low NextCycle "platform-eng" [S] "Times unreliable, deadlines shifted":
        CLOCK_SKEW;
}
