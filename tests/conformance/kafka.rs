//! The suite on a real broker.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aplomb::kafka::{KafkaLog, KafkaSettings};

use crate::suite::{Fixture, Outcome, run_all};

/// The bootstrap address of a broker that may be filled with test topics.
const ADDRESS: &str = "APLOMB_TEST_KAFKA";

/// Set to 1 where a missing broker is a failure.
const REQUIRE: &str = "APLOMB_REQUIRE_KAFKA";

struct Broker {
    log: KafkaLog,
    /// Tells the names of this run from those of all others.
    run: u128,
    names: AtomicU64,
}

impl Broker {
    fn connect(address: &str) -> Outcome<Self> {
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let group = format!("conformance-{run}");
        let log = KafkaLog::connect(KafkaSettings::new(address, &group))?;
        Ok(Self { log, run, names: AtomicU64::new(0) })
    }
}

impl Fixture for Broker {
    type Log = KafkaLog;

    fn log(&self) -> &KafkaLog {
        &self.log
    }

    fn fresh(&self, what: &str) -> String {
        format!("conformance-{}-{what}-{}", self.run, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A broker's time passes by itself, in the rounds of waiting.
    fn settle(&self) {}

    fn patience(&self) -> Duration {
        Duration::from_secs(90)
    }
}

#[test]
fn the_suite_holds_on_kafka() -> Outcome {
    let Ok(address) = env::var(ADDRESS) else {
        if env::var(REQUIRE).is_ok_and(|value| value == "1") {
            return Err(format!("{REQUIRE}=1, but {ADDRESS} is not set").into());
        }
        println!("skipped: {ADDRESS} is not set (scripts/kafka start)");
        return Ok(());
    };
    run_all(&Broker::connect(&address)?, 8)
}
