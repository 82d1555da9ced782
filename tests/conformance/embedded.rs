//! The suite on the embedded log, and what can only be checked where the test holds the clock.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aplomb::{
    embedded::{Call, EmbeddedLog, Fault, Faults, Foreign, Settings, SystemClock, VirtualClock},
    log::{
        Class, Committed, Consumer, Error, GroupEvent, Isolation, Leave, Log, Producer, Reader,
        TopicDescription, Watermarks,
    },
};
use aplomb_state::ids::{NextOffset, Timestamp, TopicPartition};

use crate::suite::{
    Fixture, Outcome, Party, ROUND, WAIT, a_commit_in_doubt_is_settled_by_the_successor,
    begin_with, commit_with, contents, end, equal, holds, listed, partitions_of, producer, record,
    run_all, topic,
};

struct Embedded {
    log: EmbeddedLog,
    clock: Option<VirtualClock>,
    names: AtomicU64,
}

impl Embedded {
    fn on_virtual_clock() -> Self {
        let clock = VirtualClock::starting_at(Timestamp(1_700_000_000_000));
        Self { log: EmbeddedLog::new(clock.clone()), clock: Some(clock), names: AtomicU64::new(0) }
    }

    fn on_system_clock() -> Self {
        let log = EmbeddedLog::new(SystemClock::start());
        Self { log, clock: None, names: AtomicU64::new(0) }
    }

    fn pass(&self, ms: i64) {
        if let Some(clock) = &self.clock {
            clock.advance(ms);
        }
    }
}

impl Fixture for Embedded {
    type Log = EmbeddedLog;

    fn log(&self) -> &EmbeddedLog {
        &self.log
    }

    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn settle(&self) {
        self.pass(1);
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// Fails the first call of one kind.
struct Once(Mutex<Option<(Call, Fault)>>);

impl Once {
    fn new(call: Call, fault: Fault) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some((call, fault)))))
    }
}

impl Faults for Once {
    fn decide(&self, _transactional_id: &str, call: Call) -> Option<Fault> {
        let mut armed = self.0.lock().ok()?;
        Some(armed.take_if(|(at, _)| *at == call)?.1)
    }
}

#[test]
fn the_suite_holds_on_a_virtual_clock() -> Outcome {
    run_all(&Embedded::on_virtual_clock(), 1)
}

#[test]
fn the_suite_holds_on_the_system_clock() -> Outcome {
    run_all(&Embedded::on_system_clock(), 8)
}

// === faults ===

#[test]
fn a_commit_in_doubt_is_settled_whether_or_not_it_was_done() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    for fault in [Fault::After, Fault::Before(Error::in_doubt("the request got lost"))] {
        let doubtful = fixture.log.with_faults(Once::new(Call::Commit, fault));
        a_commit_in_doubt_is_settled_by_the_successor(&fixture, &doubtful, WAIT)?;
    }
    Ok(())
}

#[test]
fn a_full_queue_takes_the_record_later() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let to = TopicPartition::new(topic(&fixture, 1, &[])?, 0);
    let log = fixture.log.with_faults(Once::new(Call::Send, Fault::QueueFull));
    let mut writer = log.producer("id")?;
    writer.init_transactions(WAIT)?;
    writer.begin()?;
    equal("full", writer.send(&record(&to, "a"))?, false)?;
    equal("room again", writer.send(&record(&to, "a"))?, true)?;
    writer.drain(WAIT)?;
    writer.commit(WAIT)?;
    equal("once", contents(&fixture, &to, Isolation::ReadCommitted)?, listed(&[(0, "a")]))
}

