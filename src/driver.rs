//! One worker on the embedded log in virtual time, cranked by hand: what `replay`, `demo` and the
//! scenario tests run on. It is the production worker; only the log and the clock are others.

use std::{sync::Arc, time::Duration};

use aplomb_state::{
    backend::{Database, memory::MemoryDatabase},
    ids::{NextOffset, Timestamp, TopicPartition},
};

use crate::{
    application::{Application, Ticks},
    clock::Clock,
    embedded::{EmbeddedLog, Foreign, Settings, VirtualClock},
    log::{Committed, Isolation, Log, Member, TopicDescription},
    topics,
    worker::{Parts, Shared, Turn, Worker},
};

/// The work that one delivery may cause is bounded; more is a loop between actors.
const TURNS_MAX: usize = 1_000_000;
const OPENING_MS: i64 = 60_000;
const NO_TIMEOUT_MS: i64 = i64::MAX / 4;

/// See the module.
pub struct Driver {
    pub log: EmbeddedLog,
    pub application: Arc<Application>,
    pub database: MemoryDatabase,
    clock: VirtualClock,
    worker: Worker<EmbeddedLog>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    #[error("the worker stopped: {0}")]
    Stopped(String),
    #[error("task {task} parked: {reason}")]
    Parked { task: String, reason: String },
    #[error("no end after {TURNS_MAX} turns")]
    Endless,
}

impl Driver {
    /// Creates all topics and lets the worker open its tasks.
    pub fn start(
        application: Application,
        naming: &crate::application::Naming,
        at: Timestamp,
    ) -> Result<Self, Error> {
        let mut application = application;
        application.tuning.ticks = Ticks::OnRequest;
        application.tuning.commit_interval_ms_min = 0;
        let application = Arc::new(application);
        // Opening takes time of its own, before the first record's.
        let clock = VirtualClock::starting_at(at.minus_ms(OPENING_MS));
        let settings = Settings {
            session_timeout_ms: NO_TIMEOUT_MS,
            rebalance_timeout_ms: NO_TIMEOUT_MS,
            transaction_timeout_ms: NO_TIMEOUT_MS,
            ..Settings::default()
        };
        let log = EmbeddedLog::with_settings(clock.clone(), settings);
        log.create_topics(&external_topics(&application))?;
        log.create_topics(&topics::plan(&application.topology, naming))?;
        let database = MemoryDatabase::default();
        let worker = Worker::start(Parts {
            application: Arc::clone(&application),
            log: log.clone(),
            database: Arc::new(database.clone()) as Arc<dyn Database>,
            clock: Arc::new(clock.clone()),
            member: Member { group: application.id.clone(), instance_id: None },
            transactional_id: format!("{}-driver", application.id),
            seed: 1,
            shared: Arc::new(Shared::default()),
            report: None,
        })?;
        let mut driver = Self { log, application, database, clock, worker };
        driver.open()?;
        driver.clock.set(at);
        Ok(driver)
    }

    fn open(&mut self) -> Result<(), Error> {
        let expected = self.application.external_partitions().len()
            + self.application.inbox_partitions().len();
        for _ in 0..TURNS_MAX {
            self.turn()?;
            // A first start waits between its steps; that waiting is virtual too.
            self.clock.advance(1);
            if self.worker.tasks().len() == expected && self.worker.is_settled() {
                return self.settle();
            }
        }
        Err(Error::Endless)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time rises to the record's, everything due by then happens, then the record is handled.
    pub fn deliver(&mut self, record: &Foreign<'_>) -> Result<(), Error> {
        if let Some(timestamp) = record.timestamp {
            self.advance(timestamp)?;
        }
        self.log.produce(record)?;
        self.settle()
    }

    /// Lets time pass: deadlines before `to` fire.
    pub fn advance(&mut self, to: Timestamp) -> Result<(), Error> {
        if to <= self.clock.now() {
            return Ok(());
        }
        self.clock.set(to);
        self.tick()
    }

    /// Ends with every frontier just above the present instant: deadlines at it fire too.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.clock.advance(1);
        self.tick()
    }

    /// Ticks until no task's time moves any more.
    fn tick(&mut self) -> Result<(), Error> {
        loop {
            let before = self.worker.times();
            self.worker.request_tick();
            self.settle()?;
            if self.worker.times() == before {
                return Ok(());
            }
        }
    }

    /// Turns until nothing moves.
    fn settle(&mut self) -> Result<(), Error> {
        for _ in 0..TURNS_MAX {
            if self.turn()? == Turn::Idle && self.worker.is_settled() {
                if let Some((task, reason)) = self.worker.parked().into_iter().next() {
                    return Err(Error::Parked { task: task.to_string(), reason });
                }
                return Ok(());
            }
        }
        Err(Error::Endless)
    }

    fn turn(&mut self) -> Result<Turn, Error> {
        self.worker.turn(Duration::ZERO).map_err(|stop| Error::Stopped(stop.reason))
    }

    /// Forgets what was handled: inboxes and external topics up to the committed offsets, and the
    /// superseded part of the changelogs. Keeps a long replay in bounded memory.
    pub fn trim(&self) -> Result<(), Error> {
        let mut inputs = self.application.external_partitions();
        inputs.extend(self.application.inbox_partitions());
        let group = &self.application.id;
        let committed = self.log.committed(group, &inputs, Duration::ZERO)?;
        let upto = inputs.into_iter().zip(committed).filter_map(|(input, committed)| {
            if let Committed::At { next, .. } = committed { Some((input, next)) } else { None }
        });
        self.log.delete_records(&upto.collect::<Vec<_>>())?;
        for changelog in self.application.stages.iter().filter_map(|s| s.changelog.as_ref()) {
            self.log.compact(changelog)?;
        }
        Ok(())
    }

    /// Reads an output topic from where the last reading ended, and forgets what was read.
    pub fn take_output(
        &self,
        partition: &TopicPartition,
        from: NextOffset,
    ) -> Result<(Vec<crate::embedded::Kept>, NextOffset), Error> {
        use crate::log::Reader;
        let start = [(partition.clone(), from)];
        let mut reader = self.log.reader(&start, Isolation::ReadCommitted)?;
        let mut records = Vec::new();
        loop {
            let read = reader.read(10_000, Duration::ZERO, &mut |of, record| {
                records.push(crate::embedded::Kept::new(of.partition, record));
            })?;
            if read == 0 {
                break;
            }
        }
        let end = reader.position(partition);
        self.log.delete_records(&[(partition.clone(), end)])?;
        Ok((records, end))
    }
}

fn external_topics(application: &Application) -> Vec<TopicDescription> {
    let sources = application.configuration.sources.iter();
    sources
        .map(|source| TopicDescription {
            name: source.topic.as_str().into(),
            partitions: source.partitions,
            config: Vec::new(),
        })
        .collect()
}
