//! What an operator mends: every parked task names a command, and the command helps.

use std::sync::Arc;

use aplomb::{
    application::{Application, Start},
    log::{Committed, Log, Producer, TopicDescription},
    operator::{
        self, Change, Error, Inputs, OffsetsFile, Operator, Reset, Restoration, plan_restore,
    },
    topics,
};
use aplomb_state::{
    envelope::Source,
    ids::{Generation, NextOffset, TopicPartition},
};

use crate::{
    harness::{Cluster, INBOX, INBOX_PARTITIONS, Outcome, Plan},
    support::{self, INPUT},
};

pub const GENERATION: Generation = Generation(0xfeed);
pub const RESTORE: &str = "aplomb offsets restore";
pub const RESET: &str = "aplomb reset";

pub fn inputs(cluster: &Cluster) -> Vec<TopicPartition> {
    let mut all = cluster.application.external_partitions();
    all.extend(cluster.application.inbox_partitions());
    all
}

pub fn inbox(partition: i32) -> TopicPartition {
    TopicPartition::new(INBOX, partition)
}

/// Some lines were counted, and nobody is there any more.
pub fn stopped() -> Outcome<Cluster> {
    stopped_as(&Plan::default())
}

fn stopped_as(plan: &Plan) -> Outcome<Cluster> {
    let mut cluster = Cluster::planned(plan)?;
    cluster.start(0)?;
    cluster.feed_many(20)?;
    cluster.settle()?;
    cluster.leave(0)?;
    Ok(cluster)
}

fn plan(cluster: &Cluster, from: Option<&OffsetsFile>) -> Result<Restoration, Error> {
    let (log, application) = (&cluster.log, &*cluster.application);
    plan_restore(log, application, from, cluster.now(), GENERATION, &mut |_, _| {})
}

pub fn restore(cluster: &Cluster, from: Option<&OffsetsFile>) -> Result<Restoration, Error> {
    let mut operator = Operator::open(&cluster.log, &cluster.application)?;
    operator.check_alone()?;
    let restoration = plan(cluster, from)?;
    operator::restore(&mut operator, &restoration)?;
    Ok(restoration)
}

/// Topics as they are planned for the tests' topology.
pub fn planned(application: &Application) -> Vec<TopicDescription> {
    topics::plan(&application.topology, &support::naming(INBOX_PARTITIONS))
}

pub fn reset(cluster: &Cluster, inputs: &Inputs) -> Result<(), Error> {
    reset_on(&cluster.log, &cluster.application, inputs)
}

pub fn reset_on(
    log: &aplomb::embedded::EmbeddedLog,
    application: &Application,
    inputs: &Inputs,
) -> Result<(), Error> {
    let mut operator = Operator::open(log, application)?;
    operator.check_alone()?;
    // No two generations are the same.
    let generation = Generation(log.now().0.cast_unsigned());
    let reset = Reset::plan(log, application, &planned(application), inputs, generation)?;
    reset.carry_out(&mut operator, &mut |_| {})
}

pub const EARLIEST: Inputs = Inputs::At(Start::Earliest);

/// The reasons of all parked tasks, after some time.
pub fn parked(cluster: &mut Cluster) -> Outcome<Vec<String>> {
    cluster.start(0)?;
    cluster.rounds(500)?;
    let reasons = cluster.parked().into_iter().map(|(_, reason)| reason).collect();
    cluster.leave(0)?;
    Ok(reasons)
}

