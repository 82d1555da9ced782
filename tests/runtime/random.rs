//! Whatever happens, in any order: workers come, go, die, sleep and lose their disks, calls fail,
//! changelogs are compacted. A failure names the seed that repeats it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use aplomb::{
    embedded::{Call, Fault, Faults},
    log::{Class, Error},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::harness::{CHANGELOG, Cluster, Outcome, Plan, SESSION_TIMEOUT_MS};

const SEEDS: u64 = 1_500;
const ACTIONS: usize = 60;
const WORKERS: usize = 3;

/// Each call fails with the same small probability.
struct Sometimes {
    random: Mutex<SmallRng>,
    probability: f64,
    calm: Arc<AtomicBool>,
}

impl Faults for Sometimes {
    fn decide(&self, _: &str, _: Call) -> Option<Fault> {
        if self.calm.load(Ordering::Relaxed) {
            return None;
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        if !random.random_bool(self.probability) {
            return None;
        }
        let before = |class| Fault::Before(Error::new(class, "the test wants it so"));
        Some(match random.random_range(0..6) {
            0 => before(Class::Retry),
            1 => before(Class::Abort),
            2 => before(Class::Migrated),
            3 => Fault::Before(Error::in_doubt("the request got lost")),
            4 => Fault::After,
            _ => Fault::QueueFull,
        })
    }
}

/// A cluster, and what happens to it.
struct Fate {
    cluster: Cluster,
    random: SmallRng,
    running: Vec<usize>,
    asleep: Vec<usize>,
    fault_probability: f64,
    /// No call fails any more.
    calm: Arc<AtomicBool>,
}

impl Fate {
    fn start(&mut self, name: usize) -> Outcome {
        if self.running.contains(&name) {
            return Ok(());
        }
        self.running.push(name);
        let random = Mutex::new(SmallRng::seed_from_u64(self.random.random()));
        let calm = Arc::clone(&self.calm);
        let faults = Sometimes { random, probability: self.fault_probability, calm };
        self.cluster.start_on(name, self.cluster.log.with_faults(Arc::new(faults)))
    }

    fn crash(&mut self, name: usize) {
        self.cluster.crash(name);
        self.running.retain(|other| *other != name);
        self.asleep.retain(|other| *other != name);
    }

    /// A worker that stops is started again, as a process would be.
    fn rounds(&mut self, count: usize) -> Outcome {
        for _ in 0..count {
            for name in self.running.clone() {
                if !self.asleep.contains(&name) && self.cluster.turn(name).is_err() {
                    self.crash(name);
                    self.start(name)?;
                }
            }
            self.cluster.clock.advance(3);
        }
        Ok(())
    }

    fn act(&mut self) -> Outcome {
        let name = self.random.random_range(0..WORKERS);
        match self.random.random_range(0..20) {
            0..8 => {
                let lines = self.random.random_range(1..8);
                self.cluster.feed_many(lines)?;
            }
            8..11 => self.start(name)?,
            11 => self.crash(name),
            12 => {
                self.crash(name);
                self.cluster.wipe(name);
            }
            13 if self.running.contains(&name) && !self.asleep.contains(&name) => {
                // A commit that fails at the end is dropped; the group goes on either way.
                let _ = self.cluster.leave(name);
                self.crash(name);
            }
            14 if self.running.contains(&name) => {
                self.cluster.sleep(name);
                self.asleep.push(name);
            }
            15 | 16 => {
                self.cluster.wake(name);
                self.asleep.retain(|other| *other != name);
            }
            17 => self.cluster.log.compact(CHANGELOG)?,
            18 => self.cluster.clock.advance(SESSION_TIMEOUT_MS / 3),
            _ => {}
        }
        let count = self.random.random_range(0..30);
        self.rounds(count)
    }
}

fn run(seed: u64, fault_probability: f64) -> Outcome {
    let plan = Plan {
        tune: |application| {
            application.tuning.commit_records_max = 11;
            application.tuning.turn_records_max = 5;
            application.tuning.restore_records_max = 4;
        },
        ..Plan::default()
    };
    let mut fate = Fate {
        cluster: Cluster::planned(&plan)?,
        random: SmallRng::seed_from_u64(seed),
        running: Vec::new(),
        asleep: Vec::new(),
        fault_probability,
        calm: Arc::default(),
    };
    for _ in 0..ACTIONS {
        fate.act()?;
    }
    // Whoever is left must come to an end by itself.
    fate.calm.store(true, Ordering::Relaxed);
    for name in 0..WORKERS {
        fate.cluster.wake(name);
    }
    fate.asleep.clear();
    fate.start(0)?;
    fate.rounds(2_000)?;
    fate.cluster.finish()
}

#[test]
fn any_history_of_crashes_and_zombies_counts_every_word_once() -> Outcome {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        run(seed, 0.0).map_err(|error| format!("seed {seed}: {error}"))?;
    }
    Ok(())
}

#[test]
fn any_history_with_failing_calls_counts_every_word_once() -> Outcome {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        run(seed, 0.02).map_err(|error| format!("seed {seed}: {error}"))?;
    }
    Ok(())
}
