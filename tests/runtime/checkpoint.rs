//! Inboxes are trimmed, and nothing is unverified for it.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use aplomb::{
    checkpoint::{self, Keeper, Policy, Round},
    embedded::{EmbeddedLog, Foreign},
    log::{Committed, Isolation, Log, Producer},
    operator::{Operator, plan_restore, restore},
    task::State,
    verify::{self, Checkpoints, Choice, Report},
};
use aplomb_state::{
    backend::Database,
    ids::{Generation, NextOffset, TaskId, TopicPartition},
};

use crate::{
    harness::{Cluster, INBOX_PARTITIONS, Outcome},
    support::INPUT,
};

const POLICY: Policy = Policy { keep_ms: 100_000, interval_ms: 40_000 };
static RUNNING: AtomicBool = AtomicBool::new(false);

fn keeper(cluster: &Cluster, name: usize, folder: &Path) -> Outcome<Keeper<EmbeddedLog>> {
    let database: Arc<dyn Database> = Arc::new(cluster.databases[&name].clone());
    let (log, application) = (cluster.log.clone(), Arc::clone(&cluster.application));
    Ok(Keeper::open(log, application, database, folder.to_owned(), POLICY)?)
}

fn owned(cluster: &Cluster, name: usize) -> Vec<TaskId> {
    let tasks = cluster.worker(name).tasks().iter();
    tasks.filter(|task| matches!(task.state, State::Running(_))).map(|t| t.id.clone()).collect()
}

/// Lines, time and the keeper's rounds, some minutes long.
fn keep(cluster: &mut Cluster, name: usize, keeper: &mut Keeper<EmbeddedLog>) -> Outcome<Round> {
    let mut all = Round::default();
    for _ in 0..40 {
        cluster.feed_many(4)?;
        cluster.pass(10_000)?;
        let round = keeper.round(&owned(cluster, name), cluster.now(), &RUNNING);
        assert_eq!(round.failed, 0);
        assert!(round.written <= 1, "one at a time");
        all.written += round.written;
        all.trimmed += round.trimmed;
        all.dropped += round.dropped;
        never_beyond(cluster)?;
    }
    Ok(all)
}

/// No inbox begins behind its committed offset.
fn never_beyond(cluster: &Cluster) -> Outcome {
    for (inbox, low) in lows(cluster)? {
        assert!(low <= cluster.committed_at(&inbox), "{inbox} begins at {low}");
    }
    Ok(())
}

fn lows(cluster: &Cluster) -> Outcome<Vec<(TopicPartition, NextOffset)>> {
    let inboxes = cluster.application.inbox_partitions();
    let marks = cluster.log.watermarks(&inboxes, Isolation::ReadUncommitted)?;
    Ok(inboxes.into_iter().zip(marks.iter().map(|marks| marks.low)).collect())
}

fn verify_from(
    cluster: &Cluster,
    folders: &[&Path],
    choice: Choice,
) -> Result<Report, verify::Error> {
    let known = folders.iter().flat_map(|folder| checkpoint::list(folder).unwrap_or_default());
    let checkpoints = Checkpoints { known: known.collect(), choice };
    verify::verify_from(&cluster.log, &cluster.application, &checkpoints, &mut |_, _| {})
}

/// A cluster whose inboxes were trimmed, with its keeper's folder.
fn trimmed() -> Outcome<(Cluster, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Cluster::new()?;
    cluster.start(0)?;
    let mut keeper = keeper(&cluster, 0, folder.path())?;
    let done = keep(&mut cluster, 0, &mut keeper)?;
    assert!(done.trimmed > 0 && done.dropped > 0, "{done:?}");
    assert!(lows(&cluster)?.iter().all(|(_, low)| low.0 > 0));
    Ok((cluster, folder))
}

fn clean(report: &Report) {
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.inputs > 0 && report.matching > 0, "{report:?}");
}

#[test]
fn inboxes_are_trimmed_to_a_checkpoint_and_verify_folds_from_it() -> Outcome {
    let (mut cluster, folder) = trimmed()?;
    cluster.settle()?;
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    // The inbox goes back as far as the policy says, and begins at a checkpoint that is there.
    let known = checkpoint::list(folder.path())?;
    let oldest = cluster.now().minus_ms(POLICY.keep_ms);
    for (inbox, low) in lows(&cluster)? {
        let of: Vec<_> = known.iter().filter(|one| one.header.inbox == inbox).collect();
        assert_eq!(of.first().map(|one| one.header.next), Some(low), "{inbox}");
        assert!(of[0].header.taken <= oldest, "{inbox} begins too late");
        assert!((2..=5).contains(&of.len()), "{} checkpoints of {inbox}", of.len());
    }
    let all = verify_from(&cluster, &[folder.path()], Choice::Oldest)?;
    let some = verify_from(&cluster, &[folder.path()], Choice::Newest)?;
    clean(&all);
    clean(&some);
    assert!(some.inputs < all.inputs, "{} and {}", some.inputs, all.inputs);
    assert_eq!(all.notes.len(), usize::try_from(INBOX_PARTITIONS)?);
    Ok(())
}

