//! The processes, the log between them, and what is looked at after every turn.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::AtomicU32},
    time::Duration,
};

use aplomb::{
    application::Application,
    clock::Clock,
    embedded::{EmbeddedLog, VirtualClock},
    log::{Committed, Leave, Log, Member},
    position::Metadata,
    runtime::Unowned,
    worker::{Parts, Shared, Turn, Worker},
};
use aplomb_state::{
    backend::{Database, memory::MemoryDatabase},
    ids::{Generation, NextOffset, TaskId, Timestamp, TopicPartition},
};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    disk::Disk,
    hooks::Hooks,
    load::Load,
    plan::{Plan, START},
    process::{Life, Place, Process, Seat, Skewed},
    running::{self, Crank, End, Ran},
    switch::Switch,
    trace::Trace,
    violation::{Alarm, Outcome, Violation},
};

/// How wrong a machine's clock may be.
const SKEW_MS_MAX: i64 = 300;
/// Partitions that nobody owns for so long make a member join anew.
const UNOWNED_AFTER_MS: i64 = 2_000;
/// How often a process looks for such.
const LOOK_EVERY_MS: i64 = 500;
/// A schedule hurts no single record more often than this.
const BLAMES_MAX: u32 = 4;
/// The process that has the identity of another, where there is one.
pub const TWIN: usize = 3;
/// Disks to be compared with the fold of their inboxes.
const IMAGES_MAX: usize = 24;

pub struct World {
    pub plan: Plan,
    pub log: EmbeddedLog,
    pub clock: VirtualClock,
    pub processes: Vec<Process>,
    pub load: Load,
    pub random: SmallRng,
    pub trace: Trace,
    pub switch: Switch,
    /// Which of the plan's applications a process starts with.
    pub version: usize,
    /// Disks as they were left by those who died.
    pub images: Vec<(String, MemoryDatabase)>,
    pub inputs: Vec<TopicPartition>,
    pub committed: BTreeMap<TopicPartition, (NextOffset, Generation)>,
    /// Stores opened in all lives that are over.
    pub opened: usize,
    alarm: Alarm,
    blames_left: Arc<AtomicU32>,
    started: u64,
    /// When the processes look for partitions without an owner again.
    look_at: Timestamp,
}

// === setting up ===

impl World {
    pub fn new(seed: u64, switch: Switch, trace: Trace) -> Outcome<Self> {
        let (plan, random) = Plan::of(seed)?;
        let clock = VirtualClock::starting_at(START);
        let log = EmbeddedLog::with_settings(clock.clone(), plan.settings);
        let created = log.create_topics(&plan.topics);
        created.map_err(|error| Violation::of("SIMULATOR", error.to_string()))?;
        let application = &plan.applications[0];
        let mut inputs = application.external_partitions();
        inputs.extend(application.inbox_partitions());
        let processes = (0..plan.workers.len()).map(Process::new).collect();
        let load = Load::new(plan.kind, seed, START);
        Ok(Self {
            plan,
            log,
            clock,
            processes,
            load,
            random,
            trace,
            switch,
            version: 0,
            images: Vec::new(),
            inputs,
            committed: BTreeMap::new(),
            opened: 0,
            alarm: Alarm::default(),
            blames_left: Arc::new(AtomicU32::new(BLAMES_MAX)),
            started: 0,
            look_at: START,
        })
    }

    pub fn application(&self) -> &Arc<Application> {
        &self.plan.applications[self.version]
    }

    fn broken(error: impl ToString) -> Violation {
        Violation::of("SIMULATOR", error.to_string())
    }

