//! Crash and restart at any point: the opening reads the log and the store, and never guesses.

use std::sync::Arc;

use aplomb::{
    embedded::Fault,
    log::{Isolation, Log},
    restore::Mode,
    task::State,
};
use aplomb_state::{
    backend::{Database, StorePosition, memory::MemoryDatabase},
    ids::{NextOffset, TopicPartition},
};

use crate::{
    commit::Failing,
    harness::{CHANGELOG, Cluster, INBOX, INBOX_PARTITIONS, Outcome, Plan},
    support::INPUT,
};

const CRASH_AFTER_TURNS: std::ops::Range<usize> = 0..70;

fn small_steps() -> Plan {
    Plan {
        tune: |application| {
            application.tuning.commit_records_max = 7;
            application.tuning.turn_records_max = 4;
            application.tuning.restore_records_max = 3;
        },
        ..Plan::default()
    }
}

/// How the internal tasks got their state, in the order of the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Reuse,
    Restored(Mode),
}

/// Starts a worker and watches how its tasks open.
fn start_and_watch(cluster: &mut Cluster, name: usize) -> Outcome<Vec<Way>> {
    let mut ways = vec![Way::Reuse; usize::try_from(INBOX_PARTITIONS)?];
    cluster.start(name)?;
    for _ in 0..2_000 {
        cluster.round()?;
        for task in cluster.worker(name).tasks() {
            let State::Restoring(restore) = &task.state else { continue };
            ways[usize::try_from(task.id.input.partition)?] = Way::Restored(restore.mode);
        }
    }
    Ok(ways)
}

/// A cluster whose only worker has counted some lines and is gone.
fn crashed_after_some_lines() -> Outcome<Cluster> {
    let mut cluster = Cluster::planned(&small_steps())?;
    cluster.start(0)?;
    cluster.feed_many(20)?;
    cluster.settle()?;
    cluster.crash(0);
    Ok(cluster)
}

#[test]
fn a_crash_after_any_turn_with_the_same_database_loses_nothing() -> Outcome {
    for turns in CRASH_AFTER_TURNS {
        let mut cluster = Cluster::planned(&small_steps())?;
        cluster.feed_many(12)?;
        cluster.start(0)?;
        cluster.rounds(turns)?;
        cluster.crash(0);
        let ways = start_and_watch(&mut cluster, 0)?;
        assert!(!ways.contains(&Way::Restored(Mode::Rebuild)), "after {turns} turns: {ways:?}");
        cluster.finish().map_err(|error| format!("after {turns} turns: {error}"))?;
    }
    Ok(())
}

#[test]
fn a_crash_after_any_turn_with_an_empty_database_loses_nothing() -> Outcome {
    for turns in CRASH_AFTER_TURNS {
        let mut cluster = Cluster::planned(&small_steps())?;
        cluster.feed_many(12)?;
        cluster.start(0)?;
        cluster.rounds(turns)?;
        cluster.crash(0);
        cluster.wipe(0);
        let ways = start_and_watch(&mut cluster, 0)?;
        assert!(!ways.contains(&Way::Restored(Mode::Tail)), "after {turns} turns: {ways:?}");
        cluster.finish().map_err(|error| format!("after {turns} turns: {error}"))?;
    }
    Ok(())
}

/// A process that dies every few turns gets on all the same.
#[test]
fn crash_after_crash_still_makes_progress() -> Outcome {
    for turns in [3, 20, 31] {
        let mut cluster = Cluster::planned(&small_steps())?;
        cluster.feed_many(12)?;
        for life in 0..30 {
            cluster.start(0)?;
            cluster.rounds(turns)?;
            cluster.crash(0);
            if life % 3 == 0 {
                cluster.wipe(0);
            }
        }
        cluster.start(0)?;
        cluster.finish().map_err(|error| format!("every {turns} turns: {error}"))?;
    }
    Ok(())
}

