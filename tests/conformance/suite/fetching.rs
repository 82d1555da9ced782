//! What a consumer and a reader hand out, and what they know of the end.

use aplomb::log::{Class, Consumer, Isolation, Log, Producer, Reader};
use aplomb_state::ids::{NextOffset, Offset, TopicPartition};

use super::{
    Check, Fixture, Outcome, ROUND, WAIT, abort_with, begin_with, commit_with, equal, holds, party,
    party::Party, producer, settled_end, topic, until,
};

pub fn checks<F: Fixture>() -> Vec<Check<F>> {
    vec![
        ("head and take agree across gaps", head_and_take_agree_across_gaps),
        ("a rewind hands out no stale record", a_rewind_hands_out_no_stale_record),
        ("a held partition hands out nothing", a_held_partition_hands_out_nothing),
        ("a reader passes control records", a_reader_passes_control_records),
        ("drained only once all was taken", drained_only_once_all_was_taken),
        ("an open transaction is not drained", an_open_transaction_is_not_drained),
        ("out of range is an error", out_of_range_is_an_error),
    ]
}

/// The offset of the next record, taken once it is there.
fn take<F: Fixture>(fixture: &F, party: &mut Party<F::Log>, of: &TopicPartition) -> Outcome<i64> {
    until(fixture, "a record", || {
        let mut taken = None;
        let head = party.consumer.head(of)?;
        let is_there = party.consumer.take(of, &mut |record| taken = Some(record.offset))?;
        holds("take says what it did", is_there == taken.is_some())?;
        if let (Some(head), Some(taken)) = (head, taken) {
            equal("head and take", head.offset, taken)?;
        }
        if let Some(Offset(offset)) = taken {
            return Ok(Some(offset));
        }
        party.turn(ROUND)?;
        Ok(None)
    })
}

/// A partition with data at 0, 1, 5, 6 and 7, aborted data at 3 and control records at 2, 4 and 8,
/// and a party that has it, held.
fn gappy<F: Fixture>(fixture: &F) -> Outcome<(Party<F::Log>, TopicPartition)> {
    let name = topic(fixture, 1, &[])?;
    let of = TopicPartition::new(name.clone(), 0);
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &of, &["0", "1"])?;
    abort_with(&mut writer, &of, &["3"])?;
    commit_with(&mut writer, &of, &["5", "6", "7"])?;
    equal("the end", settled_end(fixture, &of)?, NextOffset(9))?;
    Ok((party::alone(fixture, &name, 1)?, of))
}

fn head_and_take_agree_across_gaps<F: Fixture>(fixture: &F) -> Outcome {
    let (mut party, of) = gappy(fixture)?;
    equal("before the start", party.consumer.head(&of)?, None)?;
    party.consumer.start(&of, NextOffset(0))?;
    for expected in [0, 1, 5, 6, 7] {
        equal("taken", take(fixture, &mut party, &of)?, expected)?;
    }
    for _ in 0..3 {
        party.turn(ROUND)?;
        equal("at the end", party.consumer.head(&of)?, None)?;
    }
    Ok(())
}

fn a_rewind_hands_out_no_stale_record<F: Fixture>(fixture: &F) -> Outcome {
    let (mut party, of) = gappy(fixture)?;
    // Starts at a control record and at aborted data too.
    let rows = [(0, 0), (6, 6), (0, 0), (2, 5), (1, 1), (3, 5), (7, 7), (0, 0)];
    for (start, expected) in rows {
        party.consumer.start(&of, NextOffset(start))?;
        equal("the first after a start", take(fixture, &mut party, &of)?, expected)?;
    }
    for expected in [1, 5, 6, 7] {
        equal("and so on", take(fixture, &mut party, &of)?, expected)?;
    }
    Ok(())
}

fn a_held_partition_hands_out_nothing<F: Fixture>(fixture: &F) -> Outcome {
    let (mut party, of) = gappy(fixture)?;
    party.consumer.start(&of, NextOffset(0))?;
    equal("taken", take(fixture, &mut party, &of)?, 0)?;
    party.consumer.hold(&of)?;
    for _ in 0..3 {
        party.turn(ROUND)?;
        equal("held", party.consumer.head(&of)?, None)?;
        holds("held", !party.consumer.take(&of, &mut |_| {})?)?;
    }
    party.consumer.start(&of, NextOffset(1))?;
    equal("taken", take(fixture, &mut party, &of)?, 1)
}

