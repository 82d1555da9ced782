//! The exception taxonomy: every code with its severity, owner, business effect, what a person may
//! do about it, and how soon. One table; whoever shows, counts or documents a code reads it here.

use serde::{Deserialize, Serialize};

mod table;

pub use table::CODES;

/// One kind of exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    pub name: &'static str,
    pub severity: Severity,
    /// What it means for the business, for people who do not know the code.
    pub effect: &'static str,
    /// The role that answers for it.
    pub owner: &'static str,
    pub actions: &'static [Action],
    pub sla: Sla,
}

/// How much a case harms the business.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// No harm: worth knowing.
    Info,
    /// Little harm: times or counts may be off.
    Low,
    /// Something waits, or a number may be stale.
    Medium,
    /// Systems disagree, or a change is lost.
    High,
    /// Money, goods or customers are at risk now.
    Critical,
}

/// What a person may do with a case.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Send the record back to where it failed.
    Retry,
    /// Send a corrected one instead, or put right what is wrong.
    Repair,
    /// Say no more of it for a while.
    Suppress,
    /// Hand it to someone with more say.
    Escalate,
}

/// How soon someone must have looked.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sla {
    /// Within 15 minutes: sales are at stake.
    #[serde(rename = "checkout-blocking")]
    CheckoutBlocking,
    /// Within 8 hours.
    #[serde(rename = "same-day")]
    SameDay,
    /// Within 24 hours.
    #[serde(rename = "next-cycle")]
    NextCycle,
    /// Within 72 hours: before the books are closed.
    #[serde(rename = "finance-close")]
    FinanceClose,
}

/// The code of that name.
pub fn of(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

// === impl Severity ===

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

// === impl Action ===

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Repair => "repair",
            Self::Suppress => "suppress",
            Self::Escalate => "escalate",
        }
    }
}

// === impl Sla ===

impl Sla {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CheckoutBlocking => "checkout-blocking",
            Self::SameDay => "same-day",
            Self::NextCycle => "next-cycle",
            Self::FinanceClose => "finance-close",
        }
    }

    /// Elapsed time from the first sight of a case to its due date.
    pub fn due_after_ms(self) -> i64 {
        const MINUTE_MS: i64 = 60_000;
        const HOUR_MS: i64 = 60 * MINUTE_MS;
        match self {
            Self::CheckoutBlocking => 15 * MINUTE_MS,
            Self::SameDay => 8 * HOUR_MS,
            Self::NextCycle => 24 * HOUR_MS,
            Self::FinanceClose => 72 * HOUR_MS,
        }
    }
}

#[cfg(test)]
mod tests;
