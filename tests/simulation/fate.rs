//! What happens, as the seed has it.

use aplomb::{
    embedded::{Call, Fault},
    log::{Error, Leave},
};
use aplomb_state::{
    backend::{Database, StorePosition, Write, memory::MemoryDatabase},
    ids::{FoldVersion, Generation, Timestamp},
    store::StoreId,
};
use rand::Rng;

use crate::{
    hooks::{POINTS, Point},
    plan::{DELETE_RETENTION_MS, SESSION_TIMEOUT_MS},
    process::Place,
    violation::Outcome,
    world::World,
};

const STEP_MS: i64 = 3;
const HOUR_MS: i64 = 3_600_000;

impl World {
    /// All actions of the plan, with some rounds after each.
    pub fn live(&mut self) -> Outcome {
        let mut round = 0;
        for action in 0..self.plan.actions {
            if self.plan.upgrade_at == Some(action) {
                self.version = 1;
            }
            let now = self.clock_ms();
            self.trace.step(|| format!("{action:3} {now:>9} ms |"));
            self.act()?;
            for _ in 0..self.random.random_range(0..16) {
                let now = self.clock_ms();
                self.trace.step(|| format!("{action:3} {now:>9} ms |"));
                round += 1;
                self.round(round, STEP_MS)?;
            }
        }
        Ok(())
    }

    pub fn clock_ms(&self) -> i64 {
        self.log.now().0 - crate::plan::START.0
    }

    fn act(&mut self) -> Outcome {
        let process = self.random.random_range(0..self.processes.len());
        let number = self.random.random_range(0..self.plan.workers[process]);
        match self.random.random_range(0..100) {
            0..30 => self.load.feed(&self.log, &mut self.random),
            30..44 => self.start(process),
            44..47 => self.kill(process),
            47..55 => self.strike(process, number),
            55..58 => self.lose_commit(process, number),
            58..62 => self.stand_still(process, number),
            62..66 => {
                self.trace.say(|| format!("p{process} goes on"));
                self.wake_all(process)
            }
            66..69 => self.sleep(process, number),
            69..71 => {
                let leave = self.random.random_bool(0.5);
                self.shut_down(process, if leave { Leave::Leave } else { Leave::Stay })
            }
            71..73 => self.change_disk(process),
            73..77 => self.flush(process),
            77..80 => self.hurt_disk(process),
            80..83 => self.fill_queue(process, number),
            83..85 => self.compact(),
            85 => self.age(),
            86..91 => self.jump(),
            91..93 => self.stall(),
            93..96 => {
                self.trace.say(|| "every partition can be read again".to_owned());
                self.log.resume();
                Ok(())
            }
            96..98 => {
                let stride = self.random.random_range(1..8);
                self.trace.say(|| format!("p{process}.{number} gets one turn of {stride}"));
                if let Some(seat) = self.seat_mut(process, number) {
                    seat.stride = stride;
                }
                Ok(())
            }
            _ => self.restart(process),
        }
    }

    // --- processes

    /// The process dies at some step of the protocol.
    fn strike(&mut self, process: usize, number: usize) -> Outcome {
        let (point, after) = self.point();
        if let Some(seat) = self.seat_mut(process, number) {
            seat.hooks.kill_at(point, after);
        }
        self.trace
            .say(|| format!("p{process}.{number} will be killed at {point:?}, {after} later"));
        Ok(())
    }

    /// A worker stands still at some step of the protocol, and sees nothing of what goes on.
    fn stand_still(&mut self, process: usize, number: usize) -> Outcome {
        let (point, after) = self.point();
        if let Some(seat) = self.seat_mut(process, number)
            && matches!(seat.place, Place::Awake(_))
        {
            seat.hooks.pause_at(point, after);
        }
        self.trace
            .say(|| format!("p{process}.{number} will stand still at {point:?}, {after} later"));
        Ok(())
    }

    fn point(&mut self) -> (Point, u32) {
        let point = POINTS[self.random.random_range(0..POINTS.len())];
        let most = if point == Point::Before(Call::Send) { 20 } else { 3 };
        (point, self.random.random_range(0..most))
    }

    fn sleep(&mut self, process: usize, number: usize) -> Outcome {
        self.trace.say(|| format!("p{process}.{number} sleeps"));
        if let Some(seat) = self.seat_mut(process, number) {
            seat.sleep();
        }
        Ok(())
    }

    fn restart(&mut self, process: usize) -> Outcome {
        self.kill(process)?;
        self.start(process)
    }

    // --- the broker

    /// The answer to a commit gets lost, and the commit itself may be too.
    fn lose_commit(&mut self, process: usize, number: usize) -> Outcome {
        let fault = if self.random.random_bool(0.5) {
            Fault::After
        } else {
            Fault::Before(Error::in_doubt("the request got lost"))
        };
        self.trace.say(|| format!("p{process}.{number} will lose a commit's answer: {fault:?}"));
        if let Some(seat) = self.seat_mut(process, number) {
            seat.hooks.lose_commit(fault);
        }
        Ok(())
    }

