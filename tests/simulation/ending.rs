//! The end of a schedule: faults are over, whoever is left comes to rest by itself, and everything
//! is compared.

use std::{collections::BTreeMap, fmt};

use aplomb::{
    log::{Isolation, Leave, Log},
    task::State,
    verify,
    worker::Turn,
};
use aplomb_state::{codec, scan::Scan, store::StoreId};
use rand::Rng;

use crate::{
    load::Kind,
    refold,
    running::Crank,
    violation::{Outcome, Violation},
    words::{Count, REMIND_AFTER_MS},
    world::{TWIN, World},
};

/// Rounds without work after which nothing more will come.
const QUIET_ROUNDS: usize = 4;
const ROUNDS_MAX: usize = 6_000;
/// Long enough for sessions, transactions and pauses to run out within the rounds.
const STEP_MS: i64 = 20;
/// Short enough for some rounds between two ticks.
const QUIET_STEP_MS: i64 = 2;
/// The first declared store of the word count.
const COUNT_STORE: StoreId = StoreId(2);

/// What a run was made of, for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub fed: usize,
    pub inputs: u64,
    pub matching: u64,
    pub stores: usize,
    pub opened: usize,
}

impl World {
    /// Everything heals, and the rest of the work is done.
    pub fn settle(&mut self) -> Outcome {
        self.heal()?;
        self.come_to_rest()?;
        // All deadlines pass, those of the dead's transactions too, in steps that keep every member
        // alive.
        let transactions_ms = self.plan.settings.transaction_timeout_ms;
        let until = self.clock_ms() + REMIND_AFTER_MS.max(transactions_ms) + 1_500;
        let mut round = 0;
        while self.clock_ms() < until {
            round += 1;
            self.round(round, 100)?;
        }
        self.come_to_rest()
    }

    fn heal(&mut self) -> Outcome {
        self.trace.step(|| "end".to_owned());
        self.log.resume();
        if self.plan.has_twin {
            self.kill(TWIN)?;
            self.processes.truncate(TWIN);
        }
        for name in 0..self.processes.len() {
            self.calm(name);
            self.wake_all(name)?;
            self.calm(name);
            // The last step of an upgrade.
            if self.version > 0 && self.random.random_bool(0.7) {
                self.shut_down(name, Leave::Leave)?;
            }
        }
        if self.version > 0 {
            for name in 0..self.processes.len() {
                self.shut_down(name, Leave::Leave)?;
            }
        }
        let first = self.random.random_range(0..self.processes.len());
        for name in 0..self.processes.len() {
            if name == first || self.random.random_bool(0.5) {
                self.start(name)?;
                self.calm(name);
            }
        }
        Ok(())
    }

    fn calm(&mut self, name: usize) {
        let Some(life) = &mut self.processes[name].life else { return };
        life.disk.calm();
        for seat in &mut life.seats {
            seat.hooks.calm();
            seat.stride = 1;
        }
    }

    /// `TASK-SETTLES`: every task is somewhere, and nothing moves any more.
    pub fn come_to_rest(&mut self) -> Outcome {
        let (mut quiet, mut step_ms) = (0, STEP_MS);
        for round in 0..ROUNDS_MAX {
            let now = self.clock_ms();
            self.trace.step(|| format!("end {now:>9} ms |"));
            let turn = self.round(round, step_ms)?;
            // A process that stopped was started again, with faults of its own.
            (0..self.processes.len()).for_each(|name| self.calm(name));
            let owned: usize = self.workers().map(|worker| worker.tasks().len()).sum();
            let is_whole = owned == self.inputs.len() && self.workers().all(is_whole);
            step_ms = if is_whole { QUIET_STEP_MS } else { STEP_MS };
            let is_settled = self.workers().all(|worker| worker.is_settled());
            let is_calm = turn == Turn::Idle && is_settled && is_whole;
            quiet = if is_calm { quiet + 1 } else { 0 };
            if quiet == QUIET_ROUNDS {
                return Ok(());
            }
        }
        let states: Vec<String> =
            self.workers().flat_map(|worker| worker.tasks()).map(of).collect();
        let detail = format!("no end after {ROUNDS_MAX} rounds: {}", states.join(", "));
        Err(Violation::of("TASK-SETTLES", detail))
    }

    /// Compares everything with everything.
    pub fn judge(&mut self) -> Outcome<Summary> {
        if let Some((task, reason)) = self.parked().into_iter().next() {
            return Err(Violation::of("TASK-SETTLES", format!("{task} is parked: {reason}")));
        }
        self.judge_overlays()?;
        self.judge_transactions()?;
        if self.plan.kind == Kind::Words {
            self.judge_counts()?;
        }
        let (inputs, matching) = self.judge_effects()?;
        for name in 0..self.processes.len() {
            self.shut_down(name, Leave::Leave)?;
        }
        self.watch_offsets()?;
        let stores = self.judge_stores()?;
        Ok(Summary { fed: self.load.fed, inputs, matching, stores, opened: self.opened })
    }

