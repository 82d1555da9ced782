//! What no worker can mend by itself: the log or the group has lost something. The tasks concerned
//! must park and name the command that helps, and nothing else may be harmed.

use std::sync::Arc;

use aplomb::{
    log::{Leave, Log},
    worker::Turn,
};
use aplomb_state::{
    backend::{Database, memory::MemoryDatabase},
    ids::{NextOffset, TaskId, TopicPartition},
};
use rand::Rng;

use crate::{
    refold,
    switch::Switch,
    trace::Trace,
    violation::{Outcome, Violation},
    world::World,
};

/// Schedules of each kind of loss.
const SEEDS: u64 = 20;
/// Rounds for the tasks to notice, and for the others to go on.
const ROUNDS: usize = 600;
const STEP_MS: i64 = 20;

/// What gets lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// A changelog is deleted and created again while nobody runs; the disks are there.
    Changelog,
    /// The same under running workers.
    ChangelogUnderWorkers,
    /// A changelog is created again, and the disks are lost too.
    ChangelogAndDisks,
    /// The older part of a changelog was deleted, and the disks are lost.
    ChangelogHeadAndDisks,
    /// An inbox is deleted and created again while nobody runs.
    Inbox,
    /// The same under running workers.
    InboxUnderWorkers,
    /// The older part of an external topic was deleted before it was read.
    Input,
    /// The group's offsets expired.
    Offsets,
}

const LOSSES: [Loss; 8] = [
    Loss::Changelog,
    Loss::ChangelogUnderWorkers,
    Loss::ChangelogAndDisks,
    Loss::ChangelogHeadAndDisks,
    Loss::Inbox,
    Loss::InboxUnderWorkers,
    Loss::Input,
    Loss::Offsets,
];

impl World {
    /// Everything stops in good order, or runs on.
    fn stop_all(&mut self) -> Outcome {
        (0..self.processes.len()).try_for_each(|name| self.shut_down(name, Leave::Leave))
    }

    fn start_all(&mut self) -> Outcome {
        (0..self.processes.len()).try_for_each(|name| self.start_calm(name))
    }

    fn start_calm(&mut self, name: usize) -> Outcome {
        self.start(name)?;
        let life = self.processes[name].life.as_ref();
        life.into_iter().flat_map(|life| &life.seats).for_each(|seat| seat.hooks.calm());
        Ok(())
    }

    fn lose_disks(&mut self) {
        for process in &mut self.processes {
            process.image = MemoryDatabase::default();
        }
    }

    /// Brings the loss about. Answers the inputs whose tasks must park.
    fn lose(&mut self, loss: Loss) -> Outcome<Vec<TopicPartition>> {
        let application = Arc::clone(self.application());
        let stages: Vec<u16> = application.inner_stages().collect();
        let stage = stages[self.random.random_range(0..stages.len())];
        let topics = application.stage(stage).cloned();
        let topics = topics.ok_or_else(|| Violation::of("SIMULATOR", "no such stage"))?;
        let inbox = topics.inbox.unwrap_or_default();
        let changelog = topics.changelog.unwrap_or_default();
        let told = |error: aplomb::log::Error| Violation::of("SIMULATOR", error.to_string());
        let runs_on = matches!(loss, Loss::ChangelogUnderWorkers | Loss::InboxUnderWorkers);
        if !runs_on {
            self.stop_all()?;
        }
        let mut concerned: Vec<TopicPartition> =
            self.inputs.iter().filter(|input| input.topic == inbox).cloned().collect();
        match loss {
            Loss::Changelog | Loss::ChangelogUnderWorkers => {
                self.log.recreate(&changelog).map_err(told)?;
            }
            Loss::ChangelogAndDisks => {
                self.log.recreate(&changelog).map_err(told)?;
                self.lose_disks();
            }
            Loss::ChangelogHeadAndDisks => {
                let before = concerned.iter().map(|input| {
                    (TopicPartition { topic: changelog.clone(), ..input.clone() }, NextOffset(1))
                });
                self.log.delete_records(&before.collect::<Vec<_>>()).map_err(told)?;
                self.lose_disks();
            }
            Loss::Inbox | Loss::InboxUnderWorkers => self.log.recreate(&inbox).map_err(told)?,
            Loss::Input => {
                let lost = self.inputs[0].clone();
                self.load.feed_to(&self.log, &lost)?;
                let end = self.log.watermarks(
                    std::slice::from_ref(&lost),
                    aplomb::log::Isolation::ReadUncommitted,
                );
                let end = end.map_err(told)?[0].high;
                self.log.delete_records(&[(lost.clone(), end)]).map_err(told)?;
                concerned = vec![lost];
            }
            Loss::Offsets => {
                self.log.expire_offsets(&application.id);
                concerned = self.inputs.clone();
            }
        }
        if loss != Loss::ChangelogUnderWorkers && loss != Loss::InboxUnderWorkers {
            self.start_all()?;
        }
        Ok(concerned)
    }

    /// Lets everybody notice, and the others go on.
    fn go_on(&mut self, loss: Loss) -> Outcome {
        for round in 0..ROUNDS {
            let now = self.clock_ms();
            self.trace.step(|| format!("lost {now:>9} ms |"));
            // Not before the loss is seen: what arrives meanwhile would hide it.
            if round % 40 == 39 && loss != Loss::Input {
                self.load.feed(&self.log, &mut self.random)?;
            }
            let turn = self.round(round, STEP_MS)?;
            if turn == Turn::Idle && round > ROUNDS / 2 && round % 40 == 30 {
                break;
            }
        }
        Ok(())
    }
}

