//! A fault at every step of the commit protocol: counts stay exact, offsets never go back.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aplomb::{
    embedded::{Call, Fault, Faults, Kept},
    log::{Class, Error},
    task::State,
};

use crate::{
    harness::{CHANGELOG, Cluster, Outcome, Plan},
    support,
};

const CALLS: [Call; 7] = [
    Call::Init,
    Call::Begin,
    Call::Send,
    Call::SendOffsets,
    Call::Drain,
    Call::Commit,
    Call::Abort,
];

/// Fails some calls of one kind, and once a transaction is to be aborted, its abort too.
pub struct Failing {
    call: Call,
    fault: Fault,
    /// The first call to fail, and how many from there on.
    first: usize,
    count: usize,
    seen: Mutex<usize>,
}

impl Failing {
    pub fn new(call: Call, fault: Fault, first: usize, count: usize) -> Arc<Self> {
        Arc::new(Self { call, fault, first, count, seen: Mutex::default() })
    }

    /// How many calls failed.
    pub fn failed(&self) -> usize {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.saturating_sub(self.first).min(self.count)
    }
}

impl Faults for Failing {
    fn decide(&self, _transactional_id: &str, call: Call) -> Option<Fault> {
        if call != self.call {
            return None;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *seen;
        *seen += 1;
        (self.first..self.first + self.count).contains(&number).then(|| self.fault.clone())
    }
}

/// Two plans, the first one asked first.
struct Both(Arc<Failing>, Arc<Failing>);

impl Faults for Both {
    fn decide(&self, id: &str, call: Call) -> Option<Fault> {
        self.0.decide(id, call).or_else(|| self.1.decide(id, call))
    }
}

fn before(class: Class) -> Fault {
    Fault::Before(Error::new(class, "the test wants it so"))
}

fn in_doubt() -> Fault {
    Fault::Before(Error::in_doubt("the request got lost"))
}

/// How a call may fail without the worker having to stop.
fn faults() -> [Fault; 6] {
    [
        before(Class::Retry),
        before(Class::Abort),
        before(Class::Migrated),
        in_doubt(),
        Fault::After,
        Fault::QueueFull,
    ]
}

fn small_transactions() -> Plan {
    Plan { tune: |application| application.tuning.commit_records_max = 7, ..Plan::default() }
}

/// When calls begin to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    TheStart,
    /// The first transactions of all tasks are committed.
    Running,
}

/// Faults that wait for their time.
struct Armed {
    faults: Arc<dyn Faults>,
    now: AtomicBool,
}

impl Faults for Armed {
    fn decide(&self, id: &str, call: Call) -> Option<Fault> {
        if self.now.load(Ordering::Relaxed) { self.faults.decide(id, call) } else { None }
    }
}

/// Lines before the worker starts, and while it runs.
fn run(from: From, faults: Arc<dyn Faults>) -> Outcome {
    let mut cluster = Cluster::planned(&small_transactions())?;
    cluster.feed_many(4)?;
    let armed = Arc::new(Armed { faults, now: AtomicBool::new(from == From::TheStart) });
    cluster.start_on(0, cluster.log.with_faults(armed.clone()))?;
    if from == From::Running {
        cluster.settle()?;
    }
    armed.now.store(true, Ordering::Relaxed);
    for _ in 0..5 {
        cluster.feed_many(4)?;
        cluster.rounds(5)?;
    }
    cluster.finish()
}

/// A producer that works is made once, so that its making fails at the start or never.
fn calls_but_abort() -> impl Iterator<Item = (From, Call)> {
    let times = |call| match call {
        Call::Init => vec![(From::TheStart, call)],
        Call::Abort => vec![],
        _ => vec![(From::TheStart, call), (From::Running, call)],
    };
    CALLS.into_iter().flat_map(times)
}

#[test]
fn one_failing_call_anywhere_changes_nothing() -> Outcome {
    for (from, call) in calls_but_abort() {
        for fault in faults() {
            let mut hit = 0;
            for first in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
                let failing = Failing::new(call, fault.clone(), first, 1);
                run(from, failing.clone())
                    .map_err(|error| format!("{from:?} {call} {first} {fault:?}: {error}"))?;
                hit += failing.failed();
            }
            assert!(hit > 0, "{from:?} {call} {fault:?} was never met");
        }
    }
    Ok(())
}