#[test]
fn a_store_that_is_where_the_log_is_opens_without_a_replay() -> Outcome {
    let mut cluster = crashed_after_some_lines()?;
    let ways = start_and_watch(&mut cluster, 0)?;
    assert_eq!(ways, [Way::Reuse; 3]);
    cluster.finish()
}

#[test]
fn a_store_behind_a_commit_whose_answer_was_lost_replays_its_tail() -> Outcome {
    let mut tails = 0;
    for first in 0..14 {
        let mut cluster = Cluster::planned(&small_steps())?;
        cluster.feed_many(12)?;
        let failing = Failing::new(aplomb::embedded::Call::Commit, Fault::After, first, 1);
        cluster.start_on(0, cluster.log.with_faults(failing.clone()))?;
        while failing.failed() == 0 {
            cluster.round()?;
        }
        cluster.crash(0);
        let ways = start_and_watch(&mut cluster, 0)?;
        tails += ways.iter().filter(|way| **way == Way::Restored(Mode::Tail)).count();
        cluster.finish().map_err(|error| format!("{first}: {error}"))?;
    }
    assert!(tails > 0);
    Ok(())
}

/// Worker 0's disk comes back after worker 1 has gone on without it.
fn behind(cluster: &mut Cluster) -> Outcome {
    cluster.start(1)?;
    cluster.feed_many(11)?;
    cluster.settle()?;
    cluster.crash(1);
    Ok(())
}

#[test]
fn a_store_that_is_behind_replays_its_tail_and_one_that_is_too_old_is_rebuilt() -> Outcome {
    for (away_ms, expected) in [(0, Mode::Tail), (100_000_000, Mode::Rebuild)] {
        let mut cluster = crashed_after_some_lines()?;
        behind(&mut cluster)?;
        cluster.clock.advance(away_ms);
        let ways = start_and_watch(&mut cluster, 0)?;
        assert_eq!(ways, [Way::Restored(expected); 3]);
        cluster.finish()?;
    }
    Ok(())
}

#[test]
fn a_store_of_another_generation_is_rebuilt() -> Outcome {
    let mut other = Cluster::new()?;
    // Another seed, so other generations.
    other.start(7)?;
    other.crash(7);
    other.start(0)?;
    other.feed("elsewhere all all all")?;
    other.settle()?;
    let mut cluster = crashed_after_some_lines()?;
    cluster.databases.insert(0, other.databases[&0].clone());
    let ways = start_and_watch(&mut cluster, 0)?;
    assert_eq!(ways, [Way::Restored(Mode::Rebuild); 3]);
    cluster.finish()
}

/// Moves the stored position of one task on, as no commit did.
fn put_ahead(database: &MemoryDatabase, cluster: &Cluster, partition: i32) -> Outcome<NextOffset> {
    let mut store = database.open(&cluster.counts_task(partition), &[])?;
    let position = store.position().ok_or("no position")?.clone();
    let to = StorePosition { inbox: NextOffset(position.inbox.0 + 100), ..position.clone() };
    store.apply(Some(position.inbox), &mut std::iter::empty(), &to)?;
    Ok(to.inbox)
}

#[test]
fn a_store_ahead_of_the_log_parks_its_task_and_keeps_its_data() -> Outcome {
    let mut cluster = crashed_after_some_lines()?;
    let database = cluster.databases[&0].clone();
    let ahead = put_ahead(&database, &cluster, 1)?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let reason = cluster.parked_as(&TopicPartition::new(INBOX, 1));
    assert!(reason.contains("ahead of the committed offset"), "{reason}");
    let kept = database.snapshot(&cluster.counts_task(1))?.ok_or("the store is gone")?;
    assert_eq!(kept.position().map(|position| position.inbox), Some(ahead));
    assert_eq!(cluster.counts()?, cluster.expected.counts_in(&[0, 2]), "the others go on");
    cluster.check_verify()
}

fn delete_all(cluster: &Cluster, of: &TopicPartition) -> Outcome {
    let marks = cluster.log.watermarks(std::slice::from_ref(of), Isolation::ReadUncommitted)?;
    Ok(cluster.log.delete_records(&[(of.clone(), marks[0].high)])?)
}

