//! Time comes from the log: however many workers, a deadline fires after what lies before it.

use aplomb::embedded::Foreign;
use aplomb_state::ids::Timestamp;

use crate::{
    harness::{Cluster, Outcome, Plan, START},
    support::{COUNTS, INPUT, REMIND_AFTER_MS},
};

fn small_steps() -> Plan {
    Plan {
        tune: |application| {
            application.tuning.commit_records_max = 5;
            application.tuning.turn_records_max = 3;
            application.tuning.tick_interval_ms = 200;
            application.tuning.merge_wait_ms_max = 0;
        },
        ..Plan::default()
    }
}

/// (word, count, deadline) of every reminder.
fn reminders(cluster: &Cluster) -> Outcome<Vec<(String, u64, i64)>> {
    let mut found = Vec::new();
    for (word, value) in cluster.outputs(COUNTS)? {
        if let Some((count, deadline)) = value.split_once('@') {
            found.push((word, count.parse()?, deadline.parse()?));
        }
    }
    Ok(found)
}

/// A backlog whose partitions lie minutes apart in time from line to line: whoever is ahead in one
/// must not let deadlines pass that records in the other come before.
fn backlog(cluster: &mut Cluster) -> Outcome<Vec<(String, i64)>> {
    let mut fed = Vec::new();
    for line in 0..120_i64 {
        for partition in 0..2 {
            // The second partition holds three times as many lines for the same time.
            if partition == 0 && line % 3 != 0 {
                continue;
            }
            let at = START.0 - 900_000 + line * 2_000 + i64::from(partition);
            let word = format!("w{}", line % 5);
            cluster.feed_bytes(Some(partition), word.as_bytes(), Timestamp(at))?;
            fed.push((word, at));
        }
    }
    Ok(fed)
}

#[test]
fn a_deadline_never_fires_while_a_record_before_it_waits_in_any_partition() -> Outcome {
    for workers in 1..=3 {
        let mut cluster = Cluster::planned(&small_steps())?;
        let fed = backlog(&mut cluster)?;
        for name in 0..workers {
            cluster.start(name)?;
        }
        cluster.finish().map_err(|error| format!("{workers} workers: {error}"))?;
        let reminders = reminders(&cluster)?;
        assert!(reminders.len() > 100);
        for (word, count, deadline) in reminders {
            let before = fed.iter().filter(|(other, at)| *other == word && *at < deadline).count();
            assert!(count >= u64::try_from(before)?, "{word}: {count} of {before} at {deadline}");
        }
    }
    Ok(())
}

/// A worker that does not get on holds time back for all.
#[test]
fn time_waits_for_the_slowest_worker() -> Outcome {
    let mut cluster = Cluster::planned(&small_steps())?;
    cluster.start(0)?;
    cluster.start(1)?;
    cluster.settle()?;
    let external = |cluster: &Cluster, name: usize| {
        cluster.worker(name).tasks().iter().find(|task| task.stage == 0).map(|t| t.id.input.clone())
    };
    let (Some(first), Some(second)) = (external(&cluster, 0), external(&cluster, 1)) else {
        return Err("each worker should have one external partition".into());
    };
    let begun = cluster.now();
    cluster.feed_to(second.partition, "early")?;
    cluster.pass(3_000)?;
    cluster.sleep(0);
    // Older than the first deadline, and nobody takes it.
    cluster.feed_bytes(Some(first.partition), b"early late", begun.plus_ms(4_000))?;
    while cluster.now() < begun.plus_ms(REMIND_AFTER_MS + 800) {
        cluster.clock.advance(100);
        cluster.round()?;
    }
    assert_eq!(reminders(&cluster)?, []);
    cluster.wake(0);
    cluster.finish()?;
    let found = reminders(&cluster)?;
    let first = ("early".to_owned(), 2, begun.0 + REMIND_AFTER_MS);
    assert!(found.contains(&first), "{found:?}");
    Ok(())
}

/// Lines far enough apart that no deadline lies within a tick of a record.
fn live(workers: usize) -> Outcome<Vec<(String, String)>> {
    let mut cluster = Cluster::new()?;
    for name in 0..workers {
        cluster.start(name)?;
    }
    cluster.settle()?;
    for line in 0..12_i64 {
        let at = START.0 + (line + 1) * 10_000;
        while cluster.now().0 < at {
            cluster.clock.advance(100.min(at - cluster.now().0));
            if cluster.now().0 < at {
                cluster.round()?;
            }
        }
        let text = format!("a w{} w{} w{}", line % 2, line % 3, line % 5);
        cluster.feed_bytes(None, text.as_bytes(), Timestamp(at))?;
        cluster.settle()?;
    }
    cluster.finish()?;
    let mut outputs = cluster.outputs(COUNTS)?;
    outputs.sort();
    Ok(outputs)
}

#[test]
fn one_worker_and_three_give_the_same_outputs() -> Outcome {
    let alone = live(1)?;
    assert!(alone.iter().filter(|(_, value)| value.contains('@')).count() > 30);
    assert_eq!(live(2)?, alone);
    assert_eq!(live(3)?, alone);
    Ok(())
}

/// A record of the far future does not pull time along: nothing is handled later than now.
#[test]
fn a_record_from_the_future_moves_no_deadline() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.feed("a")?;
    cluster.settle()?;
    let future = Some(START.plus_ms(1_000_000_000));
    let before = cluster.expected.clone();
    let at = cluster.now();
    let record = Foreign { timestamp: future, value: Some(b"b"), ..Foreign::to(INPUT) };
    cluster.log.produce(&record)?;
    cluster.expected = before;
    cluster.settle()?;
    assert_eq!(reminders(&cluster)?, []);
    cluster.pass(REMIND_AFTER_MS + 3_000)?;
    let found = reminders(&cluster)?;
    assert!(found.iter().any(|(word, _, _)| word == "a"), "{found:?}");
    let latest = cluster.now().0;
    assert!(found.iter().all(|(_, _, deadline)| (at.0..latest).contains(deadline)), "{found:?}");
    cluster.check_verify()
}