/// Each row: the call that fails, its class, and whether the transaction can still commit, must
/// be aborted, or is out of this producer's hands.
#[test]
fn a_producer_does_after_an_error_what_its_class_says() -> Outcome {
    let rows = [
        (Call::SendOffsets, Class::Retry, None),
        (Call::SendOffsets, Class::Abort, Some(Class::Abort)),
        (Call::Drain, Class::Abort, Some(Class::Abort)),
        (Call::Drain, Class::Migrated, Some(Class::Migrated)),
        (Call::Commit, Class::Retry, None),
        (Call::Commit, Class::Abort, Some(Class::Abort)),
        (Call::Commit, Class::Migrated, Some(Class::Migrated)),
    ];
    for (call, class, then) in rows {
        let fixture = Embedded::on_virtual_clock();
        let name = topic(&fixture, 1, &[])?;
        let to = TopicPartition::new(name.clone(), 0);
        let (group, _) = Party::join(&fixture.log, "group", None, &name)?.consumer.group()?;
        let fault = Fault::Before(Error::new(class, "as the test wants"));
        let mut writer = fixture.log.with_faults(Once::new(call, fault)).producer("id")?;
        writer.init_transactions(WAIT)?;
        writer.begin()?;
        writer.send(&record(&to, "a"))?;
        let offsets = [(to.clone(), NextOffset(1), String::new())];
        let calls =
            [writer.send_offsets(&offsets, &group, WAIT), writer.drain(WAIT), writer.commit(WAIT)];
        let place =
            [Call::SendOffsets, Call::Drain, Call::Commit].iter().position(|at| *at == call);
        let failed = place.and_then(|place| calls.get(place)).and_then(|call| call.as_ref().err());
        equal("the class", failed.map(|error| error.class), Some(class))?;
        if call == Call::SendOffsets && class == Class::Retry {
            holds("went on", calls.iter().skip(1).all(Result::is_ok))?;
            continue;
        }
        let again = writer.commit(WAIT).err().map(|error| error.class);
        equal("the commit after it", again, then)?;
        equal("the abort", writer.abort(WAIT).is_ok(), then == Some(Class::Abort))?;
    }
    Ok(())
}

#[test]
fn a_commit_with_records_in_flight_is_refused() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let to = TopicPartition::new(topic(&fixture, 1, &[])?, 0);
    let mut writer = producer(&fixture, "id")?;
    writer.begin()?;
    writer.send(&record(&to, "a"))?;
    equal("refused", writer.commit(WAIT).err().map(|error| error.class), Some(Class::Fatal))?;
    writer.drain(WAIT)?;
    Ok(writer.commit(WAIT)?)
}

#[test]
fn a_record_the_broker_would_refuse_fails_its_transaction() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let config = [("max.message.bytes", "10"), ("cleanup.policy", "compact")];
    let to = TopicPartition::new(topic(&fixture, 1, &config)?, 0);
    let keyless = aplomb::log::ToSend { key: None, ..record(&to, "a") };
    for refused in [record(&to, "far too long"), keyless] {
        let mut writer = producer(&fixture, "id")?;
        writer.begin()?;
        let class = writer.send(&refused).err().map(|error| error.class);
        equal("refused", class, Some(Class::Abort))?;
        writer.abort(WAIT)?;
        commit_with(&mut writer, &to, &["short"])?;
    }
    Ok(())
}

// === what time brings ===

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_fenced() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let to = TopicPartition::new(topic(&fixture, 1, &[])?, 0);
    let mut writer = producer(&fixture, "id")?;
    begin_with(&mut writer, &to, &["a"])?;
    let timeout_ms = Settings::default().transaction_timeout_ms;
    fixture.pass(timeout_ms - 1);
    equal("still open", end(&fixture, &to, Isolation::ReadCommitted)?, NextOffset(0))?;
    fixture.pass(1);
    equal("aborted", end(&fixture, &to, Isolation::ReadCommitted)?, NextOffset(2))?;
    equal("gone", contents(&fixture, &to, Isolation::ReadCommitted)?, Vec::new())?;
    let error = writer.commit(WAIT).err().ok_or("committed after the time-out")?;
    equal("its class", error.class, Class::Migrated)?;
    holds("it says so", error.message.starts_with("fenced"))
}

#[test]
fn a_silent_member_loses_its_partitions() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 4, &[])?;
    let mut silent = Party::join(&fixture.log, "group", None, &name)?;
    silent.until_owning(&fixture, 4, &mut || Ok(()))?;
    let mut other = Party::join(&fixture.log, "group", None, &name)?;
    other.until_owning(&fixture, 2, &mut || silent.turn(ROUND))?;
    let (stale, _) = silent.consumer.group()?;

    let timeout_ms = Settings::default().session_timeout_ms;
    fixture.pass(timeout_ms / 2);
    other.turn(ROUND)?;
    fixture.pass(timeout_ms / 2 + 1);
    other.until_owning(&fixture, 4, &mut || Ok(()))?;

    let mut zombie = producer(&fixture, "zombie")?;
    zombie.begin()?;
    let offsets = [(TopicPartition::new(name, 0), NextOffset(1), String::new())];
    let sent = zombie.send_offsets(&offsets, &stale, WAIT).err().map(|error| error.class);
    equal("its offsets do not count", sent, Some(Class::Abort))?;

    silent.events.clear();
    silent.turn(ROUND)?;
    let [GroupEvent::Lost(lost)] = silent.events.as_slice() else {
        return Err(format!("events: {:?}", silent.events).into());
    };
    equal("lost", lost.len(), 2)?;
    silent.until_owning(&fixture, 2, &mut || other.turn(ROUND))
}

