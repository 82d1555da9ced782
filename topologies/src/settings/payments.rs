//! Rules about money.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// How long what is told of payments may lag behind what is told of their orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentRules {
    /// After this a condition on payments that is not met, or not known to be, is a violation.
    pub grace_ms: i64,
    /// X10 and X11.
    pub not_captured_ms: i64,
    pub state_lag_ms: i64,
    /// How long a payment may be authorised or pending.
    pub delayed_ms: i64,
    /// X6.
    pub refund_after_cancel_ms: i64,
    /// X14.
    pub return_refund_ms: i64,
    /// How long money may wait for an order.
    pub orphan_ms: i64,
    /// Methods of payment that are settled after shipment: `paymentMethodInfo.method`.
    pub pay_later: BTreeSet<String>,
    /// Minor units by which a partial refund may differ from what was returned, per line.
    pub refund_tolerance: i64,
}

impl Default for PaymentRules {
    fn default() -> Self {
        Self {
            grace_ms: MINUTE_MS,
            not_captured_ms: 10 * MINUTE_MS,
            state_lag_ms: 10 * MINUTE_MS,
            delayed_ms: 5 * DAY_MS,
            refund_after_cancel_ms: 14 * DAY_MS,
            return_refund_ms: DAY_MS,
            orphan_ms: 30 * MINUTE_MS,
            pay_later: BTreeSet::new(),
            refund_tolerance: 1,
        }
    }
}

impl PaymentRules {
    pub(super) fn durations(&self) -> [(&'static str, i64); 8] {
        [
            ("payments.grace_ms", self.grace_ms),
            ("payments.not_captured_ms", self.not_captured_ms),
            ("payments.state_lag_ms", self.state_lag_ms),
            ("payments.delayed_ms", self.delayed_ms),
            ("payments.refund_after_cancel_ms", self.refund_after_cancel_ms),
            ("payments.return_refund_ms", self.return_refund_ms),
            ("payments.orphan_ms", self.orphan_ms),
            ("payments.refund_tolerance", self.refund_tolerance),
        ]
    }
}
