//! A broker of a test's own, so that it can be restarted.

use std::{
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use aplomb::{
    kafka::{KafkaLog, KafkaSettings},
    log::{Class, Committed, Isolation, Log, TopicDescription},
};
use aplomb_state::ids::TopicPartition;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    metadata::{MetadataPartition, MetadataTopic},
};

use super::{Application, Outcome, process::Service};

/// Of transactions whose end was acknowledged.
const MARKERS_WRITTEN: Duration = Duration::from_millis(700);

pub struct Broker {
    /// The one broker, or the controller of several.
    name: String,
    /// The names of the brokers.
    nodes: Vec<String>,
    pub bootstrap: String,
    pub log: KafkaLog,
}

impl Broker {
    /// With what the script printed. `None`, with a line that says so, where a real Kafka is
    /// neither there nor required.
    pub fn start(name: &str, more: &[&str]) -> Outcome<Option<(Self, String)>> {
        let name = own_name(name);
        let owner = std::process::id().to_string();
        let mut arguments = vec!["start", &name, "--owner", &owner];
        arguments.extend(more);
        let output = script(&arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let Some(bootstrap) = text.lines().find_map(|line| line.strip_prefix("bootstrap=")) else {
            let why = String::from_utf8_lossy(&output.stderr);
            if std::env::var("APLOMB_REQUIRE_KAFKA").as_deref() == Ok("1") {
                return Err(format!("a real Kafka is required: {why}").into());
            }
            println!("SKIPPED: no real Kafka can be started here: {why}");
            return Ok(None);
        };
        let bootstrap = bootstrap.to_owned();
        let log = KafkaLog::connect(KafkaSettings::new(&bootstrap, "live-tests"))?;
        Ok(Some((Self { nodes: vec![name.clone()], name, bootstrap, log }, text)))
    }

    /// As many brokers as ports, each of which advertises one of them; every partition has a
    /// replica on two. Answers also where each listens for the proxy.
    pub fn start_cluster(name: &str, ports: &[u16]) -> Outcome<(Self, Vec<SocketAddr>)> {
        let name = own_name(&format!("{name}-cluster"));
        let owner = std::process::id().to_string();
        succeeded(&["start", &name, "--owner", &owner, "--controller"])?;
        let (mut nodes, mut direct, mut proxied) = (Vec::new(), Vec::new(), Vec::new());
        for (port, number) in ports.iter().zip(1..) {
            let node = format!("{name}-{number}");
            let port = port.to_string();
            let start = ["start", &node, "--owner", &owner, "--join", &name, "--advertise", &port];
            let text = succeeded(&start)?;
            let address = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key));
                line.map(str::to_owned).ok_or(format!("{node} has no {key}"))
            };
            direct.push(address("bootstrap=")?);
            proxied.push(address("proxied=")?.parse()?);
            nodes.push(node);
        }
        let bootstrap = direct.join(",");
        let log = KafkaLog::connect(KafkaSettings::new(&bootstrap, "live-tests"))?;
        Ok((Self { name, nodes, bootstrap, log }, proxied))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    pub fn process_id(&self, node: usize) -> Outcome<u32> {
        let name = self.nodes.get(node).ok_or("no such broker")?;
        let text = succeeded(&["status", name])?;
        let id = text.lines().find_map(|line| line.strip_prefix("pid="));
        Ok(id.ok_or("it does not say its pid")?.parse()?)
    }

    /// One of the script's commands for a broker.
    pub fn command(&self, node: usize, command: &str, more: &[&str]) -> Outcome {
        let name = self.nodes.get(node).ok_or("no such broker")?;
        let mut arguments = vec![command, name];
        arguments.extend(more);
        succeeded(&arguments).map(|_| ())
    }

    /// Until every partition of every topic has all its replicas, as a rolling restart waits.
    pub fn wait_in_sync(&self, limit: Duration) -> Outcome {
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create()?;
        let deadline = Instant::now() + limit;
        loop {
            let behind = client.fetch_metadata(None, Duration::from_secs(5)).map(|metadata| {
                let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
                let all: Vec<_> = partitions.collect();
                let lacking = |one: &&&MetadataPartition| one.isr().len() < one.replicas().len();
                (all.len(), all.iter().filter(lacking).count())
            });
            // One that was asked too early knows of no partition at all.
            if matches!(behind, Ok((known, 0)) if known > 0) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("partitions without a replica in sync: {behind:?}").into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// As [`Broker::command`] for `restart` and `halt`, while no transaction is between its
    /// acknowledged end and its markers: the processes stand still for a moment before.
    ///
    /// Kafka 4.3.1 takes a partition without a leader for a deleted one and drops the markers that
    /// are due for it. Where there is one broker, that is each partition while it goes and comes:
    /// the acknowledged transaction is lost, or its offsets stay pending for ever.
    pub fn command_between_transactions(
        &self,
        services: &[Service],
        command: &str,
        more: &[&str],
    ) -> Outcome {
        let awake: Vec<&Service> = services.iter().filter(|one| one.is_awake()).collect();
        awake.iter().try_for_each(|one| one.signal(libc::SIGSTOP))?;
        std::thread::sleep(MARKERS_WRITTEN);
        let halted = self.command(0, "halt", more);
        awake.iter().try_for_each(|one| one.signal(libc::SIGCONT))?;
        halted?;
        if command == "halt" { Ok(()) } else { self.command(0, command, more) }
    }

    pub fn create_input(&self, application: &Application) -> Outcome {
        let name: Arc<str> = application.input.as_str().into();
        let partitions = application.partitions;
        let topic = TopicDescription { name: Arc::clone(&name), partitions, config: vec![] };
        self.log.create_topics(&[topic])?;
        // The controller has it; the broker learns of it a moment later.
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.log.topics(std::slice::from_ref(&name))?.iter().any(Option::is_none) {
            if Instant::now() > deadline {
                return Err(format!("{name} was created but is not there").into());
            }
        }
        Ok(())
    }

    /// Until the group has committed every notification, and the inboxes hold nothing but ticks
    /// that came in meanwhile.
    pub fn wait_until_handled(&self, application: &Application, limit: Duration) -> Outcome {
        let group = &application.id;
        let (external, inboxes) = inputs(application);
        // A tick and its transaction's marker per partition may be under way.
        let ticks = 4 * 3 * i64::from(application.inboxes);
        let deadline = Instant::now() + limit;
        let mut calm = 0;
        while calm < 3 {
            let left = self.lag(group, &external)?;
            let inner = self.lag(group, &inboxes)?;
            let quiet = left == Some(0) && inner.is_some_and(|lag| lag <= ticks);
            calm = if quiet { calm + 1 } else { 0 };
            if Instant::now() > deadline {
                return Err(
                    format!("not handled in time: {left:?} outside, {inner:?} within").into()
                );
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    }

    /// Until no more than this waits, outside and in all inboxes together.
    pub fn wait_until_behind_by(
        &self,
        application: &Application,
        most: u32,
        limit: Duration,
    ) -> Outcome {
        let (external, inboxes) = inputs(application);
        let all = [external, inboxes].concat();
        let deadline = Instant::now() + limit;
        loop {
            let lag = self.lag(&application.id, &all)?;
            if lag.is_some_and(|lag| lag <= i64::from(most)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("still behind: {lag:?}").into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `None`: not to be known at this moment.
    fn lag(&self, group: &str, partitions: &[TopicPartition]) -> Outcome<Option<i64>> {
        let asked = self.log.committed(group, partitions, Duration::from_secs(1)).and_then(|all| {
            Ok((all, self.log.watermarks(partitions, Isolation::ReadUncommitted)?))
        });
        let (committed, marks) = match asked {
            Ok(answer) => answer,
            Err(error) if error.class == Class::Retry => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let lags = committed.iter().zip(marks).map(|(committed, marks)| match committed {
            Committed::At { next, .. } => Some((marks.high.0 - next.0).max(0)),
            Committed::None | Committed::Unstable => None,
        });
        Ok(lags.sum())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = script(&["stop", &self.name, "--kill"]);
    }
}

/// Whoever starts the tests may name it, so as to stop it if they are broken off.
fn own_name(name: &str) -> String {
    let own = || format!("{name}-{}", std::process::id());
    let Ok(given) = std::env::var("APLOMB_TEST_BROKER") else { return own() };
    if name.ends_with("-cluster") { format!("{given}-cluster") } else { given }
}

/// What the script said.
fn succeeded(arguments: &[&str]) -> Outcome<String> {
    let output = script(arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{arguments:?}: {output:?}").into())
    }
}

/// Whatever it said.
pub fn script(arguments: &[&str]) -> std::io::Result<std::process::Output> {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka")).args(arguments).output()
}

/// The partitions from outside, and those of all inboxes.
fn inputs(application: &Application) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
    let inbox =
        |stage| partitions(&format!("{}.inbox.{stage}", application.id), application.inboxes);
    let inboxes = ["resources", "skus", "cases"].into_iter().flat_map(inbox);
    (partitions(&application.input, application.partitions), inboxes.collect())
}

fn partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|partition| TopicPartition::new(topic, partition)).collect()
}
