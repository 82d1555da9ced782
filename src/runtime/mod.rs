//! One process: its state folder, its workers, its flusher, its HTTP server, and how all of that
//! starts and stops.

mod background;
mod flusher;
mod identity;
mod keeper;
mod lag;
mod owners;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use aplomb_state::{
    backend::{
        Database,
        rocks::{Budget, RocksDatabase},
    },
    topology::Topology,
};

pub use self::{identity::Identity, owners::Unowned};
use crate::{
    application::Application,
    checkpoint::Policy,
    clock::{Clock, SystemClock},
    config::{Config, Inbox},
    http,
    kafka::KafkaLog,
    letters,
    log::{Leave, Log, Member, Producer},
    metrics, names,
    status::Status,
    topics,
    worker::{Parts, Shared, Turn, Worker, report::Reporter},
};

/// A transaction left by a predecessor is settled within so long at start.
const SETTLE_WAIT: Duration = Duration::from_secs(30);

/// Why the process cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state folder cannot be used.
    #[error("state folder: {0}")]
    State(String),
    /// The broker said no, or cannot be reached.
    #[error("kafka: {0}; is kafka.bootstrap right, and the broker there?")]
    Log(#[from] crate::log::Error),
    /// Topics are not as planned; nothing was started.
    #[error("the topics are not as the configuration needs them:\n{0}")]
    Topics(String),
    #[error("http: {address}: {error}; choose another http.listen")]
    Http { address: std::net::SocketAddr, error: std::io::Error },
    #[error("http.token_file {}: {reason}", .path.display())]
    Token { path: PathBuf, reason: String },
    /// A worker met something that no other turn will mend.
    #[error("{0}")]
    Stopped(String),
}

/// Connects as the configuration says.
pub fn connect(config: &Config) -> Result<KafkaLog, Error> {
    Ok(KafkaLog::connect(config.kafka_settings())?)
}

/// The application on the broker's partition counts. `Err` names what is missing.
pub fn application(
    config: &Config,
    topology: Topology,
    log: &impl Log,
) -> Result<Application, Error> {
    let partitions = topics::input_partitions(log, &config.external_topics())?;
    let document = config.document(&partitions).map_err(|missing| {
        Error::Topics(format!("input topics that do not exist: {}", missing.join(", ")))
    })?;
    Ok(Application::new(topology, &config.naming(), document, config.start, config.tuning()))
}

/// Runs until `stop` is set, then commits, leaves the stores closed and returns. With `drain` set
/// before it, static members leave the group, too.
pub fn run(
    config: &Config,
    topology: Topology,
    stop: &Arc<AtomicBool>,
    drain: &Arc<AtomicBool>,
) -> Result<(), Error> {
    let prepared = {
        let config = config.clone();
        unless_stopped(stop, move || prepare(&config, topology))?
    };
    let Some(Prepared { identity, log, application }) = prepared else { return Ok(()) };
    let database = open_database(config)?;
    let status = Status::new(
        &application.id,
        application.topology.clone(),
        application.inbox_partitions,
        Arc::clone(&database),
    );
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let letters = letters::OnLog::new(log.clone(), &application);
    let server = Serving::start(config, &status, &clock, letters)?;
    let shared = Arc::new(Shared::default());
    let watcher = lag::Watcher::start(log.clone(), Arc::clone(&application), Arc::clone(&shared));
    // A dynamic member that comes back is a new one: that is a rebalance by itself.
    let owners = config.application.ordinal.map(|_| {
        let (application, clock) = (Arc::clone(&application), Arc::clone(&clock));
        owners::Watcher::start(log.clone(), application, clock, Arc::clone(&shared))
    });
    let flusher = flusher::Flusher::start(
        Arc::clone(&database),
        status.clone(),
        Arc::clone(&clock),
        config.worker.flush_interval_ms_max,
        config.worker.flush_bytes_max,
    );
    let keeper = start_keeper(config, &log, &application, &database, &status, &clock)?;
    let parts = |number: usize| Parts {
        application: Arc::clone(&application),
        log: log.clone(),
        database: Arc::clone(&database),
        clock: Arc::clone(&clock),
        member: Member { group: application.id.clone(), instance_id: identity.instance_id(number) },
        transactional_id: identity.transactional_id(number),
        seed: identity.seed(number),
        shared: Arc::clone(&shared),
        report: Some(Reporter::new(status.clone(), number)),
    };
    let wait = Duration::from_millis(config.worker.poll_wait_ms_max);
    let workers = Workers::start(config.worker.threads, parts, wait, drain);
    let outcome = workers.join(stop, &shared, config);
    if let Err(error) = &outcome {
        status.fatal(error.to_string());
    }
    watcher.stop();
    if let Some(owners) = owners {
        owners.stop();
    }
    keeper.stop();
    flusher.stop();
    server.stop();
    outcome
}

