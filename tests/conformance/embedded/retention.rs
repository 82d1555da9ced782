//! Compaction and deletion, at a time the test chooses.

use aplomb::{
    embedded::Foreign,
    log::{Isolation, Log, Producer, Reader, Watermarks},
};
use aplomb_state::ids::{NextOffset, TopicPartition};

use super::Embedded;
use crate::suite::{
    Outcome, ROUND, WAIT, begin_with, commit_with, contents, equal, holds, listed, producer, topic,
};

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