#[test]
fn a_static_member_that_stays_away_is_dropped() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 2, &[])?;
    let mut away = Party::join(&fixture.log, "group", Some("a"), &name)?;
    away.until_owning(&fixture, 2, &mut || Ok(()))?;
    let mut other = Party::join(&fixture.log, "group", Some("b"), &name)?;
    other.until_owning(&fixture, 1, &mut || away.turn(ROUND))?;
    away.consumer.close(Leave::Stay)?;
    for _ in 0..2 {
        fixture.pass(Settings::default().session_timeout_ms / 2 + 1);
        other.turn(ROUND)?;
    }
    other.until_owning(&fixture, 2, &mut || Ok(()))
}

#[test]
fn a_member_that_does_not_answer_is_dropped_at_the_deadline() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 2, &[])?;
    let mut stuck = Party::join(&fixture.log, "group", None, &name)?;
    stuck.until_owning(&fixture, 2, &mut || Ok(()))?;
    let mut other = Party::join(&fixture.log, "group", None, &name)?;
    let step_ms = Settings::default().session_timeout_ms / 2;
    let steps = Settings::default().rebalance_timeout_ms / step_ms + 2;
    for _ in 0..steps {
        // It polls, so its session lives; but it does not answer the revocation.
        stuck.consumer.poll(ROUND)?;
        other.turn(ROUND)?;
        fixture.pass(step_ms);
    }
    other.until_owning(&fixture, 2, &mut || Ok(()))
}

// === groups ===

#[test]
fn a_member_without_partitions_changes_only_the_generation() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 1, &[])?;
    let mut first = Party::join(&fixture.log, "group", None, &name)?;
    first.until_owning(&fixture, 1, &mut || Ok(()))?;
    first.events.clear();
    let mut second = Party::join(&fixture.log, "group", None, &name)?;
    second.until_owning(&fixture, 0, &mut || first.turn(ROUND))?;
    first.turn(ROUND)?;
    let nothing = [GroupEvent::Assigned(Vec::new())];
    equal("the first", first.events.as_slice(), &nothing)?;
    equal("the second", second.events.as_slice(), &nothing)
}

#[test]
fn a_new_topic_is_divided() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let later: Arc<str> = "later".into();
    let mut party = Party::join(&fixture.log, "group", None, &later)?;
    party.until_owning(&fixture, 0, &mut || Ok(()))?;
    let description = TopicDescription { name: later, partitions: 3, config: Vec::new() };
    fixture.log.create_topics(&[description])?;
    party.until_owning(&fixture, 3, &mut || Ok(()))
}

#[test]
fn who_unsubscribes_gives_up_all_and_leaves() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 2, &[])?;
    let mut party = Party::join(&fixture.log, "group", None, &name)?;
    party.until_owning(&fixture, 2, &mut || Ok(()))?;
    party.consumer.subscribe(&[])?;
    party.until_owning(&fixture, 0, &mut || Ok(()))?;
    let all = GroupEvent::Revoked(partitions_of(&name, 2));
    equal("the last event", party.events.last(), Some(&all))?;
    party.turn(ROUND)?;
    equal("no member", party.consumer.group()?.1, String::new())
}

#[test]
fn offsets_of_a_crashed_transaction_stay_unstable_until_it_is_settled() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 1, &[])?;
    let of = partitions_of(&name, 1);
    let mut party = Party::join(&fixture.log, "group", None, &name)?;
    party.until_owning(&fixture, 1, &mut || Ok(()))?;
    let mut crashed = producer(&fixture, "id")?;
    crashed.begin()?;
    let (group, _) = party.consumer.group()?;
    let offsets = [(TopicPartition::new(name, 0), NextOffset(1), String::new())];
    crashed.send_offsets(&offsets, &group, WAIT)?;
    drop(crashed);
    equal("pending", fixture.log.committed("group", &of, WAIT)?, vec![Committed::Unstable])?;
    producer(&fixture, "id")?;
    equal("settled", fixture.log.committed("group", &of, WAIT)?, vec![Committed::None])
}

