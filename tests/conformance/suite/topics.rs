//! Topics, timestamps, and records to the byte.

use std::sync::Arc;

use aplomb::log::{Isolation, Log, Producer, Reader, ToSend, TopicDescription};
use aplomb_state::ids::{NextOffset, Timestamp, TopicPartition};

use super::{
    Check, Fixture, Outcome, ROUND, WAIT, commit_with, equal, holds, listed, producer, record,
    send, settled_end, topic, until,
};

pub fn checks<F: Fixture>() -> Vec<Check<F>> {
    vec![
        ("topics are described", topics_are_described),
        ("timestamps are as configured", timestamps_are_as_configured),
        ("records keep their bytes", records_keep_their_bytes),
        ("deleted records are out of range", deleted_records_are_out_of_range),
        ("a deleted topic is made anew", a_deleted_topic_is_made_anew),
    ]
}

fn topics_are_described<F: Fixture>(fixture: &F) -> Outcome {
    let config = [("cleanup.policy", "compact"), ("retention.ms", "-1")];
    let name = topic(fixture, 3, &config)?;
    let missing: Arc<str> = fixture.fresh("missing").into();
    let answers = fixture.log().topics(&[missing, Arc::clone(&name)])?;
    let [None, Some(found)] = answers.as_slice() else {
        return Err(format!("described: {answers:?}").into());
    };
    equal("described", (&found.name, found.partitions), (&name, 3))?;
    let entry = |key: &str| found.config.iter().find(|(name, _)| name == key).cloned();
    for (key, value) in config {
        equal("config", entry(key), Some((key.to_owned(), value.to_owned())))?;
    }
    holds("sorted", found.config.is_sorted())?;
    for key in ["delete.retention.ms", "max.message.bytes", "message.timestamp.type"] {
        holds("defaults too", entry(key).is_some())?;
    }
    let again = TopicDescription { name: Arc::clone(&name), partitions: 3, config: Vec::new() };
    let error = fixture.log().create_topics(&[again]).err().ok_or("created twice")?;
    holds("the error names the topic", error.message.contains(&*name))
}

fn timestamps_are_as_configured<F: Fixture>(fixture: &F) -> Outcome {
    let given = TopicPartition::new(topic(fixture, 1, &[])?, 0);
    let config = [("message.timestamp.type", "LogAppendTime")];
    let stamped = TopicPartition::new(topic(fixture, 1, &config)?, 0);
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &stamped, &["now"])?;
    writer.begin()?;
    // A little in the past: what is older than the retention may be deleted at once.
    let (now, ..) = first_of(fixture, &stamped)?;
    for ms in [3_000, 2_000, 1_000] {
        let timestamp = Some(now.minus_ms(ms));
        send(&mut writer, &ToSend { timestamp, ..record(&given, "given") })?;
        send(&mut writer, &ToSend { timestamp, ..record(&stamped, "given") })?;
    }
    writer.drain(WAIT)?;
    writer.commit(WAIT)?;
    settled_end(fixture, &given)?;
    equal("given", first_of(fixture, &given)?.0, now.minus_ms(3_000))?;
    let rows = [(9_000, 0), (3_000, 0), (2_999, 1), (1_000, 2), (-3_600_000, 4)];
    for (ms, expected) in rows {
        let found = fixture.log().offsets_at(std::slice::from_ref(&given), now.minus_ms(ms))?;
        equal("offset at", found, vec![NextOffset(expected)])?;
    }
    let all = fixture.log().offsets_at(&[stamped], now)?;
    equal("the broker's time", all, vec![NextOffset(0)])
}

type Bytes = Option<Vec<u8>>;
type Seen = (Timestamp, Bytes, Bytes, Vec<(Vec<u8>, Bytes)>);

fn first_of<F: Fixture>(fixture: &F, of: &TopicPartition) -> Outcome<Seen> {
    settled_end(fixture, of)?;
    let start = [(of.clone(), NextOffset(0))];
    let mut reader = fixture.log().reader(&start, Isolation::ReadCommitted)?;
    until(fixture, "a record", || {
        let mut seen = None;
        reader.read(1, ROUND, &mut |_, record| {
            let mut headers = Vec::new();
            record.headers.each(&mut |name, value| {
                headers.push((name.to_vec(), value.map(<[u8]>::to_vec)));
            });
            let [key, value] = [record.key, record.value].map(|part| part.map(<[u8]>::to_vec));
            seen = Some((record.timestamp, key, value, headers));
        })?;
        Ok(seen)
    })
}

