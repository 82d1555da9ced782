//! The sections, their keys, defaults and bounds.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, str::FromStr};

use aplomb_state::ids::Timestamp;

use crate::application::Start;

use super::{
    Application, Checks, Config, Flow, GroupProtocol, Http, Inbox, Kafka, Log, LogFormat, Memory,
    Time, Topics, Worker, document,
    reader::{Reader, Section},
};

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Properties of librdkafka that must not contradict a key of ours.
const OWN_KEYS: [(&str, &str); 5] = [
    ("bootstrap.servers", "kafka.bootstrap"),
    ("group.protocol", "kafka.group_protocol"),
    ("metadata.broker.list", "kafka.bootstrap"),
    ("session.timeout.ms", "kafka.session_timeout_ms"),
    ("transaction.timeout.ms", "kafka.transaction_timeout_ms"),
];

pub(super) fn read<'a>(reader: &'a Reader<'a>, checks: &Checks<'_>) -> Config {
    let root = reader.root();
    let config = Config {
        application: application(root.section("application")),
        kafka: kafka(root.section("kafka"), checks),
        start: start(&root),
        topics: topics(root.section("topics")),
        worker: worker(root.section("worker")),
        memory: memory(root.section("memory")),
        http: http(root.section("http")),
        log: log(root.section("log")),
        time: time(root.section("time")),
        inbox: inbox(root.section("inbox")),
        revision: revision(root.section("configuration")),
        flows: flows(reader, &root),
        rules: root.json("rules"),
        bootstrap: root.json("bootstrap"),
    };
    together(&config, reader);
    for (key, problem) in document::mistakes(&config, checks.settings) {
        reader.mistake(key, problem);
    }
    root.finish();
    config
}

/// Bounds between keys.
fn together(config: &Config, reader: &Reader<'_>) {
    let worker = &config.worker;
    let timeout_ms = config.kafka.transaction_timeout_ms;
    let rows = [
        (
            "worker.commit_interval_ms_min",
            worker.commit_interval_ms_min,
            "worker.commit_interval_ms_max",
            worker.commit_interval_ms_max,
        ),
        (
            "worker.commit_interval_ms_max",
            worker.commit_interval_ms_max,
            "kafka.transaction_timeout_ms",
            timeout_ms,
        ),
        ("worker.drain_ms_max", worker.drain_ms_max, "kafka.transaction_timeout_ms", timeout_ms),
        (
            "worker.revoke_ms_max",
            worker.revoke_ms_max,
            "worker.shutdown_ms_max",
            worker.shutdown_ms_max,
        ),
    ];
    for (key, value, bound, most) in rows {
        if value > most {
            reader.mistake(key, format!("{value} is more than {bound}, which is {most}"));
        }
    }
}

fn application(section: Section<'_>) -> Application {
    let id = section.text("id", "aplomb");
    if id.is_empty() || id.len() > 100 || !is_topic_part(&id) {
        let allowed = "must be 1 to 100 letters, digits, dots, underscores and hyphens";
        section.mistake("id", allowed);
    }
    let ordinal = section.optional_integer("ordinal", 0..=9_999);
    let state_dir = PathBuf::from(section.text("state_dir", "aplomb-state"));
    if state_dir.as_os_str().is_empty() {
        section.mistake("state_dir", "must name a folder");
    }
    section.finish();
    Application { id, ordinal, state_dir }
}

fn kafka(section: Section<'_>, checks: &Checks<'_>) -> Kafka {
    let bootstrap = section.text("bootstrap", "127.0.0.1:9092");
    for broker in bootstrap.split(',').map(str::trim) {
        let port = broker.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            let problem = format!("{broker:?} is not HOST:PORT; separate several by commas");
            section.mistake("bootstrap", problem);
        }
    }
    let protocols = [("classic", GroupProtocol::Classic), ("consumer", GroupProtocol::Consumer)];
    let kafka = Kafka {
        bootstrap,
        transaction_timeout_ms: section.integer("transaction_timeout_ms", 10_000, 1_000..=900_000),
        session_timeout_ms: section.integer("session_timeout_ms", 10_000, 6_000..=1_800_000),
        group_protocol: section.choice("group_protocol", GroupProtocol::Classic, &protocols),
        properties: section.properties("properties"),
    };
    for (property, key) in OWN_KEYS {
        if kafka.properties.contains_key(property) {
            let problem = format!("has a key of its own: set {key} instead");
            section.mistake(&format!("properties.{property}"), problem);
        }
    }
    let mut rest = kafka.properties.clone();
    rest.retain(|property, _| OWN_KEYS.iter().all(|(own, _)| own != property));
    for (property, reason) in (checks.properties)(&rest) {
        section.mistake(&format!("properties.{property}"), reason);
    }
    section.finish();
    kafka
}

fn start(root: &Section<'_>) -> Start {
    let text = root.text("start", "earliest");
    match text.as_str() {
        "earliest" => Start::Earliest,
        "latest" => Start::Latest,
        time => jiff::Timestamp::from_str(time).map_or_else(
            |_| {
                let allowed = "\"earliest\", \"latest\" or a time such as \"2026-05-01T00:00:00Z\"";
                root.mistake("start", format!("{time:?} is not one of {allowed}"));
                Start::Earliest
            },
            |time| Start::At(Timestamp(time.as_millisecond())),
        ),
    }
}

