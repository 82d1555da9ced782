//! The one clock of an embedded log: every instant it writes or compares comes from here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use aplomb_state::ids::Timestamp;

/// Where a log's time comes from. A log on a virtual clock never waits.
#[derive(Clone, Debug)]
pub enum Clock {
    Virtual(VirtualClock),
    System(SystemClock),
}

/// A clock that stands still until it is told to move. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock {
    now_ms: Arc<AtomicI64>,
}

/// The machine's clock as it was at the start, and the time that has passed since: it never falls.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start_ms: i64,
    start: Instant,
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Virtual(clock) => clock.now(),
            Self::System(clock) => clock.now(),
        }
    }

    /// Whether time passes by itself, so that waiting makes sense.
    pub(super) fn runs(&self) -> bool {
        matches!(self, Self::System(_))
    }
}

impl From<VirtualClock> for Clock {
    fn from(clock: VirtualClock) -> Self {
        Self::Virtual(clock)
    }
}

impl From<SystemClock> for Clock {
    fn from(clock: SystemClock) -> Self {
        Self::System(clock)
    }
}

impl VirtualClock {
    pub fn starting_at(at: Timestamp) -> Self {
        Self { now_ms: Arc::new(AtomicI64::new(at.0)) }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
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

impl SystemClock {
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Self { start_ms, start: Instant::now() }
    }

    pub fn now(&self) -> Timestamp {
        let passed_ms = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.start_ms.saturating_add(passed_ms))
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
