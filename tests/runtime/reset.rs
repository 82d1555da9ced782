//! A new generation: from whatever is read again, on whatever disk, interrupted at any step.

use aplomb::{
    application::Start,
    embedded::{Call, Fault},
    log::{self, Class, Isolation, Log},
    operator::{self, Error, Inputs, OffsetsFile, Reset},
    topics,
};
use aplomb_state::ids::{NextOffset, TopicPartition};

use crate::{
    commit::Failing,
    harness::{CHANGELOG, Cluster, INBOX, INBOX_PARTITIONS, Outcome},
    operator::{
        EARLIEST, GENERATION, RESET, RESTORE, inbox, inputs, parked, planned, reset, reset_on,
        restore, stopped,
    },
    support::{self, INPUT},
};

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

/// Topics made anew under state that is kept, and records deleted that a task still needs.
#[test]
fn what_the_log_lost_is_mended_by_a_reset() -> Outcome {
    let lose: [fn(&mut Cluster) -> Outcome; 3] = [
        |cluster| Ok(cluster.log.recreate(CHANGELOG)?),
        |cluster| {
            cluster.wipe(0);
            let marks = cluster
                .log
                .watermarks(&[TopicPartition::new(CHANGELOG, 0)], Isolation::ReadUncommitted)?;
            let before = NextOffset(marks[0].high.0 - 2);
            Ok(cluster.log.delete_records(&[(TopicPartition::new(CHANGELOG, 0), before)])?)
        },
        |cluster| {
            cluster.start(0)?;
            cluster.rounds(100)?;
            cluster.leave(0)?;
            Ok(cluster.log.recreate(INBOX)?)
        },
    ];
    for (number, lose) in lose.into_iter().enumerate() {
        let mut cluster = stopped()?;
        lose(&mut cluster)?;
        cluster.forget_committed();
        let reasons = parked(&mut cluster)?;
        assert!(!reasons.is_empty(), "{number}");
        let all_name = |command: &str| reasons.iter().all(|reason| reason.contains(command));
        assert!(all_name(RESET) || all_name(RESTORE), "{number}: {reasons:?}");
        if all_name(RESTORE) {
            let refused = restore(&cluster, None).err();
            let named = matches!(&refused, Some(Error::Refused(why)) if why.contains(RESET));
            assert!(named, "{number}: {refused:?}");
        }
        reset(&cluster, &EARLIEST)?;
        check_reset(&mut cluster).map_err(|error| format!("{number}: {error}"))?;
    }
    Ok(())
}
