//! Store definitions. Names are explicit and part of the stored form; nothing is positional.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::codec::Format;

/// A store of a stage, as the topology declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDefinition {
    pub name: &'static str,
    pub kind: StoreKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    KeyValue,
    /// Every entry has a deadline in stream time and is deleted by a timer once it has passed.
    Expiring,
}

/// The place of a store in its stage's list. The runtime's own two stores come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u8);

impl StoreId {
    /// Clock, configuration and unfinished continuations.
    pub const TASK: Self = Self(0);
    pub const TIMERS: Self = Self(1);
    pub(crate) const FIRST_DECLARED: u8 = 2;
}

/// Names of the runtime's own stores; declared names may not begin with `~`.
pub const RUNTIME_STORES: [&str; 2] = ["~task", "~timers"];

/// Keys with a stored form whose byte order is the order of scans.
pub trait StoreKey {
    fn write(&self, out: &mut Vec<u8>);
}

impl StoreKey for [u8] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl StoreKey for str {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl StoreKey for String {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl StoreKey for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<T: StoreKey + ?Sized> StoreKey for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

/// A typed key-value store: `const ORDERS: KeyValue<str, Order> = KeyValue::new("orders");`
pub struct KeyValue<K: ?Sized, V> {
    pub name: &'static str,
    types: PhantomData<fn(&K) -> V>,
}

impl<K: StoreKey + ?Sized, V: Format + DeserializeOwned> KeyValue<K, V> {
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    pub const fn definition(&self) -> StoreDefinition {
        StoreDefinition { name: self.name, kind: StoreKind::KeyValue }
    }
}

/// A typed store whose entries end at a deadline.
pub struct Expiring<K: ?Sized, V> {
    pub name: &'static str,
    types: PhantomData<fn(&K) -> V>,
}

impl<K: StoreKey + ?Sized, V: Format + DeserializeOwned> Expiring<K, V> {
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    pub const fn definition(&self) -> StoreDefinition {
        StoreDefinition { name: self.name, kind: StoreKind::Expiring }
    }
}