// === compaction and deletion ===

fn update(fixture: &Embedded, topic: &str, key: &str, value: Option<&str>) -> Outcome {
    let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
    fixture.log.produce(&Foreign { key, value, ..Foreign::to(topic) })?;
    Ok(())
}

#[test]
fn compaction_keeps_last_values_and_offsets() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let of = TopicPartition::new(topic(&fixture, 1, &[("delete.retention.ms", "1000")])?, 0);
    let rows = [("a", Some("a1")), ("b", Some("b1")), ("a", Some("a2")), ("c", Some("c1"))];
    for (key, value) in rows.into_iter().chain([("b", None)]) {
        update(&fixture, &of.topic, key, value)?;
    }
    let kept = || contents(&fixture, &of, Isolation::ReadCommitted);
    fixture.log.compact(&of.topic)?;
    let first = listed(&[(2, "a2"), (3, "c1"), (4, "")]);
    equal("the tombstone outlives its first compaction", kept()?, first)?;
    fixture.pass(999);
    fixture.log.compact(&of.topic)?;
    equal("for as long as configured", kept()?.len(), 3)?;
    fixture.pass(1);
    fixture.log.compact(&of.topic)?;
    equal("and no longer", kept()?, listed(&[(2, "a2"), (3, "c1")]))?;
    update(&fixture, &of.topic, "c", Some("c2"))?;
    fixture.log.compact(&of.topic)?;
    equal("offsets go on", kept()?, listed(&[(2, "a2"), (5, "c2")]))
}

#[test]
fn compaction_stops_at_the_last_stable_offset() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let of = TopicPartition::new(topic(&fixture, 1, &[("delete.retention.ms", "0")])?, 0);
    let mut done = producer(&fixture, "done")?;
    commit_with(&mut done, &of, &["key", "other"])?;
    let mut aborted = producer(&fixture, "aborted")?;
    begin_with(&mut aborted, &of, &["key"])?;
    aborted.abort(WAIT)?;
    let mut open = producer(&fixture, "open")?;
    begin_with(&mut open, &of, &["key"])?;
    commit_with(&mut done, &of, &["key"])?;
    fixture.log.compact(&of.topic)?;
    let all = contents(&fixture, &of, Isolation::ReadUncommitted)?;
    let expected = listed(&[(0, "key"), (1, "other"), (5, "key"), (6, "key")]);
    equal("aborted data goes, open data stays", all, expected)?;
    open.abort(WAIT)?;
    fixture.log.compact(&of.topic)?;
    let committed = contents(&fixture, &of, Isolation::ReadCommitted)?;
    equal("all stable", committed, listed(&[(1, "other"), (6, "key")]))
}

#[test]
fn what_was_deleted_is_out_of_range() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let of = TopicPartition::new(topic(&fixture, 1, &[])?, 0);
    for value in ["a", "b", "c"] {
        update(&fixture, &of.topic, value, Some(value))?;
    }
    fixture.log.delete_records(&[(of.clone(), NextOffset(2))])?;
    let partition = std::slice::from_ref(&of);
    let watermarks = fixture.log.watermarks(partition, Isolation::ReadCommitted)?;
    equal("range", watermarks, vec![Watermarks { low: NextOffset(2), high: NextOffset(3) }])?;
    let rows = [(0, true), (1, true), (2, false), (3, false), (4, true)];
    for (start, is_out_of_range) in rows {
        let start = [(of.clone(), NextOffset(start))];
        let mut reader = fixture.log.reader(&start, Isolation::ReadCommitted)?;
        let error = reader.read(10, ROUND, &mut |_, _| {}).err();
        equal("out of range", error.is_some_and(|error| error.out_of_range), is_out_of_range)?;
    }
    let beyond = fixture.log.delete_records(&[(of, NextOffset(4))]);
    holds("not beyond the end", beyond.is_err_and(|error| error.out_of_range))
}