    /// Starts a process that is down.
    pub fn start(&mut self, name: usize) -> Outcome {
        if self.processes[name].life.is_some() {
            return Ok(());
        }
        let skew_ms = self.random.random_range(-SKEW_MS_MAX..=SKEW_MS_MAX);
        let version = self.version;
        self.trace.say(|| format!("p{name} starts with version {version}, skew {skew_ms} ms"));
        let disk = Disk::start(&self.processes[name].image, self.alarm.clone());
        let clock = Skewed::by(&self.clock, skew_ms);
        let shared = Arc::new(Shared::default());
        let mut seats = Vec::new();
        for number in 0..self.plan.workers[name] {
            seats.push(self.seat(name, number, &disk, &clock, &shared)?);
        }
        let unowned = Unowned::after_ms(UNOWNED_AFTER_MS);
        self.processes[name].life = Some(Life { disk, clock, shared, unowned, seats });
        Ok(())
    }

    fn seat(
        &mut self,
        process: usize,
        number: usize,
        disk: &Arc<Disk>,
        clock: &Skewed,
        shared: &Arc<Shared>,
    ) -> Outcome<Seat> {
        let name = format!("p{process}.{number}");
        // The twin says that it is the first worker of the first process.
        let identity =
            if process == TWIN { format!("p0.{number}") } else { format!("p{process}.{number}") };
        let hooks = Hooks::new(
            name,
            SmallRng::seed_from_u64(self.random.random()),
            self.plan.fault_probability,
            Arc::clone(&self.blames_left),
            self.trace.clone(),
        );
        self.started += 1;
        let application = Arc::clone(self.application());
        let worker = Worker::start(Parts {
            log: self.log.with_faults(hooks.clone()),
            database: disk.handle(&hooks),
            clock: Arc::new(clock.clone()) as Arc<dyn Clock>,
            member: Member {
                group: application.id.clone(),
                instance_id: self.plan.is_static.then(|| identity.clone()),
            },
            transactional_id: format!("words-{identity}"),
            seed: self.plan.seed.wrapping_mul(1_000).wrapping_add(self.started),
            shared: Arc::clone(shared),
            report: None,
            application,
        });
        let worker = Box::new(worker.map_err(Self::broken)?);
        Ok(Seat { place: Place::Awake(worker), hooks, stride: 1, turned: clock.now() })
    }
}

// === the ends of a process ===

impl World {
    /// The process is gone in the middle of whatever it did.
    pub fn kill(&mut self, name: usize) -> Outcome {
        let Some(life) = self.processes[name].life.take() else { return Ok(()) };
        self.trace.say(|| format!("p{name} is dead"));
        let Life { disk, seats, .. } = life;
        for seat in seats {
            if let Place::Paused(paused) = seat.place {
                paused.kill();
            }
        }
        self.bury(name, &disk, disk.image())
    }

    /// The process ends in good order.
    pub fn shut_down(&mut self, name: usize, leave: Leave) -> Outcome {
        self.wake_all(name)?;
        let Some(life) = self.processes[name].life.take() else { return Ok(()) };
        self.trace.say(|| format!("p{name} shuts down: {leave:?}"));
        let switch = self.switch;
        let mut is_killed = false;
        let disk = Arc::clone(&life.disk);
        for seat in life.seats {
            if let (Place::Awake(worker), false) = (seat.place, is_killed) {
                match running::guarded(|| switch.with(|| worker.shut_down(leave))) {
                    // A commit that fails at the end is dropped; the group goes on either way.
                    Ok(_) => {}
                    Err(End::Panicked(text)) => return Err(Violation::of("NO-PANIC", text)),
                    Err(_) => is_killed = true,
                }
            }
        }
        if !is_killed {
            disk.flush(&[], self.clock.now());
        }
        self.bury(name, &disk, disk.image())
    }

    fn bury(&mut self, name: usize, disk: &Arc<Disk>, image: MemoryDatabase) -> Outcome {
        self.opened += disk.opened();
        if disk.open() != 0 {
            let detail = format!("p{name} left {} stores open", disk.open());
            return Err(Violation::of("STORE-CLOSED", detail));
        }
        // A kill leaves less; what was applied by then must be right as well.
        self.keep(format!("p{name}, as applied"), disk.live.copy());
        self.keep(format!("p{name}, as flushed"), image.copy());
        self.processes[name].image = image;
        self.alarm.check()
    }

