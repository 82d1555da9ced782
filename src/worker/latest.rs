//! What an open transaction writes to compacted outputs: of each key the last record alone goes
//! out, at the commit.
//!
//! Nobody loses anything by it. Readers of committed records see a transaction whole or not at all,
//! and of a key compaction keeps the last record in any case.
//!
//! Invariant `LATEST-LAST`: a compacted output ends a transaction with the last effect of every key
//! that the transaction wrote.

use std::collections::HashMap;

use aplomb_state::{
    effect::{Effect, Target},
    topology::{Cleanup, Topology},
};

/// See the module. Dropped with its transaction.
#[derive(Debug, Default)]
pub(super) struct Latest {
    /// In the order in which the keys were first written.
    records: Vec<Held>,
    /// By output and key: the place of the record.
    places: HashMap<(u16, Vec<u8>), usize>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Held {
    pub output: u16,
    pub effect: Effect,
    /// As the cause header has it.
    pub cause: String,
}

impl Latest {
    /// Keeps the effect in place of an earlier one of its key.
    pub(super) fn hold(&mut self, output: u16, effect: Effect, cause: &str) {
        let key = (output, effect.key.clone());
        let held = Held { output, effect, cause: cause.to_owned() };
        self.bytes += held.bytes();
        let place = *self.places.entry(key).or_insert(self.records.len());
        match self.records.get_mut(place) {
            Some(earlier) => {
                self.bytes = self.bytes.saturating_sub(earlier.bytes());
                *earlier = held;
            }
            None => self.records.push(held),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything held, in the order in which it is to be written.
    pub(super) fn take(&mut self) -> Vec<Held> {
        self.places.clear();
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }
}

impl Held {
    fn bytes(&self) -> usize {
        self.effect.bytes() + self.cause.len()
    }
}

/// The output whose keys have one value each, if the effect goes to such a one.
pub(super) fn compacted(topology: &Topology, effect: &Effect) -> Option<u16> {
    let Target::Output(index) = effect.target else { return None };
    let output = topology.outputs.get(usize::from(index))?;
    (output.cleanup == Cleanup::Compact).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(key: &str, value: &str) -> Effect {
        Effect {
            target: Target::Output(0),
            key: key.into(),
            value: Some(value.into()),
            headers: aplomb_state::effect::Headers::default(),
        }
    }

    #[test]
    fn the_last_of_each_key_stays_where_its_first_was() {
        let mut latest = Latest::default();
        for (output, key, value, cause) in
            [(0, "a", "1", "c1"), (0, "b", "2", "c2"), (1, "a", "3", "c3"), (0, "a", "4", "c4")]
        {
            latest.hold(output, effect(key, value), cause);
        }
        let bytes = |value: &str| effect("a", value).bytes() + 2;
        assert_eq!(latest.bytes(), 3 * bytes("1"));
        let taken = latest.take();
        assert_eq!(latest.bytes(), 0);
        let shown: Vec<_> = taken
            .iter()
            .map(|held| (held.effect.key.as_slice(), held.effect.value.as_deref(), &*held.cause))
            .collect();
        let expected: [(&[u8], Option<&[u8]>, &str); 3] =
            [(b"a", Some(b"4"), "c4"), (b"b", Some(b"2"), "c2"), (b"a", Some(b"3"), "c3")];
        assert_eq!(shown, expected);
        assert!(latest.take().is_empty());
    }
}
