//! What the simulator found, as scripts: each failed before it was mended.

use std::time::Duration;

use aplomb::{
    embedded::{Call, Fault, Membership},
    log::{
        Class, Committed, Consumer, Error, GroupEvent, Isolation, Leave, Log, Member, Producer,
        ToSend,
    },
    task::{State, Task},
};
use aplomb_state::{
    backend::{Database, Rebuild, StorePosition, Write, memory::MemoryDatabase},
    ids::{NextOffset, TopicPartition},
    scan::Scan,
    store::StoreId,
    topology::Entry,
};

use crate::{
    commit::Failing,
    harness::{CHANGELOG, Cluster, INBOX, INBOX_PARTITIONS, Outcome, Plan, SESSION_TIMEOUT_MS},
    support::{COUNTS, DEAD, INPUT, REMIND_AFTER_MS},
};

const DELETE_RETENTION_MS: i64 = 20_000;
/// The runtime's two stores and the declared one.
const STORES: u8 = 3;

fn failing_for(class: Class) -> Fault {
    Fault::Before(Error { blameless: true, ..Error::new(class, "the test wants it so") })
}

/// One record per step of a restore, and changelogs that forget deletions soon.
fn slow_restores() -> Plan {
    Plan {
        tune: |application| {
            application.tuning.restore_records_max = 1;
            application.tuning.changelog_delete_retention_ms = DELETE_RETENTION_MS;
        },
        topics: |topic| {
            for (key, value) in &mut topic.config {
                if key == "delete.retention.ms" {
                    *value = DELETE_RETENTION_MS.to_string();
                }
            }
        },
    }
}

/// A disk on which every rebuild is complete and none has taken the place of the old data.
fn rebuilt_and_not_swapped(cluster: &Cluster, whole: &MemoryDatabase) -> Outcome<MemoryDatabase> {
    let disk = MemoryDatabase::default();
    for partition in 0..INBOX_PARTITIONS {
        let task = cluster.counts_task(partition);
        let snapshot = whole.snapshot(&task)?.ok_or("no such store")?;
        let position = snapshot.position().ok_or("no position")?.clone();
        let mut rows: Vec<(StoreId, Entry)> = Vec::new();
        for store in (0..STORES).map(StoreId) {
            let entries = snapshot.scan(store, Scan::rising(&[], None, usize::MAX))?;
            rows.extend(entries.into_iter().map(|entry| (store, entry)));
        }
        let mut writes = rows.iter().map(|(store, (key, value))| Write {
            store: *store,
            key,
            value: Some(value),
        });
        let mut store = disk.open(&task, &[])?;
        store.begin_rebuild(Rebuild::Fresh)?;
        store.apply(None, &mut writes, &position)?;
    }
    Ok(disk)
}

#[test]
fn a_rebuild_that_was_complete_when_its_process_died_takes_its_place() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.feed_many(20)?;
    cluster.settle()?;
    cluster.crash(0);
    let disk = rebuilt_and_not_swapped(&cluster, &cluster.databases[&0])?;
    cluster.databases.insert(0, disk);
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.finish()
}

/// Worker 0 stands still in the middle of a rebuild, while another deletes rows and the changelog
/// forgets that there were any.
#[test]
fn a_restore_that_outlives_the_tombstones_begins_anew() -> Outcome {
    let mut interrupted = 0;
    for moment in 1..12 {
        let mut cluster = Cluster::planned(&slow_restores())?;
        cluster.start(0)?;
        cluster.feed_many(12)?;
        cluster.settle()?;
        cluster.crash(0);
        cluster.wipe(0);
        cluster.start(0)?;
        while restoring(&cluster) == 0 {
            cluster.round()?;
        }
        cluster.rounds(moment)?;
        interrupted += restoring(&cluster);
        cluster.sleep(0);
        cluster.clock.advance(2 * SESSION_TIMEOUT_MS);
        cluster.start(1)?;
        // Timers fire, and their rows are deleted.
        cluster.pass(REMIND_AFTER_MS + 2_000)?;
        cluster.log.compact(CHANGELOG)?;
        cluster.clock.advance(DELETE_RETENTION_MS + 1);
        cluster.log.compact(CHANGELOG)?;
        cluster.wake(0);
        cluster.leave(1)?;
        cluster.finish().map_err(|error| format!("{moment}: {error}"))?;
    }
    assert!(interrupted > 10, "{interrupted} restores were under way");
    Ok(())
}

fn restoring(cluster: &Cluster) -> usize {
    let tasks = cluster.worker(0).tasks().iter();
    tasks.filter(|task| matches!(task.state, State::Restoring(_))).count()
}

