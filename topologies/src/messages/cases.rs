//! Messages into `inbox.cases`, key `project:caseId`.

use aplomb_state::{codec::Format, ids::Timestamp};
use serde::{Deserialize, Serialize};

use super::skus::Cause;
use crate::codes::Severity;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseMessage {
    Raise(Sent<Raise>),
    Clear(Sent<Clear>),
}

/// What a task tells. Messages of one task come in the order in which it sent them; only those of
/// two tasks need comparing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent<T> {
    pub sender: String,
    pub message: T,
}

impl Format for CaseMessage {
    const VERSION: u8 = 2;
}

/// Who a case is about. Its hash is the case id; for a drift it is the drift id as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CaseKey {
    /// `~` where the project is not known.
    pub project: String,
    /// A name of [`crate::codes::CODES`].
    pub code: String,
    pub entity_type: String,
    pub entity_id: String,
    /// The line, the location, system names and field, the transaction; never values.
    pub discriminator: String,
}

/// A condition became true (or was caused once more).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    pub key: CaseKey,
    /// By which the record behind it came in: usually `ctx.trace().flow`.
    pub flow: String,
    /// Where a rule says another than the code's own.
    pub severity: Option<Severity>,
    /// For people, with the values.
    pub detail: String,
    /// Minor units and currency.
    pub amount_at_risk: Option<(i64, String)>,
    /// When it must be done, where the class of its code does not say so.
    pub due_at: Option<Timestamp>,
    pub at: Timestamp,
    pub cause: Cause,
}

/// The condition ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clear {
    pub key: CaseKey,
    pub at: Timestamp,
    pub cause: Cause,
}
