//! What an operator mends: every parked task names a command, and the command helps.

use std::sync::Arc;

use aplomb::{
    application::{Application, Start},
    embedded::{Call, Fault},
    log::{self, Class, Committed, Isolation, Log, Producer, TopicDescription},
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
    commit::Failing,
    harness::{CHANGELOG, Cluster, INBOX, INBOX_PARTITIONS, Outcome, Plan},
    support::{self, INPUT},
};

const GENERATION: Generation = Generation(0xfeed);
const RESTORE: &str = "aplomb offsets restore";
const RESET: &str = "aplomb reset";

fn inputs(cluster: &Cluster) -> Vec<TopicPartition> {
    let mut all = cluster.application.external_partitions();
    all.extend(cluster.application.inbox_partitions());
    all
}

fn inbox(partition: i32) -> TopicPartition {
    TopicPartition::new(INBOX, partition)
}

/// Some lines were counted, and nobody is there any more.
fn stopped() -> Outcome<Cluster> {
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

fn restore(cluster: &Cluster, from: Option<&OffsetsFile>) -> Result<Restoration, Error> {
    let mut operator = Operator::open(&cluster.log, &cluster.application)?;
    operator.check_alone()?;
    let restoration = plan(cluster, from)?;
    operator::restore(&mut operator, &restoration)?;
    Ok(restoration)
}

/// Topics as they are planned for the tests' topology.
fn planned(application: &Application) -> Vec<TopicDescription> {
    topics::plan(&application.topology, &support::naming(INBOX_PARTITIONS))
}

fn reset(cluster: &Cluster, inputs: &Inputs) -> Result<(), Error> {
    reset_on(&cluster.log, &cluster.application, inputs)
}

fn reset_on(
    log: &aplomb::embedded::EmbeddedLog,
    application: &Application,
    inputs: &Inputs,
) -> Result<(), Error> {
    let mut operator = Operator::open(log, application)?;
    operator.check_alone()?;
    let reset = Reset::plan(log, application, &planned(application), inputs, GENERATION)?;
    reset.carry_out(&mut operator, &mut |_| {})
}

const EARLIEST: Inputs = Inputs::At(Start::Earliest);

/// The reasons of all parked tasks, after some time.
fn parked(cluster: &mut Cluster) -> Outcome<Vec<String>> {
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

// === reset ===

/// Everything is read again into empty state; what the first generation wrote is left out.
fn check_reset(cluster: &mut Cluster) -> Outcome {
    cluster.forget_committed();
    cluster.start(0)?;
    cluster.settle()?;
    assert_eq!(cluster.parked(), []);
    assert_eq!(cluster.counts()?, cluster.expected.counts, "the stores");
    let report = cluster.verify()?;
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.earlier > 0 && report.matching > 0, "{report:?}");
    cluster.feed_many(10)?;
    cluster.settle()?;
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    cluster.check_verify()
}

#[test]
fn a_reset_reads_everything_again_on_any_disk() -> Outcome {
    let mut cluster = stopped()?;
    // Another disk of the old generation, which stays away for the reset.
    cluster.start(1)?;
    cluster.settle()?;
    cluster.leave(1)?;
    cluster.feed_many(5)?;
    reset(&cluster, &EARLIEST)?;
    check_reset(&mut cluster)?;
    cluster.leave(0)?;
    cluster.start(1)?;
    cluster.feed_many(5)?;
    cluster.settle()?;
    assert_eq!(cluster.parked(), []);
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    cluster.check_verify()?;
    // And once more, from the end: the state is empty, and stays so.
    cluster.leave(1)?;
    reset(&cluster, &Inputs::At(Start::Latest))?;
    cluster.forget_committed();
    cluster.start(1)?;
    cluster.settle()?;
    assert_eq!(cluster.counts()?, std::collections::BTreeMap::new());
    cluster.check_verify()
}

#[test]
fn verify_bites_after_a_reset() -> Outcome {
    let mut cluster = stopped()?;
    reset(&cluster, &EARLIEST)?;
    check_reset(&mut cluster)?;
    let records = cluster.kept("words.counts.v1")?;
    let last = records.last().ok_or("no output")?;
    let headers: Vec<_> =
        last.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
    cluster.log.produce(&aplomb::embedded::Foreign {
        key: last.key.as_deref(),
        value: last.value.as_deref(),
        headers: &headers,
        ..aplomb::embedded::Foreign::to("words.counts.v1")
    })?;
    let report = cluster.verify()?;
    assert_eq!((report.doubled, report.missing, report.unexpected), (1, 0, 0), "{report:?}");
    Ok(())
}

#[test]
fn lost_offsets_after_a_reset_are_those_of_the_new_generation() -> Outcome {
    let mut cluster = stopped()?;
    reset(&cluster, &EARLIEST)?;
    check_reset(&mut cluster)?;
    cluster.leave(0)?;
    let all = inputs(&cluster);
    let before = cluster.committed_offsets(&all)?;
    cluster.log.forget_offsets(&cluster.application.id, &all);
    restore(&cluster, None)?;
    assert_eq!(cluster.committed_offsets(&all)?, before);
    Ok(())
}

/// Whatever it was that ended it, no task opens before a reset was run to its end.
#[test]
fn a_reset_that_was_interrupted_is_run_again() -> Outcome {
    let broken = || Fault::Before(log::Error::new(Class::Abort, "the test wants it so"));
    // The probe's offsets come first, then the mark's, then those of the generation.
    let rows = [
        (Call::SendOffsets, broken(), 1, false),
        (Call::Commit, broken(), 0, false),
        (Call::Commit, Fault::After, 0, true),
        (Call::SendOffsets, broken(), 2, true),
        (Call::Send, broken(), 3, true),
        (Call::Commit, broken(), 1, true),
    ];
    for (call, fault, number, is_marked) in rows {
        let mut cluster = stopped()?;
        let failing = Failing::new(call, fault, number, 1);
        let log = cluster.log.with_faults(failing.clone());
        let outcome = reset_on(&log, &cluster.application, &EARLIEST);
        assert!(outcome.is_err() && failing.failed() == 1, "{call} {number}: {outcome:?}");
        cluster.forget_committed();
        let reasons = parked(&mut cluster)?;
        if is_marked {
            assert_eq!(reasons.len(), inputs(&cluster).len(), "{call} {number}: {reasons:?}");
            assert!(reasons.iter().all(|reason| reason.contains(RESET)), "{reasons:?}");
            let refused = restore(&cluster, None).err();
            assert!(matches!(&refused, Some(Error::Refused(why)) if why.contains(RESET)));
        } else {
            assert_eq!(reasons, [""; 0], "{call} {number}");
        }
        reset(&cluster, &EARLIEST)?;
        check_reset(&mut cluster)?;
    }
    Ok(())
}

#[test]
fn a_lost_changelog_is_mended_by_a_reset_alone() -> Outcome {
    let mut cluster = stopped()?;
    cluster.log.delete_topics(&[CHANGELOG.into()])?;
    let plan = planned(&cluster.application);
    let changelog: Vec<_> = plan.into_iter().filter(|topic| &*topic.name == CHANGELOG).collect();
    cluster.log.create_topics(&changelog)?;
    cluster.wipe(0);
    let reasons = parked(&mut cluster)?;
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.contains(RESET)), "{reasons:?}");
    let refused = restore(&cluster, None).err();
    assert!(matches!(&refused, Some(Error::Refused(why)) if why.contains(RESET)), "{refused:?}");
    reset(&cluster, &EARLIEST)?;
    check_reset(&mut cluster)
}

