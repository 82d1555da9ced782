//! The committed offsets of one group, and those that wait for the end of their transaction.

use std::collections::{BTreeMap, HashMap};

use aplomb_state::ids::{NextOffset, TopicPartition};

use super::{partition::Outcome, record::TransactionNumber};
use crate::log::Committed;

#[derive(Debug, Default)]
pub(super) struct Offsets {
    stable: HashMap<TopicPartition, Position>,
    pending: BTreeMap<TransactionNumber, HashMap<TopicPartition, Position>>,
}

type Position = (NextOffset, String);

impl Offsets {
    pub fn add(
        &mut self,
        transaction: TransactionNumber,
        offsets: &[(TopicPartition, NextOffset, String)],
    ) {
        let pending = self.pending.entry(transaction).or_default();
        pending.extend(
            offsets
                .iter()
                .map(|(partition, next, metadata)| (partition.clone(), (*next, metadata.clone()))),
        );
    }

    pub fn end_transaction(&mut self, transaction: TransactionNumber, outcome: Outcome) {
        let ended = self.pending.remove(&transaction);
        if outcome == Outcome::Commit {
            self.stable.extend(ended.into_iter().flatten());
        }
    }

    /// As the broker does with the offsets of topics that were deleted, and of all topics once the
    /// group was empty for too long.
    pub fn forget(&mut self, is_gone: impl Fn(&TopicPartition) -> bool) {
        self.stable.retain(|partition, _| !is_gone(partition));
        for pending in self.pending.values_mut() {
            pending.retain(|partition, _| !is_gone(partition));
        }
    }

    pub fn committed(&self, partition: &TopicPartition) -> Committed {
        if self.pending.values().any(|offsets| offsets.contains_key(partition)) {
            return Committed::Unstable;
        }
        self.stable(partition)
    }

    /// What is committed, whatever is pending.
    pub fn stable(&self, partition: &TopicPartition) -> Committed {
        match self.stable.get(partition) {
            Some((next, metadata)) => Committed::At { next: *next, metadata: metadata.clone() },
            None => Committed::None,
        }
    }
}
