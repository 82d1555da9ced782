//! What a transaction has written and nobody else can see yet: an ordered map with an undo log.
//!
//! Invariant `OVERLAY-PRIVATE`: nothing in here reaches a store before the broker acknowledged the
//! transaction.

use std::collections::BTreeMap;

use crate::{
    backend::{self, Reads, Write},
    scan::{self, Order, Scan},
    store::StoreId,
    topology::Entries,
};

/// `None` is a deletion.
type Slot = Option<Vec<u8>>;

#[derive(Debug, Default)]
pub struct Overlay {
    /// By store, then by key. A deletion hides what the store below has.
    slots: Vec<BTreeMap<Vec<u8>, Slot>>,
    undo: Vec<Undo>,
    bytes: usize,
}

#[derive(Debug)]
struct Undo {
    store: StoreId,
    key: Vec<u8>,
    /// What the overlay held before: nothing, or a slot.
    before: Option<Slot>,
}

/// A point to roll back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(usize);

/// What one entry costs beyond its key and value.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Where deletions hid what a page had, so many more entries are read at once: every read of the
/// store below seeks anew.
const HIDDEN_PAGE: usize = 64;

impl Overlay {
    /// Roughly the memory in use, for the limit that forces a commit.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(BTreeMap::is_empty)
    }

    pub fn len(&self) -> usize {
        self.slots.iter().map(BTreeMap::len).sum()
    }

    /// `None`: not written here, ask the store below.
    pub fn get(&self, store: StoreId, key: &[u8]) -> Option<Option<&[u8]>> {
        let slot = self.slots.get(usize::from(store.0))?.get(key)?;
        Some(slot.as_deref())
    }

    pub fn put(&mut self, store: StoreId, key: &[u8], value: Vec<u8>) {
        self.set(store, key, Some(value));
    }

    pub fn delete(&mut self, store: StoreId, key: &[u8]) {
        self.set(store, key, None);
    }

    fn set(&mut self, store: StoreId, key: &[u8], slot: Slot) {
        let index = usize::from(store.0);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, BTreeMap::new);
        }
        let Some(slots) = self.slots.get_mut(index) else { return };
        self.bytes += slot_bytes(slot.as_ref());
        let before = if let Some(present) = slots.get_mut(key) {
            Some(std::mem::replace(present, slot))
        } else {
            self.bytes += key.len() + ENTRY_OVERHEAD_BYTES;
            slots.insert(key.to_vec(), slot);
            None
        };
        if let Some(before) = &before {
            self.bytes = self.bytes.saturating_sub(slot_bytes(before.as_ref()));
        }
        self.undo.push(Undo { store, key: key.to_vec(), before });
    }

    /// Writes that can still be undone.
    pub fn undoable(&self) -> usize {
        self.undo.len()
    }

    pub fn mark(&self) -> Mark {
        Mark(self.undo.len())
    }

    /// Undoes everything written since the mark.
    pub fn roll_back(&mut self, mark: Mark) {
        while self.undo.len() > mark.0 {
            let Some(undo) = self.undo.pop() else { return };
            let Some(slots) = self.slots.get_mut(usize::from(undo.store.0)) else { continue };
            let removed = match undo.before {
                Some(slot) => {
                    self.bytes += slot_bytes(slot.as_ref());
                    slots.insert(undo.key, slot)
                }
                None => {
                    let freed = undo.key.len() + ENTRY_OVERHEAD_BYTES;
                    self.bytes = self.bytes.saturating_sub(freed);
                    slots.remove(&undo.key)
                }
            };
            let removed = removed.flatten();
            self.bytes = self.bytes.saturating_sub(slot_bytes(removed.as_ref()));
        }
    }

    /// The savepoints so far are over: their undo log is not needed any more.
    pub fn settle(&mut self) {
        self.undo.clear();
    }

    /// The last value of each key, by store and key: the changelog of the transaction.
    pub fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        self.slots.iter().zip(0u8..).flat_map(|(slots, index)| {
            slots.iter().map(move |(key, value)| Write {
                store: StoreId(index),
                key,
                value: value.as_deref(),
            })
        })
    }

    /// Forgets the deletions of what the store below does not have, such as a timer that was set
    /// and cancelled within the transaction: nothing is to be deleted, and nothing to be logged.
    /// What `below` cannot answer is kept. Only once everything is settled.
    pub fn forget_absent(&mut self, below: &dyn Reads) {
        for (slots, index) in self.slots.iter_mut().zip(0u8..) {
            slots.retain(|key, slot| {
                let kept = slot.is_some() || !matches!(below.get(StoreId(index), key), Ok(None));
                if !kept {
                    self.bytes = self.bytes.saturating_sub(key.len() + ENTRY_OVERHEAD_BYTES);
                }
                kept
            });
        }
    }

    pub fn clear(&mut self) {
        self.slots.clear();
        self.undo.clear();
        self.bytes = 0;
    }

    /// Entries of the overlay over the store.
    pub fn scan(
        &self,
        below: &dyn Reads,
        store: StoreId,
        scan: Scan<'_>,
    ) -> Result<Entries, backend::Error> {
        let slots = self.slots.get(usize::from(store.0));
        let Some(slots) = slots.filter(|slots| !slots.is_empty()) else {
            return below.scan(store, scan);
        };
        let mut found = Entries::new();
        let mut past = scan.past.map(<[u8]>::to_vec);
        // A deletion in here hides an entry below, so a page from below may yield fewer.
        let mut wanted = scan.max;
        while found.len() < scan.max {
            let part = Scan { past: past.as_deref(), max: wanted, ..scan };
            let page = below.scan(store, part)?;
            let exhausted = page.len() < wanted;
            let upto = if exhausted { None } else { page.last().map(|(key, _)| key.clone()) };
            merge(slots, &page, part, upto.as_deref(), &mut found);
            match upto {
                Some(key) => past = Some(key),
                None => break,
            }
            wanted = (scan.max - found.len().min(scan.max)).max(HIDDEN_PAGE);
        }
        found.truncate(scan.max);
        Ok(found)
    }
}

