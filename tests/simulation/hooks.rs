//! Where a simulated worker is hit: every call to the broker and every access to its disk asks
//! here first. It may fail, be killed on the spot, or stand still until it is woken.

use std::{
    panic,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::Receiver,
    },
};

use aplomb::{
    embedded::{Call, Fault, Faults},
    log::{Class, Error},
};
use rand::{Rng, rngs::SmallRng};

use crate::trace::Trace;

/// A step of the protocol at which something can happen to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Before(Call),
    /// A store is opened.
    Open,
    /// The broker has acknowledged, the store is not written yet.
    Write,
    /// The store is written, the worker does not know it yet.
    Written,
    /// The rebuilt data is about to take the place of the old.
    Swap,
}

pub const POINTS: [Point; 14] = [
    Point::Before(Call::Init),
    Point::Before(Call::Begin),
    Point::Before(Call::Send),
    Point::Before(Call::SendOffsets),
    Point::Before(Call::Drain),
    Point::Before(Call::Commit),
    Point::Before(Call::Abort),
    Point::Before(Call::Committed),
    Point::Before(Call::Watermarks),
    Point::Before(Call::Read),
    Point::Open,
    Point::Write,
    Point::Written,
    Point::Swap,
];

/// What a killed process unwinds with.
pub struct Killed;

/// What a paused one is told.
pub enum Wake {
    GoOn,
    Die,
}

/// Where a worker stands still, and how it is woken.
pub struct Gate {
    pub reached: Box<dyn Fn() + Send>,
    pub wake: Receiver<Wake>,
}

/// At the `after`-th time that a worker comes by.
#[derive(Clone, Copy, Debug)]
struct Blow {
    at: Point,
    after: u32,
}

/// One worker's. Shared with the ends of its log and its handle to the disk.
pub struct Hooks {
    state: Mutex<State>,
    gate: Mutex<Option<Gate>>,
    /// What says that a record is to blame may come so often in one schedule: more, and the worker
    /// would be right to park a record that nobody has hurt.
    blames_left: Arc<AtomicU32>,
    trace: Trace,
    name: String,
}

struct State {
    random: SmallRng,
    /// Of one call to fail.
    probability: f64,
    kill: Option<Blow>,
    pause: Option<Blow>,
    /// So many sends find the queue full.
    queue_full: u32,
    /// The answer of the next commit is lost, or the commit itself.
    lose_commit: Option<Fault>,
    late: bool,
}

impl Hooks {
    pub fn new(
        name: String,
        random: SmallRng,
        probability: f64,
        blames_left: Arc<AtomicU32>,
        trace: Trace,
    ) -> Arc<Self> {
        let state = State {
            random,
            probability,
            kill: None,
            pause: None,
            queue_full: 0,
            lose_commit: None,
            late: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            gate: Mutex::new(None),
            blames_left,
            trace,
            name,
        })
    }

    /// Nothing happens to this worker any more.
    pub fn calm(&self) {
        let mut state = self.state();
        state.probability = 0.0;
        state.kill = None;
        state.pause = None;
        state.queue_full = 0;
        state.lose_commit = None;
        state.late = false;
    }

    pub fn kill_at(&self, at: Point, after: u32) {
        self.state().kill = Some(Blow { at, after });
    }

    pub fn pause_at(&self, at: Point, after: u32) {
        self.state().pause = Some(Blow { at, after });
    }

    pub fn is_to_pause(&self) -> bool {
        self.state().pause.is_some()
    }

    pub fn fill_queue(&self, sends: u32) {
        self.state().queue_full = sends;
    }

    pub fn lose_commit(&self, fault: Fault) {
        self.state().lose_commit = Some(fault);
    }

    pub fn delay_send(&self) {
        self.state().late = true;
    }

    pub fn set_gate(&self, gate: Gate) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate);
    }

    /// The worker comes by.
    pub fn pass(&self, point: Point) {
        let (kill, pause) = {
            let mut state = self.state();
            (is_due(&mut state.kill, point), is_due(&mut state.pause, point))
        };
        if kill {
            self.trace.say(|| format!("{} is killed at {point:?}", self.name));
            panic::resume_unwind(Box::new(Killed));
        }
        if pause {
            self.stand_still(point);
        }
    }

    fn stand_still(&self, point: Point) {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(gate) = gate else { return };
        self.trace.say(|| format!("{} stands still at {point:?}", self.name));
        (gate.reached)();
        match gate.wake.recv() {
            Ok(Wake::GoOn) => self.trace.say(|| format!("{} goes on", self.name)),
            Ok(Wake::Die) | Err(_) => panic::resume_unwind(Box::new(Killed)),
        }
    }

    fn fault(&self, call: Call) -> Option<Fault> {
        let mut state = self.state();
        if call == Call::Send && state.queue_full > 0 {
            state.queue_full -= 1;
            return Some(Fault::QueueFull);
        }
        if call == Call::Send && std::mem::take(&mut state.late) {
            return Some(Fault::Late);
        }
        if call == Call::Commit
            && let Some(fault) = state.lose_commit.take()
        {
            return Some(fault);
        }
        let probability = state.probability;
        if probability == 0.0 || !state.random.random_bool(probability) {
            return None;
        }
        let kind = state.random.random_range(0..8);
        drop(state);
        Some(self.random_fault(call, kind))
    }

    fn random_fault(&self, call: Call, kind: u32) -> Fault {
        let is_question = matches!(call, Call::Committed | Call::Watermarks | Call::Read);
        let before = |class| Fault::Before(Error::new(class, "the simulator wants it so"));
        match kind {
            _ if is_question => before(Class::Retry),
            0 => before(Class::Retry),
            1 if self
                .blames_left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok() =>
            {
                before(Class::Abort)
            }
            1 | 2 => Fault::Before(Error {
                blameless: true,
                ..Error::new(Class::Abort, "the simulator wants it so")
            }),
            3 => before(Class::Migrated),
            4 => Fault::Before(Error::in_doubt("the request got lost")),
            5 | 6 => Fault::After,
            _ if call == Call::Send => Fault::QueueFull,
            _ => Fault::After,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Faults for Hooks {
    fn decide(&self, _: &str, call: Call) -> Option<Fault> {
        self.pass(Point::Before(call));
        let fault = self.fault(call);
        if let Some(fault) = &fault {
            self.trace.say(|| format!("{}: {call} meets {fault:?}", self.name));
        }
        fault
    }
}

fn is_due(blow: &mut Option<Blow>, point: Point) -> bool {
    match blow {
        Some(planned) if planned.at == point && planned.after == 0 => {
            *blow = None;
            true
        }
        Some(planned) if planned.at == point => {
            planned.after -= 1;
            false
        }
        _ => false,
    }
}
