//! The offsets of an application as a file: what `aplomb offsets show` writes, and `offsets restore
//! --from` and `reset --inputs` read.

use aplomb_state::ids::{NextOffset, TopicPartition};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    application::Application,
    log::{Committed, Log},
    scan,
};

/// JSON, to be kept beside a backup, or written by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffsetsFile {
    /// `application.id`, so that no other application's offsets are taken.
    pub application: String,
    pub offsets: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub topic: String,
    pub partition: i32,
    /// The record to be read next.
    pub offset: i64,
    /// As the group has it. Not needed in a file written by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

impl OffsetsFile {
    /// `Err` says what is wrong with the text.
    pub fn parse(text: &str, application: &Application) -> Result<Self, Error> {
        let wrong = |problem: String| {
            Error::Refused(format!(
                "{problem}; a file of offsets is what `aplomb offsets show` writes: \
                 {{\"application\": \"{}\", \"offsets\": [{{\"topic\": \"…\", \"partition\": 0, \
                 \"offset\": 0}}, …]}}",
                application.id
            ))
        };
        let file: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if file.application != application.id {
            return Err(wrong(format!(
                "these are the offsets of {:?}, the configuration says {:?}",
                file.application, application.id
            )));
        }
        for (index, entry) in file.offsets.iter().enumerate() {
            let place = format!("{}/{}", entry.topic, entry.partition);
            if entry.offset < 0 {
                return Err(wrong(format!("{place}: offset {} is below 0", entry.offset)));
            }
            let before = file.offsets.iter().take(index);
            let mut before = before.map(|other| (&other.topic, other.partition));
            if before.any(|other| other == (&entry.topic, entry.partition)) {
                return Err(wrong(format!("{place} stands twice")));
            }
        }
        Ok(file)
    }

    pub fn of(&self, partition: &TopicPartition) -> Option<&Entry> {
        self.offsets.iter().find(|entry| {
            *entry.topic == *partition.topic && entry.partition == partition.partition
        })
    }
}

/// What the group has committed, external topics first.
pub fn show(log: &impl Log, application: &Application) -> Result<OffsetsFile, Error> {
    let partitions = all_inputs(application);
    let committed = scan::committed(log, &application.id, &partitions)?;
    let entry = |(partition, committed): (TopicPartition, Committed)| match committed {
        Committed::At { next: NextOffset(offset), metadata } => Some(Entry {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset,
            metadata: Some(metadata),
        }),
        Committed::None | Committed::Unstable => None,
    };
    let offsets = partitions.into_iter().zip(committed).filter_map(entry).collect();
    Ok(OffsetsFile { application: application.id.clone(), offsets })
}

pub(super) fn all_inputs(application: &Application) -> Vec<TopicPartition> {
    let mut partitions = application.external_partitions();
    partitions.extend(application.inbox_partitions());
    partitions
}