fn start_keeper(
    config: &Config,
    log: &KafkaLog,
    application: &Arc<Application>,
    database: &Arc<dyn Database>,
    status: &Status,
    clock: &Arc<dyn Clock>,
) -> Result<keeper::Keeper, Error> {
    let folder = names::checkpoints_dir(&config.application.state_dir);
    let failed = |error| Error::State(format!("{}: {error}", folder.display()));
    let Inbox { keep_ms, checkpoint_interval_ms: interval_ms } = config.inbox;
    keeper::Keeper::start(
        log.clone(),
        Arc::clone(application),
        Arc::clone(database),
        status.clone(),
        Arc::clone(clock),
        folder.clone(),
        Policy { keep_ms, interval_ms },
    )
    .map_err(failed)
}

/// What a start needs of the broker.
struct Prepared {
    identity: Identity,
    log: KafkaLog,
    application: Arc<Application>,
}

fn prepare(config: &Config, topology: Topology) -> Result<Prepared, Error> {
    let mut identity = Identity::take(&config.application, config.worker.threads)?;
    identity.sign()?;
    let log = connect(config)?;
    let (settled, application) = thread::scope(|scope| {
        let settled = scope.spawn(|| settle(&log, &identity));
        let application = check_topics(config, &topology, &log)
            .and_then(|()| application(config, topology, &log).map(Arc::new));
        (settled.join(), application)
    });
    let application = application?;
    settled.map_err(|_| Error::Stopped("settling panicked".to_owned()))??;
    identity.remember()?;
    Ok(Prepared { identity, log, application })
}

/// Does work that waits for the broker on a thread of its own, so that a stop counts meanwhile:
/// `None`. The thread then ends with the process.
fn unless_stopped<T: Send + 'static>(
    stop: &AtomicBool,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<Option<T>, Error> {
    let (report, outcome) = mpsc::channel();
    let named = thread::Builder::new().name("start".to_owned());
    let spawned = named.spawn(move || {
        let _ = report.send(work());
    });
    spawned.map_err(|error| Error::Stopped(format!("no thread: {error}")))?;
    while !stop.load(Ordering::Relaxed) {
        match outcome.recv_timeout(Duration::from_millis(20)) {
            Ok(outcome) => return outcome.map(Some),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Error::Stopped("the start panicked".to_owned()));
            }
        }
    }
    Ok(None)
}

fn check_topics(config: &Config, topology: &Topology, log: &KafkaLog) -> Result<(), Error> {
    let plan = topics::plan(topology, &config.naming());
    let inputs = config.external_topics();
    let differences = topics::differences(log, &plan, &inputs)?;
    if differences.is_empty() {
        return Ok(());
    }
    let mut text = Vec::new();
    let bootstrap = &config.kafka.bootstrap;
    let _ = topics::print_check(&differences, bootstrap, &mut text);
    Err(Error::Topics(String::from_utf8_lossy(&text).trim_end().to_owned()))
}

/// Ends what processes with our identity left open, before any offset is read.
fn settle(log: &KafkaLog, identity: &Identity) -> Result<(), Error> {
    let settle = |id: &String| {
        tracing::info!(transactional_id = %id, "settling what an earlier process left");
        Ok(log.producer(id)?.init_transactions(SETTLE_WAIT)?)
    };
    thread::scope(|scope| {
        let ids = identity.remembered().iter();
        let threads: Vec<_> = ids.map(|id| scope.spawn(move || settle(id))).collect();
        let panicked = |_| Err(Error::Stopped("settling panicked".to_owned()));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    })
}

fn open_database(config: &Config) -> Result<Arc<dyn Database>, Error> {
    let folder = names::database_dir(&config.application.state_dir);
    let budget = Budget { memory_bytes: config.memory.database_bytes(), ..Budget::default() };
    let database = RocksDatabase::open(&folder, budget)
        .map_err(|error| Error::State(format!("{}: {error}", folder.display())))?;
    Ok(Arc::new(database))
}