#[test]
fn a_reset_begins_where_it_is_told() -> Outcome {
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    cluster.feed_to(0, "old")?;
    cluster.settle()?;
    cluster.pass(1_000)?;
    let between = cluster.now();
    cluster.pass(1_000)?;
    cluster.feed_to(0, "new")?;
    cluster.settle()?;
    cluster.leave(0)?;
    let entry = |partition, offset| operator::Entry {
        topic: INPUT.into(),
        partition,
        offset,
        metadata: None,
    };
    let file = |offsets| Inputs::File(OffsetsFile { application: "words".into(), offsets });
    let rows = [
        (Inputs::At(Start::At(between)), vec!["new"]),
        (EARLIEST, vec!["new", "old"]),
        (file(vec![entry(0, 1), entry(1, 0)]), vec!["new"]),
        (Inputs::At(Start::Latest), vec![]),
    ];
    for (inputs, words) in rows {
        reset(&cluster, &inputs)?;
        cluster.forget_committed();
        cluster.start(0)?;
        cluster.settle()?;
        let counts = cluster.counts()?;
        assert_eq!(counts.keys().collect::<Vec<_>>(), words, "{inputs:?}");
        cluster.check_verify()?;
        cluster.leave(0)?;
    }
    for (offsets, named) in
        [(vec![entry(0, 1)], "lines/1"), (vec![entry(0, 99), entry(1, 0)], "99")]
    {
        let refused = reset(&cluster, &file(offsets)).err();
        assert!(
            matches!(&refused, Some(Error::Refused(why)) if why.contains(named)),
            "{refused:?}"
        );
    }
    Ok(())
}

#[test]
fn a_reset_needs_the_inboxes_as_they_are_planned() -> Outcome {
    let cluster = stopped()?;
    let plan = topics::plan(&cluster.application.topology, &support::naming(INBOX_PARTITIONS + 1));
    let reset = Reset::plan(&cluster.log, &cluster.application, &plan, &EARLIEST, GENERATION);
    assert!(
        matches!(&reset, Err(Error::Refused(why)) if why.contains("topics check")),
        "{reset:?}"
    );
    let marks = cluster.log.watermarks(&[inbox(0)], Isolation::ReadUncommitted)?;
    assert_eq!(marks[0].low, NextOffset(0), "nothing was done");
    Ok(())
}
