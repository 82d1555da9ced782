//! Makes applied state durable, by time and by bytes, so that the tail to replay after a crash is
//! short whatever the size of the state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use aplomb_state::{
    backend::Database,
    ids::{TaskId, Timestamp},
};

use crate::{
    clock::Clock,
    status::{Status, TaskState},
};

const STEP: Duration = Duration::from_millis(100);

pub(super) struct Flusher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Duty {
    database: Arc<dyn Database>,
    status: Status,
    clock: Arc<dyn Clock>,
    interval_ms_max: i64,
    bytes_max: u64,
    /// Changelog records that a crash would have to replay.
    writes_max: u64,
}

/// A replay of so many writes takes a fraction of a second.
const WRITES_MAX: u64 = 50_000;

impl Flusher {
    pub(super) fn start(
        database: Arc<dyn Database>,
        status: Status,
        clock: Arc<dyn Clock>,
        interval_ms_max: u64,
        bytes_max: usize,
    ) -> Self {
        let duty = Duty {
            database,
            status,
            clock,
            interval_ms_max: i64::try_from(interval_ms_max).unwrap_or(i64::MAX),
            bytes_max: u64::try_from(bytes_max).unwrap_or(u64::MAX),
            writes_max: WRITES_MAX,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let named = thread::Builder::new().name("flusher".to_owned());
        let thread = named.spawn(move || duty.go_on(&stopped));
        let thread = thread.inspect_err(|error| tracing::error!(%error, "no flusher")).ok();
        Self { stop, thread }
    }

    /// Flushes once more and ends.
    pub(super) fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Duty {
    fn go_on(&self, stop: &AtomicBool) {
        let mut last = self.clock.now();
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            let now = self.clock.now();
            // One that failed waits for the workers, who open it anew.
            if (stopping || self.is_due(last, now)) && !self.database.has_failed() {
                last = now;
                // A worker that stands still may have lost its tasks to somebody who deletes: what
                // it holds is as of its last round.
                let as_of = self.status.turned().unwrap_or(now);
                if let Err(error) = self.database.flush(&self.current(), as_of) {
                    tracing::error!(%error, "flush failed; the database will be opened anew");
                }
            }
            if stopping {
                return;
            }
            thread::sleep(STEP);
        }
    }

    fn is_due(&self, last: Timestamp, now: Timestamp) -> bool {
        let unflushed = self.database.unflushed();
        now.0 - last.0 >= self.interval_ms_max
            || unflushed.bytes >= self.bytes_max
            || unflushed.writes >= self.writes_max
    }

    /// Tasks that are current: owned and running.
    fn current(&self) -> Vec<TaskId> {
        let tasks = self.status.tasks().into_iter();
        tasks.filter(|(_, task)| task.state == TaskState::Running).map(|(id, _)| id).collect()
    }
}