    /// The producer's queue is full for a while, or a record is given up and arrives later.
    fn fill_queue(&mut self, process: usize, number: usize) -> Outcome {
        let sends = self.random.random_range(1..200);
        let is_late = self.random.random_bool(0.4);
        self.trace.say(|| format!("p{process}.{number}: queue full for {sends}, late: {is_late}"));
        if let Some(seat) = self.seat_mut(process, number) {
            if is_late {
                seat.hooks.delay_send();
            } else {
                seat.hooks.fill_queue(sends);
            }
        }
        Ok(())
    }

    fn compact(&mut self) -> Outcome {
        self.trace.say(|| "the changelogs are compacted".to_owned());
        let stages = self.application().stages.clone();
        for changelog in stages.iter().filter_map(|stage| stage.changelog.as_ref()) {
            // The topic is there.
            let _ = self.log.compact(changelog);
        }
        Ok(())
    }

    /// Deletions of which somebody may not have heard leave no trace any more.
    fn age(&mut self) -> Outcome {
        self.compact()?;
        self.clock.advance(DELETE_RETENTION_MS + 1);
        self.compact()
    }

    fn stall(&mut self) -> Outcome {
        let input = self.random.random_range(0..self.inputs.len());
        let input = self.inputs[input].clone();
        self.trace.say(|| format!("{input} cannot be read"));
        self.log.stall(&input);
        Ok(())
    }

    fn jump(&mut self) -> Outcome {
        let ms = match self.random.random_range(0..12) {
            0..5 => SESSION_TIMEOUT_MS / 3,
            5..8 => SESSION_TIMEOUT_MS + 500,
            8 => DELETE_RETENTION_MS / 2,
            9 | 10 => 2 * DELETE_RETENTION_MS,
            _ => HOUR_MS,
        };
        self.trace.say(|| format!("{ms} ms pass at once"));
        self.clock.advance(ms);
        Ok(())
    }

    // --- the disk

    /// It is lost, or another one comes back: as it was before, or of another life.
    fn change_disk(&mut self, process: usize) -> Outcome {
        self.kill(process)?;
        let how = self.random.random_range(0..4);
        let of = &mut self.processes[process];
        match how {
            0 | 1 => of.image = MemoryDatabase::default(),
            2 => of.image = of.backup.take().unwrap_or_default(),
            _ => disguise(&of.image),
        }
        self.trace.say(|| {
            let what = ["is lost", "is lost", "comes back old", "comes back of another life"];
            format!("the disk of p{process} {}", what[how])
        });
        Ok(())
    }

    pub fn flush(&mut self, process: usize) -> Outcome {
        let Some(life) = &self.processes[process].life else { return Ok(()) };
        self.trace.say(|| format!("p{process} flushes"));
        match self.random.random_range(0..8) {
            // A flush takes everything or nothing.
            0 => return self.kill(process),
            1 => {
                life.disk.flush(&life.current(), life.turned());
                return self.kill(process);
            }
            // In the middle of a commit, from another thread.
            2 | 3 => life.disk.flush_at_write(),
            _ => life.disk.flush(&life.current(), life.turned()),
        }
        if self.random.random_bool(0.3) {
            let image = self.processes[process].life.as_ref().map(|life| life.disk.image());
            self.processes[process].backup = image;
        }
        Ok(())
    }

    fn hurt_disk(&mut self, process: usize) -> Outcome {
        let times = self.random.random_range(1..4);
        let how = self.random.random_range(0..3);
        let Some(life) = &self.processes[process].life else { return Ok(()) };
        match how {
            0 => life.disk.fail_writes(times),
            1 => life.disk.fail_after_writes(times),
            _ => life.disk.fail_openings(times),
        }
        let what = ["writes fail", "writes are done and not answered", "openings fail"][how];
        self.trace.say(|| format!("p{process}: {times} {what}"));
        Ok(())
    }
}

/// Everything on the disk is of another life of the application, at the same offsets and with
/// other content.
fn disguise(image: &MemoryDatabase) {
    for task in image.tasks() {
        let Ok(mut store) = image.open(&task, &[]) else { continue };
        let Some(position) = store.position().cloned() else { continue };
        let foreign = StorePosition {
            generation: Generation(position.generation.0.wrapping_add(1)),
            fold_version: FoldVersion(1),
            current_as_of: Timestamp::MAX,
            restoring: false,
            ..position.clone()
        };
        let write = Write { store: StoreId(2), key: b"foreign", value: Some(&[1, 1, 0]) };
        let base = Some(position.inbox);
        // Nobody else has this image open.
        let _ = store.apply(base, &mut std::iter::once(write), &foreign);
    }
}
