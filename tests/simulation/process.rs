//! One process: its disk, which outlives it, and its workers, which do not.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use aplomb::{
    clock::Clock,
    embedded::VirtualClock,
    runtime::Unowned,
    task::{State, Task},
    worker::Shared,
};
use aplomb_state::{
    backend::memory::MemoryDatabase,
    ids::{TaskId, Timestamp},
};

use crate::{
    disk::Disk,
    hooks::Hooks,
    running::{Crank, Paused},
};

pub struct Process {
    pub name: usize,
    /// What the disk holds while the process is down.
    pub image: MemoryDatabase,
    /// What it held at some time.
    pub backup: Option<MemoryDatabase>,
    pub life: Option<Life>,
}

/// From its start to its end.
pub struct Life {
    pub disk: Arc<Disk>,
    pub clock: Skewed,
    pub shared: Arc<Shared>,
    /// What the process's watcher of owners has seen.
    pub unowned: Unowned,
    pub seats: Vec<Seat>,
}

/// The place of one worker.
pub struct Seat {
    pub place: Place,
    pub hooks: Arc<Hooks>,
    /// It gets every so many rounds one turn.
    pub stride: usize,
    /// When it had its last, by its own clock.
    pub turned: Timestamp,
}

pub enum Place {
    Awake(Crank),
    Asleep(Crank),
    Paused(Paused),
    /// Its worker is being run.
    Empty,
}

/// The log's clock as a machine that is a little wrong has it.
#[derive(Clone)]
pub struct Skewed {
    clock: VirtualClock,
    skew_ms: Arc<AtomicI64>,
}

impl Skewed {
    pub fn by(clock: &VirtualClock, skew_ms: i64) -> Self {
        Self { clock: clock.clone(), skew_ms: Arc::new(AtomicI64::new(skew_ms)) }
    }
}

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        self.clock.now().plus_ms(self.skew_ms.load(Ordering::Relaxed))
    }
}

impl Process {
    pub fn new(name: usize) -> Self {
        Self { name, image: MemoryDatabase::default(), backup: None, life: None }
    }
}

impl Life {
    /// The tasks of workers that are not in the middle of a turn.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.seats.iter().filter_map(Seat::worker).flat_map(|worker| worker.tasks())
    }

    /// What the flusher believes to be current.
    pub fn current(&self) -> Vec<TaskId> {
        let running = |task: &&Task| matches!(task.state, State::Running(_)) && task.stage > 0;
        self.tasks().filter(running).map(|task| task.id.clone()).collect()
    }

    /// As of when the flusher knows that.
    pub fn turned(&self) -> Timestamp {
        self.seats.iter().map(|seat| seat.turned).min().unwrap_or(Timestamp::MIN)
    }

    pub fn is_paused(&self) -> bool {
        self.seats.iter().any(|seat| matches!(seat.place, Place::Paused(_)))
    }

    /// How many stores its tasks hold.
    pub fn stores(&self) -> usize {
        let holds = |task: &&Task| match &task.state {
            State::Running(running) => running.store.is_some(),
            State::Restoring(_) => true,
            State::Opening { .. } | State::Parked { .. } => false,
        };
        self.tasks().filter(holds).count()
    }
}

impl Seat {
    pub fn worker(&self) -> Option<&Crank> {
        match &self.place {
            Place::Awake(worker) | Place::Asleep(worker) => Some(worker),
            Place::Paused(_) | Place::Empty => None,
        }
    }

    pub fn sleep(&mut self) {
        self.place = match std::mem::replace(&mut self.place, Place::Empty) {
            Place::Awake(worker) => Place::Asleep(worker),
            other => other,
        };
    }

    pub fn wake(&mut self) {
        self.place = match std::mem::replace(&mut self.place, Place::Empty) {
            Place::Asleep(worker) => Place::Awake(worker),
            other => other,
        };
    }
}
