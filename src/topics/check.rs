//! What there is against what must be.

use std::{fmt, sync::Arc};

use crate::log::TopicDescription;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// One of ours is not there.
    Missing {
        topic: Arc<str>,
    },
    /// An input is not there. It is somebody else's: nothing of ours creates it.
    MissingInput {
        topic: Arc<str>,
    },
    Partitions {
        topic: Arc<str>,
        expected: i32,
        actual: i32,
    },
    /// `actual` is absent where the broker does not tell.
    Setting {
        topic: Arc<str>,
        key: String,
        expected: String,
        actual: Option<String>,
    },
}

/// `actual` is what the broker answered, in the order of `plan` and then of `inputs`.
pub fn check(
    plan: &[TopicDescription],
    inputs: &[Arc<str>],
    actual: &[Option<TopicDescription>],
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (ours, theirs) = actual.split_at_checked(plan.len()).unwrap_or((actual, &[]));
    for (index, expected) in plan.iter().enumerate() {
        match ours.get(index).and_then(Option::as_ref) {
            None => differences.push(Difference::Missing { topic: Arc::clone(&expected.name) }),
            Some(found) => compare(expected, found, &mut differences),
        }
    }
    for (index, topic) in inputs.iter().enumerate() {
        if theirs.get(index).and_then(Option::as_ref).is_none() {
            differences.push(Difference::MissingInput { topic: Arc::clone(topic) });
        }
    }
    differences
}

fn compare(
    expected: &TopicDescription,
    found: &TopicDescription,
    differences: &mut Vec<Difference>,
) {
    if expected.partitions != found.partitions {
        differences.push(Difference::Partitions {
            topic: Arc::clone(&expected.name),
            expected: expected.partitions,
            actual: found.partitions,
        });
    }
    for (key, wanted) in &expected.config {
        let actual = found.config.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        if !actual.is_some_and(|actual| fits(key, wanted, actual)) {
            differences.push(Difference::Setting {
                topic: Arc::clone(&expected.name),
                key: key.clone(),
                expected: wanted.clone(),
                actual: actual.cloned(),
            });
        }
    }
}

fn fits(key: &str, expected: &str, actual: &str) -> bool {
    match key {
        // More room is no fault.
        "max.message.bytes" => match (expected.parse::<u64>(), actual.parse::<u64>()) {
            (Ok(expected), Ok(actual)) => actual >= expected,
            _ => false,
        },
        // A speed matter, and the broker's administrator knows better.
        "segment.bytes" => true,
        "cleanup.policy" => policies(expected) == policies(actual),
        _ => expected == actual,
    }
}

fn policies(list: &str) -> Vec<&str> {
    let mut policies: Vec<&str> = list.split(',').map(str::trim).collect();
    policies.sort_unstable();
    policies
}

// === impl Difference ===

impl Difference {
    /// The command that mends it, or what to change.
    pub fn mend(&self, bootstrap: &str) -> String {
        match self {
            Self::Missing { .. } => "aplomb topics create --config FILE".to_owned(),
            Self::MissingInput { topic } => format!(
                "create {topic} where its records come from, or correct `topic` in its [[flows]]"
            ),
            Self::Partitions { topic, expected, actual } if expected > actual => format!(
                "if the application has never run: kafka-topics.sh --bootstrap-server {bootstrap} \
                 --alter --topic {topic} --partitions {expected}; else set the count in [topics] \
                 back to {actual}, because state and committed offsets rest on it"
            ),
            Self::Partitions { topic, actual, .. } => format!(
                "set the count in [topics] to {actual}; or, if the application has never run: \
                 kafka-topics.sh --bootstrap-server {bootstrap} --delete --topic {topic}, then \
                 aplomb topics create --config FILE"
            ),
            Self::Setting { topic, key, expected, .. } => {
                let value =
                    if expected.contains(',') { format!("[{expected}]") } else { expected.clone() };
                format!(
                    "kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics \
                     --entity-name {topic} --add-config '{key}={value}'"
                )
            }
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { topic } => write!(formatter, "{topic} does not exist"),
            Self::MissingInput { topic } => {
                write!(formatter, "{topic} does not exist; it is an input, and not ours to create")
            }
            Self::Partitions { topic, expected, actual } => {
                write!(
                    formatter,
                    "{topic} has {actual} partitions, the configuration says {expected}"
                )
            }
            Self::Setting { topic, key, expected, actual } => {
                let actual = actual.as_deref().unwrap_or("not told by the broker");
                write!(formatter, "{topic}: {key} is {actual}, it must be {expected}")
            }
        }
    }
}
