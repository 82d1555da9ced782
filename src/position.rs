//! What a transaction says about a task's progress, in its two stored forms: the metadata beside a
//! committed offset, and the position record that ends a task's part of the changelog.

use std::fmt;

use aplomb_state::{
    codec::Format,
    ids::{FoldVersion, Generation, NextOffset, TopicPartition},
};
use serde::{Deserialize, Serialize};

/// Beside every committed offset. Text, so that Kafka's own tools show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub generation: Generation,
    pub fold_version: FoldVersion,
    /// Partitions of the input's topic when the generation began. Never taken from live metadata.
    pub partitions: i32,
    /// For an external partition: where the application began to read it. For an inbox: where its
    /// changelog began when the generation did.
    pub start: Option<NextOffset>,
}

const VERSION: &str = "aplomb1";

/// Beside every offset of an application while `aplomb reset` is at work. No task opens on it.
pub const RESETTING: &str = "aplomb1-resetting";

impl fmt::Display for Metadata {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, fold_version, partitions, start } = self;
        write!(
            formatter,
            "{VERSION};generation={generation};fold={};partitions={partitions}",
            fold_version.0
        )?;
        match start {
            Some(start) => write!(formatter, ";start={start}"),
            None => Ok(()),
        }
    }
}

impl Metadata {
    /// `Err` says what is wrong: somebody else commits with this group's name, or a newer build.
    pub fn parse(text: &str) -> Result<Self, String> {
        let foreign = || format!("the committed offset's metadata {text:?} is not Aplomb's");
        if text == RESETTING {
            return Err("`aplomb reset` was begun and did not end: run it again".to_owned());
        }
        let mut parts = text.split(';');
        if parts.next() != Some(VERSION) {
            return Err(foreign());
        }
        let (mut generation, mut fold, mut partitions, mut start) = (None, None, None, None);
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(foreign)?;
            match name {
                "generation" => generation = u64::from_str_radix(value, 16).ok(),
                "fold" => fold = value.parse().ok(),
                "partitions" => partitions = value.parse().ok(),
                "start" => start = value.parse().ok(),
                _ => return Err(foreign()),
            }
        }
        Ok(Self {
            generation: Generation(generation.ok_or_else(foreign)?),
            fold_version: FoldVersion(fold.ok_or_else(foreign)?),
            partitions: partitions.ok_or_else(foreign)?,
            start: start.map(NextOffset),
        })
    }
}

/// The last changelog record of a task in a transaction: the store after it is the fold of the
/// inbox before `inbox`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionRecord {
    pub inbox: NextOffset,
    pub generation: Generation,
    pub fold_version: FoldVersion,
}

impl Format for PositionRecord {
    const VERSION: u8 = 1;
}

/// The first changelog record of a task in a generation that `aplomb reset` began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    pub generation: Generation,
    /// The inbox before this belongs to earlier generations.
    pub start: NextOffset,
    /// What stands in the outputs before these offsets was written by earlier generations. Only in
    /// the first task's record.
    pub outputs: Vec<(TopicPartition, NextOffset)>,
}

impl Format for GenerationRecord {
    const VERSION: u8 = 1;
}

/// How far an external partition was handled, as ticks tell it now and then: `offsets restore`
/// knows by it what was handled before the inboxes' first records were deleted. It goes out in a
/// transaction that commits at least this offset, behind all effects of the inputs before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub partition: TopicPartition,
    pub next: NextOffset,
    pub metadata: Metadata,
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, next, metadata } = self;
        write!(formatter, "{partition}/{next} {metadata}")
    }
}

impl Note {
    pub fn parse(text: &str) -> Option<Self> {
        let (place, metadata) = text.split_once(' ')?;
        let (place, next) = place.rsplit_once('/')?;
        let (topic, partition) = place.rsplit_once('/')?;
        Some(Self {
            partition: TopicPartition::new(topic, partition.parse().ok()?),
            next: NextOffset(next.parse().ok()?),
            metadata: Metadata::parse(metadata).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives() {
        for start in [None, Some(NextOffset(42))] {
            let metadata = Metadata {
                generation: Generation(0xdead_beef),
                fold_version: FoldVersion(3),
                partitions: 8,
                start,
            };
            assert_eq!(Metadata::parse(&metadata.to_string()), Ok(metadata));
        }
    }

    #[test]
    fn a_note_survives() {
        let metadata = Metadata {
            generation: Generation(7),
            fold_version: FoldVersion(1),
            partitions: 2,
            start: Some(NextOffset(3)),
        };
        let partition = TopicPartition::new("shop.orders-v1", 1);
        let note = Note { partition, next: NextOffset(42), metadata };
        assert_eq!(Note::parse(&note.to_string()), Some(note));
        for text in ["", "lines/0/1", "lines/0 aplomb1;generation=1;fold=1;partitions=1"] {
            assert_eq!(Note::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_reset_that_did_not_end_is_named() {
        let reason = Metadata::parse(RESETTING).expect_err("no metadata of a task");
        assert!(reason.contains("aplomb reset"), "{reason}");
    }

    #[test]
    fn foreign_metadata_is_refused() {
        for text in ["", "aplomb2;generation=1", "aplomb1", "aplomb1;generation=xyz;fold=1", "NONE"]
        {
            assert!(Metadata::parse(text).is_err(), "{text}");
        }
    }
}
