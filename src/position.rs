//! What a transaction says about a task's progress, in its two stored forms: the metadata beside a
//! committed offset, and the position record that ends a task's part of the changelog.

use std::fmt;

use aplomb_state::{
    codec::Format,
    ids::{FoldVersion, Generation, NextOffset},
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
    fn foreign_metadata_is_refused() {
        for text in ["", "aplomb2;generation=1", "aplomb1", "aplomb1;generation=xyz;fold=1", "NONE"]
        {
            assert!(Metadata::parse(text).is_err(), "{text}");
        }
    }
}
