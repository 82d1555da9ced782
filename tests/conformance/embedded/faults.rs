//! What a producer does when its calls fail.

use std::sync::{Arc, Mutex};

use aplomb::{
    embedded::{Call, Fault, Faults},
    log::{Class, Consumer, Error, Isolation, Log, Producer, ToSend},
};
use aplomb_state::ids::{NextOffset, TopicPartition};

use super::Embedded;
use crate::suite::{
    Outcome, Party, WAIT, a_commit_in_doubt_is_settled_by_the_successor, commit_with, contents,
    equal, holds, listed, producer, record, topic,
};

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
    let keyless = ToSend { key: None, ..record(&to, "a") };
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
