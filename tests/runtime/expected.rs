//! What the word count comes to, by a plain count of what was fed.

use std::collections::{BTreeMap, BTreeSet};

use aplomb_state::{ids::Timestamp, partitioner::partition_of};

use crate::{harness::INBOX_PARTITIONS, support::REMIND_AFTER_MS};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub counts: BTreeMap<String, u64>,
    /// Word and deadline.
    pub reminders: BTreeSet<(String, i64)>,
    pub dead: usize,
}

impl Expected {
    pub fn take(&mut self, text: &[u8], at: Timestamp) {
        let words = std::str::from_utf8(text).map(|text| text.split_whitespace());
        let words: Vec<&str> = words.map(Iterator::collect).unwrap_or_default();
        if words.is_empty() || words.contains(&"panic") {
            self.dead += 1;
            return;
        }
        for word in words {
            *self.counts.entry(word.to_owned()).or_default() += 1;
            self.reminders.insert((word.to_owned(), at.0 + REMIND_AFTER_MS));
        }
    }

    /// What the words of these inbox partitions come to.
    pub fn counts_in(&self, partitions: &[i32]) -> BTreeMap<String, u64> {
        let within =
            |word: &str| partitions.contains(&partition_of(word.as_bytes(), INBOX_PARTITIONS));
        let counts = self.counts.iter().filter(|(word, _)| within(word));
        counts.map(|(word, count)| (word.clone(), *count)).collect()
    }
}
