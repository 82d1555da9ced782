//! What the simulated applications run, and what is fed to them.

use std::collections::BTreeMap;

use aplomb::{
    application::{Application, Naming, Start, Tuning},
    commerce::{
        self,
        traffic::{Delivery, Load as Days, Traffic},
    },
    config::{Checks, Config},
    embedded::{EmbeddedLog, Foreign},
    kafka,
};
use aplomb_state::{
    envelope::{Configuration, Source},
    ids::{FoldVersion, Timestamp, TopicPartition},
};
use rand::{Rng, rngs::SmallRng};

use crate::{
    violation::{Outcome, Violation},
    words,
};

pub const INBOX_PARTITIONS: i32 = 2;
const INPUT_PARTITIONS: i32 = 2;
const TEN_YEARS_MS: i64 = 315_360_000_000;
/// One of the made-up days, so that most seeds share what was made already.
const DAYS: u64 = 4;

/// What the shop runs with: the same keys as in a real configuration.
const COMMERCE: &str = r#"
start = "earliest"
[application]
id = "words"
[kafka]
bootstrap = "embedded:0"
[topics]
prefix = "words."
partitions = 2
output_partitions = 1
[bootstrap]
entries = "none"
[[flows]]
name = "commercetools"
topic = "commercetools.notifications.v1"
system = "commercetools"
kind = "commercetools"
project_key = "acme-eu-prod"
owner = "integration-ops"
allowed_disorder_ms = 0
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Words,
    Commerce,
}

/// Feeds an application and knows by a plain count what must become of it.
pub struct Load {
    kind: Kind,
    deliveries: std::vec::IntoIter<Delivery>,
    /// How often each plain word was accepted.
    pub counts: BTreeMap<String, u64>,
    pub fed: usize,
}

/// The application of one fold version, and the names of its topics.
pub fn application(kind: Kind, fold_version: u32, hold_ms: i64) -> Outcome<(Application, Naming)> {
    let broken = |why: String| Violation::of("SIMULATOR", why);
    match kind {
        Kind::Words => {
            let naming = naming();
            let configuration = Configuration {
                revision: 1,
                hash: "1".into(),
                sources: vec![Source {
                    flow: "lines".into(),
                    topic: words::INPUT.into(),
                    partitions: INPUT_PARTITIONS,
                    allowed_disorder_ms: 0,
                }],
                time_hold_ms: hold_ms,
                body: vec![],
            };
            let topology = words::topology(fold_version);
            let tuning = Tuning::default();
            let start = Start::Earliest;
            Ok((Application::new(topology, &naming, configuration, start, tuning), naming))
        }
        Kind::Commerce => {
            let checks = Checks {
                settings: commerce::topology().settings,
                properties: &kafka::check_properties,
                defaults: toml::Table::new(),
            };
            let config = Config::parse(COMMERCE, [], &checks);
            let config = config.map_err(|error| broken(error.to_string()))?;
            let topics = config.external_topics().into_iter();
            let counts = topics.map(|topic| (topic, INPUT_PARTITIONS)).collect();
            let document = config.document(&counts).map_err(|missing| broken(missing.join(" ")))?;
            let naming = config.naming();
            let mut topology = commerce::topology();
            topology.fold_version = FoldVersion(fold_version);
            let (start, tuning) = (config.start, config.tuning());
            Ok((Application::new(topology, &naming, document, start, tuning), naming))
        }
    }
}

fn naming() -> Naming {
    Naming {
        application_id: "words".into(),
        output_prefix: "words.".into(),
        inbox_partitions: INBOX_PARTITIONS,
        output_partitions: 1,
    }
}

impl Load {
    pub fn new(kind: Kind, seed: u64, start: Timestamp) -> Self {
        let deliveries: Vec<Delivery> = match kind {
            Kind::Words => Vec::new(),
            Kind::Commerce => {
                let load = Days { orders: 8, seed: seed % DAYS, skus: 3, start, ..Days::default() };
                Traffic::load(&load).collect()
            }
        };
        Self { kind, deliveries: deliveries.into_iter(), counts: BTreeMap::new(), fed: 0 }
    }

    /// A few records, good ones and bad ones.
    pub fn feed(&mut self, log: &EmbeddedLog, random: &mut SmallRng) -> Outcome {
        for _ in 0..random.random_range(1..6) {
            let partition = random.random_range(0..INPUT_PARTITIONS);
            self.fed += 1;
            match self.kind {
                Kind::Words => self.feed_line(log, partition, random)?,
                Kind::Commerce => {
                    let Some(delivery) = self.deliveries.next() else { return Ok(()) };
                    let record = Foreign {
                        partition: Some(partition),
                        key: delivery.key.as_deref(),
                        value: Some(&delivery.value),
                        timestamp: Some(delivery.timestamp),
                        ..Foreign::to(delivery.topic)
                    };
                    produce(log, &record)?;
                }
            }
        }
        Ok(())
    }

    /// One record that everybody would take.
    pub fn feed_to(&mut self, log: &EmbeddedLog, input: &TopicPartition) -> Outcome {
        let record = Foreign {
            partition: Some(input.partition),
            value: Some(b"w1"),
            ..Foreign::to(&input.topic)
        };
        produce(log, &record)
    }

    fn feed_line(&mut self, log: &EmbeddedLog, partition: i32, random: &mut SmallRng) -> Outcome {
        let now = log.now();
        let (line, is_good) = line(random);
        let timestamp = match random.random_range(0..40) {
            0 => now.plus_ms(TEN_YEARS_MS),
            1 => Timestamp(-1),
            2..6 => now.minus_ms(random.random_range(0..5_000)),
            _ => now,
        };
        let record = Foreign {
            partition: Some(partition),
            value: Some(&line),
            timestamp: Some(timestamp),
            ..Foreign::to(words::INPUT)
        };
        produce(log, &record)?;
        if is_good {
            let text = String::from_utf8_lossy(&line);
            for word in text.split_whitespace().filter(|word| word.starts_with('w')) {
                *self.counts.entry(word.to_owned()).or_default() += 1;
            }
        }
        Ok(())
    }
}

fn produce(log: &EmbeddedLog, record: &Foreign<'_>) -> Outcome {
    match log.produce(record) {
        Ok(_) => Ok(()),
        Err(error) => Err(Violation::of("SIMULATOR", error.to_string())),
    }
}

/// A line, and whether its words count.
fn line(random: &mut SmallRng) -> (Vec<u8>, bool) {
    let mut words: Vec<String> = Vec::new();
    for _ in 0..random.random_range(1..5) {
        words.push(match random.random_range(0..40) {
            0 => "later".to_owned(),
            1 => "all!".to_owned(),
            2 => "big".to_owned(),
            3 => "boom".to_owned(),
            4 => "loop".to_owned(),
            5 => "x".repeat(5_000),
            6..10 => format!("d{}", random.random_range(0..3)),
            10..13 => format!("-d{}", random.random_range(0..3)),
            _ => format!("w{}", random.random_range(0..12)),
        });
    }
    let mut line = words.join(" ").into_bytes();
    match random.random_range(0..24) {
        0 => {
            line.extend_from_slice(b" panic w1");
            (line, false)
        }
        1 => {
            line.extend_from_slice(b" \xff w1");
            (line, false)
        }
        2 => (vec!["w2"; words::WORDS_MAX + 1].join(" ").into_bytes(), false),
        _ => (line, true),
    }
}
