//! What orders and payments tell each other. A payment has no order reference: the order names
//! its payments.

use aplomb_state::ids::Timestamp;
use serde::{Deserialize, Serialize};

use super::skus::Cause;
use crate::outputs::Money;

/// What an order is to a payment now: absolute, with a counter of the order that rises with every
/// send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentLink {
    pub order_id: String,
    pub revision: u64,
    pub state: LinkState,
    /// When commercetools generated the message behind it.
    pub at: Timestamp,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkState {
    Linked,
    Unlinked,
    /// It was linked, and its order is gone.
    OrderDeleted,
}

/// A payment's answer to an order that is linked to it, sent after every change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentState {
    pub payment_id: String,
    /// A counter of the payment's actor that rises with every send.
    pub revision: u64,
    /// Absent: the payment was deleted, nothing is known of it any more.
    pub statement: Option<Statement>,
    pub at: Timestamp,
    pub cause: Cause,
}

/// What an order needs to know of a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub planned: Option<Money>,
    pub method: Option<String>,
    pub totals: Totals,
    /// Whether money ever came: an authorisation or a charge succeeded.
    pub succeeded: bool,
    /// All there was failed.
    pub failed: bool,
}

/// Sums over the transactions of a payment in its own currency, in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Empty: no amount was told yet.
    pub currency_code: String,
    pub fraction_digits: u8,
    /// Authorisations less what was cancelled of them.
    pub authorised: i64,
    pub captured: i64,
    pub refunded: i64,
    pub charged_back: i64,
    /// Neither succeeded nor failed.
    pub pending: i64,
}

/// A checkout could not make an order of a cart that was paid by this payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckoutFailed {
    pub at: Timestamp,
    pub cause: Cause,
}

impl Totals {
    pub fn money(&self, cent_amount: i64) -> Money {
        let currency_code = self.currency_code.clone();
        Money { cent_amount, currency_code, fraction_digits: self.fraction_digits }
    }

    /// What is still ours of what was captured.
    pub fn kept(&self) -> i64 {
        self.captured.saturating_sub(self.refunded).saturating_sub(self.charged_back)
    }
}