    /// To be compared with the fold in the end.
    pub fn keep(&mut self, label: String, image: MemoryDatabase) {
        if self.images.len() < IMAGES_MAX {
            self.images.push((label, image));
        }
    }

    /// Whoever sleeps or stands still goes on.
    pub fn wake_all(&mut self, name: usize) -> Outcome {
        let seats = self.processes[name].life.as_ref().map_or(0, |life| life.seats.len());
        for number in 0..seats {
            self.resume(name, number)?;
            if let Some(seat) = self.seat_mut(name, number) {
                seat.wake();
            }
        }
        Ok(())
    }

    /// Whoever stands still in the middle of a call goes on.
    pub fn resume(&mut self, name: usize, number: usize) -> Outcome {
        let Some(seat) = self.seat_mut(name, number) else { return Ok(()) };
        match std::mem::replace(&mut seat.place, Place::Empty) {
            Place::Paused(paused) => {
                let ran = paused.go_on();
                self.ended(name, number, ran).map(drop)
            }
            other => {
                seat.place = other;
                Ok(())
            }
        }
    }

    pub fn seat_mut(&mut self, name: usize, number: usize) -> Option<&mut Seat> {
        self.processes[name].life.as_mut()?.seats.get_mut(number)
    }
}

// === turns ===

impl World {
    /// One turn of one worker, if it is awake.
    pub fn turn(&mut self, name: usize, number: usize) -> Outcome<Turn> {
        let switch = self.switch;
        let _said = tracing::info_span!("turn", of = format!("{name}.{number}")).entered();
        let Some(life) = &mut self.processes[name].life else { return Ok(Turn::Idle) };
        let now = life.clock.now();
        let Some(seat) = life.seats.get_mut(number) else { return Ok(Turn::Idle) };
        let worker = match std::mem::replace(&mut seat.place, Place::Empty) {
            Place::Awake(worker) => worker,
            other => {
                seat.place = other;
                return Ok(Turn::Idle);
            }
        };
        seat.turned = now;
        let ran = if seat.hooks.is_to_pause() {
            running::turn_or_pause(worker, &seat.hooks, switch)
        } else {
            let (worker, end) = running::turn(worker, switch);
            Ran::Ended(worker, end)
        };
        self.ended(name, number, ran)
    }

    fn ended(&mut self, name: usize, number: usize, ran: Ran) -> Outcome<Turn> {
        let mut turn = Turn::Busy;
        match ran {
            Ran::Paused(paused) => self.sit(name, number, Place::Paused(paused)),
            Ran::Ended(worker, end) => {
                if let Some(worker) = worker {
                    self.sit(name, number, Place::Awake(worker));
                }
                match end {
                    End::Turned(turned) => turn = turned,
                    End::Stopped(reason) => {
                        self.trace.say(|| format!("p{name}.{number} stopped: {reason}"));
                        // Nothing else that is done to a worker is a reason to give up.
                        if !reason.contains("another process uses") {
                            return Err(Violation::of("WORKER-GOES-ON", reason));
                        }
                        self.kill(name)?;
                        if name != TWIN {
                            self.start(name)?;
                        }
                    }
                    End::Killed => self.kill(name)?,
                    End::Panicked(text) => return Err(Violation::of("NO-PANIC", text)),
                }
            }
        }
        self.watch(name)?;
        Ok(turn)
    }

    fn sit(&mut self, name: usize, number: usize, place: Place) {
        if let Some(seat) = self.seat_mut(name, number) {
            seat.place = place;
        }
    }

    /// What must be so after every turn.
    fn watch(&mut self, name: usize) -> Outcome {
        self.alarm.check()?;
        self.watch_offsets()?;
        let Some(life) = &self.processes[name].life else { return Ok(()) };
        life.disk.watch()?;
        for task in life.disk.live.tasks() {
            self.watch_store(&life.disk.live, &task)?;
        }
        let (open, held) = (life.disk.open(), life.stores());
        if !life.is_paused() && open != held {
            let detail = format!("p{name}: {open} stores are open, {held} are held by tasks");
            return Err(Violation::of("STORE-CLOSED", detail));
        }
        Ok(())
    }

