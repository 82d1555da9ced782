//! The runtime without commerce: the production worker on the embedded log, in virtual time.

#[path = "../support/mod.rs"]
mod support;

mod checkpoint;
mod commit;
mod expected;
mod found;
mod group;
mod harness;
mod operator;
mod plateau;
mod random;
mod reset;
mod restart;
mod storage;
mod time;
mod verify;

use aplomb::{
    driver::{Driver, Error},
    embedded::Foreign,
    log::Isolation,
};
use aplomb_state::ids::Timestamp;

use crate::support::{COUNTS, DEAD, INPUT};

fn driver() -> Result<Driver, Error> {
    let naming = support::naming(3);
    Driver::start(support::application(&naming, 2), &naming, Timestamp(1_000_000))
}

fn line(driver: &mut Driver, text: &[u8], at: i64) -> Result<(), Error> {
    let timestamp = Some(Timestamp(at));
    driver.deliver(&Foreign { value: Some(text), timestamp, ..Foreign::to(INPUT) })
}

fn output(driver: &Driver, topic: &str) -> Result<Vec<String>, Error> {
    let topic = format!("words.{topic}");
    let records = driver.log.read_all(&topic, Isolation::ReadCommitted)?;
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
    let line = |record: &aplomb::embedded::Kept| {
        format!("{}={}", text(record.key.as_deref()), text(record.value.as_deref()))
    };
    Ok(records.iter().map(line).collect())
}

#[test]
fn counts_words_across_a_hop_and_fires_timers_in_stream_time() -> Result<(), Error> {
    let mut driver = driver()?;
    line(&mut driver, b"a b a", 1_000_000)?;
    line(&mut driver, b"b", 1_000_010)?;
    let mut counts = output(&driver, COUNTS)?;
    counts.sort();
    assert_eq!(counts, ["a=1", "a=2", "b=1", "b=2"]);
    driver.advance(Timestamp(1_005_000))?;
    assert_eq!(output(&driver, COUNTS)?.len(), 4, "a deadline is not passed at its own instant");
    driver.advance(Timestamp(1_005_005))?;
    let counts = output(&driver, COUNTS)?;
    assert_eq!(counts.len(), 6);
    assert!(counts.contains(&"a=2@1005000".to_owned()), "{counts:?}");
    driver.advance(Timestamp(1_005_010))?;
    driver.finish()?;
    assert!(output(&driver, COUNTS)?.contains(&"b=2@1005010".to_owned()));
    Ok(())
}

#[test]
fn a_bad_record_leaves_one_exception_and_no_other_trace() -> Result<(), Error> {
    let mut driver = driver()?;
    line(&mut driver, b"a", 1_000_000)?;
    line(&mut driver, b"\xff\xfe", 1_000_001)?;
    line(&mut driver, b"a b panic", 1_000_002)?;
    line(&mut driver, b"a", 1_000_003)?;
    let mut counts = output(&driver, COUNTS)?;
    counts.sort();
    assert_eq!(counts, ["a=1", "a=2"]);
    assert_eq!(output(&driver, DEAD)?.len(), 2);
    Ok(())
}
