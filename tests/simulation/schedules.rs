//! Many schedules, and one of them step by step.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use crate::{
    ending::Summary,
    switch::Switch,
    trace::Trace,
    violation::{Outcome, Violation},
    world::World,
};

/// Schedules that `make test` runs.
const SCHEDULES: u64 = 500;
pub const THREADS: usize = 2;

/// One schedule from its beginning to its end.
pub fn run(seed: u64, switch: Switch, trace: Trace) -> Outcome<Summary> {
    let mut world = World::new(seed, switch, trace)?;
    let outcome = world.live().and_then(|()| world.settle()).and_then(|()| world.judge());
    // Whoever stands still must not be waited for.
    for name in 0..world.processes.len() {
        let _ = world.kill(name);
    }
    outcome
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Runs the seeds on all threads and answers what was violated, by seed.
pub fn run_all(seeds: std::ops::Range<u64>) -> (Vec<(u64, Violation)>, Summary) {
    let next = AtomicU64::new(seeds.start);
    let worker = || {
        let (mut failed, mut sum) = (Vec::new(), Summary::default());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (failed, sum);
            }
            match run(seed, Switch::default(), Trace::default()) {
                Ok(summary) => sum.add(&summary),
                Err(violation) => failed.push((seed, violation)),
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        let (mut failed, mut sum) = (Vec::new(), Summary::default());
        for thread in threads {
            let (more, part) = thread.join().expect("a violation is no panic");
            failed.extend(more);
            sum.add(&part);
        }
        failed.sort_by_key(|(seed, _)| *seed);
        (failed, sum)
    })
}

#[test]
fn whatever_happens_every_input_counts_once() {
    if let Some(seed) = number("SEED") {
        // What the workers say themselves, between the steps.
        let to_stdout =
            tracing_subscriber::fmt().with_writer(std::io::stdout).without_time().with_ansi(false);
        to_stdout.with_max_level(tracing::Level::INFO).with_target(false).init();
        match run(seed, Switch::default(), Trace::printed()) {
            Ok(summary) => println!("seed {seed}: {summary}"),
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
        return;
    }
    let first = number("FIRST").unwrap_or(0);
    let count = number("SEEDS").unwrap_or(SCHEDULES);
    let begun = Instant::now();
    let (failed, sum) = run_all(first..first + count);
    let seconds = begun.elapsed().as_secs_f64();
    println!("{count} schedules in {seconds:.1} s, {} violations; {sum}", failed.len());
    for (seed, violation) in &failed {
        println!("make simulate SEED={seed}   {violation}");
    }
    assert!(failed.is_empty(), "{} of {count} schedules failed", failed.len());
    assert!(sum.inputs > 0 && sum.stores > 0, "nothing was compared");
}

#[test]
fn one_seed_is_one_schedule() {
    for seed in 0..24 {
        let lines = || {
            let trace = Trace::kept();
            let outcome = run(seed, Switch::default(), trace.clone());
            (trace.lines(), outcome.is_ok())
        };
        let (first, second) = (lines(), lines());
        let differs = first.0.iter().zip(&second.0).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert!(first == second && first.0.len() > 20, "seed {seed}");
    }
}
