//! The process's clock. Handlers never see it: their time comes from the log.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aplomb_state::ids::Timestamp;

pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// Wall time at the start, then monotonic: a clock set back does not move it.
pub struct SystemClock {
    started: Instant,
    at: Timestamp,
}

impl SystemClock {
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
        Self { started: Instant::now(), at }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.at.plus_ms(elapsed)
    }
}
