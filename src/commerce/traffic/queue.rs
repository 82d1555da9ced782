//! Things waiting for their time; among equals, first come first served.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use aplomb_state::ids::Timestamp;

pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<Waiting<T>>>,
    pushed: u64,
}

struct Waiting<T> {
    at: Timestamp,
    place: u64,
    item: T,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }

    pub fn push(&mut self, at: Timestamp, item: T) {
        self.heap.push(Reverse(Waiting { at, place: self.pushed, item }));
        self.pushed += 1;
    }

    pub fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(waiting)| waiting.at)
    }

    pub fn pop(&mut self) -> Option<(Timestamp, T)> {
        self.heap.pop().map(|Reverse(waiting)| (waiting.at, waiting.item))
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.place).cmp(&(other.at, other.place))
    }
}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Waiting<T> {}
