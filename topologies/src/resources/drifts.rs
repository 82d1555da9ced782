//! Drifts that the actor of an order or a payment owns.
//!
//! Its [`Watches`](super::watches::Watches) say which difference has lasted for too long and which
//! is over; [`Drifts`] keeps what was told of each, so that other values and reopening are seen.
//!
//! ```text
//!            lasted its grace          other values
//!   nothing ─────────────────▶ open ◀──────────────┐ Updated
//!      ▲         Opened         │ └────────────────┘
//!      │                        │ over: Resolved
//!      └── the cool-down ── was open ──▶ open again: Opened, with one flap more
//! ```

pub mod rows;
mod tell;

use std::collections::BTreeMap;

use aplomb_state::{context::Context, ids::Timestamp, rejection::Rejection};
use serde::{Deserialize, Serialize};

use self::tell::Telling;
use super::{notices::Subject, watches::Turned};
use crate::{
    drifts::{Past, SideValue, Source},
    outputs::Money,
};

/// By the condition that the drift is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifts<K: Ord>(BTreeMap<K, Drift>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Drift {
    Open(Open),
    Was(Past),
}

/// What was told last of an open drift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub first_seen: Timestamp,
    pub opened_at: Timestamp,
    pub values: [Value; 2],
    pub flaps: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    Text(String),
    Money(Money),
}

/// What is compared, and what the sides show now.
pub struct Compared {
    pub code: &'static str,
    pub discriminator: String,
    pub field: &'static str,
    pub sides: [Shown; 2],
}

pub struct Shown {
    pub value: Value,
    pub as_of: Timestamp,
    pub source: Source,
}

/// The row of an actor that owns drifts.
pub trait Comparing {
    /// The conditions that it watches.
    type Condition: Ord + Clone;

    fn drifts(&mut self) -> &mut Drifts<Self::Condition>;
    fn revision(&self) -> u64;
    /// What the sides show; nothing, where a condition compares no sides.
    fn compared(
        &self,
        ctx: &Context<'_>,
        subject: &Subject<'_>,
        condition: &Self::Condition,
    ) -> Option<Compared>;

    /// The actor has looked at what holds: tells of the drifts among it.
    fn follow_drifts(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        turned: &Turned<Self::Condition>,
        cool_down_ms: i64,
    ) -> Result<(), Rejection> {
        let mut drifts = std::mem::take(self.drifts());
        let told = Telling { subject, revision: self.revision() };
        for condition in &turned.ended {
            let Some(compared) = self.compared(ctx, subject, condition) else { continue };
            if let Some(open) = drifts.end(condition, subject.at) {
                told.resolved(ctx, &compared, &open)?;
            }
        }
        for condition in drifts.open() {
            let Some(compared) = self.compared(ctx, subject, &condition) else { continue };
            if let Some(open) = drifts.update(&condition, compared.values()) {
                told.open(ctx, "DriftUpdated", &compared, open)?;
            }
        }
        for (condition, since) in &turned.opened {
            let Some(compared) = self.compared(ctx, subject, condition) else { continue };
            let open = Open {
                first_seen: *since,
                opened_at: subject.at.max(*since),
                values: compared.values(),
                flaps: drifts.past(condition).flaps_if(*since, cool_down_ms),
            };
            told.open(ctx, "DriftOpened", &compared, &open)?;
            drifts.0.insert(condition.clone(), Drift::Open(open));
        }
        drifts.forget(subject.at, cool_down_ms);
        *self.drifts() = drifts;
        Ok(())
    }
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn shown(&self) -> SideValue<'_> {
        match self {
            Self::Text(text) => SideValue::Text(text),
            Self::Money(money) => SideValue::Money(money),
        }
    }
}

impl Compared {
    fn values(&self) -> [Value; 2] {
        self.sides.each_ref().map(|side| side.value.clone())
    }
}

impl<K: Ord> Default for Drifts<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Drifts<K> {
    /// How often a drift that is open has opened again.
    pub fn flaps(&self, key: &K) -> u32 {
        match self.0.get(key) {
            Some(Drift::Open(open)) => open.flaps,
            Some(Drift::Was(_)) | None => 0,
        }
    }

    fn open(&self) -> Vec<K> {
        let open = self.0.iter().filter(|(_, drift)| matches!(drift, Drift::Open(_)));
        open.map(|(key, _)| key.clone()).collect()
    }

    fn past(&self, key: &K) -> Past {
        match self.0.get(key) {
            Some(Drift::Was(past)) => *past,
            Some(Drift::Open(_)) | None => Past::default(),
        }
    }

    fn update(&mut self, key: &K, values: [Value; 2]) -> Option<&Open> {
        match self.0.get_mut(key) {
            Some(Drift::Open(open)) if open.values != values => {
                open.values = values;
                Some(open)
            }
            _ => None,
        }
    }

    fn end(&mut self, key: &K, at: Timestamp) -> Option<Open> {
        match self.0.remove(key)? {
            Drift::Open(open) => {
                let past = Past { resolved_at: Some(at), flaps: open.flaps };
                self.0.insert(key.clone(), Drift::Was(past));
                Some(open)
            }
            was @ Drift::Was(_) => {
                self.0.insert(key.clone(), was);
                None
            }
        }
    }

    /// What is over for longer than the cool-down would not count as flapping any more.
    fn forget(&mut self, at: Timestamp, cool_down_ms: i64) {
        self.0.retain(|_, drift| match drift {
            Drift::Open(_) => true,
            Drift::Was(past) => past.is_recent(at, cool_down_ms),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn values(theirs: &str) -> [Value; 2] {
        [Value::text("ours"), Value::text(theirs)]
    }

    fn open(theirs: &str) -> Drifts<&'static str> {
        let open = Open { first_seen: at(1), opened_at: at(11), values: values(theirs), flaps: 2 };
        Drifts(BTreeMap::from([("status", Drift::Open(open))]))
    }

    #[test]
    fn only_other_values_are_told_anew() {
        let mut drifts = open("a");
        assert_eq!(drifts.update(&"status", values("a")), None);
        assert!(drifts.update(&"status", values("b")).is_some());
        assert_eq!(drifts, open("b"));
        assert_eq!(drifts.update(&"other", values("b")), None);
    }

    #[test]
    fn a_drift_ends_once_and_is_known_for_the_cool_down() {
        let mut drifts = open("a");
        assert_eq!(drifts.flaps(&"status"), 2);
        assert!(drifts.end(&"status", at(20)).is_some());
        assert!(drifts.end(&"status", at(21)).is_none());
        assert_eq!(drifts.past(&"status"), Past { resolved_at: Some(at(20)), flaps: 2 });
        drifts.forget(at(80), 60_000);
        assert_eq!(drifts.past(&"status").flaps_if(at(80), 60_000), 3);
        drifts.forget(at(81), 60_000);
        assert_eq!(drifts, Drifts::default());
    }
}