    /// `OVERLAY-PRIVATE`: what is settled has left nothing behind.
    fn judge_overlays(&self) -> Outcome {
        for task in self.workers().flat_map(|worker| worker.tasks()) {
            let State::Running(running) = &task.state else { continue };
            if !running.fold.overlay().is_empty() || !running.fold.outbox().is_empty() {
                let detail = format!("{}: something is left in overlay or outbox", task.id);
                return Err(Violation::of("OVERLAY-PRIVATE", detail));
            }
        }
        Ok(())
    }

    /// `COMMIT-CLOSED`: no transaction is left open in any topic.
    fn judge_transactions(&self) -> Outcome {
        let partitions: Vec<_> = self
            .plan
            .topics
            .iter()
            .flat_map(|topic| {
                let of = |number| aplomb_state::ids::TopicPartition {
                    topic: topic.name.clone(),
                    partition: number,
                };
                (0..topic.partitions).map(of)
            })
            .collect();
        let marks = |isolation| {
            let marks = self.log.watermarks(&partitions, isolation);
            marks.map_err(|error| Violation::of("SIMULATOR", error.to_string()))
        };
        let stable = marks(Isolation::ReadCommitted)?;
        for ((of, stable), all) in
            partitions.iter().zip(stable).zip(marks(Isolation::ReadUncommitted)?)
        {
            if stable.high != all.high {
                let detail = format!("{of} is stable up to {} of {}", stable.high, all.high);
                return Err(Violation::of("COMMIT-CLOSED", detail));
            }
        }
        Ok(())
    }

    /// `INPUT-WHOLE`: every plain word was counted once, by a count of what was fed.
    fn judge_counts(&self) -> Outcome {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for task in self.workers().flat_map(|worker| worker.tasks()) {
            let State::Running(running) = &task.state else { continue };
            let (Some(store), "counts") = (&running.store, &*task.id.stage) else { continue };
            let entries = store.scan(COUNT_STORE, Scan::rising(b"w", None, usize::MAX));
            let broken = |error: String| Violation::of("SIMULATOR", error);
            for (key, value) in entries.map_err(|error| broken(error.to_string()))? {
                let count: Count =
                    codec::decode(&value).map_err(|error| broken(error.to_string()))?;
                let word = String::from_utf8_lossy(&key).into_owned();
                *counts.entry(word).or_default() += count.0;
            }
        }
        if counts != self.load.counts {
            let detail = format!("fed {:?}, counted {counts:?}", self.load.counts);
            return Err(Violation::of("INPUT-WHOLE", detail));
        }
        Ok(())
    }

    /// `EFFECT-ONCE`: what stands in the topics is what the inputs must give.
    fn judge_effects(&self) -> Outcome<(u64, u64)> {
        let report = verify::verify(&self.log, self.application(), &mut |_, _| {});
        let report = report.map_err(|error| Violation::of("EFFECT-ONCE", error.to_string()))?;
        if !report.is_clean() {
            let first = report.deviations.first();
            let detail = format!(
                "{} missing, {} doubled, {} different, {} unexpected, the first {first:?}",
                report.missing, report.doubled, report.different, report.unexpected
            );
            return Err(Violation::of("EFFECT-ONCE", detail));
        }
        Ok((report.inputs, report.matching))
    }

    pub fn judge_stores(&mut self) -> Outcome<usize> {
        let application = self.application().clone();
        refold::compare(&self.log, &application, &self.committed, &self.images)
    }
}

/// Whether no task of it waits for anything.
fn is_whole(worker: &Crank) -> bool {
    let is_there = |task: &aplomb::task::Task| match &task.state {
        State::Running(running) => !running.is_announcing(),
        State::Parked { .. } => true,
        State::Opening { .. } | State::Restoring(_) => false,
    };
    worker.tasks().iter().all(is_there)
}

fn of(task: &aplomb::task::Task) -> String {
    let state = match &task.state {
        State::Opening { .. } => "opening",
        State::Restoring(_) => "restoring",
        State::Running(running) if running.is_announcing() => "announcing",
        State::Running(_) => "running",
        State::Parked { .. } => "parked",
    };
    format!("{} {state}", task.id)
}

impl Summary {
    pub fn add(&mut self, other: &Self) {
        self.fed += other.fed;
        self.inputs += other.inputs;
        self.matching += other.matching;
        self.stores += other.stores;
        self.opened += other.opened;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fed, inputs, matching, stores, opened } = self;
        write!(
            formatter,
            "{fed} records fed, {inputs} inputs folded again, {matching} effects and {stores} stores \
             compared, {opened} stores opened and closed"
        )
    }
}
