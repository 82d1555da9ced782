//! What a transaction makes visible, and who may end it.

use std::time::Duration;

use aplomb::log::{Class, Isolation, Log, Producer, Reader, ToSend};
use aplomb_state::ids::{NextOffset, Offset, TopicPartition};

use super::{
    Check, Fixture, Outcome, ROUND, WAIT, abort_with, begin_with, commit_with, contents, end,
    equal, holds, listed, producer, record, send, settled_end, topic,
};

pub fn checks<F: Fixture>() -> Vec<Check<F>> {
    vec![
        ("committed is visible, aborted is not", committed_is_visible_aborted_is_not),
        ("an open transaction holds back", an_open_transaction_holds_back),
        ("a zombie is fenced", a_zombie_is_fenced),
        ("a successor aborts what was left open", a_successor_aborts_what_was_left_open),
        ("receipts tell offsets", receipts_tell_offsets),
        ("an empty transaction leaves no trace", an_empty_transaction_leaves_no_trace),
        ("a commit in a hurry is settled by the successor", |fixture| {
            a_commit_in_doubt_is_settled_by_the_successor(
                fixture,
                fixture.log(),
                Duration::from_millis(1),
            )
        }),
    ]
}

fn committed_is_visible_aborted_is_not<F: Fixture>(fixture: &F) -> Outcome {
    let to = TopicPartition::new(topic(fixture, 1, &[])?, 0);
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &to, &["a", "b"])?;
    abort_with(&mut writer, &to, &["c"])?;
    commit_with(&mut writer, &to, &["d"])?;
    // Offsets 2, 4 and 6 are control records.
    equal("the end", settled_end(fixture, &to)?, NextOffset(7))?;
    let committed = contents(fixture, &to, Isolation::ReadCommitted)?;
    equal("read_committed", committed, listed(&[(0, "a"), (1, "b"), (5, "d")]))?;
    let all = contents(fixture, &to, Isolation::ReadUncommitted)?;
    equal("read_uncommitted", all, listed(&[(0, "a"), (1, "b"), (3, "c"), (5, "d")]))
}

fn an_open_transaction_holds_back<F: Fixture>(fixture: &F) -> Outcome {
    let to = TopicPartition::new(topic(fixture, 1, &[])?, 0);
    let mut slow = producer(fixture, &fixture.fresh("id"))?;
    let mut quick = producer(fixture, &fixture.fresh("id"))?;
    begin_with(&mut slow, &to, &["slow"])?;
    commit_with(&mut quick, &to, &["quick"])?;

    equal("last stable offset", end(fixture, &to, Isolation::ReadCommitted)?, NextOffset(0))?;
    let all = contents(fixture, &to, Isolation::ReadUncommitted)?;
    equal("read_uncommitted", all, listed(&[(0, "slow"), (1, "quick")]))?;
    let start = [(to.clone(), NextOffset(0))];
    let mut reader = fixture.log().reader(&start, Isolation::ReadCommitted)?;
    for _ in 0..3 {
        let count = reader.read(10, ROUND, &mut |_, _| {})?;
        equal("read while held back", (count, reader.position(&to)), (0, NextOffset(0)))?;
    }

    slow.commit(WAIT)?;
    settled_end(fixture, &to)?;
    let committed = contents(fixture, &to, Isolation::ReadCommitted)?;
    equal("read_committed", committed, listed(&[(0, "slow"), (1, "quick")]))
}

