//! What happens by the mere passing of time.

use aplomb::{
    embedded::Settings,
    log::{Class, Consumer, GroupEvent, Isolation, Leave, Producer},
};
use aplomb_state::ids::{NextOffset, TopicPartition};

use super::Embedded;
use crate::suite::{
    Outcome, Party, ROUND, WAIT, begin_with, contents, end, equal, holds, producer, topic,
};

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
