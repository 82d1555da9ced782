//! One turn of a worker, which may end in four ways or not at all: then the worker stands still on
//! a thread of its own, in the middle of a call, until it is woken. Only one thread ever runs.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use aplomb::{
    embedded::EmbeddedLog,
    worker::{Turn, Worker},
};

use crate::{
    hooks::{Gate, Hooks, Killed, Wake},
    switch::Switch,
};

pub type Crank = Box<Worker<EmbeddedLog>>;

/// How a turn ended.
pub enum End {
    Turned(Turn),
    Stopped(String),
    Killed,
    Panicked(String),
}

pub enum Ran {
    /// The worker, unless it died.
    Ended(Option<Crank>, End),
    Paused(Paused),
}

/// A worker in the middle of a call.
pub struct Paused {
    wake: Sender<Wake>,
    events: Receiver<Event>,
    thread: JoinHandle<()>,
}

enum Event {
    StandsStill,
    Ended(Option<Crank>, End),
}

/// One turn here and now.
pub fn turn(mut worker: Crank, switch: Switch) -> (Option<Crank>, End) {
    let turned = guarded(|| switch.with(|| worker.turn(Duration::ZERO)));
    match turned {
        Ok(Ok(turn)) => (Some(worker), End::Turned(turn)),
        Ok(Err(stop)) => (Some(worker), End::Stopped(stop.reason)),
        Err(end) => (None, end),
    }
}

/// Runs what may be killed.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, End> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| end_of(payload.as_ref()))
}

fn end_of(payload: &(dyn Any + Send)) -> End {
    if payload.is::<Killed>() {
        return End::Killed;
    }
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    End::Panicked(text.unwrap_or_else(|| "a panic without a text".to_owned()))
}

/// One turn that may come to stand still.
pub fn turn_or_pause(worker: Crank, hooks: &Hooks, switch: Switch) -> Ran {
    let (wake, woken) = channel();
    let (tell, events) = channel();
    let reached = tell.clone();
    let reached = Box::new(move || drop(reached.send(Event::StandsStill)));
    hooks.set_gate(Gate { reached, wake: woken });
    let thread = thread::spawn(move || {
        let (worker, end) = turn(worker, switch);
        // Nobody listens where the world has ended meanwhile.
        let _ = tell.send(Event::Ended(worker, end));
    });
    Paused { wake, events, thread }.wait()
}

impl Paused {
    pub fn go_on(self) -> Ran {
        let _ = self.wake.send(Wake::GoOn);
        self.wait()
    }

    pub fn kill(self) {
        let _ = self.wake.send(Wake::Die);
        drop(self.wait());
    }

    fn wait(self) -> Ran {
        match self.events.recv() {
            Ok(Event::StandsStill) => Ran::Paused(self),
            Ok(Event::Ended(worker, end)) => {
                let _ = self.thread.join();
                Ran::Ended(worker, end)
            }
            Err(_) => Ran::Ended(None, End::Panicked("a paused worker's thread is gone".into())),
        }
    }
}
