//! The suite on a real broker.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aplomb::{
    kafka::{KafkaLog, KafkaSettings},
    log::Consumer,
};
use aplomb_state::ids::{NextOffset, Offset, TopicPartition};

use crate::suite::{
    Fixture, Outcome, Party, ROUND, commit_with, equal, holds, producer, run_all, run_all_but,
    topic, until,
};

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
    fn connect(address: &str, protocol: &str) -> Outcome<Self> {
        let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let group = format!("conformance-{run}");
        let mut settings = KafkaSettings::new(address, &group);
        settings.session_timeout_ms = 6_000;
        settings.properties.insert("group.protocol".to_owned(), protocol.to_owned());
        let log = KafkaLog::connect(settings)?;
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

/// The broker under test. Without one this says that the test is skipped.
fn broker(protocol: &str) -> Outcome<Option<Broker>> {
    let Ok(address) = env::var(ADDRESS) else {
        if env::var(REQUIRE).is_ok_and(|value| value == "1") {
            return Err(format!("{REQUIRE}=1, but {ADDRESS} is not set").into());
        }
        println!("skipped: {ADDRESS} is not set (scripts/kafka start)");
        return Ok(None);
    };
    Broker::connect(&address, protocol).map(Some)
}

#[test]
fn the_suite_holds_on_kafka() -> Outcome {
    let Some(broker) = broker("classic")? else { return Ok(()) };
    run_all(&broker, 8)
}

/// The newer group protocol differs in one thing: a broker takes offsets of an older epoch for a
/// partition that its member has had since then (KIP-1251).
#[test]
fn the_suite_holds_with_the_consumer_protocol() -> Outcome {
    let Some(broker) = broker("consumer")? else { return Ok(()) };
    run_all_but(&broker, 8, &["a stale generation aborts"])
}

/// librdkafka stops a fetcher that was out of range, and a seek does not start it again.
#[test]
fn a_start_after_out_of_range_reads() -> Outcome {
    let Some(broker) = broker("classic")? else { return Ok(()) };
    let name = topic(&broker, 1, &[])?;
    let of = TopicPartition::new(Arc::clone(&name), 0);
    let mut writer = producer(&broker, &broker.fresh("id"))?;
    commit_with(&mut writer, &of, &["0", "1"])?;
    let mut party = Party::join(broker.log(), &broker.fresh("group"), None, &name)?;
    party.until_owning(&broker, 1, &mut || Ok(()))?;
    for _ in 0..3 {
        party.consumer.start(&of, NextOffset(100))?;
        until(&broker, "the error", || {
            party.turn(ROUND)?;
            Ok(party.consumer.head(&of).err())
        })?;
        party.consumer.start(&of, NextOffset(1))?;
        let head = until(&broker, "the record", || {
            party.turn(ROUND)?;
            Ok(party.consumer.head(&of)?)
        })?;
        equal("the first", head.offset, Offset(1))?;
    }
    Ok(())
}

/// Every rebalance pauses and resumes all partitions, also those that stand at their end.
#[test]
fn a_rebalance_at_the_end_passes_over_nothing() -> Outcome {
    let Some(broker) = broker("classic")? else { return Ok(()) };
    let name = topic(&broker, 1, &[])?;
    let of = TopicPartition::new(Arc::clone(&name), 0);
    let group = broker.fresh("group");
    let mut writer = producer(&broker, &broker.fresh("id"))?;
    let mut party = Party::join(broker.log(), &group, None, &name)?;
    party.until_owning(&broker, 1, &mut || Ok(()))?;
    party.consumer.start(&of, NextOffset(0))?;
    for round in 0..5 {
        until(&broker, "the end", || {
            party.turn(ROUND)?;
            Ok(party.consumer.drained_at(&of))
        })?;
        party.events.clear();
        let mut guest = Party::join(broker.log(), &group, None, &name)?;
        until(&broker, "a rebalance", || {
            party.turn(ROUND)?;
            guest.turn(ROUND)?;
            Ok((!party.events.is_empty() || !guest.owned.is_empty()).then_some(()))
        })?;
        holds("the elder keeps it", party.owned.contains(&of))?;
        commit_with(&mut writer, &of, &["value"])?;
        let head = until(&broker, "the record", || {
            party.turn(ROUND)?;
            Ok(party.consumer.head(&of)?)
        })?;
        equal("the record at the end", head.offset, Offset(2 * round))?;
        party.consumer.take(&of, &mut |_| {})?;
        drop(guest);
    }
    Ok(())
}