fn a_zombie_is_fenced<F: Fixture>(fixture: &F) -> Outcome {
    let to = TopicPartition::new(topic(fixture, 1, &[])?, 0);
    let id = fixture.fresh("id");
    let mut zombie = producer(fixture, &id)?;
    begin_with(&mut zombie, &to, &["zombie"])?;
    let mut successor = producer(fixture, &id)?;
    // The send only joins a queue, so it may succeed; the commit may not.
    let sent = zombie.send(&record(&to, "late"));
    let error = zombie.commit(WAIT).err().ok_or("the zombie committed")?;
    equal("its class", error.class, Class::Migrated)?;
    holds("fencing is no doubt", !error.in_doubt)?;
    drop((sent, zombie));

    commit_with(&mut successor, &to, &["successor"])?;
    settled_end(fixture, &to)?;
    let committed = contents(fixture, &to, Isolation::ReadCommitted)?;
    let values: Vec<&str> = committed.iter().map(|(_, value)| value.as_str()).collect();
    equal("read_committed", values, vec!["successor"])
}

fn a_successor_aborts_what_was_left_open<F: Fixture>(fixture: &F) -> Outcome {
    let to = TopicPartition::new(topic(fixture, 1, &[])?, 0);
    let id = fixture.fresh("id");
    let mut crashed = producer(fixture, &id)?;
    begin_with(&mut crashed, &to, &["left open"])?;
    drop(crashed);
    equal("held back", end(fixture, &to, Isolation::ReadCommitted)?, NextOffset(0))?;
    producer(fixture, &id)?;
    equal("the end", settled_end(fixture, &to)?, NextOffset(2))?;
    equal("read", contents(fixture, &to, Isolation::ReadCommitted)?, Vec::new())
}

fn receipts_tell_offsets<F: Fixture>(fixture: &F) -> Outcome {
    let to = TopicPartition::new(topic(fixture, 1, &[])?, 0);
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &to, &["before"])?;
    writer.begin()?;
    for (receipt, value) in [(7, "first"), (0, "no receipt"), (3, "last")] {
        send(&mut writer, &ToSend { receipt, ..record(&to, value) })?;
    }
    writer.drain(WAIT)?;
    let offsets = [7, 3, 5].map(|receipt| writer.acknowledged(receipt));
    equal("acknowledged", offsets, [Some(Offset(2)), Some(Offset(4)), None])?;
    writer.commit(WAIT)?;
    holds("not tainted", !writer.tainted())
}

fn an_empty_transaction_leaves_no_trace<F: Fixture>(fixture: &F) -> Outcome {
    let to = TopicPartition::new(topic(fixture, 1, &[])?, 0);
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &to, &[])?;
    abort_with(&mut writer, &to, &[])?;
    equal("the end", settled_end(fixture, &to)?, NextOffset(0))
}

/// Whatever became of the commit: after `init_transactions` of the successor all of it is there,
/// or nothing.
pub fn a_commit_in_doubt_is_settled_by_the_successor<F: Fixture>(
    fixture: &F,
    doubtful: &F::Log,
    wait: Duration,
) -> Outcome {
    let name = topic(fixture, 2, &[])?;
    let (left, right) = (TopicPartition::new(name.clone(), 0), TopicPartition::new(name, 1));
    let id = fixture.fresh("id");
    let mut first = doubtful.producer(&id)?;
    first.init_transactions(WAIT)?;
    first.begin()?;
    send(&mut first, &record(&left, "value"))?;
    send(&mut first, &record(&right, "value"))?;
    first.drain(WAIT)?;
    let outcome = first.commit(wait);
    if let Err(error) = &outcome {
        holds("in doubt", error.in_doubt)?;
        equal("its class", error.class, Class::Migrated)?;
        holds("tainted", first.tainted())?;
    }
    drop(first);

    let mut successor = producer(fixture, &id)?;
    let ends = (settled_end(fixture, &left)?, settled_end(fixture, &right)?);
    equal("the ends", ends, (NextOffset(2), NextOffset(2)))?;
    let seen = contents(fixture, &left, Isolation::ReadCommitted)?;
    equal("all or nothing", &seen, &contents(fixture, &right, Isolation::ReadCommitted)?)?;
    holds("what was acknowledged is there", outcome.is_err() || seen.len() == 1)?;
    commit_with(&mut successor, &left, &["next"])
}