/// Not three in a row of class `Migrated`: those mean that somebody else has our identity.
#[test]
fn calls_that_fail_again_and_again_change_nothing() -> Outcome {
    for (from, call) in calls_but_abort() {
        for fault in [before(Class::Retry), in_doubt(), Fault::After, Fault::QueueFull] {
            for (first, count) in [(0, 4), (3, 4), (6, 2), (10, 200)] {
                if count > 4 && !matches!(fault, Fault::QueueFull) {
                    continue;
                }
                let failing = Failing::new(call, fault.clone(), first, count);
                run(from, failing)
                    .map_err(|error| format!("{from:?} {call} {first} {fault:?}: {error}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_failing_abort_changes_nothing() -> Outcome {
    for (from, call) in calls_but_abort().filter(|(_, call)| *call != Call::Init) {
        for fault in faults() {
            for first in [1, 4, 9] {
                let aborting = Failing::new(call, before(Class::Abort), first, 1);
                let failing = Failing::new(Call::Abort, fault.clone(), 0, 1);
                run(from, Arc::new(Both(aborting.clone(), failing.clone())))
                    .map_err(|error| format!("{from:?} {call} {first} {fault:?}: {error}"))?;
                // A transaction that did not begin is not aborted.
                let aborted = if call == Call::Begin { 0 } else { aborting.failed() };
                assert_eq!(aborted, failing.failed(), "{from:?} {call} {first} {fault:?}");
            }
        }
    }
    Ok(())
}

/// The worker stops, and a new process goes on from what is committed.
#[test]
fn a_fatal_error_at_any_step_loses_nothing() -> Outcome {
    for (_, call) in calls_but_abort() {
        for first in [0, 1, 2, 4, 9, 17] {
            let mut cluster = Cluster::planned(&small_transactions())?;
            cluster.feed_many(20)?;
            let failing = Failing::new(call, before(Class::Fatal), first, 1);
            cluster.start_on(0, cluster.log.with_faults(failing.clone()))?;
            let stopped = cluster.rounds(300);
            assert_eq!(stopped.is_err(), failing.failed() > 0, "{call} {first}");
            cluster.crash(0);
            cluster.start(0)?;
            cluster.finish().map_err(|error| format!("{call} {first}: {error}"))?;
        }
    }
    Ok(())
}

/// The commit is done, the answer is lost, and then the process is gone: its store is behind.
#[test]
fn a_crash_between_the_commit_and_its_answer_loses_nothing() -> Outcome {
    for first in 0..12 {
        let mut cluster = Cluster::planned(&small_transactions())?;
        cluster.feed_many(10)?;
        let failing = Failing::new(Call::Commit, Fault::After, first, 1);
        cluster.start_on(0, cluster.log.with_faults(failing.clone()))?;
        while failing.failed() == 0 {
            cluster.round()?;
        }
        cluster.crash(0);
        cluster.start(0)?;
        cluster.finish().map_err(|error| format!("{first}: {error}"))?;
    }
    Ok(())
}

#[test]
fn fenced_three_times_without_a_time_out_of_its_own_a_worker_stops_and_says_why() -> Outcome {
    let mut cluster = Cluster::new()?;
    let failing = Failing::new(Call::Drain, before(Class::Migrated), 2, 3);
    cluster.start_on(0, cluster.log.with_faults(failing))?;
    cluster.feed_many(5)?;
    let stopped = cluster.rounds(1_000).err().ok_or("it went on")?;
    assert!(stopped.to_string().contains("another process uses"), "{stopped}");
    cluster.crash(0);
    cluster.start(0)?;
    cluster.finish()
}

#[test]
fn two_processes_with_one_transactional_id_count_nothing_twice() -> Outcome {
    let mut cluster = Cluster::planned(&small_transactions())?;
    cluster.start(0)?;
    cluster.settle()?;
    cluster.feed_many(10)?;
    cluster.turn(0)?;
    // The successor's start fences the first one's open transaction.
    let old = cluster.detach(0)?;
    cluster.start(0)?;
    cluster.rounds(50)?;
    cluster.attach(9, old);
    for _ in 0..5 {
        cluster.feed_many(3)?;
        if cluster.rounds(40).is_err() {
            break;
        }
    }
    cluster.crash(9);
    cluster.crash(0);
    cluster.start(0)?;
    cluster.finish()
}

/// The document of a new configuration reaches every inbox, also if its first sending fails.
#[test]
fn a_new_configuration_whose_announcement_fails_is_sent_again() -> Outcome {
    for (call, first) in
        [(Call::Begin, 0), (Call::Send, 1), (Call::SendOffsets, 0), (Call::Commit, 0)]
    {
        for class in [Class::Retry, Class::Abort] {
            let mut cluster = Cluster::new()?;
            cluster.start(0)?;
            cluster.feed_many(10)?;
            cluster.settle()?;
            cluster.crash(0);
            let mut application = (*cluster.application).clone();
            application.configuration.revision = 2;
            application.configuration.hash = "2".to_owned();
            cluster.application = Arc::new(application);
            let failing = Failing::new(call, before(class), first, 1);
            cluster.feed_many(10)?;
            cluster.start_on(0, cluster.log.with_faults(failing))?;
            cluster.finish().map_err(|error| format!("{call} {class:?}: {error}"))?;
            for task in cluster.worker(0).tasks().iter().filter(|task| task.stage > 0) {
                let State::Running(running) = &task.state else { continue };
                let revision = running.fold.configuration().map(|known| known.revision);
                assert_eq!(revision, Some(2), "{call} {class:?}: {}", task.id);
            }
        }
    }
    Ok(())
}

/// A timer that is due before it is set, so that the next tick fires it: what came and went within
/// one transaction is not in the changelog.
#[test]
fn a_logged_deletion_deletes_something() -> Outcome {
    let mut cluster = Cluster::planned(&Plan {
        tune: |application| {
            application.tuning.commit_interval_ms_min = 1_500;
            application.tuning.commit_interval_ms_max = 1_500;
        },
        ..Plan::default()
    })?;
    cluster.start(0)?;
    let long_ago = cluster.now().plus_ms(-10 * support::REMIND_AFTER_MS);
    for line in 0..20 {
        cluster.feed_bytes(None, format!("late word{line}").as_bytes(), long_ago)?;
        cluster.rounds(100)?;
    }
    // Some transaction is always open, for ticks go on: so it never settles.
    cluster.rounds(3_000)?;
    let reminders = cluster.kept(&format!("words.{}", support::COUNTS))?;
    let is_reminder = |kept: &Kept| kept.value.as_ref().is_some_and(|value| value.contains(&b'@'));
    assert!(reminders.iter().any(is_reminder), "timers fired");
    let mut logged = HashSet::new();
    for Kept { partition, key, value, offset, .. } in cluster.kept(CHANGELOG)? {
        match value {
            Some(_) => _ = logged.insert((partition, key)),
            None => assert!(logged.remove(&(partition, key)), "{partition} at {offset}"),
        }
    }
    Ok(())
}
