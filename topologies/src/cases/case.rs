//! The state of one case.
//!
//! ```text
//!            raise                  clear
//!   (none) ────────► open ──────────────────► resolved
//!                    ▲  │ raise: counted         │
//!                    │  └──►                     │
//!                    └───────────────────────────┘
//!                      raise: episode + 1
//! ```

use aplomb_state::{codec::Format, ids::Timestamp, record::Trace};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    codes::{Code, Severity},
    messages::{
        cases::{CaseKey, Clear, Raise},
        skus::Cause,
    },
};

/// So many causes are remembered, to count each once.
const CAUSES_KEPT: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    pub key: CaseKey,
    pub status: Status,
    pub episode: u32,
    pub severity: Severity,
    pub flow: String,
    pub detail: String,
    /// Minor units and currency.
    pub amount_at_risk: Option<(i64, String)>,
    /// Where the class of the code does not say so.
    pub due_at: Option<Timestamp>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// When this episode began: the time to act runs from here.
    pub opened_at: Timestamp,
    pub count: u64,
    pub place: Place,
    pub cause: Cause,
    /// A counter that rises with every record written.
    pub revision: u64,
    /// Of the last message that changed the status.
    sender: String,
    changed_at: Timestamp,
    /// Hashes of the last causes counted.
    causes: Vec<u64>,
}

impl Format for Case {
    const VERSION: u8 = 2;
}

/// Whether what a case tells of still holds.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// It holds.
    Open,
    /// It ended; if it comes back, the same case opens again.
    Resolved,
}

/// Where a raise stands in the log, and the rules in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub trace: Trace,
    pub rule_hash: String,
}

/// A clear that found no case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    pub sender: String,
    pub at: Timestamp,
}

impl Format for Cleared {
    const VERSION: u8 = 1;
}

/// What a message did to the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Opened,
    Counted,
    Resolved,
    Reopened,
}

// === impl Case ===

impl Case {
    pub fn open(raise: &Raise, sender: String, place: Place, code: &Code) -> Self {
        Self {
            key: raise.key.clone(),
            status: Status::Open,
            episode: 1,
            severity: raise.severity.unwrap_or(code.severity),
            flow: raise.flow.clone(),
            detail: raise.detail.clone(),
            amount_at_risk: raise.amount_at_risk.clone(),
            due_at: raise.due_at,
            first_seen: raise.at,
            last_seen: raise.at,
            opened_at: raise.at,
            count: 1,
            place,
            cause: raise.cause.clone(),
            revision: 1,
            sender,
            changed_at: raise.at,
            causes: vec![short(&raise.cause.id)],
        }
    }

    /// `None`: nothing new.
    pub fn raise(
        &mut self,
        raise: &Raise,
        sender: String,
        place: Place,
        code: &Code,
    ) -> Option<Step> {
        let new_cause = self.count_cause(&raise.cause.id);
        // A raise of another task that is older than the clear says nothing about now.
        let late = sender != self.sender && raise.at < self.changed_at;
        let step = match self.status {
            Status::Resolved if !late => Step::Reopened,
            Status::Open | Status::Resolved if new_cause => Step::Counted,
            Status::Open | Status::Resolved => return None,
        };
        self.revision += 1;
        self.first_seen = self.first_seen.min(raise.at);
        self.last_seen = self.last_seen.max(raise.at);
        if step == Step::Reopened {
            self.status = Status::Open;
            self.episode += 1;
            self.opened_at = raise.at;
        }
        if !late {
            self.severity = raise.severity.unwrap_or(code.severity);
            self.flow.clone_from(&raise.flow);
            self.detail.clone_from(&raise.detail);
            self.amount_at_risk.clone_from(&raise.amount_at_risk);
            self.due_at = raise.due_at;
            self.cause.clone_from(&raise.cause);
            self.place = place;
            self.sender = sender;
            self.changed_at = raise.at;
        }
        Some(step)
    }

    /// `None`: it was not open, or what opened it is newer.
    pub fn clear(&mut self, clear: &Clear, sender: String, rule_hash: String) -> Option<Step> {
        let late = sender != self.sender && clear.at < self.changed_at;
        if late || self.status == Status::Resolved {
            return None;
        }
        self.status = Status::Resolved;
        self.revision += 1;
        self.sender = sender;
        self.changed_at = clear.at;
        self.place.rule_hash = rule_hash;
        Some(Step::Resolved)
    }

    pub fn resolved_at(&self) -> Option<Timestamp> {
        (self.status == Status::Resolved).then_some(self.changed_at)
    }

    /// Whether the cause was not counted before.
    fn count_cause(&mut self, cause: &str) -> bool {
        let cause = short(cause);
        if self.causes.contains(&cause) {
            return false;
        }
        if self.causes.len() == CAUSES_KEPT {
            self.causes.remove(0);
        }
        self.causes.push(cause);
        self.count += 1;
        true
    }
}

fn short(cause: &str) -> u64 {
    let hash = Sha256::digest(cause.as_bytes());
    hash.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

// === impl Cleared ===

impl Cleared {
    /// Whether a raise of that sender and time came too late to open anything.
    pub fn outranks(&self, sender: &str, at: Timestamp) -> bool {
        self.sender != sender && at < self.at
    }
}

// === impl Step ===

impl Step {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "CaseOpened",
            Self::Counted => "CaseCounted",
            Self::Resolved => "CaseResolved",
            Self::Reopened => "CaseReopened",
        }
    }
}