    /// Committed offsets never go back, and stay in one generation.
    pub fn watch_offsets(&mut self) -> Outcome {
        let group = &self.plan.applications[0].id;
        let stable = self.log.stable(group, &self.inputs);
        for (input, committed) in self.inputs.iter().zip(stable) {
            let Committed::At { next, metadata } = committed else { continue };
            let metadata = Metadata::parse(&metadata)
                .map_err(|error| Violation::of("OFFSET-RISES", format!("{input}: {error}")))?;
            let now = (next, metadata.generation);
            let Some(before) = self.committed.insert(input.clone(), now) else { continue };
            if next < before.0 || metadata.generation != before.1 {
                let detail = format!("{input}: from {before:?} to {now:?}");
                return Err(Violation::of("OFFSET-RISES", detail));
            }
            if next > before.0 {
                self.trace.say(|| format!("{input} is committed at {next}"));
            }
        }
        Ok(())
    }

    /// No store is ahead of what is committed.
    fn watch_store(&self, database: &MemoryDatabase, task: &TaskId) -> Outcome {
        let snapshot = database.snapshot(task).ok().flatten();
        let position = snapshot.as_ref().and_then(|snapshot| snapshot.position());
        let (Some(position), Some((next, generation))) =
            (position, self.committed.get(&task.input))
        else {
            return Ok(());
        };
        if position.generation == *generation && position.inbox > *next {
            let detail = format!("{task}: {position:?}, committed {next}");
            return Err(Violation::of("STORE-BEHIND", detail));
        }
        Ok(())
    }
}

// === rounds ===

impl World {
    /// One round: every worker that is awake and whose turn it is, in an order of the seed.
    pub fn round(&mut self, round: usize, step_ms: i64) -> Outcome<Turn> {
        let mut order: Vec<(usize, usize)> = Vec::new();
        for process in &self.processes {
            let Some(life) = &process.life else { continue };
            for (number, seat) in life.seats.iter().enumerate() {
                if round.is_multiple_of(seat.stride) {
                    order.push((process.name, number));
                }
            }
        }
        for index in (1..order.len()).rev() {
            order.swap(index, self.random.random_range(0..=index));
        }
        let mut all = Turn::Idle;
        for (name, number) in order {
            if self.turn(name, number)? == Turn::Busy {
                all = Turn::Busy;
            }
        }
        self.look_for_owners();
        self.clock.advance(step_ms);
        Ok(all)
    }

    /// What each process's watcher does, where membership is static.
    fn look_for_owners(&mut self) {
        let now = self.clock.now();
        if !self.plan.is_static || now < self.look_at {
            return;
        }
        self.look_at = now.plus_ms(LOOK_EVERY_MS);
        let group = self.plan.applications[0].id.clone();
        // The embedded log always answers this.
        let Ok(group) = self.log.describe_group(&group, Duration::ZERO) else { return };
        for process in &mut self.processes {
            let Some(life) = &mut process.life else { continue };
            if let Some(member) = life.unowned.look(&group, &self.inputs, now) {
                self.trace.say(|| format!("p{} wants {member} to join anew", process.name));
                let told = life.shared.rejoin.lock();
                *told.unwrap_or_else(PoisonError::into_inner) = Some(member);
            }
        }
    }

    pub fn workers(&self) -> impl Iterator<Item = &Crank> {
        let lives = self.processes.iter().filter_map(|process| process.life.as_ref());
        lives.flat_map(|life| life.seats.iter().filter_map(Seat::worker))
    }

    /// Why tasks are parked.
    pub fn parked(&self) -> Vec<(TaskId, String)> {
        self.workers().flat_map(|worker| worker.parked()).collect()
    }
}
