//! The kernel's figures of resident memory, looked at all the time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::live::resident::{self, Resident};

const PACE: Duration = Duration::from_millis(100);

/// Of two processes, whichever run at the moment. It ends with the bench.
pub struct Watch(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    processes: [Option<u32>; 2],
    since_begin: Resident,
    of_all: u64,
}

// === impl Watch ===

impl Watch {
    pub fn start() -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            loop {
                lock(&shared).look();
                thread::sleep(PACE);
            }
        });
        Self(seen)
    }

    /// Which process runs under this number. A last look at the one before.
    pub fn set(&self, number: usize, process: Option<u32>) {
        let mut seen = lock(&self.0);
        seen.look();
        if let Some(place) = seen.processes.get_mut(number) {
            *place = process;
        }
    }

    pub fn begin(&self) {
        lock(&self.0).since_begin = Resident::default();
    }

    pub fn peak(&self) -> Resident {
        let mut seen = lock(&self.0);
        seen.look();
        seen.since_begin
    }

    pub fn highest_of_all(&self) -> u64 {
        let mut seen = lock(&self.0);
        seen.look();
        seen.of_all
    }
}

impl Seen {
    fn look(&mut self) {
        for process in self.processes.iter().flatten() {
            let Some(Resident { now, highest }) = resident::read(*process) else { continue };
            self.since_begin.now = self.since_begin.now.max(now);
            self.since_begin.highest = self.since_begin.highest.max(highest);
            self.of_all = self.of_all.max(highest);
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