#[test]
fn without_its_changelog_a_lost_store_parks_its_task_and_a_kept_one_goes_on() -> Outcome {
    let changelog = TopicPartition::new(CHANGELOG, 2);
    let mut cluster = crashed_after_some_lines()?;
    delete_all(&cluster, &changelog)?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.finish()?;

    let mut cluster = crashed_after_some_lines()?;
    delete_all(&cluster, &changelog)?;
    cluster.wipe(0);
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let reason = cluster.parked_as(&TopicPartition::new(INBOX, 2));
    assert!(reason.contains("`aplomb reset`"), "{reason}");
    assert_eq!(cluster.counts()?, cluster.expected.counts_in(&[0, 1]), "the others go on");
    cluster.check_verify()
}

#[test]
fn a_compacted_changelog_gives_the_same_state() -> Outcome {
    // Tombstones and control records outlive the first compaction, and not the second.
    for between_ms in [0, 100_000_000] {
        let mut cluster = crashed_after_some_lines()?;
        cluster.log.compact(CHANGELOG)?;
        cluster.clock.advance(between_ms);
        cluster.log.compact(CHANGELOG)?;
        cluster.wipe(0);
        let ways = start_and_watch(&mut cluster, 0)?;
        assert_eq!(ways, [Way::Restored(Mode::Rebuild); 3]);
        cluster.finish()?;
    }
    Ok(())
}

/// A replay that began before the compaction, or that lost its process, ends right too.
#[test]
fn a_compaction_or_a_crash_in_the_middle_of_a_replay_changes_nothing() -> Outcome {
    for crash in [false, true] {
        for turns in 1..40 {
            let mut cluster = crashed_after_some_lines()?;
            cluster.wipe(0);
            cluster.start(0)?;
            cluster.rounds(turns)?;
            if crash {
                cluster.crash(0);
                cluster.start(0)?;
            } else {
                cluster.log.compact(CHANGELOG)?;
            }
            cluster.finish().map_err(|error| format!("{crash} after {turns} turns: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn an_input_out_of_range_parks_its_task_and_the_others_go_on() -> Outcome {
    let mut cluster = crashed_after_some_lines()?;
    let counted = cluster.expected.clone();
    let gone = TopicPartition::new(INPUT, 0);
    for _ in 0..5 {
        cluster.feed_to(0, "lost for good")?;
    }
    delete_all(&cluster, &gone)?;
    cluster.expected = counted;
    cluster.start(0)?;
    cluster.feed_to(1, "kept all")?;
    cluster.settle()?;
    let reason = cluster.parked_as(&gone);
    assert!(reason.contains("out of range"), "{reason}");
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    cluster.check_verify()
}

#[test]
fn an_input_that_is_trimmed_under_a_running_worker_parks_its_task() -> Outcome {
    let mut cluster = Cluster::planned(&small_steps())?;
    cluster.start(0)?;
    cluster.feed_many(20)?;
    cluster.settle()?;
    let counted = cluster.expected.clone();
    let gone = TopicPartition::new(INPUT, 1);
    cluster.feed_to(1, "lost for good")?;
    delete_all(&cluster, &gone)?;
    cluster.expected = counted;
    cluster.feed_to(0, "kept all")?;
    cluster.settle()?;
    assert!(cluster.parked_as(&gone).contains("out of range"));
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    cluster.check_verify()
}

#[test]
fn a_configuration_with_another_partition_count_parks_instead_of_mixing_keys() -> Outcome {
    let mut cluster = crashed_after_some_lines()?;
    let mut application = (*cluster.application).clone();
    application.inbox_partitions = INBOX_PARTITIONS - 1;
    cluster.application = Arc::new(application);
    cluster.start(0)?;
    cluster.settle()?;
    let inner = cluster.parked().into_iter().filter(|(id, _)| &*id.input.topic == INBOX);
    let reasons: Vec<String> = inner.map(|(_, reason)| reason).collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons.iter().all(|reason| reason.contains("topics.partitions")), "{reasons:?}");
    Ok(())
}
