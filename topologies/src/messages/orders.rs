//! What another system says of an order, and who an order number belongs to.

use aplomb_state::ids::Timestamp;
use serde::{Deserialize, Serialize};

use super::skus::Cause;

/// One record of `sor.<system>.order.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemOrder {
    pub system: String,
    pub flow: String,
    /// In its canonical form, without the flow's prefix.
    pub order_number: Option<String>,
    /// That number as the system writes it.
    pub native: Option<String>,
    pub says: Says,
    pub as_of: Timestamp,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    Status(String),
    /// It took the order.
    Accepted,
    /// It refused the order.
    Rejected(String),
}

/// From an order to the actor of its number: absolute, with a counter of the order that rises with
/// every send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identify {
    pub order_id: String,
    pub revision: u64,
    /// It bears the number now.
    pub bears: bool,
    pub at: Timestamp,
    pub cause: Cause,
}
