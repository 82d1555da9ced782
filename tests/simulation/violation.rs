//! What must not be so, by the id of the invariant in `docs/invariants.md`.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: &'static str,
    pub detail: String,
}

impl Violation {
    pub fn of(invariant: &'static str, detail: impl Into<String>) -> Self {
        Self { invariant, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.detail)
    }
}

pub type Outcome<T = ()> = Result<T, Violation>;

/// Raised where there is nobody to answer to; looked at after every turn.
#[derive(Clone, Default)]
pub struct Alarm(Arc<Mutex<Option<Violation>>>);

impl Alarm {
    pub fn raise(&self, violation: Violation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(violation);
    }

    pub fn check(&self) -> Outcome {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(violation) => Err(violation),
            None => Ok(()),
        }
    }
}
