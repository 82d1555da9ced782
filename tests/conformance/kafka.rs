//! The suite on Apache Kafka. `APLOMB_TEST_KAFKA` names a broker that may be filled with test
//! topics (`scripts/kafka start` prints one); without it the suite says that it is skipped.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aplomb::kafka::{KafkaLog, KafkaSettings};

use crate::suite::{Fixture, Outcome, run_all};

const BROKER: &str = "APLOMB_TEST_KAFKA";

/// Set to 1 where a missing broker is a failure.
const REQUIRE: &str = "APLOMB_REQUIRE_KAFKA";

struct Kafka {
    log: KafkaLog,
    /// Tells the names of this run from those of all others.
    run: u128,
    names: AtomicU64,
}

impl Kafka {
    /// Connects to the broker under test, if there is one.
    fn connect(protocol: &str) -> Outcome<Option<Self>> {
        let Ok(bootstrap) = env::var(BROKER) else {
            if env::var(REQUIRE).is_ok_and(|value| value == "1") {
                return Err(format!("{REQUIRE}=1, but {BROKER} is not set").into());
            }
            println!("skipped: {BROKER} is not set (scripts/kafka start)");
            return Ok(None);
        };
        let mut settings = KafkaSettings::new(&bootstrap, "conformance");
        settings.properties.insert("group.protocol".to_owned(), protocol.to_owned());
        let log = KafkaLog::connect(settings)?;
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        Ok(Some(Self { log, run, names: AtomicU64::new(0) }))
    }
}

impl Fixture for Kafka {
    type Log = KafkaLog;

    fn log(&self) -> &KafkaLog {
        &self.log
    }

    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}-{}", self.run, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A broker's time passes by itself. Attempts that wait for nothing themselves are spaced.
    fn settle(&self) {
        std::thread::sleep(Duration::from_millis(5));
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

#[test]
fn the_suite_holds_on_kafka() -> Outcome {
    let Some(kafka) = Kafka::connect("classic")? else { return Ok(()) };
    run_all(&kafka, 4)
}

#[test]
fn the_suite_holds_with_the_consumer_protocol() -> Outcome {
    let Some(kafka) = Kafka::connect("consumer")? else { return Ok(()) };
    run_all(&kafka, 4)
}
