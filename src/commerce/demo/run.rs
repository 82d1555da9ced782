//! The day on the embedded log, as fast as it goes.

use std::sync::Arc;

use aplomb_state::{
    ids::{NextOffset, TaskId, Timestamp, TopicPartition},
    topology::Topology,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Options, inputs::Counter, records::Topics};
use crate::{
    application::Application,
    clock::Clock,
    commerce::traffic::{DAY_START, Day, NOTIFICATIONS, ORDER_MANAGEMENT, Traffic},
    config::{Checks, Config},
    driver::{self, Driver},
    embedded::{Foreign, Kept, VirtualClock},
    kafka,
    log::{Committed, Isolation, Log},
    names,
    status::{Membership, Status, TaskState, TaskStatus},
};

/// What a user would write to a file.
const CONFIGURATION: &str = include_str!("demo.toml");

const MINUTE_MS: i64 = 60_000;
const MINUTES_A_DAY: i64 = 24 * 60;
/// After midnight, for the graces of the last hour to end.
const AFTERWARDS_MS: i64 = 2 * 60 * MINUTE_MS;
/// The subscription writes without a key.
const NOTIFICATION_PARTITIONS: i32 = 3;
/// What was handled is forgotten after so many deliveries, to bound the memory of a long day.
const DELIVERIES_KEPT: usize = 5_000;

pub(super) struct Run {
    driver: Driver,
    prefix: String,
    inputs: Vec<(TopicPartition, NextOffset)>,
    counter: Counter,
}

impl Run {
    pub fn start(options: &Options) -> Result<Self, String> {
        let config = configuration()?;
        let partitions = |topic: &str| match topic {
            NOTIFICATIONS => NOTIFICATION_PARTITIONS,
            _ => 1,
        };
        let topics = config.external_topics().into_iter();
        let counts = topics.map(|topic| (Arc::clone(&topic), partitions(&topic))).collect();
        let document = config
            .document(&counts)
            .map_err(|missing| format!("no such topics: {}", missing.join(", ")))?;
        let naming = config.naming();
        let topology = crate::commerce::topology();
        let application =
            Application::new(topology, &naming, document, config.start, config.tuning());
        let inputs = application.external_partitions().into_iter();
        let inputs = inputs.map(|partition| (partition, NextOffset(0))).collect();
        let driver = Driver::start(application, &naming, DAY_START).map_err(told)?;
        let counter = Counter::default();
        tracing::debug!(orders = options.orders, seed = options.seed, "the day begins");
        Ok(Self { driver, prefix: naming.output_prefix, inputs, counter })
    }

    /// Delivers the whole day. Answers how many deliveries there were.
    pub fn live(&mut self, options: &Options) -> Result<usize, String> {
        let bar = progress_bar();
        let mut delivered = 0;
        for delivery in Traffic::day(&Day { orders: options.orders, seed: options.seed }) {
            let record = Foreign {
                key: delivery.key.as_deref(),
                value: Some(&delivery.value),
                timestamp: Some(delivery.timestamp),
                ..Foreign::to(delivery.topic)
            };
            self.driver.deliver(&record).map_err(told)?;
            delivered += 1;
            if delivered % DELIVERIES_KEPT == 0 {
                self.forget()?;
            }
            show(&bar, delivery.timestamp, delivered);
        }
        let midnight = DAY_START.plus_ms(MINUTES_A_DAY * MINUTE_MS);
        self.driver.advance(midnight.plus_ms(AFTERWARDS_MS)).map_err(told)?;
        self.driver.finish().map_err(told)?;
        bar.finish_and_clear();
        self.forget()?;
        Ok(delivered)
    }

    /// Counts what came in, and drops what is handled.
    fn forget(&mut self) -> Result<(), String> {
        for (partition, next) in &mut self.inputs {
            let (records, end) = self.driver.take_output(partition, *next).map_err(told)?;
            *next = end;
            for record in &records {
                match &*partition.topic {
                    NOTIFICATIONS => {
                        self.counter.notification(record.value.as_deref().unwrap_or_default());
                    }
                    ORDER_MANAGEMENT => self.counter.order_management(),
                    _ => self.counter.warehouse(),
                }
            }
        }
        self.driver.trim().map_err(told)
    }

    /// Every output topic, as it stands.
    pub fn topics(&self) -> Result<Topics, String> {
        let mut topics = Topics { inputs: self.counter.inputs(), ..Topics::default() };
        for output in &self.topology().outputs {
            let name = names::output(&self.prefix, output.topic);
            let read = self.driver.log.read_all(&name, Isolation::ReadCommitted);
            let records: Vec<Kept> = read.map_err(|error| error.to_string())?;
            topics.outputs.insert(output.topic, records);
        }
        Ok(topics)
    }

    /// For the HTTP API: the worker's own database.
    pub fn status(&self) -> Status {
        let application = &self.driver.application;
        let database = Arc::new(self.driver.database.clone());
        let partitions = application.inbox_partitions;
        Status::new(&application.id, application.topology.clone(), partitions, database)
    }

    /// Tells the API of the tasks and how far they have come.
    pub fn report(&self, status: &Status) {
        let application = &self.driver.application;
        let now = self.driver.now();
        let mut inputs = application.external_partitions();
        inputs.extend(application.inbox_partitions());
        let committed =
            self.driver.log.committed(&application.id, &inputs, std::time::Duration::ZERO);
        let committed = committed.unwrap_or_default();
        let tasks = inputs.into_iter().zip(committed).filter_map(|(input, committed)| {
            let stage = application.stage_of(&input)?;
            let task: TaskId = application.task_id(stage, input)?;
            let mut owned = TaskStatus::new(0, TaskState::Running, now);
            if let Committed::At { next, .. } = committed {
                owned.position = Some(next);
                owned.end = Some(next);
            }
            owned.as_of = Some(now);
            Some((task, owned))
        });
        status.report(0, Membership::Member, tasks, now);
    }

    /// Standing still at the end of the day, so that ages are those of the day.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(VirtualClock::starting_at(self.driver.now()))
    }

    fn topology(&self) -> &Topology {
        &self.driver.application.topology
    }
}

fn configuration() -> Result<Config, String> {
    let checks = Checks {
        settings: crate::commerce::topology().settings,
        properties: &kafka::check_properties,
        defaults: toml::Table::new(),
    };
    Config::parse(CONFIGURATION, [], &checks).map_err(|error| error.to_string())
}

fn told(error: driver::Error) -> String {
    format!("the demo stopped: {error}")
}

/// Drawn only on a terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(MINUTES_A_DAY).unwrap_or(0));
    match ProgressStyle::with_template("  {msg}  {bar:44} {percent:>3} %") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn show(bar: &ProgressBar, at: Timestamp, delivered: usize) {
    let minute = ((at.0 - DAY_START.0) / MINUTE_MS).clamp(0, MINUTES_A_DAY);
    let position = u64::try_from(minute).unwrap_or(0);
    if position != bar.position() {
        bar.set_position(position);
        let (hour, minute) = (minute / 60, minute % 60);
        bar.set_message(format!("{hour:02}:{minute:02}  {delivered:>6} deliveries"));
    }
}
