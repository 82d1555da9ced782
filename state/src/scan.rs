//! Which of a store's rows are read, and in which order.

use std::{collections::BTreeMap, ops::Bound};

/// At most `max` of the rows whose key begins with `prefix` and lies beyond `past`.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    pub prefix: &'a [u8],
    pub past: Option<&'a [u8]>,
    pub order: Order,
    pub max: usize,
}

/// Of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Rising,
    /// The last row comes first.
    Falling,
}

impl<'a> Scan<'a> {
    /// In key order, after `after`.
    pub fn rising(prefix: &'a [u8], after: Option<&'a [u8]>, max: usize) -> Self {
        Self { prefix, past: after, order: Order::Rising, max }
    }

    /// The last one first, before `before`.
    pub fn falling(prefix: &'a [u8], before: Option<&'a [u8]>, max: usize) -> Self {
        Self { prefix, past: before, order: Order::Falling, max }
    }
}

/// Rows whose key begins with `prefix` and comes after `after`, in key order.
pub(crate) fn rising<'a, V>(
    rows: &'a BTreeMap<Vec<u8>, V>,
    prefix: &'a [u8],
    after: Option<&[u8]>,
) -> impl Iterator<Item = (&'a Vec<u8>, &'a V)> {
    let start = match after {
        Some(key) if key >= prefix => Bound::Excluded(key),
        _ => Bound::Included(prefix),
    };
    let from_start = rows.range::<[u8], _>((start, Bound::Unbounded));
    from_start.take_while(move |(key, _)| key.starts_with(prefix))
}

/// Rows whose key begins with `prefix` and comes before `before`, the last one first.
pub(crate) fn falling<'a, V>(
    rows: &'a BTreeMap<Vec<u8>, V>,
    prefix: &[u8],
    before: Option<&[u8]>,
) -> impl Iterator<Item = (&'a Vec<u8>, &'a V)> {
    let end = end_of(prefix);
    let end = [before, end.as_deref()].into_iter().flatten().min();
    // A map refuses a range that ends before it starts.
    let range = end.is_none_or(|end| end > prefix).then(|| {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        rows.range::<[u8], _>((Bound::Included(prefix), end))
    });
    range.into_iter().flatten().rev()
}

/// The least key above every key that begins with `prefix`. `None`: there is no such key.
pub(crate) fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = prefix.to_vec();
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_lies_above_all_with_the_prefix() {
        let rows: [(&[u8], Option<&[u8]>); 6] = [
            (&[1, 2], Some(&[1, 3])),
            (&[1, 255], Some(&[2])),
            (&[1, 255, 255], Some(&[2])),
            (&[0], Some(&[1])),
            (&[255], None),
            (&[], None),
        ];
        for (prefix, expected) in rows {
            assert_eq!(end_of(prefix).as_deref(), expected);
        }
    }
}
