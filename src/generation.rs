//! Where the present generation began: at offset 0, or where `aplomb reset` wrote that it did.
//!
//! Offsets of an inbox are never given twice, not even after a reset: so an effect's cause names
//! one input for all time. External inputs may be read again, and outputs are kept; what earlier
//! generations left there lies before the offsets that this module knows.

use std::{collections::HashMap, sync::Arc};

use aplomb_state::ids::{NextOffset, TopicPartition};

use crate::{
    application::Application,
    changelog::{self, Entry},
    log::{Isolation, Log},
    position::GenerationRecord,
    scan::{self, Next},
};

/// By inbox and output partition. What is not in it began at 0.
#[derive(Debug, Default)]
pub struct Beginnings(HashMap<TopicPartition, NextOffset>);

impl Beginnings {
    /// Reads the first record of every changelog partition.
    pub fn read(log: &impl Log, application: &Application) -> Result<Self, scan::Error> {
        let mut known = HashMap::new();
        for (inbox, changelog) in application.inner_tasks() {
            if let Some(record) = first_record(log, &changelog)? {
                known.insert(inbox, record.start);
                known.extend(record.outputs);
            }
        }
        Ok(Self(known))
    }

    pub fn of(&self, partition: &TopicPartition) -> NextOffset {
        self.0.get(partition).copied().unwrap_or_default()
    }
}

/// A reset makes the changelog anew and writes this first; compaction keeps it where it is.
fn first_record(
    log: &impl Log,
    changelog: &TopicPartition,
) -> Result<Option<GenerationRecord>, scan::Error> {
    let marks = log.watermarks(std::slice::from_ref(changelog), Isolation::ReadCommitted)?;
    let Some(marks) = marks.first() else { return Ok(None) };
    let mut found = None;
    scan::range(log, changelog, marks.low, marks.high, &mut |record| {
        let entry = changelog::read_record(record.key.unwrap_or_default(), record.value);
        if let Ok(Entry::Generation(generation)) = entry {
            found = Some(generation);
        }
        Next::Stop
    })?;
    Ok(found)
}

impl Application {
    /// Inbox and changelog partition of every internal task.
    pub fn inner_tasks(&self) -> Vec<(TopicPartition, TopicPartition)> {
        let mut tasks = Vec::new();
        for stage in &self.stages {
            let (Some(inbox), Some(changelog)) = (&stage.inbox, &stage.changelog) else { continue };
            tasks.extend((0..self.inbox_partitions).map(|partition| {
                let of = |topic: &Arc<str>| TopicPartition::new(Arc::clone(topic), partition);
                (of(inbox), of(changelog))
            }));
        }
        tasks
    }
}