/// Merges one page from below with the overlay's slots of the same part: beyond `past`, up to
/// `upto`.
fn merge(
    slots: &BTreeMap<Vec<u8>, Slot>,
    page: &Entries,
    Scan { prefix, past, order, .. }: Scan<'_>,
    upto: Option<&[u8]>,
    found: &mut Entries,
) {
    match order {
        Order::Rising => {
            let above = scan::rising(slots, prefix, past)
                .take_while(|(key, _)| upto.is_none_or(|upto| key.as_slice() <= upto));
            weave(above, page, |above, below| above < below, found);
        }
        Order::Falling => {
            let above = scan::falling(slots, prefix, past)
                .take_while(|(key, _)| upto.is_none_or(|upto| key.as_slice() >= upto));
            weave(above, page, |above, below| above > below, found);
        }
    }
}

/// Merges two sequences of one order; what is above hides what is below.
fn weave<'a>(
    above: impl Iterator<Item = (&'a Vec<u8>, &'a Slot)>,
    page: &Entries,
    precedes: impl Fn(&[u8], &[u8]) -> bool,
    found: &mut Entries,
) {
    let mut above = above.peekable();
    let mut keep = |key: &Vec<u8>, value: Option<&Vec<u8>>| {
        found.extend(value.map(|value| (key.clone(), value.clone())));
    };
    for (key, value) in page {
        while let Some((above_key, slot)) = above.next_if(|(above, _)| precedes(above, key)) {
            keep(above_key, slot.as_ref());
        }
        match above.next_if(|(above, _)| *above == key) {
            Some((_, slot)) => keep(key, slot.as_ref()),
            None => keep(key, Some(value)),
        }
    }
    above.for_each(|(key, slot)| keep(key, slot.as_ref()));
}

fn slot_bytes(slot: Option<&Vec<u8>>) -> usize {
    slot.map_or(0, Vec::len)
}