/// The losses of one seed, for the table of mutations.
#[cfg(feature = "mutations")]
pub fn run_losses(seed: u64, switch: Switch) -> Outcome {
    LOSSES.into_iter().try_for_each(|loss| run(seed, loss, switch, Trace::default()))
}

/// One schedule, then the loss, then what has become of everybody.
fn run(seed: u64, loss: Loss, switch: Switch, trace: Trace) -> Outcome {
    let mut world = World::new(seed, switch, trace)?;
    let outcome = judge(&mut world, loss);
    for name in 0..world.processes.len() {
        let _ = world.kill(name);
    }
    outcome
}

fn judge(world: &mut World, loss: Loss) -> Outcome {
    world.live()?;
    world.settle()?;
    world.images.clear();
    let before = world.committed.clone();
    let concerned = world.lose(loss)?;
    if matches!(loss, Loss::Inbox | Loss::InboxUnderWorkers | Loss::Offsets) {
        // What the broker has forgotten may not come back.
        world.committed.retain(|input, _| !concerned.contains(input));
    }
    world.go_on(loss)?;
    let parked = world.parked();
    let is_parked = |input: &TopicPartition| parked.iter().any(|(task, _)| task.input == *input);
    for input in &concerned {
        if !is_parked(input) {
            let detail = format!("{input} lost its data and does not park: {parked:?}");
            return Err(Violation::of("OPEN-NO-GUESS", detail));
        }
    }
    for (task, reason) in &parked {
        if !concerned.contains(&task.input) || !reason.contains("`aplomb ") {
            let detail = format!("{task} is parked, which helps nobody: {reason}");
            return Err(Violation::of("OPEN-NO-GUESS", detail));
        }
    }
    if loss == Loss::Offsets && !world.committed.is_empty() {
        let detail = format!("offsets are committed again: {:?}", world.committed);
        return Err(Violation::of("OPEN-NO-GUESS", detail));
    }
    judge_others(world, loss, &concerned, before)
}

/// The tasks that lost nothing have gone on as if nothing had happened.
fn judge_others(
    world: &mut World,
    loss: Loss,
    concerned: &[TopicPartition],
    mut before: refold::Offsets,
) -> Outcome {
    let owned: Vec<TaskId> =
        world.workers().flat_map(|worker| worker.tasks()).map(|task| task.id.clone()).collect();
    if owned.len() != world.inputs.len() {
        let detail = format!("{} of {} tasks are owned", owned.len(), world.inputs.len());
        return Err(Violation::of("TASK-SETTLES", detail));
    }
    world.stop_all()?;
    world.watch_offsets()?;
    before.retain(|input, _| !concerned.contains(input));
    let offsets = std::mem::take(&mut world.committed);
    for (input, (next, _)) in &before {
        let after = offsets.get(input).map(|(after, _)| *after);
        if loss != Loss::Offsets && after < Some(*next) {
            let detail = format!("{input} was committed at {next}, now at {after:?}");
            return Err(Violation::of("OFFSET-RISES", detail));
        }
    }
    let kept: refold::Offsets =
        offsets.into_iter().filter(|(input, _)| !concerned.contains(input)).collect();
    let application = Arc::clone(world.application());
    refold::compare(&world.log, &application, &kept, &world.images)?;
    judge_kept(world, loss, concerned)
}

/// Data that was there is there still.
fn judge_kept(world: &World, loss: Loss, concerned: &[TopicPartition]) -> Outcome {
    let disks_are_lost = matches!(loss, Loss::ChangelogAndDisks | Loss::ChangelogHeadAndDisks);
    if disks_are_lost || loss == Loss::Input {
        return Ok(());
    }
    for input in concerned.iter().filter(|input| input.topic != world.inputs[0].topic) {
        let stage = world.application().stage_of(input).unwrap_or_default();
        let Some(task) = world.application().task_id(stage, input.clone()) else { continue };
        let holds = |image: &MemoryDatabase| {
            let snapshot = image.snapshot(&task).ok().flatten();
            snapshot.is_some_and(|snapshot| snapshot.position().is_some())
        };
        if !world.processes.iter().any(|process| holds(&process.image)) {
            let detail = format!("no disk holds anything of {task} any more");
            return Err(Violation::of("OPEN-NO-GUESS", detail));
        }
    }
    Ok(())
}

#[test]
fn what_was_lost_parks_its_tasks_and_harms_no_others() {
    for loss in LOSSES {
        for seed in 0..SEEDS {
            // A process stands still, or its faults go on, in the schedules before.
            if let Err(violation) = run(seed, loss, Switch::default(), Trace::default()) {
                panic!("{loss:?}, seed {seed}: {violation}");
            }
        }
    }
}

/// The same step by step: `LOSS=Inbox SEED=3`.
#[test]
fn one_loss_step_by_step() {
    let (Ok(name), Ok(seed)) = (std::env::var("LOSS"), std::env::var("SEED")) else { return };
    let loss = LOSSES.into_iter().find(|loss| format!("{loss:?}") == name);
    if let (Some(loss), Ok(seed)) = (loss, seed.parse()) {
        println!("{:?}", run(seed, loss, Switch::default(), Trace::printed()));
    }
}
