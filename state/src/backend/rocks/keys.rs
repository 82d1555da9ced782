//! Where rows lie: key prefixes, column names, names on disk.

use rocksdb::ReadOptions;

use crate::{ids::TaskId, scan};

/// The column of the backend's own rows. A stage's columns have a dot in their name.
pub(super) const META_COLUMN: &str = "~meta";
/// RocksDB insists on this one; it stays empty.
pub(super) const DEFAULT_COLUMN: &str = "default";
/// The row that holds the format version of the database as a whole.
pub(super) const FORMAT_ROW: &[u8] = b"format";
const TASK_ROW_PREFIX: &[u8] = b"task/";

/// One life of a task's rows. A rebuild writes the next one beside the present.
///
/// Unique within the database: two tasks can never see each other's rows, whatever topics their
/// stage has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Incarnation(pub u32);

/// The rows of one incarnation of one partition, in any column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range([u8; 8]);

// === impl Range ===

impl Range {
    pub fn new(partition: i32, incarnation: Incarnation) -> Self {
        let [a, b, c, d] = partition.to_be_bytes();
        let [e, f, g, h] = incarnation.0.to_be_bytes();
        Self([a, b, c, d, e, f, g, h])
    }

    /// Replaces what is in `out` by the full key of a row.
    pub fn key_into(self, key: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.0);
        out.extend_from_slice(key);
    }

    pub fn strip(self, row: &[u8]) -> &[u8] {
        row.get(self.0.len()..).unwrap_or_default()
    }

    /// The first key of the range, and the first key after it.
    pub fn bounds(self) -> ([u8; 8], Vec<u8>) {
        (self.0, successor(&self.0))
    }

    /// Iteration that ends with the prefix: deleted rows beyond it are never walked over.
    pub fn read_options(self, prefix: &[u8]) -> ReadOptions {
        let mut first = Vec::with_capacity(self.0.len() + prefix.len());
        self.key_into(prefix, &mut first);
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(successor(&first));
        options.set_iterate_lower_bound(first);
        options
    }
}

/// The least key above every key that begins with `bytes`.
fn successor(bytes: &[u8]) -> Vec<u8> {
    // There is none only for nothing but 0xff, which no partition number begins with.
    scan::end_of(bytes).unwrap_or_else(|| vec![u8::MAX; 16])
}

pub(super) fn column_name(stage: &str, store: &str) -> String {
    format!("{stage}.{store}")
}

pub(super) fn is_of_stage(column: &str, stage: &str) -> bool {
    column.strip_prefix(stage).is_some_and(|rest| rest.starts_with('.'))
}

pub(super) fn task_row(task: &TaskId) -> Vec<u8> {
    let partition = task.input.partition.to_be_bytes();
    let (stage, topic) = (task.stage.as_bytes(), task.input.topic.as_bytes());
    [TASK_ROW_PREFIX, stage, &[0], topic, &[0], &partition].concat()
}

pub(super) fn is_task_row(key: &[u8]) -> bool {
    key.starts_with(TASK_ROW_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_neighbours_do_not_touch() {
        let one = Range::new(3, Incarnation(u32::MAX));
        let next = Range::new(4, Incarnation(0));
        assert!(one.bounds().1.as_slice() <= &next.bounds().0[..]);
        let mut key = Vec::new();
        one.key_into(&[255, 255], &mut key);
        assert!(key < one.bounds().1);
        assert_eq!(one.strip(&key), [255, 255]);
    }
}
