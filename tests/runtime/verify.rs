//! `verify` bites: whatever is wrong in the topics is named, by kind and place.

use std::time::Duration;

use aplomb::{
    embedded::{Foreign, Kept},
    log::{Committed, Consumer, Log, Member, Producer, ToSend},
    names::CAUSE_HEADER,
    verify::{Deviation, Error, Kind},
};
use aplomb_state::ids::{NextOffset, TopicPartition};

use crate::{
    harness::{Cluster, INBOX, Outcome},
    support::{COUNTS, INPUT},
};

const WAIT: Duration = Duration::ZERO;

fn clean_run() -> Outcome<Cluster> {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.feed_many(20)?;
    cluster.finish()?;
    Ok(cluster)
}

fn counts_topic() -> String {
    format!("words.{COUNTS}")
}

fn cause(record: &Kept) -> String {
    let found = record.headers.iter().find(|(name, _)| name == CAUSE_HEADER.as_bytes());
    let value = found.and_then(|(_, value)| value.as_deref()).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// Writes a record of an output once more, with another value or cause.
fn again(
    cluster: &Cluster,
    record: &Kept,
    value: Option<&[u8]>,
    cause: Option<&[u8]>,
) -> Outcome<String> {
    let topic = counts_topic();
    let headers: Vec<_> =
        cause.map(|cause| (CAUSE_HEADER.as_bytes(), Some(cause))).into_iter().collect();
    let key = record.key.as_deref();
    let foreign =
        Foreign { partition: Some(0), key, value, headers: &headers, ..Foreign::to(&topic) };
    let (partition, offset) = cluster.log.produce(&foreign)?;
    Ok(format!("{partition} offset {offset}"))
}

fn only_deviation(cluster: &Cluster) -> Outcome<Deviation> {
    let report = cluster.verify()?;
    assert_eq!(report.missing + report.doubled + report.different + report.unexpected, 1);
    Ok(report.deviations[0].clone())
}

#[test]
fn a_doubled_record_is_named() -> Outcome {
    let cluster = clean_run()?;
    let record = &cluster.kept(&counts_topic())?[5];
    let cause = cause(record);
    let place = again(&cluster, record, record.value.as_deref(), Some(cause.as_bytes()))?;
    let deviation = only_deviation(&cluster)?;
    assert_eq!(deviation, Deviation { kind: Kind::Doubled, cause, place });
    Ok(())
}

/// An output that was committed without the offset of its input: what a transaction must not do.
#[test]
fn a_record_whose_input_is_not_committed_is_named() -> Outcome {
    let cluster = clean_run()?;
    let record = &cluster.kept(&counts_topic())?[5];
    let cause = format!("counts/{INBOX}/0/1000000/0");
    let place = again(&cluster, record, record.value.as_deref(), Some(cause.as_bytes()))?;
    let deviation = only_deviation(&cluster)?;
    assert_eq!(deviation, Deviation { kind: Kind::Unexpected, cause, place });
    Ok(())
}

/// Writes all of the output again, the last record with another value, and deletes what stood
/// there before.
fn replace_last(cluster: &Cluster, value: Option<&[u8]>) -> Outcome<(String, String)> {
    let records = cluster.kept(&counts_topic())?;
    let (last, others) = records.split_last().ok_or("no record")?;
    for record in others {
        again(cluster, record, record.value.as_deref(), Some(cause(record).as_bytes()))?;
    }
    let place = again(cluster, last, value, Some(cause(last).as_bytes()))?;
    let topic = TopicPartition::new(counts_topic(), 0);
    cluster.log.delete_records(&[(topic, last.offset.next())])?;
    Ok((cause(last), place))
}

#[test]
fn a_changed_record_is_named() -> Outcome {
    let cluster = clean_run()?;
    let (cause, place) = replace_last(&cluster, Some(b"999"))?;
    let deviation = only_deviation(&cluster)?;
    assert_eq!(deviation, Deviation { kind: Kind::Different, cause, place });
    Ok(())
}

#[test]
fn a_record_of_an_unknown_cause_or_of_none_is_named() -> Outcome {
    let unknown = format!("counts/{INBOX}/0/1/77");
    for cause in [None, Some(unknown.as_str()), Some("elsewhere/topic/0/0/0"), Some("nonsense")] {
        let cluster = clean_run()?;
        let record = &cluster.kept(&counts_topic())?[0];
        let place = again(&cluster, record, Some(b"1"), cause.map(str::as_bytes))?;
        let deviation = only_deviation(&cluster)?;
        let cause = cause.unwrap_or("(none)").to_owned();
        assert_eq!(deviation, Deviation { kind: Kind::Unexpected, cause, place });
    }
    Ok(())
}

/// The offset of one input is committed once more, further on, without its effects.
#[test]
fn a_missing_record_is_named() -> Outcome {
    let mut cluster = clean_run()?;
    cluster.leave(0)?;
    let input = TopicPartition::new(INPUT, 0);
    let (_, offset) = cluster.log.produce(&Foreign {
        partition: Some(0),
        value: Some(b"lost"),
        ..Foreign::to(INPUT)
    })?;
    skip(&cluster, &input, offset.next())?;
    let deviation = only_deviation(&cluster)?;
    assert_eq!(deviation.kind, Kind::Missing);
    assert_eq!(deviation.cause, format!("split/{INPUT}/0/{offset}/0"));
    assert!(deviation.place.starts_with(INBOX), "{}", deviation.place);
    Ok(())
}

/// Commits an offset as nobody should, while no member is there.
fn skip(cluster: &Cluster, input: &TopicPartition, next: NextOffset) -> Outcome {
    let committed = cluster.committed_offsets(std::slice::from_ref(input))?;
    let [Committed::At { metadata, .. }] = committed.as_slice() else {
        return Err("nothing is committed".into());
    };
    let group = cluster.application.id.clone();
    let mut consumer = cluster.log.consumer(&Member { group, instance_id: None })?;
    let (group, _) = consumer.group()?;
    let mut producer = cluster.log.producer("by hand")?;
    producer.init_transactions(WAIT)?;
    producer.begin()?;
    producer.send_offsets(&[(input.clone(), next, metadata.clone())], &group, WAIT)?;
    producer.drain(WAIT)?;
    Ok(producer.commit(WAIT)?)
}

#[test]
fn what_an_open_or_aborted_transaction_wrote_does_not_count() -> Outcome {
    let cluster = clean_run()?;
    let record = &cluster.kept(&counts_topic())?[0];
    let mut producer = cluster.log.producer("zombie")?;
    producer.init_transactions(WAIT)?;
    producer.begin()?;
    let headers = [(CAUSE_HEADER, cause(record).into_bytes())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_slice()));
    producer.send(&ToSend {
        topic: &counts_topic().into(),
        partition: 0,
        timestamp: None,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
        receipt: 0,
    })?;
    cluster.check_verify()?;
    producer.abort(WAIT)?;
    cluster.check_verify()
}

#[test]
fn past_retention_records_are_counted_and_not_judged() -> Outcome {
    let cluster = clean_run()?;
    let topic = TopicPartition::new(counts_topic(), 0);
    let third = cluster.kept(&counts_topic())?[3].offset;
    cluster.log.delete_records(&[(topic, NextOffset(third.0))])?;
    let report = cluster.verify()?;
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!(report.not_judged, 3);
    Ok(())
}

#[test]
fn where_nothing_is_committed_or_the_inbox_is_trimmed_it_says_that_it_cannot_know() -> Outcome {
    let cluster = Cluster::new()?;
    assert!(matches!(cluster.verify(), Err(Error::CannotKnow(_))));
    let cluster = clean_run()?;
    let inbox = TopicPartition::new(INBOX, 0);
    cluster.log.delete_records(&[(inbox, NextOffset(1))])?;
    assert!(matches!(cluster.verify(), Err(Error::CannotKnow(_))));
    Ok(())
}