#[test]
fn without_a_whole_checkpoint_nothing_can_be_said() -> Outcome {
    let (cluster, folder) = trimmed()?;
    let none = verify_from(&cluster, &[], Choice::Oldest).map_err(|error| error.to_string());
    assert!(none.as_ref().is_err_and(|why| why.contains("--checkpoints")), "{none:?}");
    // The oldest of each inbox is damaged: the next one takes its place.
    let known = checkpoint::list(folder.path())?;
    let mut before = None;
    for one in &known {
        if before.replace(one.header.inbox.clone()) != Some(one.header.inbox.clone()) {
            damage(&one.path)?;
        }
    }
    let report = verify_from(&cluster, &[folder.path()], Choice::Oldest)?;
    clean(&report);
    assert!(report.notes.iter().any(|note| note.contains("damaged")), "{:?}", report.notes);
    for one in &known {
        damage(&one.path)?;
    }
    let none =
        verify_from(&cluster, &[folder.path()], Choice::Oldest).map_err(|error| error.to_string());
    assert!(none.as_ref().is_err_and(|why| why.contains("damaged")), "{none:?}");
    Ok(())
}

fn damage(path: &Path) -> Outcome {
    let bytes = fs::read(path)?;
    Ok(fs::write(path, &bytes[..bytes.len() - 1])?)
}

#[test]
fn verify_bites_behind_a_checkpoint() -> Outcome {
    let (mut cluster, folder) = trimmed()?;
    // An input that was skipped: its effects are missing, in an inbox that was trimmed, too.
    cluster.leave(0)?;
    let skipped = TopicPartition::new(INPUT, 0);
    let counted = cluster.expected.clone();
    cluster.feed_to(0, "skipped words")?;
    cluster.expected = counted;
    let committed = cluster.committed_offsets(std::slice::from_ref(&skipped))?;
    let [Committed::At { next, metadata }] = committed.as_slice() else { panic!("{committed:?}") };
    let mut producer = cluster.log.producer("tool")?;
    producer.init_transactions(Duration::ZERO)?;
    producer.begin()?;
    let offsets = [(skipped, NextOffset(next.0 + 1), metadata.clone())];
    let outsider = cluster.log.outsider(&cluster.application.id)?;
    producer.send_offsets(&offsets, &outsider, Duration::ZERO)?;
    producer.commit(Duration::ZERO)?;
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    let report = verify_from(&cluster, &[folder.path()], Choice::Oldest)?;
    assert_eq!((report.missing, report.doubled, report.different), (2, 0, 0), "{report:#?}");

    let records = cluster.kept("words.counts.v1")?;
    let last = records.last().ok_or("no output")?;
    let headers: Vec<_> =
        last.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
    let (key, headers) = (last.key.as_deref(), headers.as_slice());
    let to = Foreign::to("words.counts.v1");
    cluster.log.produce(&Foreign { key, value: Some(b"other"), headers, ..to })?;
    let report = verify_from(&cluster, &[folder.path()], Choice::Newest)?;
    assert_eq!(report.doubled, 1, "{report:#?}");
    Ok(())
}

#[test]
fn after_a_move_each_process_has_checkpoints_of_its_own() -> Outcome {
    let (mut cluster, first) = trimmed()?;
    let second = tempfile::tempdir()?;
    cluster.leave(0)?;
    cluster.start(1)?;
    cluster.settle()?;
    let alone = verify_from(&cluster, &[second.path()], Choice::Oldest);
    assert!(alone.is_err(), "its owner has none yet");
    clean(&verify_from(&cluster, &[first.path(), second.path()], Choice::Oldest)?);
    let mut keeper = keeper(&cluster, 1, second.path())?;
    keep(&mut cluster, 1, &mut keeper)?;
    clean(&verify_from(&cluster, &[second.path()], Choice::Oldest)?);
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    Ok(())
}

/// The keeper of a process that starts again goes on where it was.
#[test]
fn a_restart_finds_its_checkpoints() -> Outcome {
    let (mut cluster, folder) = trimmed()?;
    let before = checkpoint::list(folder.path())?;
    let mut again = keeper(&cluster, 0, folder.path())?;
    let round = again.round(&owned(&cluster, 0), cluster.now(), &RUNNING);
    assert_eq!(round.failed, 0);
    let after = checkpoint::list(folder.path())?;
    assert_eq!(after.len(), before.len() + round.written - round.dropped);
    keep(&mut cluster, 0, &mut again)?;
    clean(&verify_from(&cluster, &[folder.path()], Choice::Oldest)?);
    Ok(())
}

#[test]
fn lost_offsets_are_known_although_the_inboxes_were_trimmed() -> Outcome {
    let (mut cluster, folder) = trimmed()?;
    cluster.leave(0)?;
    let mut all = cluster.application.external_partitions();
    all.extend(cluster.application.inbox_partitions());
    let before = cluster.committed_offsets(&all)?;
    cluster.log.forget_offsets(&cluster.application.id, &all);
    let (log, application) = (&cluster.log, &*cluster.application);
    let mut operator = Operator::open(log, application)?;
    let plan = plan_restore(log, application, None, cluster.now(), Generation(1), &mut |_, _| {})?;
    restore(&mut operator, &plan)?;
    assert_eq!(cluster.committed_offsets(&all)?, before);
    cluster.start(0)?;
    cluster.feed_many(10)?;
    cluster.settle()?;
    assert_eq!(cluster.counts()?, cluster.expected.counts);
    clean(&verify_from(&cluster, &[folder.path()], Choice::Oldest)?);
    Ok(())
}