/// The transaction that the revocation could not commit is aborted, and the producer goes on.
#[test]
fn a_revocation_whose_commit_fails_costs_the_transaction_and_no_more() -> Outcome {
    for call in [Call::Send, Call::SendOffsets, Call::Drain, Call::Commit] {
        for class in [Class::Retry, Class::Abort] {
            let mut failed = 0;
            for first in 0..16 {
                let mut cluster = Cluster::new()?;
                let failing = Failing::new(call, failing_for(class), 2 * first, 1);
                cluster.start_on(0, cluster.log.with_faults(failing.clone()))?;
                cluster.feed_many(5)?;
                cluster.rounds(first)?;
                cluster.start(1)?;
                cluster.feed_many(5)?;
                // A worker that stops is an error here.
                cluster.finish().map_err(|error| format!("{call} {class:?} {first}: {error}"))?;
                failed += failing.failed();
            }
            assert!(failed > 0, "{call} {class:?} was never met");
        }
    }
    Ok(())
}

#[test]
fn a_shutdown_whose_commit_fails_leaves_no_transaction_open() -> Outcome {
    for call in [Call::SendOffsets, Call::Drain, Call::Commit] {
        let mut cluster = Cluster::new()?;
        cluster.start(0)?;
        cluster.feed_many(10)?;
        cluster.settle()?;
        cluster.crash(0);
        let failing = Failing::new(call, failing_for(Class::Abort), 0, usize::MAX);
        cluster.feed_many(10)?;
        cluster.start_on(0, cluster.log.with_faults(failing.clone()))?;
        // Until a transaction is open that has not met the fault yet.
        while failing.failed() == 0 {
            cluster.round()?;
        }
        cluster.round()?;
        cluster.leave(0)?;
        let topics = [INPUT, INBOX, CHANGELOG, "words.counts.v1"];
        for topic in topics {
            let of = [TopicPartition::new(topic, 0)];
            let stable = cluster.log.watermarks(&of, Isolation::ReadCommitted)?;
            let all = cluster.log.watermarks(&of, Isolation::ReadUncommitted)?;
            assert_eq!(stable, all, "{call}: {topic}");
        }
    }
    Ok(())
}

/// Somebody's transaction holds the offset of a task and does not end: who is to open the task says
/// since when it waits, and goes on by itself.
#[test]
fn an_offset_that_an_open_transaction_holds_is_waited_for_and_named() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    cluster.leave(0)?;
    let outsider = cluster.log.outsider(&cluster.application.id)?;
    let mut holder = hold_offsets(&cluster, &[0], &outsider)?;
    cluster.start(1)?;
    cluster.rounds(40)?;
    let said = cluster.said_pending(1);
    let [(task, reason)] = said.as_slice() else { return Err(format!("{said:?}").into()) };
    assert_eq!(task.input, TopicPartition::new(INBOX, 0));
    assert!(reason.contains("holds its committed offset"), "{reason}");
    holder.abort(Duration::ZERO)?;
    cluster.settle()?;
    cluster.rounds(40)?;
    assert_eq!(cluster.said_pending(1), []);
    cluster.feed_many(10)?;
    cluster.finish()
}

/// The same of tasks that are kept while a member comes, holds their offsets, and goes.
#[test]
fn held_offsets_of_kept_tasks_are_waited_for_and_named_too() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let member = Member { group: cluster.application.id.clone(), instance_id: None };
    let mut stranger = cluster.log.consumer(&member)?;
    stranger.subscribe(&cluster.application.subscription())?;
    join(&mut cluster, &mut stranger)?;
    let inboxes = |task: &Task| {
        let input = &task.id.input;
        (&*input.topic == INBOX).then_some(input.partition)
    };
    let kept: Vec<i32> = cluster.worker(0).tasks().iter().filter_map(inboxes).collect();
    assert!(!kept.is_empty() && kept.len() < 3, "{kept:?}");
    let mut holder = hold_offsets(&cluster, &kept, &stranger.group()?.0)?;
    stranger.close(Leave::Leave)?;
    let before = cluster.counts()?;
    cluster.feed_many(10)?;
    cluster.rounds(40)?;
    assert_eq!(cluster.counts()?, before, "nothing is handled before it is known whose it is");
    let said = cluster.said_pending(0);
    let held: Vec<i32> = said.iter().map(|(task, _)| task.input.partition).collect();
    assert_eq!(held, kept, "{said:?}");
    assert!(said.iter().all(|(_, reason)| reason.contains("holds its committed")), "{said:?}");
    holder.abort(Duration::ZERO)?;
    cluster.settle()?;
    cluster.rounds(40)?;
    assert_eq!(cluster.said_pending(0), []);
    cluster.feed_many(10)?;
    cluster.finish()
}

/// Takes turns with the workers until the member has partitions of its own.
fn join<C: Consumer>(cluster: &mut Cluster, member: &mut C) -> Outcome {
    for _ in 0..100 {
        cluster.round()?;
        match member.poll(Duration::ZERO)? {
            Some(GroupEvent::Assigned(given)) => {
                member.accept(&given)?;
                if !given.is_empty() {
                    return Ok(());
                }
            }
            Some(GroupEvent::Revoked(taken) | GroupEvent::Lost(taken)) => member.release(&taken)?,
            None => {}
        }
    }
    Err("it was given nothing".into())
}