/// The worker threads.
struct Workers {
    threads: Vec<JoinHandle<()>>,
    outcomes: mpsc::Receiver<Result<(), Error>>,
    stopping: Arc<AtomicBool>,
}

impl Workers {
    fn start(
        count: usize,
        parts: impl Fn(usize) -> Parts<KafkaLog>,
        wait: Duration,
        drain: &Arc<AtomicBool>,
    ) -> Self {
        let (report, outcomes) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let threads = (0..count)
            .filter_map(|number| {
                let (parts, report) = (parts(number), report.clone());
                let (stopping, drain) = (Arc::clone(&stopping), Arc::clone(drain));
                let named = thread::Builder::new().name(format!("worker-{number}"));
                let body = move || {
                    let outcome = work(parts, wait, &stopping, &drain);
                    let _ = report.send(outcome);
                };
                named.spawn(body).inspect_err(|error| tracing::error!(%error, "no thread")).ok()
            })
            .collect();
        Self { threads, outcomes, stopping }
    }

    /// Waits for `stop`, or for a worker that ended, and ends the others.
    fn join(self, stop: &Arc<AtomicBool>, shared: &Shared, config: &Config) -> Result<(), Error> {
        let mut outcome = Ok(());
        let mut ended = 0;
        while !stop.load(Ordering::Acquire) {
            match self.outcomes.recv_timeout(Duration::from_millis(50)) {
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(ending) => {
                    ended += 1;
                    outcome = ending;
                    break;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        self.stopping.store(true, Ordering::Release);
        shared.stop.store(true, Ordering::Relaxed);
        let deadline = Duration::from_millis(config.worker.shutdown_ms_max);
        while ended < self.threads.len() {
            match self.outcomes.recv_timeout(deadline) {
                Ok(ending) => {
                    ended += 1;
                    outcome = outcome.and(ending);
                }
                Err(_) => {
                    let reason = "a worker did not stop within worker.shutdown_ms_max; its open \
                                  transaction is settled by the next start";
                    return Err(Error::Stopped(reason.to_owned()));
                }
            }
        }
        for thread in self.threads {
            let _ = thread.join();
        }
        outcome
    }
}

fn work(
    parts: Parts<KafkaLog>,
    wait: Duration,
    stopping: &AtomicBool,
    drain: &AtomicBool,
) -> Result<(), Error> {
    let is_static = parts.member.instance_id.is_some();
    let mut worker = Worker::start(parts)?;
    let mut turn = Turn::Busy;
    while !stopping.load(Ordering::Acquire) {
        let wait = if turn == Turn::Idle { wait } else { Duration::ZERO };
        turn = worker.turn(wait).map_err(|stop| Error::Stopped(stop.reason))?;
    }
    // A static member keeps its place over a restart; only `aplomb drain` gives it up.
    let stays = is_static && !drain.load(Ordering::Relaxed);
    Ok(worker.shut_down(if stays { Leave::Stay } else { Leave::Leave })?)
}

/// An empty token would let everybody in.
fn read_token(path: &Path) -> Result<String, Error> {
    let failed = |reason: String| Error::Token { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    match text.trim() {
        "" => Err(failed("it is empty".to_owned())),
        token => Ok(token.to_owned()),
    }
}

/// The HTTP server on a runtime of its own.
struct Serving {
    runtime: tokio::runtime::Runtime,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Serving {
    fn start(
        config: &Config,
        status: &Status,
        clock: &Arc<dyn Clock>,
        letters: Option<letters::OnLog<KafkaLog>>,
    ) -> Result<Self, Error> {
        let address = config.http.listen;
        let failed = |error| Error::Http { address, error };
        let token = config.http.token_file.as_deref().map(read_token).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(failed)?;
        let metrics =
            metrics::install().inspect_err(|reason| tracing::error!(%reason, "no metrics")).ok();
        let bound =
            http::Server::bind(config.http.listen, status.clone(), metrics, Arc::clone(clock));
        let mut server = runtime.block_on(bound).map_err(failed)?;
        if let Some(token) = &token {
            server = server.with_token(token);
        }
        if let Some(letters) = letters {
            server = server.with_letters(Arc::new(letters));
        }
        tracing::info!(address = %server.address(), "http");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        runtime.spawn(server.run(async {
            let _ = stopped.await;
        }));
        Ok(Self { runtime, stop: Some(stop) })
    }

    fn stop(mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}
