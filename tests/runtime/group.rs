//! Workers come, go, die and wake up again: every word counts once, in one place.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aplomb::{
    application::Application,
    embedded::{Call, Fault, Faults, Foreign, VirtualClock},
    log::{Log, TopicDescription},
    runtime::Unowned,
    worker::Turn,
};
use aplomb_state::ids::TopicPartition;

use crate::{
    harness::{Cluster, INBOX, Outcome, Plan, SESSION_TIMEOUT_MS, TASKS, TRANSACTION_TIMEOUT_MS},
    support::{COUNTS, DEAD, INPUT},
};

fn small_transactions() -> Plan {
    Plan { tune: |application| application.tuning.commit_records_max = 7, ..Plan::default() }
}

/// A turn may leave something to be read, so that its transaction stays open.
fn one_record_per_turn() -> Plan {
    Plan { tune: |application| application.tuning.turn_records_max = 1, ..Plan::default() }
}

fn owned(cluster: &Cluster, name: usize) -> usize {
    cluster.worker(name).tasks().len()
}

#[test]
fn two_workers_share_the_tasks_and_one_that_leaves_hands_its_own_over() -> Outcome {
    let mut cluster = Cluster::planned(&small_transactions())?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.rounds(30)?;
    cluster.start(1)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    assert!(owned(&cluster, 0) >= 2 && owned(&cluster, 1) >= 2);
    cluster.feed_many(10)?;
    cluster.rounds(3)?;
    cluster.leave(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    assert_eq!(owned(&cluster, 1), TASKS);
    cluster.finish()
}

#[test]
fn a_worker_may_come_and_go_at_any_moment() -> Outcome {
    for moment in 0..40 {
        let mut cluster = Cluster::planned(&small_transactions())?;
        cluster.feed_many(8)?;
        cluster.start(0)?;
        cluster.rounds(moment)?;
        cluster.start(1)?;
        cluster.feed_many(8)?;
        cluster.rounds(moment)?;
        cluster.leave(0)?;
        cluster.feed_many(8)?;
        cluster.start(0)?;
        cluster.start(2)?;
        cluster.rounds(moment)?;
        cluster.leave(1)?;
        cluster.finish().map_err(|error| format!("{moment}: {error}"))?;
    }
    Ok(())
}

#[test]
fn the_tasks_of_a_crashed_worker_move_when_its_session_is_over() -> Outcome {
    for moment in 0..30 {
        let mut cluster = Cluster::planned(&small_transactions())?;
        cluster.start(0)?;
        cluster.start(1)?;
        cluster.feed_many(10)?;
        cluster.rounds(moment)?;
        cluster.crash(0);
        cluster.feed_many(10)?;
        cluster.pass(SESSION_TIMEOUT_MS + TRANSACTION_TIMEOUT_MS)?;
        assert_eq!(owned(&cluster, 1), TASKS);
        cluster.finish().map_err(|error| format!("{moment}: {error}"))?;
    }
    Ok(())
}

/// Two workers of one process share its database: the lease says who may write.
#[test]
fn workers_on_one_database_take_tasks_from_each_other() -> Outcome {
    let mut cluster = Cluster::planned(&small_transactions())?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let shared = cluster.databases[&0].clone();
    for name in [1, 2] {
        cluster.databases.insert(name, shared.clone());
        cluster.start(name)?;
        cluster.feed_many(10)?;
        cluster.rounds(20)?;
    }
    cluster.crash(1);
    cluster.feed_many(10)?;
    cluster.pass(SESSION_TIMEOUT_MS + TRANSACTION_TIMEOUT_MS)?;
    cluster.leave(0)?;
    cluster.feed_many(10)?;
    cluster.finish()
}

/// It sleeps with a transaction open, its partitions move, and it wakes up.
fn zombie(asleep_ms: i64, on_one_database: bool) -> Outcome {
    let mut cluster = Cluster::planned(&one_record_per_turn())?;
    cluster.start(0)?;
    if on_one_database {
        let shared = cluster.databases[&0].clone();
        cluster.databases.insert(1, shared);
    }
    cluster.start(1)?;
    cluster.settle()?;
    cluster.feed_many(4)?;
    // With records taken and nothing committed.
    assert_eq!(cluster.turn(0)?, Turn::Busy);
    assert!(!cluster.worker(0).is_settled());
    cluster.sleep(0);
    cluster.feed_many(10)?;
    let until = cluster.now().plus_ms(asleep_ms);
    while cluster.now() < until {
        cluster.clock.advance(100);
        cluster.round()?;
    }
    cluster.wake(0);
    cluster.feed_many(10)?;
    cluster.finish()
}

#[test]
fn a_zombie_that_wakes_after_its_partitions_moved_counts_nothing() -> Outcome {
    let transaction = TRANSACTION_TIMEOUT_MS;
    for asleep_ms in [transaction - 500, transaction + 500, 2 * SESSION_TIMEOUT_MS, 60_000] {
        for on_one_database in [false, true] {
            zombie(asleep_ms, on_one_database)
                .map_err(|error| format!("{asleep_ms} {on_one_database}: {error}"))?;
        }
    }
    Ok(())
}

/// A zombie whose last act is to commit: it does not even look at the group before.
#[test]
fn a_zombie_that_shuts_down_commits_nothing() -> Outcome {
    let mut cluster = Cluster::planned(&one_record_per_turn())?;
    cluster.start(0)?;
    cluster.start(1)?;
    cluster.settle()?;
    cluster.feed_many(4)?;
    cluster.turn(0)?;
    assert!(!cluster.worker(0).is_settled());
    let zombie = cluster.detach(0)?;
    cluster.pass(2 * SESSION_TIMEOUT_MS)?;
    assert_eq!(owned(&cluster, 1), TASKS);
    let before = cluster.outputs(COUNTS)?;
    zombie.shut_down(aplomb::log::Leave::Leave)?;
    assert_eq!(cluster.outputs(COUNTS)?, before);
    cluster.finish()
}

/// Time passes inside the commit itself.
struct Pause {
    clock: VirtualClock,
    at: Call,
    calls: AtomicUsize,
    ms: i64,
}

impl Faults for Pause {
    fn decide(&self, _: &str, call: Call) -> Option<Fault> {
        if call == self.at && self.calls.fetch_add(1, Ordering::Relaxed) == 8 {
            self.clock.advance(self.ms);
        }
        None
    }
}

#[test]
fn a_process_that_stands_still_in_the_middle_of_a_commit_loses_and_doubles_nothing() -> Outcome {
    for at in [Call::Begin, Call::Send, Call::SendOffsets, Call::Drain, Call::Commit] {
        for ms in [TRANSACTION_TIMEOUT_MS + 1, SESSION_TIMEOUT_MS + 1, 60_000] {
            let mut cluster = Cluster::planned(&small_transactions())?;
            let pause = Pause { clock: cluster.clock.clone(), at, calls: AtomicUsize::new(0), ms };
            cluster.start_on(0, cluster.log.with_faults(Arc::new(pause)))?;
            cluster.start(1)?;
            cluster.feed_many(30)?;
            cluster.finish().map_err(|error| format!("{at} {ms}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_rebalance_in_the_middle_of_a_restore_changes_nothing() -> Outcome {
    let slow = Plan {
        tune: |application: &mut Application| application.tuning.restore_records_max = 1,
        ..Plan::default()
    };
    for moment in 0..25 {
        let mut cluster = Cluster::planned(&slow)?;
        cluster.start(0)?;
        cluster.feed_many(15)?;
        cluster.settle()?;
        cluster.crash(0);
        cluster.wipe(0);
        cluster.start(0)?;
        cluster.rounds(moment)?;
        cluster.start(1)?;
        cluster.rounds(moment)?;
        cluster.feed_many(5)?;
        cluster.crash(0);
        cluster.start(2)?;
        cluster.finish().map_err(|error| format!("{moment}: {error}"))?;
    }
    Ok(())
}

// === records that cannot be handled ===

#[test]
fn a_poison_record_in_the_middle_of_a_batch_leaves_one_exception_and_no_other_trace() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.feed("a b")?;
    cluster.feed("a b panic c")?;
    cluster.feed_bytes(None, b"a \xff b", cluster.now())?;
    cluster.feed("a")?;
    cluster.start(0)?;
    cluster.finish()?;
    assert_eq!(cluster.expected.dead, 2);
    assert_eq!(cluster.outputs(DEAD)?.len(), 2);
    Ok(())
}

#[test]
fn a_record_above_the_topologys_limit_leaves_one_exception() -> Outcome {
    let generous = Plan {
        topics: |topic: &mut TopicDescription| {
            if &*topic.name == INPUT {
                topic.config.push(("max.message.bytes".to_owned(), "8388608".to_owned()));
            }
        },
        ..Plan::default()
    };
    let mut cluster = Cluster::planned(&generous)?;
    let long = "x".repeat(3 << 20);
    cluster.feed("a b")?;
    let before = cluster.expected.clone();
    cluster.feed(&format!("a {long} b"))?;
    cluster.expected = before;
    cluster.expected.dead += 1;
    cluster.feed("a")?;
    cluster.start(0)?;
    cluster.finish()
}

/// The broker refuses what the topology let through: the record is found out, its task parks and
/// names it, and the others go on.
#[test]
fn a_record_that_the_broker_refuses_parks_its_task_alone() -> Outcome {
    let strict = Plan {
        topics: |topic: &mut TopicDescription| {
            if &*topic.name == "words.counts.v1" {
                topic.config.retain(|(name, _)| name != "max.message.bytes");
                topic.config.push(("max.message.bytes".to_owned(), "200".to_owned()));
            }
        },
        ..small_transactions()
    };
    let mut cluster = Cluster::planned(&strict)?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let long = "y".repeat(500);
    let counted = cluster.expected.clone();
    cluster.feed(&long)?;
    cluster.rounds(500)?;
    let parked = cluster.parked();
    let [(id, reason)] = parked.as_slice() else { return Err(format!("{parked:?}").into()) };
    assert_eq!(&*id.input.topic, INBOX);
    assert!(reason.contains("cannot be committed"), "{reason}");
    let named = cluster.kept(INBOX)?.into_iter().find(|record| {
        record.partition == id.input.partition
            && reason.contains(&format!("offset {} ", record.offset))
    });
    assert_eq!(named.and_then(|record| record.key).as_deref(), Some(long.as_bytes()));
    let healthy: Vec<i32> = (0..3).filter(|partition| *partition != id.input.partition).collect();
    cluster.expected = counted;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let expected = cluster.expected.counts_in(&healthy);
    assert!(!expected.is_empty());
    assert_eq!(cluster.counts()?, expected);
    cluster.check_verify()
}

#[test]
fn an_unknown_format_version_parks_the_task_before_the_record() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let inbox = TopicPartition::new(INBOX, 0);
    let newer = Foreign { partition: Some(0), value: Some(&[9, 1, 2]), ..Foreign::to(INBOX) };
    let (_, offset) = cluster.log.produce(&newer)?;
    cluster.settle()?;
    let reason = cluster.parked_as(&inbox);
    assert!(reason.contains("format version 9"), "{reason}");
    assert!(reason.contains(&format!("offset {offset}")), "{reason}");
    cluster.feed_many(10)?;
    cluster.settle()?;
    assert!(cluster.committed_at(&inbox).0 <= offset.0);
    assert_eq!(cluster.counts()?, cluster.expected.counts_in(&[1, 2]), "the others go on");
    // Whoever takes over meets it too, and parks as well.
    cluster.crash(0);
    cluster.start(1)?;
    cluster.settle()?;
    assert!(cluster.parked_as(&inbox).contains("format version 9"));
    Ok(())
}

/// A static member that is killed between giving partitions up and its second join gets back what
/// it had, and what was to move has no owner until a member joins anew.
#[test]
fn partitions_that_a_killed_static_member_left_without_an_owner_find_one() -> Outcome {
    let mut healed = 0;
    for moment in 0..60 {
        let mut cluster = Cluster::planned(&small_transactions())?;
        cluster.make_static(0);
        cluster.make_static(1);
        cluster.start(0)?;
        cluster.feed_many(10)?;
        cluster.settle()?;
        cluster.start(1)?;
        for turn in 0..moment {
            cluster.turn(turn % 2)?;
        }
        cluster.crash(0);
        cluster.start(0)?;
        cluster.feed_many(10)?;
        healed += usize::from(heal(&mut cluster)?);
        assert_eq!(owned(&cluster, 0) + owned(&cluster, 1), TASKS, "at {moment}");
        cluster.finish().map_err(|error| format!("{moment}: {error}"))?;
    }
    assert!(healed > 0, "no moment was between the two rounds");
    Ok(())
}

/// What a process does beside its workers. `true`: somebody had to join anew.
fn heal(cluster: &mut Cluster) -> Outcome<bool> {
    let mut inputs = cluster.application.external_partitions();
    inputs.extend(cluster.application.inbox_partitions());
    let mut unowned = Unowned::after_ms(SESSION_TIMEOUT_MS / 3);
    let mut told = false;
    for _ in 0..4 * SESSION_TIMEOUT_MS / 30 {
        cluster.rounds(10)?;
        let group = cluster.log.describe_group(&cluster.application.id, Duration::ZERO)?;
        if let Some(member) = unowned.look(&group, &inputs, cluster.now()) {
            cluster.tell_to_rejoin(&member)?;
            told = true;
        }
    }
    Ok(told)
}