#[test]
fn expired_offsets_are_read_off_the_log() -> Outcome {
    let mut cluster = stopped()?;
    // So that a tick brings a note.
    cluster.start(0)?;
    cluster.pass(2_000)?;
    cluster.leave(0)?;
    let all = inputs(&cluster);
    let before = cluster.committed_offsets(&all)?;
    cluster.log.forget_offsets(&cluster.application.id, &all);
    let reasons = parked(&mut cluster)?;
    assert_eq!(reasons.len(), all.len(), "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.contains(RESTORE)), "{reasons:?}");

    let restoration = plan(&cluster, None)?;
    assert_eq!(cluster.committed_offsets(&all)?, vec![Committed::None; all.len()], "only a plan");
    assert!(!restoration.is_empty());
    restore(&cluster, None)?;
    assert_eq!(cluster.committed_offsets(&all)?, before, "metadata too");
    assert!(restore(&cluster, None)?.is_empty(), "nothing is left to do");
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.finish()
}

/// Inputs without effects are handled again, for nothing says that they were; they have none again.
#[test]
fn inputs_without_effects_at_the_end_are_handled_once_more() -> Outcome {
    let quiet = Plan {
        tune: |application| application.tuning.tick_interval_ms = 1_000_000_000,
        ..Plan::default()
    };
    let mut cluster = stopped_as(&quiet)?;
    cluster.start(0)?;
    cluster.settle()?;
    for _ in 0..5 {
        cluster.feed_to(0, "  ")?;
    }
    cluster.settle()?;
    cluster.leave(0)?;
    let first = TopicPartition::new(INPUT, 0);
    let before = cluster.committed_at(&first);
    cluster.log.forget_offsets(&cluster.application.id, std::slice::from_ref(&first));
    assert!(parked(&mut cluster)?.iter().all(|reason| reason.contains(RESTORE)));
    let restoration = restore(&cluster, None)?;
    let set: Vec<_> = restoration
        .changes
        .iter()
        .filter_map(|(input, _, change)| match change {
            Change::Set { next, .. } => Some((input.clone(), *next)),
            _ => None,
        })
        .collect();
    let [(input, next)] = set.as_slice() else { panic!("only the lost one: {set:?}") };
    assert_eq!(*input, first);
    assert!(*next < before && next.0 + 5 >= before.0, "{next} of {before}");
    cluster.forget_committed();
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    cluster.check_verify()
}

/// The notes beside the ticks say what the deleted records would.
#[test]
fn deleted_effects_are_covered_by_notes_or_the_command_refuses() -> Outcome {
    for noted in [true, false] {
        let mut cluster = stopped()?;
        let trimmed = inbox(1);
        if noted {
            // Another minute, another note.
            cluster.start(0)?;
            cluster.pass(61_000)?;
            cluster.leave(0)?;
        }
        let all = inputs(&cluster);
        let before = cluster.committed_offsets(&all)?;
        let upto =
            if noted { last_note(&cluster, &trimmed)? } else { cluster.committed_at(&trimmed) };
        cluster.log.delete_records(&[(trimmed.clone(), upto)])?;
        cluster.log.forget_offsets(&cluster.application.id, &all);
        if noted {
            restore(&cluster, None)?;
            assert_eq!(cluster.committed_offsets(&all)?, before);
            continue;
        }
        let refused = restore(&cluster, None).err();
        let Some(Error::CannotKnow(reason)) = refused else { panic!("{refused:?}") };
        assert!(reason.contains(&trimmed.to_string()) && reason.contains("--from"), "{reason}");
        assert_eq!(cluster.committed_offsets(&all)?, vec![Committed::None; all.len()]);
        // The operator kept the offsets, or knows them.
        let entry = |(partition, committed): (&TopicPartition, &Committed)| match committed {
            Committed::At { next, .. } => operator::Entry {
                topic: partition.topic.to_string(),
                partition: partition.partition,
                offset: next.0,
                metadata: None,
            },
            other => panic!("{other:?}"),
        };
        let offsets: Vec<_> = all.iter().zip(&before).take(2).map(entry).collect();
        let file = OffsetsFile { application: cluster.application.id.clone(), offsets };
        let early = OffsetsFile {
            offsets: file
                .offsets
                .iter()
                .cloned()
                .map(|e| operator::Entry { offset: 0, ..e })
                .collect(),
            ..file.clone()
        };
        let refused = restore(&cluster, Some(&early)).err();
        assert!(
            matches!(&refused, Some(Error::Refused(why)) if why.contains("twice")),
            "{refused:?}"
        );
        restore(&cluster, Some(&file))?;
        cluster.start(0)?;
        cluster.feed_many(10)?;
        cluster.settle()?;
        assert_eq!(cluster.counts()?, cluster.expected.counts);
    }
    Ok(())
}

/// The place of the last record of a partition that carries a note.
fn last_note(cluster: &Cluster, of: &TopicPartition) -> Outcome<NextOffset> {
    let records = cluster.kept(&of.topic)?;
    let noted = records.iter().rev().find(|record| {
        let mut headers = record.headers.iter();
        record.partition == of.partition
            && headers.any(|(name, _)| name == aplomb::names::NOTE_HEADER.as_bytes())
    });
    Ok(NextOffset(noted.ok_or("no note")?.offset.0))
}

#[test]
fn what_is_shown_can_be_given_back() -> Outcome {
    let cluster = stopped()?;
    let all = inputs(&cluster);
    let before = cluster.committed_offsets(&all)?;
    let text = serde_json::to_string(&operator::show(&cluster.log, &cluster.application)?)?;
    let file = OffsetsFile::parse(&text, &cluster.application)?;
    cluster.log.forget_offsets(&cluster.application.id, &all);
    restore(&cluster, Some(&file))?;
    assert_eq!(cluster.committed_offsets(&all)?, before);
    for (from, to) in [("\"words\"", "\"other\""), ("\"offset\"", "\"next\""), ("[", "")] {
        let refused = OffsetsFile::parse(&text.replacen(from, to, 1), &cluster.application);
        assert!(matches!(refused, Err(Error::Refused(_))), "{from} as {to}");
    }
    Ok(())
}

#[test]
fn nothing_is_written_while_the_group_has_a_member() -> Outcome {
    let mut cluster = stopped()?;
    cluster.start(0)?;
    cluster.rounds(100)?;
    let all = inputs(&cluster);
    let before = cluster.committed_offsets(&all)?;
    let refused = [restore(&cluster, None).err(), reset(&cluster, &EARLIEST).err()];
    for refused in refused {
        assert!(
            matches!(&refused, Some(Error::Refused(why)) if why.contains("has members")),
            "{refused:?}"
        );
    }
    // A member that came between the question and the answer.
    let mut operator = Operator::open(&cluster.log, &cluster.application)?;
    let (log, application) = (&cluster.log, &cluster.application);
    let reset = Reset::plan(log, application, &planned(application), &EARLIEST, GENERATION)?;
    assert!(matches!(reset.carry_out(&mut operator, &mut |_| {}), Err(Error::Refused(_))));
    assert_eq!(cluster.committed_offsets(&all)?, before);
    cluster.feed_many(10)?;
    cluster.finish()
}

/// Somebody set the group's offsets back with Kafka's own tools.
#[test]
fn offsets_that_were_set_back_are_set_right() -> Outcome {
    let mut cluster = stopped()?;
    let all = inputs(&cluster);
    let before = cluster.committed_offsets(&all)?;
    let mut producer = cluster.log.producer("tool")?;
    let wait = std::time::Duration::ZERO;
    producer.init_transactions(wait)?;
    producer.begin()?;
    let outsider = cluster.log.outsider(&cluster.application.id)?;
    let Committed::At { metadata, .. } = &before[3] else { panic!("{before:?}") };
    producer.send_offsets(&[(all[3].clone(), NextOffset(1), metadata.clone())], &outsider, wait)?;
    producer.commit(wait)?;
    cluster.forget_committed();
    let reasons = parked(&mut cluster)?;
    assert!(matches!(reasons.as_slice(), [reason] if reason.contains(RESTORE)), "{reasons:?}");
    restore(&cluster, None)?;
    assert_eq!(cluster.committed_offsets(&all)?[3], before[3]);
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.finish()
}

#[test]
fn a_topic_that_was_added_begins_where_a_file_says() -> Outcome {
    let mut cluster = stopped()?;
    let topic: Arc<str> = "more".into();
    let description = TopicDescription { name: Arc::clone(&topic), partitions: 1, config: vec![] };
    cluster.log.create_topics(&[description])?;
    let old = aplomb::embedded::Foreign {
        value: Some(b"history"),
        ..aplomb::embedded::Foreign::to("more")
    };
    cluster.log.produce(&old)?;
    let mut application = (*cluster.application).clone();
    application.configuration.revision = 2;
    application.configuration.hash = "2".into();
    application.configuration.sources.push(Source {
        flow: "more".into(),
        topic: topic.to_string(),
        partitions: 1,
        allowed_disorder_ms: 0,
    });
    cluster.application = Arc::new(application);
    let reasons = parked(&mut cluster)?;
    assert!(
        matches!(reasons.as_slice(), [reason] if reason.contains("--from FILE")),
        "{reasons:?}"
    );
    let refused = restore(&cluster, None).err();
    assert!(
        matches!(&refused, Some(Error::CannotKnow(why)) if why.contains("more/0")),
        "{refused:?}"
    );
    let entry = operator::Entry { topic: "more".into(), partition: 0, offset: 1, metadata: None };
    let file = OffsetsFile { application: "words".into(), offsets: vec![entry] };
    restore(&cluster, Some(&file))?;
    cluster.start(0)?;
    let new = aplomb::embedded::Foreign { value: Some(b"news"), ..old };
    cluster.log.produce(&new)?;
    cluster.rounds(2_000)?;
    assert_eq!(cluster.parked(), []);
    let counts = cluster.counts()?;
    assert_eq!((counts.get("news"), counts.get("history")), (Some(&1), None));
    cluster.check_verify()
}

/// Its retention was shorter than the outage. A person says which records are passed over.
#[test]
fn an_input_that_lost_unread_records_goes_on_where_a_file_says() -> Outcome {
    let mut cluster = stopped()?;
    let counted = cluster.expected.clone();
    let gone = TopicPartition::new(INPUT, 0);
    for _ in 0..3 {
        cluster.feed_to(0, "lost for good")?;
    }
    cluster.expected = counted;
    let end = NextOffset(cluster.committed_at(&gone).0 + 3);
    cluster.log.delete_records(&[(gone.clone(), end)])?;
    let reasons = parked(&mut cluster)?;
    assert!(matches!(reasons.as_slice(), [one] if one.contains("--from FILE")), "{reasons:?}");
    let refused = restore(&cluster, None).err();
    assert!(matches!(&refused, Some(Error::Refused(why)) if why.contains("unread")), "{refused:?}");
    let entry =
        operator::Entry { topic: INPUT.into(), partition: 0, offset: end.0, metadata: None };
    let file = OffsetsFile { application: "words".into(), offsets: vec![entry] };
    restore(&cluster, Some(&file))?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.finish()
}
