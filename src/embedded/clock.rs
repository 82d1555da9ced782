//! The one clock of an embedded log: every instant it writes or compares comes from here.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use aplomb_state::ids::Timestamp;

use crate::clock::{Clock, SystemClock};

/// Where a log's time comes from. A log on a virtual clock never waits.
#[derive(Clone)]
pub enum LogClock {
    Virtual(VirtualClock),
    System(Arc<SystemClock>),
}

/// A clock that stands still until it is told to move. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock {
    now_ms: Arc<AtomicI64>,
}

impl LogClock {
    /// Whether time passes by itself, so that waiting makes sense.
    pub(super) fn runs(&self) -> bool {
        matches!(self, Self::System(_))
    }
}

impl Clock for LogClock {
    fn now(&self) -> Timestamp {
        match self {
            Self::Virtual(clock) => clock.now(),
            Self::System(clock) => clock.now(),
        }
    }
}

impl From<VirtualClock> for LogClock {
    fn from(clock: VirtualClock) -> Self {
        Self::Virtual(clock)
    }
}

impl From<SystemClock> for LogClock {
    fn from(clock: SystemClock) -> Self {
        Self::System(Arc::new(clock))
    }
}

impl VirtualClock {
    pub fn starting_at(at: Timestamp) -> Self {
        Self { now_ms: Arc::new(AtomicI64::new(at.0)) }
    }

    /// Moves on to `at`. An earlier instant changes nothing.
    pub fn set(&self, at: Timestamp) {
        self.now_ms.fetch_max(at.0, Ordering::SeqCst);
    }

    /// Moves on by `ms`. A negative step changes nothing.
    pub fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms.max(0), Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_never_falls() {
        let clock = VirtualClock::starting_at(Timestamp(100));
        clock.set(Timestamp(50));
        clock.advance(-1);
        assert_eq!(clock.now(), Timestamp(100));
        clock.advance(5);
        clock.set(Timestamp(110));
        assert_eq!(clock.clone().now(), Timestamp(110));
    }
}
