//! The topics that Aplomb owns: what they must be, what differs, and what mends it.
//!
//! Invariants:
//! - `TOPIC-COUNT` a partition count is never changed: it stands in every committed offset.
//! - `TOPIC-KEEP` inboxes are kept without limit; only what is committed may be trimmed.

mod check;
mod commands;

use aplomb_state::{
    stage::{Inbox, StageDefinition},
    topology::{Cleanup, OutputDefinition, Topology},
};

pub use self::{
    check::{Difference, check},
    commands::{
        Outcome, differences, input_partitions, print_check, print_plan, run_create,
        wait_until_there,
    },
};
use crate::{application::Naming, log::TopicDescription, names};

/// How long a store may be away and still go on from where it was: after that, it may have missed
/// tombstones.
pub const CHANGELOG_DELETE_RETENTION_MS: i64 = 86_400_000;

/// Headers, keys' lengths and the batch's own head come on top of a record's limit.
const RECORD_OVERHEAD_BYTES: usize = 64 << 10;
/// The broker's own default; smaller would only refuse full batches of small records.
const MESSAGE_BYTES_MIN: usize = 1 << 20;
/// Small segments: compaction and trimming never touch the active one.
const SEGMENT_BYTES: usize = 64 << 20;

/// Every internal and output topic, inboxes first.
pub fn plan(topology: &Topology, naming: &Naming) -> Vec<TopicDescription> {
    let definitions = topology.definitions();
    // A message between stages may be as large as the largest sender's limit.
    let message_bytes_max = definitions.iter().map(|stage| stage.limits.record_bytes_max).max();
    let message_bytes_max = message_bytes_max.unwrap_or(0);
    let internal = || definitions.iter().filter(|stage| stage.inbox == Inbox::Internal);
    let inboxes = internal().map(|stage| inbox(stage, naming, message_bytes_max));
    let changelogs = internal().map(|stage| changelog(stage, naming));
    let outputs = topology.outputs.iter().map(|definition| output(definition, naming));
    inboxes.chain(changelogs).chain(outputs).collect()
}

fn inbox(stage: &StageDefinition, naming: &Naming, record_bytes_max: usize) -> TopicDescription {
    TopicDescription {
        name: names::inbox(&naming.application_id, stage.name),
        partitions: naming.inbox_partitions,
        config: sorted([
            ("cleanup.policy", "delete".to_owned()),
            ("max.message.bytes", message_bytes(record_bytes_max)),
            // With the records' own times, replayed history would be deleted at once.
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("retention.ms", "-1".to_owned()),
            ("segment.bytes", SEGMENT_BYTES.to_string()),
        ]),
    }
}

fn changelog(stage: &StageDefinition, naming: &Naming) -> TopicDescription {
    TopicDescription {
        name: names::changelog(&naming.application_id, stage.name),
        partitions: naming.inbox_partitions,
        config: sorted([
            ("cleanup.policy", "compact".to_owned()),
            ("delete.retention.ms", CHANGELOG_DELETE_RETENTION_MS.to_string()),
            ("max.message.bytes", message_bytes(stage.limits.value_bytes_max)),
            ("segment.bytes", SEGMENT_BYTES.to_string()),
        ]),
    }
}

fn output(definition: &OutputDefinition, naming: &Naming) -> TopicDescription {
    let mut config = vec![("max.message.bytes", message_bytes(definition.record_bytes_max))];
    let retention = |retention_ms: i64| {
        [
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("retention.ms", retention_ms.to_string()),
        ]
    };
    match definition.cleanup {
        Cleanup::Compact => config.push(("cleanup.policy", "compact".to_owned())),
        Cleanup::Delete { retention_ms } => {
            config.push(("cleanup.policy", "delete".to_owned()));
            config.extend(retention(retention_ms));
        }
        Cleanup::CompactAndDelete { retention_ms } => {
            config.push(("cleanup.policy", "compact,delete".to_owned()));
            config.extend(retention(retention_ms));
        }
    }
    TopicDescription {
        name: names::output(&naming.output_prefix, definition.topic),
        partitions: naming.output_partitions,
        config: sorted(config),
    }
}

fn message_bytes(record_bytes_max: usize) -> String {
    record_bytes_max.saturating_add(RECORD_OVERHEAD_BYTES).max(MESSAGE_BYTES_MIN).to_string()
}

fn sorted(entries: impl IntoIterator<Item = (&'static str, String)>) -> Vec<(String, String)> {
    let mut entries: Vec<_> =
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod test;
