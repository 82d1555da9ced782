//! Input offsets in a transaction.

use std::time::Duration;

use aplomb::log::{Class, Committed, Consumer, Leave, Log, Producer};
use aplomb_state::ids::{NextOffset, TopicPartition};

use super::{
    Check, Fixture, Outcome, ROUND, WAIT, equal, holds, partitions_of, party, party::Party,
    producer, topic, until,
};

pub fn checks<F: Fixture>() -> Vec<Check<F>> {
    vec![
        ("pending offsets are unstable, then committed", pending_then_committed),
        ("an abort drops offsets", an_abort_drops_offsets),
        ("a stale generation aborts", a_stale_generation_aborts),
        ("no member before the first poll", no_member_before_the_first_poll),
        ("an outsider commits for an empty group only", an_outsider_needs_an_empty_group),
    ]
}

/// Sends one offset and leaves the transaction open.
fn begin_offset<F: Fixture>(
    writer: &mut impl Producer<Group = <F::Log as Log>::Group>,
    party: &mut Party<F::Log>,
    of: &TopicPartition,
    next: i64,
) -> Outcome {
    let (group, id) = party.consumer.group()?;
    holds("a member", !id.is_empty())?;
    writer.begin()?;
    let metadata = format!("metadata of {next}");
    Ok(writer.send_offsets(&[(of.clone(), NextOffset(next), metadata)], &group, WAIT)?)
}

fn at(next: i64) -> Committed {
    Committed::At { next: NextOffset(next), metadata: format!("metadata of {next}") }
}

fn pending_then_committed<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 2, &[])?;
    let all = partitions_of(&name, 2);
    let [first, _] = all.as_slice() else { return Err("two partitions".into()) };
    let mut party = party::alone(fixture, &name, 2)?;
    equal("at first", party.consumer.committed(&all, WAIT)?, vec![Committed::None; 2])?;

    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    begin_offset::<F>(&mut writer, &mut party, first, 5)?;
    let pending = party.consumer.committed(&all, Duration::from_millis(300))?;
    equal("pending", pending.first(), Some(&Committed::Unstable))?;

    writer.commit(WAIT)?;
    let stable = party.consumer.committed(&all, WAIT)?;
    equal("committed", stable, vec![at(5), Committed::None])
}

fn an_abort_drops_offsets<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 1, &[])?;
    let all = partitions_of(&name, 1);
    let [first] = all.as_slice() else { return Err("one partition".into()) };
    let mut party = party::alone(fixture, &name, 1)?;
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    begin_offset::<F>(&mut writer, &mut party, first, 5)?;
    writer.commit(WAIT)?;
    begin_offset::<F>(&mut writer, &mut party, first, 9)?;
    writer.abort(WAIT)?;
    equal("after the abort", party.consumer.committed(&all, WAIT)?, vec![at(5)])
}

fn a_stale_generation_aborts<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 2, &[])?;
    let all = partitions_of(&name, 2);
    let group = fixture.fresh("group");
    let mut old = Party::join(fixture.log(), &group, None, &name)?;
    old.until_owning(fixture, 2, &mut || Ok(()))?;
    let (stale, _) = old.consumer.group()?;
    let mut new = Party::join(fixture.log(), &group, None, &name)?;
    new.until_owning(fixture, 1, &mut || old.turn(ROUND))?;

    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    writer.begin()?;
    // A broker may accept a stale generation for what the member still has, so this is about what
    // it has lost.
    let moved = new.owned.first().ok_or("nothing moved")?;
    let offsets = [(moved.clone(), NextOffset(5), String::new())];
    let sent = writer.send_offsets(&offsets, &stale, WAIT);
    let error = sent.err().ok_or("a stale generation was accepted")?;
    equal("its class", error.class, Class::Abort)?;
    writer.abort(WAIT)?;
    equal("nothing", fixture.log().committed(&group, &all, WAIT)?, vec![Committed::None; 2])?;

    // The producer is as good as before.
    until(fixture, "the present generation to be accepted", || {
        new.turn(ROUND)?;
        old.turn(ROUND)?;
        let (present, _) = new.consumer.group()?;
        writer.begin()?;
        if writer.send_offsets(&offsets, &present, WAIT).is_err() {
            writer.abort(WAIT)?;
            return Ok(None);
        }
        Ok(Some(writer.commit(WAIT)?))
    })
}

fn no_member_before_the_first_poll<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 1, &[])?;
    let mut party = Party::join(fixture.log(), &fixture.fresh("group"), None, &name)?;
    equal("member id", party.consumer.group()?.1, String::new())?;
    party.until_owning(fixture, 1, &mut || Ok(()))?;
    holds("member id", !party.consumer.group()?.1.is_empty())
}

fn an_outsider_needs_an_empty_group<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 1, &[])?;
    let all = partitions_of(&name, 1);
    let [first] = all.as_slice() else { return Err("one partition".into()) };
    let group = fixture.fresh("group");
    let outsider = fixture.log().outsider(&group)?;
    let offset = |next: i64| [(first.clone(), NextOffset(next), format!("metadata of {next}"))];
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    writer.begin()?;
    writer.send_offsets(&offset(5), &outsider, WAIT)?;
    writer.commit(WAIT)?;
    equal("nobody there", fixture.log().committed(&group, &all, WAIT)?, vec![at(5)])?;

    let mut party = Party::join(fixture.log(), &group, None, &name)?;
    party.until_owning(fixture, 1, &mut || Ok(()))?;
    writer.begin()?;
    let sent = writer.send_offsets(&offset(9), &outsider, WAIT);
    let error = sent.err().ok_or("accepted beside a member")?;
    equal("its class", error.class, Class::Abort)?;
    holds("no record is to blame", error.blameless)?;
    writer.abort(WAIT)?;
    equal("beside a member", party.consumer.committed(&all, WAIT)?, vec![at(5)])?;

    party.consumer.close(Leave::Leave)?;
    until(fixture, "an empty group", || {
        writer.begin()?;
        if writer.send_offsets(&offset(9), &outsider, WAIT).is_err() {
            writer.abort(WAIT)?;
            return Ok(None);
        }
        Ok(Some(writer.commit(WAIT)?))
    })?;
    equal("alone again", fixture.log().committed(&group, &all, WAIT)?, vec![at(9)])
}