fn a_reader_passes_control_records<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 2, &[])?;
    let [empty, tail] = [0, 1].map(|number| TopicPartition::new(name.clone(), number));
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    abort_with(&mut writer, &tail, &["aborted"])?;
    settled_end(fixture, &tail)?;
    let start = [(empty.clone(), NextOffset(0)), (tail.clone(), NextOffset(0))];
    let mut reader = fixture.log().reader(&start, Isolation::ReadCommitted)?;
    until(fixture, "the end of the control records", || {
        equal("nothing to read", reader.read(10, ROUND, &mut |_, _| {})?, 0)?;
        Ok((reader.position(&tail) == NextOffset(2)).then_some(()))
    })?;
    equal("the empty one", reader.position(&empty), NextOffset(0))?;

    commit_with(&mut writer, &empty, &["first"])?;
    settled_end(fixture, &empty)?;
    until(fixture, "the end after a record", || {
        reader.read(10, ROUND, &mut |_, _| {})?;
        Ok((reader.position(&empty) == NextOffset(2)).then_some(()))
    })
}

fn drained_only_once_all_was_taken<F: Fixture>(fixture: &F) -> Outcome {
    let (mut party, of) = gappy(fixture)?;
    equal("before the start", party.consumer.drained_at(&of), None)?;
    party.consumer.start(&of, NextOffset(0))?;
    for _ in 0..5 {
        take(fixture, &mut party, &of)?;
        let is_waiting = party.consumer.head(&of)?.is_some();
        holds(
            "absent while records wait",
            !is_waiting || party.consumer.drained_at(&of).is_none(),
        )?;
    }
    let drained = |party: &mut Party<F::Log>| {
        until(fixture, "the end to be seen", || {
            party.turn(ROUND)?;
            Ok(party.consumer.drained_at(&of))
        })
    };
    let first = drained(&mut party)?;
    equal("the end", party.consumer.end(&of), Some(NextOffset(9)))?;

    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &of, &["9"])?;
    until(fixture, "the new record", || {
        party.turn(ROUND)?;
        Ok(party.consumer.head(&of)?)
    })?;
    equal("with a record waiting", party.consumer.drained_at(&of), None)?;
    equal("taken", take(fixture, &mut party, &of)?, 9)?;
    holds("time does not fall", drained(&mut party)? >= first)
}

fn an_open_transaction_is_not_drained<F: Fixture>(fixture: &F) -> Outcome {
    let (mut party, of) = gappy(fixture)?;
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    begin_with(&mut writer, &of, &["open"])?;
    party.consumer.start(&of, NextOffset(0))?;
    for _ in 0..5 {
        take(fixture, &mut party, &of)?;
    }
    until(fixture, "the high watermark", || {
        party.turn(ROUND)?;
        Ok((party.consumer.end(&of) == Some(NextOffset(10))).then_some(()))
    })?;
    for _ in 0..5 {
        party.turn(ROUND)?;
        equal("not drained", party.consumer.drained_at(&of), None)?;
    }
    writer.commit(WAIT)?;
    equal("taken", take(fixture, &mut party, &of)?, 9)
}

fn out_of_range_is_an_error<F: Fixture>(fixture: &F) -> Outcome {
    let (mut party, of) = gappy(fixture)?;
    party.consumer.start(&of, NextOffset(100))?;
    let error = until(fixture, "the error", || match party.consumer.head(&of) {
        Ok(None) => party.turn(ROUND).map(|()| None),
        Ok(Some(head)) => Err(format!("reset in silence to {head:?}").into()),
        Err(error) => Ok(Some(error)),
    })?;
    equal("consumer", (error.class, error.out_of_range), (Class::Fatal, true))?;

    let start = [(of.clone(), NextOffset(100))];
    let mut reader = fixture.log().reader(&start, Isolation::ReadCommitted)?;
    let error = until(fixture, "the error", || match reader.read(10, ROUND, &mut |_, _| {}) {
        Ok(0) => Ok(None),
        Ok(count) => Err(format!("reset in silence, {count} records").into()),
        Err(error) => Ok(Some(error)),
    })?;
    equal("reader", (error.class, error.out_of_range), (Class::Fatal, true))
}