/// A stranger's transaction that holds the committed offsets of these inbox partitions as they
/// are.
fn hold_offsets(
    cluster: &Cluster,
    partitions: &[i32],
    as_member: &Membership,
) -> Outcome<impl Producer + use<>> {
    let of: Vec<_> = partitions.iter().map(|one| TopicPartition::new(INBOX, *one)).collect();
    let committed = cluster.log.committed(&cluster.application.id, &of, Duration::ZERO)?;
    let offsets = of.into_iter().zip(committed).map(|(of, committed)| match committed {
        Committed::At { next, metadata } => Ok((of, next, metadata)),
        other => Err(format!("{other:?}")),
    });
    let offsets = offsets.collect::<Result<Vec<_>, _>>()?;
    let mut holder = cluster.log.producer("somebody")?;
    holder.init_transactions(Duration::ZERO)?;
    holder.begin()?;
    holder.send_offsets(&offsets, as_member, Duration::ZERO)?;
    Ok(holder)
}

// === changelogs in odd states ===

/// What is not committed leaves control records, and they are no life of a task.
#[test]
fn a_changelog_of_control_records_only_begins_fresh() -> Outcome {
    let mut cluster = Cluster::new()?;
    let mut producer = cluster.log.producer("somebody")?;
    producer.init_transactions(Duration::ZERO)?;
    for partition in 0..INBOX_PARTITIONS {
        producer.begin()?;
        producer.send(&ToSend {
            topic: &CHANGELOG.into(),
            partition,
            timestamp: None,
            key: Some(b"key"),
            value: Some(b"value"),
            headers: &[],
            receipt: 0,
        })?;
        producer.abort(Duration::ZERO)?;
    }
    cluster.log.compact(CHANGELOG)?;
    let of = [TopicPartition::new(CHANGELOG, 0)];
    let marks = cluster.log.watermarks(&of, Isolation::ReadUncommitted)?;
    assert!(marks[0].high > NextOffset(0));
    assert_eq!(cluster.kept(CHANGELOG)?, []);
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.finish()
}

/// Nothing was ever handled: the changelog holds the first position and nothing else.
#[test]
fn a_task_that_never_had_a_record_restores_from_an_empty_changelog() -> Outcome {
    let mut cluster = Cluster::planned(&Plan {
        // No tick, so that nothing reaches the inboxes but the configuration.
        tune: |application| application.tuning.tick_interval_ms = i64::MAX,
        ..Plan::default()
    })?;
    cluster.start(0)?;
    cluster.rounds(60)?;
    cluster.crash(0);
    cluster.wipe(0);
    cluster.start(0)?;
    cluster.settle()?;
    assert_eq!(cluster.parked(), []);
    assert_eq!(cluster.counts()?.len(), 0);
    cluster.feed_many(5)?;
    cluster.settle()?;
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    cluster.check_verify()
}

/// The changelog was deleted beyond where a quiet store stands: it needs none of it.
#[test]
fn a_quiet_store_behind_its_changelogs_beginning_is_used_as_it_stands() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    cluster.crash(0);
    // Somebody else's aborted transaction, and then the deletion of all there is.
    let mut producer = cluster.log.producer("somebody")?;
    producer.init_transactions(Duration::ZERO)?;
    let mut ends = Vec::new();
    for partition in 0..INBOX_PARTITIONS {
        producer.begin()?;
        let topic = CHANGELOG.into();
        let (key, value) = (Some(&b"key"[..]), Some(&b"value"[..]));
        let of = TopicPartition::new(CHANGELOG, partition);
        producer.send(&ToSend {
            topic: &topic,
            partition,
            timestamp: None,
            key,
            value,
            headers: &[],
            receipt: 0,
        })?;
        producer.abort(Duration::ZERO)?;
        let marks =
            cluster.log.watermarks(std::slice::from_ref(&of), Isolation::ReadUncommitted)?;
        ends.push((of, marks[0].high));
    }
    cluster.log.delete_records(&ends)?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.finish()
}

/// A batch with a bad record in its middle: what came before and after stands, of it one
/// exception, and the store holds the fold of the rest.
#[test]
fn a_bad_record_in_the_middle_of_a_transaction_leaves_no_trace_in_the_store() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.settle()?;
    for line in ["a b", "a panic b", "b c"] {
        cluster.feed_to(0, line)?;
    }
    // All in one transaction of the first stage.
    cluster.settle()?;
    let before: StorePosition = position(&cluster, 0)?;
    assert!(before.inbox > NextOffset(0));
    assert_eq!(cluster.outputs(DEAD)?.len(), 1);
    let words: Vec<String> = cluster.outputs(COUNTS)?.into_iter().map(|(word, _)| word).collect();
    assert_eq!(words.iter().filter(|word| *word == "b").count(), 2, "{words:?}");
    cluster.finish()
}

fn position(cluster: &Cluster, partition: i32) -> Outcome<StorePosition> {
    let task = cluster.counts_task(partition);
    let snapshot = cluster.databases[&0].snapshot(&task)?.ok_or("no store")?;
    Ok(snapshot.position().ok_or("no position")?.clone())
}