fn records_keep_their_bytes<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 4, &[])?;
    let headers: [(&str, &[u8]); 3] = [("trace", b"\x00\xff"), ("empty", b""), ("trace", b"again")];
    let rows: [[Option<&[u8]>; 2]; 4] = [
        [Some(b"key"), Some(b"value")],
        [Some(b"key"), None],
        [None, Some(b"value")],
        [Some(b""), Some(b"")],
    ];
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    writer.begin()?;
    for (partition, [key, value]) in (0..).zip(rows) {
        let to = TopicPartition::new(Arc::clone(&name), partition);
        send(&mut writer, &ToSend { key, value, headers: &headers, ..record(&to, "") })?;
    }
    writer.drain(WAIT)?;
    writer.commit(WAIT)?;
    let expected_headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), Some(value.to_vec())))
        .collect();
    for (partition, [key, value]) in (0..).zip(rows) {
        let of = TopicPartition::new(Arc::clone(&name), partition);
        let (_, seen_key, seen_value, seen_headers) = first_of(fixture, &of)?;
        equal("key", seen_key.as_deref(), key)?;
        equal("value", seen_value.as_deref(), value)?;
        equal("headers", &seen_headers, &expected_headers)?;
    }
    Ok(())
}

fn deleted_records_are_out_of_range<F: Fixture>(fixture: &F) -> Outcome {
    let of = TopicPartition::new(topic(fixture, 1, &[])?, 0);
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &of, &["0", "1", "2"])?;
    let end = settled_end(fixture, &of)?;
    let low = |fixture: &F| {
        let marks =
            fixture.log().watermarks(std::slice::from_ref(&of), Isolation::ReadCommitted)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(marks.first().map(|marks| marks.low))
    };
    for (before, left) in [(NextOffset(2), listed(&[(2, "2")])), (end, Vec::new())] {
        fixture.log().delete_records(&[(of.clone(), before)])?;
        until(fixture, "the new beginning", || Ok((low(fixture)? == Some(before)).then_some(())))?;
        let mut reader = fixture.log().reader(&[(of.clone(), before)], Isolation::ReadCommitted)?;
        let mut seen = Vec::new();
        until(fixture, "the end", || {
            reader.read(10, ROUND, &mut |_, record| {
                let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                seen.push((record.offset.0, value));
            })?;
            Ok((reader.position(&of) >= end).then_some(()))
        })?;
        equal("what is left", &seen, &left)?;
    }
    // Offsets go on; none is given twice.
    commit_with(&mut writer, &of, &["3"])?;
    let mut reader = fixture.log().reader(&[(of.clone(), end)], Isolation::ReadCommitted)?;
    let first = until(fixture, "the record", || {
        let mut first = None;
        reader.read(1, ROUND, &mut |_, record| first = Some(record.offset))?;
        Ok(first)
    })?;
    equal("the next offset", first.0, end.0)
}

fn a_deleted_topic_is_made_anew<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 1, &[])?;
    let of = TopicPartition::new(Arc::clone(&name), 0);
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &of, &["old"])?;
    drop(writer);
    let names = [Arc::clone(&name)];
    fixture.log().delete_topics(&names)?;
    until(fixture, "its end", || {
        Ok(fixture.log().topics(&names)?.iter().all(Option::is_none).then_some(()))
    })?;
    let again = fixture.log().delete_topics(&names).err().ok_or("deleted twice")?;
    holds("the error names the topic", again.message.contains(&*name))?;
    let config = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
    let description = TopicDescription { name: Arc::clone(&name), partitions: 1, config };
    fixture.log().create_topics(&[description])?;
    until(fixture, "the topic", || {
        let ends = fixture.log().watermarks(std::slice::from_ref(&of), Isolation::ReadCommitted);
        Ok(ends.is_ok_and(|ends| ends.iter().all(|ends| ends.high.0 == 0)).then_some(()))
    })?;
    let mut writer = producer(fixture, &fixture.fresh("id"))?;
    commit_with(&mut writer, &of, &["new"])?;
    settled_end(fixture, &of)?;
    equal("first", first_of(fixture, &of)?.2, Some(b"new".to_vec()))
}
