//! The suite on the embedded log, and what can only be checked where the test holds the clock.

mod expiry;
mod faults;
mod groups;
mod retention;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use aplomb::{
    clock::SystemClock,
    embedded::{EmbeddedLog, VirtualClock},
};
use aplomb_state::ids::Timestamp;

use crate::suite::{Fixture, Outcome, run_all};

struct Embedded {
    log: EmbeddedLog,
    clock: Option<VirtualClock>,
    names: AtomicU64,
}

impl Embedded {
    fn on_virtual_clock() -> Self {
        let clock = VirtualClock::starting_at(Timestamp(1_700_000_000_000));
        Self { log: EmbeddedLog::new(clock.clone()), clock: Some(clock), names: AtomicU64::new(0) }
    }

    fn on_system_clock() -> Self {
        let log = EmbeddedLog::new(SystemClock::start());
        Self { log, clock: None, names: AtomicU64::new(0) }
    }

    fn pass(&self, ms: i64) {
        if let Some(clock) = &self.clock {
            clock.advance(ms);
        }
    }
}

impl Fixture for Embedded {
    type Log = EmbeddedLog;

    fn log(&self) -> &EmbeddedLog {
        &self.log
    }

    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn settle(&self) {
        self.pass(1);
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}

#[test]
fn the_suite_holds_on_a_virtual_clock() -> Outcome {
    run_all(&Embedded::on_virtual_clock(), 1)
}

#[test]
fn the_suite_holds_on_the_system_clock() -> Outcome {
    run_all(&Embedded::on_system_clock(), 8)
}