fn topics(section: Section<'_>) -> Topics {
    let prefix = section.text("prefix", "aplomb.");
    if prefix.len() > 100 || !is_topic_part(&prefix) {
        let allowed = "must be at most 100 letters, digits, dots, underscores and hyphens";
        section.mistake("prefix", allowed);
    }
    let topics = Topics {
        prefix,
        partitions: section.integer("partitions", 8, 1..=1_024),
        output_partitions: section.integer("output_partitions", 8, 1..=1_024),
        replication_factor: section.integer("replication_factor", -1, -1..=15),
    };
    if topics.replication_factor == 0 {
        section.mistake("replication_factor", "must be 1 to 15, or -1 for the broker's default");
    }
    section.finish();
    topics
}

fn worker(section: Section<'_>) -> Worker {
    let worker = Worker {
        threads: section.integer("threads", 2, 1..=256),
        commit_interval_ms_min: section.integer("commit_interval_ms_min", 5, 0..=60_000),
        commit_interval_ms_max: section.integer("commit_interval_ms_max", 500, 1..=60_000),
        commit_records_max: section.integer("commit_records_max", 20_000, 1..=1_000_000),
        commit_bytes_max: section.integer("commit_bytes_max", 32 * MIB, 65_536..=GIB),
        turn_records_max: section.integer("turn_records_max", 1_000, 1..=100_000),
        poll_wait_ms_max: section.integer("poll_wait_ms_max", 10, 0..=1_000),
        merge_wait_ms_max: section.integer("merge_wait_ms_max", 200, 0..=10_000),
        intake_lag_records_max: section.integer(
            "intake_lag_records_max",
            50_000,
            1_000..=1_000_000_000,
        ),
        restore_records_max: section.integer("restore_records_max", 5_000, 1..=1_000_000),
        flush_interval_ms_max: section.integer("flush_interval_ms_max", 10_000, 100..=60_000),
        flush_bytes_max: section.integer("flush_bytes_max", 64 * MIB, MIB..=4 * GIB),
        drain_ms_max: section.integer("drain_ms_max", 8_000, 100..=900_000),
        revoke_ms_max: section.integer("revoke_ms_max", 5_000, 100..=900_000),
        shutdown_ms_max: section.integer("shutdown_ms_max", 25_000, 1_000..=900_000),
    };
    section.finish();
    worker
}

fn memory(section: Section<'_>) -> Memory {
    let most = 1_024 * GIB;
    let budget_bytes = section.integer("budget_bytes", 256 * MIB, 16 * MIB..=most);
    section.finish();
    Memory { budget_bytes }
}

fn http(section: Section<'_>) -> Http {
    let default = SocketAddr::from(([127, 0, 0, 1], 8080));
    let listen = section.optional_text("listen").map_or(default, |text| {
        text.parse().unwrap_or_else(|_| {
            let allowed = "an address and a port, such as \"127.0.0.1:8080\" or \"0.0.0.0:8080\"";
            section.mistake("listen", format!("{text:?} is not {allowed}"));
            default
        })
    });
    let token_file = section.optional_text("token_file").map(PathBuf::from);
    section.finish();
    Http { listen, token_file }
}

fn log(section: Section<'_>) -> Log {
    let formats = [("human", LogFormat::Human), ("json", LogFormat::Json)];
    let format = section.choice("format", LogFormat::Human, &formats);
    let filter = section.text("filter", "info");
    if let Err(problem) = crate::logging::check_filter(&filter) {
        section.mistake("filter", format!("{problem}; for example \"info,aplomb=debug\""));
    }
    section.finish();
    Log { format, filter }
}

fn time(section: Section<'_>) -> Time {
    let hold_ms = section.integer("hold_ms", 600_000, 1_000..=86_400_000);
    section.finish();
    Time { hold_ms }
}

fn inbox(section: Section<'_>) -> Inbox {
    const DAY_MS: i64 = 86_400_000;
    let inbox = Inbox {
        keep_ms: section.integer("keep_ms", 7 * DAY_MS, 1_000..=3_650 * DAY_MS),
        checkpoint_interval_ms: section.integer(
            "checkpoint_interval_ms",
            7 * DAY_MS / 2,
            1_000..=30 * DAY_MS,
        ),
    };
    section.finish();
    inbox
}

fn revision(section: Section<'_>) -> u64 {
    let revision = section.integer("revision", 1, 1..=u64::try_from(i64::MAX).unwrap_or(1));
    section.finish();
    revision
}

fn flows<'a>(reader: &'a Reader<'a>, root: &Section<'a>) -> Vec<Flow> {
    let tables = root.tables("flows");
    let mut flows = Vec::with_capacity(tables.len());
    let mut names = BTreeSet::new();
    let mut topics = BTreeSet::new();
    for (index, table) in tables.into_iter().enumerate() {
        // Unknown keys of a flow are for the topology's parser to find.
        let section = reader.section_of(format!("flows[{index}]"), Some(table));
        let name = section.required_text("name", "what this source is called in reports");
        let topic = section.required_text("topic", "the full name of the topic to read");
        if !is_topic_part(&topic) {
            section.mistake("topic", format!("{topic:?} is no name of a topic"));
        }
        if !name.is_empty() && !names.insert(name.clone()) {
            section.mistake("name", format!("{name:?} stands twice; a flow's name is its own"));
        }
        if !topic.is_empty() && !topics.insert(topic.clone()) {
            section.mistake("topic", format!("{topic:?} stands twice; one flow reads a topic"));
        }
        let allowed_disorder_ms = section.integer("allowed_disorder_ms", 10_000, 0..=86_400_000);
        let mut document = section.all();
        if let Some(keys) = document.as_object_mut() {
            keys.remove("allowed_disorder_ms");
        }
        flows.push(Flow { name, topic, allowed_disorder_ms, document });
    }
    if flows.is_empty() {
        root.mistake("flows", "is missing: a [[flows]] table with name and topic for each source");
    }
    flows
}

fn is_topic_part(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}
