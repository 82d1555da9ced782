//! The thread that writes checkpoints and trims inboxes, beside the workers.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use aplomb_state::{backend::Database, ids::TaskId};

use super::background::come_last;
use crate::{
    application::Application,
    checkpoint::{self, Policy},
    clock::Clock,
    log::Log,
    status::{Status, TaskState},
};

/// Between two looks, unless the last one left something to do.
const LOOK_MS_MAX: i64 = 60_000;
const STEP: Duration = Duration::from_millis(100);

pub(super) struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start<L: Log>(
        log: L,
        application: Arc<Application>,
        database: Arc<dyn Database>,
        status: Status,
        clock: Arc<dyn Clock>,
        folder: PathBuf,
        policy: Policy,
    ) -> io::Result<Self> {
        let keeper = checkpoint::Keeper::open(log, application, database, folder, policy)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let named = thread::Builder::new().name("keeper".to_owned());
        let thread = named.spawn(move || {
            come_last();
            let look_ms = (policy.keep_ms.min(policy.interval_ms) / 4).min(LOOK_MS_MAX);
            go_on(keeper, &status, clock.as_ref(), look_ms, &stopped);
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// A checkpoint that is being written is dropped.
    pub(super) fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn go_on<L: Log>(
    mut keeper: checkpoint::Keeper<L>,
    status: &Status,
    clock: &dyn Clock,
    look_ms: i64,
    stop: &AtomicBool,
) {
    let mut next = clock.now();
    while !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        if now < next {
            thread::sleep(STEP);
            continue;
        }
        next = now.plus_ms(look_ms);
        if keeper.round(&owned(status), now, stop).written > 0 {
            // Other tasks may be due.
            next = now;
        }
    }
}

/// The tasks that run here.
fn owned(status: &Status) -> Vec<TaskId> {
    let tasks = status.tasks().into_iter();
    tasks.filter(|(_, task)| task.state == TaskState::Running).map(|(id, _)| id).collect()
}
