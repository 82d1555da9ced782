//! Values as handlers read them, before RocksDB is asked: a read of RocksDB costs microseconds.
//!
//! Deleted and absent keys are kept too, since most keys a stage deduplicates by are absent.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::store::StoreId;

/// What the maps and the queue take for one entry beyond its key and value.
const ENTRY_OVERHEAD_BYTES: usize = 128;
/// A value beyond this part of a store's share would push out too many others.
const SHARE_OF_ONE_VALUE: usize = 16;

/// The bytes that all stores of the process may keep, in equal shares.
#[derive(Debug)]
pub(super) struct Allowance {
    bytes_max: usize,
    stores: AtomicUsize,
    bytes: AtomicUsize,
}

/// One store's share. Evicts the oldest entry that was not read since its last turn.
pub(super) struct Objects {
    stores: Vec<HashMap<Arc<[u8]>, Object>>,
    queue: VecDeque<(StoreId, Arc<[u8]>)>,
    bytes: usize,
    allowance: Arc<Allowance>,
}

struct Object {
    value: Value,
    used: bool,
}

enum Value {
    Present(Box<[u8]>),
    Absent,
    /// Too large to be kept; ask RocksDB.
    Unknown,
}

// === impl Allowance ===

impl Allowance {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, stores: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    pub fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    }

    fn share(&self) -> usize {
        self.bytes_max / self.stores.load(Ordering::Relaxed).max(1)
    }
}

// === impl Objects ===

impl Objects {
    pub fn new(allowance: &Arc<Allowance>) -> Self {
        allowance.stores.fetch_add(1, Ordering::Relaxed);
        let allowance = Arc::clone(allowance);
        Self { stores: Vec::new(), queue: VecDeque::new(), bytes: 0, allowance }
    }

    /// `None`: not known here. `Some(None)`: there is no such key.
    pub fn get(&mut self, store: StoreId, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let object = self.stores.get_mut(usize::from(store.0))?.get_mut(key)?;
        object.used = true;
        match &object.value {
            Value::Present(bytes) => Some(Some(bytes.to_vec())),
            Value::Absent => Some(None),
            Value::Unknown => None,
        }
    }

    pub fn insert(&mut self, store: StoreId, key: &[u8], value: Option<&[u8]>) {
        // The runtime's own rows are read by scans, which do not come here.
        if store.0 < StoreId::FIRST_DECLARED {
            return;
        }
        let before = self.bytes;
        let size_max = self.allowance.share() / SHARE_OF_ONE_VALUE;
        if key.len() > size_max {
            return;
        }
        let value = match value {
            Some(bytes) if bytes.len() > size_max => Value::Unknown,
            Some(bytes) => Value::Present(bytes.into()),
            None => Value::Absent,
        };
        self.set(store, key, value);
        self.evict();
        self.account(before);
    }

    pub fn clear(&mut self) {
        let before = self.bytes;
        self.stores.clear();
        self.queue.clear();
        self.bytes = 0;
        self.account(before);
    }

    fn set(&mut self, store: StoreId, key: &[u8], value: Value) {
        let index = usize::from(store.0);
        if self.stores.len() <= index {
            self.stores.resize_with(index + 1, HashMap::new);
        }
        let Some(objects) = self.stores.get_mut(index) else { return };
        self.bytes += value.bytes();
        if let Some(object) = objects.get_mut(key) {
            self.bytes -= object.value.bytes();
            object.value = value;
            return;
        }
        self.bytes += key.len() + ENTRY_OVERHEAD_BYTES;
        let key: Arc<[u8]> = key.into();
        self.queue.push_back((store, Arc::clone(&key)));
        objects.insert(key, Object { value, used: false });
    }

    fn evict(&mut self) {
        let share = self.allowance.share();
        while self.bytes > share {
            let Some((store, key)) = self.queue.pop_front() else { return };
            let Some(objects) = self.stores.get_mut(usize::from(store.0)) else { continue };
            match objects.get_mut(&key) {
                Some(object) if object.used => {
                    object.used = false;
                    self.queue.push_back((store, key));
                }
                _ => {
                    if let Some(object) = objects.remove(&key) {
                        self.bytes -= key.len() + ENTRY_OVERHEAD_BYTES + object.value.bytes();
                    }
                }
            }
        }
    }

    fn account(&self, before: usize) {
        let total = &self.allowance.bytes;
        if self.bytes >= before {
            total.fetch_add(self.bytes - before, Ordering::Relaxed);
        } else {
            total.fetch_sub(before - self.bytes, Ordering::Relaxed);
        }
    }
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Self::Present(bytes) => bytes.len(),
            Self::Absent | Self::Unknown => 0,
        }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.clear();
        self.allowance.stores.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId(StoreId::FIRST_DECLARED);

    #[test]
    fn what_is_read_stays_and_the_bytes_are_bounded() {
        let allowance = Arc::new(Allowance::new(20_000));
        let mut objects = Objects::new(&allowance);
        for number in 0..1_000_u32 {
            objects.insert(STORE, &number.to_be_bytes(), Some(&[7; 100]));
            assert!(objects.get(STORE, &0_u32.to_be_bytes()).is_some(), "read all the time");
            assert!(allowance.bytes() <= 20_000);
        }
        assert_eq!(objects.get(STORE, &500_u32.to_be_bytes()), None, "evicted");
        objects.insert(STORE, &999_u32.to_be_bytes(), None);
        assert_eq!(objects.get(STORE, &999_u32.to_be_bytes()), Some(None), "known to be absent");
        objects.insert(STORE, &0_u32.to_be_bytes(), Some(&[7; 10_000]));
        assert_eq!(objects.get(STORE, &0_u32.to_be_bytes()), None, "too large to keep");
        objects.insert(StoreId::TIMERS, b"timer", Some(b"x"));
        assert_eq!(objects.get(StoreId::TIMERS, b"timer"), None, "only ever scanned");
        drop(objects);
        assert_eq!(allowance.bytes(), 0);
        assert_eq!(allowance.stores.load(Ordering::Relaxed), 0);
    }
}
