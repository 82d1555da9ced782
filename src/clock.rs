//! The process's clock. Handlers never see it: their time comes from the log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aplomb_state::ids::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// It goes on while the machine sleeps, too: tombstones do not wait for it.
#[cfg(target_os = "linux")]
const ELAPSED: ClockId = ClockId::Boottime;
/// Elsewhere this one does that.
#[cfg(not(target_os = "linux"))]
const ELAPSED: ClockId = ClockId::Monotonic;

pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// Wall time at the start, then what has passed since: a clock set back does not move it.
pub struct SystemClock {
    started: Duration,
    at: Timestamp,
}

impl SystemClock {
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX));
        Self { started: elapsed(), at }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let passed = elapsed().saturating_sub(self.started);
        self.at.plus_ms(i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Since some instant before the process began.
fn elapsed() -> Duration {
    Duration::try_from(clock_gettime(ELAPSED)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn it_goes_on_from_the_wall_time_of_its_start() {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let clock = SystemClock::start();
        let first = clock.now();
        assert!(
            (0..60_000).contains(&(i128::from(first.0) - i128::try_from(wall).expect("small")))
        );
        thread::sleep(Duration::from_millis(20));
        assert!((20..60_000).contains(&(clock.now().0 - first.0)));
    }
}
