//! The kernel's figures of resident memory, looked at all the time.

use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

const PACE: Duration = Duration::from_millis(100);

/// Of two processes, whichever run at the moment. It ends with the bench.
pub struct Watch(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    processes: [Option<u32>; 2],
    since_begin: Peak,
    of_all: u64,
}

/// In MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peak {
    /// As looked at.
    pub resident: u64,
    /// The highest mark since the start of a process.
    pub highest: u64,
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
        lock(&self.0).since_begin = Peak::default();
    }

    pub fn peak(&self) -> Peak {
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
            let Some(Peak { resident, highest }) = read(*process) else { continue };
            self.since_begin.resident = self.since_begin.resident.max(resident);
            self.since_begin.highest = self.since_begin.highest.max(highest);
            self.of_all = self.of_all.max(highest);
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None`: it is no more.
fn read(process: u32) -> Option<Peak> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mib = |field: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib.div_ceil(1_024))
    };
    Some(Peak { resident: mib("VmRSS:")?, highest: mib("VmHWM:")? })
}
