//! One partition: its records in the order of their offsets, and which of them may be read.

use std::collections::{BTreeMap, HashMap};

use aplomb_state::ids::{NextOffset, Offset, Timestamp};

use super::record::{Body, Kind, Stored, TransactionNumber};
use crate::log::{Error, Isolation, Watermarks};

/// Owns the records. Offsets only grow; compaction and deletion leave gaps, never reuse.
#[derive(Debug, Default)]
pub(super) struct Partition {
    records: Vec<Stored>,
    low: i64,
    next: i64,
    /// The transactions that have written here and have not ended: few at any time.
    open: Vec<Open>,
    /// When tombstones and control records that outlived a compaction may go, by offset.
    horizons: BTreeMap<i64, Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Commit,
    Abort,
}

#[derive(Debug)]
struct Open {
    transaction: TransactionNumber,
    first: i64,
}

impl Partition {
    pub fn watermarks(&self, isolation: Isolation) -> Watermarks {
        Watermarks { low: NextOffset(self.low), high: NextOffset(self.end(isolation)) }
    }

    pub fn high(&self) -> NextOffset {
        NextOffset(self.next)
    }

    /// Whether this is the first record the transaction writes here.
    pub fn is_new_to(&self, transaction: TransactionNumber) -> bool {
        !self.open.iter().any(|open| open.transaction == transaction)
    }

    pub fn append(
        &mut self,
        timestamp: Timestamp,
        transaction: Option<TransactionNumber>,
        body: Body,
    ) -> Offset {
        if let Some(transaction) = transaction.filter(|number| self.is_new_to(*number)) {
            self.open.push(Open { transaction, first: self.next });
        }
        self.push(timestamp, transaction, Kind::Data, body)
    }

    /// Writes the control record of a transaction that has written here.
    pub fn end_transaction(
        &mut self,
        transaction: TransactionNumber,
        outcome: Outcome,
        now: Timestamp,
    ) {
        let Some(index) = self.open.iter().position(|open| open.transaction == transaction) else {
            return;
        };
        let ended = self.open.swap_remove(index);
        if outcome == Outcome::Abort {
            let from = self.index_of(ended.first);
            for record in self.records.get_mut(from..).unwrap_or_default() {
                if record.transaction == Some(transaction) {
                    record.kind = Kind::Aborted;
                }
            }
        }
        self.push(now, Some(transaction), Kind::Control, Body::empty());
    }

    /// Hands out at most `max` records from `from` on, and answers the offset to go on from:
    /// behind control records, hidden records and gaps, if nothing else follows.
    pub fn fetch(
        &self,
        from: NextOffset,
        isolation: Isolation,
        max: usize,
        mut each: impl FnMut(&Stored),
    ) -> Result<NextOffset, Error> {
        if from.0 < self.low || from.0 > self.next {
            return Err(Error::out_of_range(format!(
                "offset {from} is out of range: the log holds {} to {}",
                self.low, self.next
            )));
        }
        let end = self.end(isolation);
        let mut position = from.0;
        let mut count = 0;
        for record in self.records.get(self.index_of(from.0)..).unwrap_or_default() {
            if record.offset.0 >= end {
                break;
            }
            if is_visible(record, isolation) {
                if count == max {
                    return Ok(NextOffset(position));
                }
                each(record);
                count += 1;
            }
            position = record.offset.0 + 1;
        }
        Ok(NextOffset(position.max(end)))
    }

    /// The first offset with a timestamp of at least `at`.
    pub fn offset_at(&self, at: Timestamp) -> NextOffset {
        self.records
            .iter()
            .find(|record| record.kind != Kind::Control && record.timestamp >= at)
            .map_or(NextOffset(self.next), |record| NextOffset(record.offset.0))
    }

    /// Deletes what lies before `before`.
    pub fn delete(&mut self, before: NextOffset) -> Result<(), Error> {
        if before.0 < 0 || before.0 > self.next {
            return Err(Error::out_of_range(format!(
                "offset {before} is out of range: the log ends at {}",
                self.next
            )));
        }
        self.low = self.low.max(before.0);
        let keep_from = self.index_of(self.low);
        self.records.drain(..keep_from);
        self.horizons = self.horizons.split_off(&self.low);
        Ok(())
    }

    /// Keeps the last record of each key below the last stable offset. Tombstones and control
    /// records outlive the first compaction that meets them by `delete_retention_ms`.
    pub fn compact(&mut self, now: Timestamp, delete_retention_ms: i64) {
        let end = self.end(Isolation::ReadCommitted);
        let stable = self.records.get(..self.index_of(end)).unwrap_or_default();
        let mut last_of_key = HashMap::new();
        for record in stable.iter().filter(|record| record.kind == Kind::Data) {
            if let Some(key) = record.body.key() {
                last_of_key.insert(key.to_vec(), record.offset);
            }
        }
        let horizons = &mut self.horizons;
        let mut outlives = |offset: Offset| {
            let new = now.plus_ms(delete_retention_ms);
            now < *horizons.entry(offset.0).or_insert(new)
        };
        self.records.retain(|record| match record.kind {
            _ if record.offset.0 >= end => true,
            Kind::Aborted => false,
            Kind::Control => outlives(record.offset),
            Kind::Data => {
                let last = record.body.key().and_then(|key| last_of_key.get(key));
                last == Some(&record.offset)
                    && (record.body.value().is_some() || outlives(record.offset))
            }
        });
        let kept: std::collections::HashSet<i64> =
            self.records.iter().map(|record| record.offset.0).collect();
        self.horizons.retain(|offset, _| kept.contains(offset));
    }

    fn push(
        &mut self,
        timestamp: Timestamp,
        transaction: Option<TransactionNumber>,
        kind: Kind,
        body: Body,
    ) -> Offset {
        let offset = Offset(self.next);
        self.next += 1;
        self.records.push(Stored { offset, timestamp, transaction, kind, body });
        offset
    }

    fn end(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.next,
            Isolation::ReadCommitted => {
                let first_open = self.open.iter().map(|open| open.first).min();
                first_open.map_or(self.next, |first| first.max(self.low))
            }
        }
    }

    /// The index of the first record at or after `offset`.
    fn index_of(&self, offset: i64) -> usize {
        self.records.partition_point(|record| record.offset.0 < offset)
    }
}

fn is_visible(record: &Stored, isolation: Isolation) -> bool {
    match record.kind {
        Kind::Data => true,
        Kind::Aborted => isolation == Isolation::ReadUncommitted,
        Kind::Control => false,
    }
}
