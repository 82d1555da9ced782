//! Rows and keys of the stage's state. A sku is many rows, so that a hot one never rewrites its
//! whole self: the ledger row and the hold row are all that a hold target touches.

use aplomb_state::{
    codec::Format,
    ids::Timestamp,
    store::{Expiring, KeyValue, StoreKey},
};
use serde::{Deserialize, Serialize};

use crate::{
    drifts::Source,
    messages::{cases::CaseKey, skus::InventoryMode},
};

use super::{drift::Watch, ledger::Ledger, returns::Returns};

/// One per (sku, location): figures and totals.
pub const LEDGER: KeyValue<LocationKey, Ledger> = KeyValue::new("ledger");
/// One per (location, orderedAt, order, line): in the order in which stock is given out.
pub const HOLDS: KeyValue<HoldKey, Hold> = KeyValue::new("holds");
/// The holds with backordered units, under the key they have in `holds`: what rising stock looks
/// through, instead of all holds.
pub const WAITING: KeyValue<HoldKey, Waiting> = KeyValue::new("waiting");
/// Movements of physical stock, to be counted again on top of a snapshot older than they are.
pub const MOVES: KeyValue<[u8], Move> = KeyValue::new("moves");
/// Deltas that were told, by actor, system and event: each counts once, whatever instant it names.
pub const TOLD: Expiring<[u8], Told> = Expiring::new("told");
/// Where the figures came from. Read and written with readings only, never with orders.
pub const SOURCES: KeyValue<LocationKey, Sources> = KeyValue::new("sources");
/// One per location with units that are to be back in stock and are not.
pub const RETURNS: KeyValue<LocationKey, Returns> = KeyValue::new("returns");
/// One per location with a suspect, open or recent drift.
pub const DRIFTS: KeyValue<LocationKey, Drifts> = KeyValue::new("drifts");
/// One per project: what is known of all its skus.
pub const PROJECTS: KeyValue<str, Project> = KeyValue::new("projects");

/// A location of a sku. `actor` is the stage's inbox key, `project:sku`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationKey {
    pub actor: String,
    pub location: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldKey {
    pub at: LocationKey,
    pub ordered_at: Timestamp,
    pub order_id: String,
    pub line_id: String,
}

/// What one order line holds. Invariant `HOLD-SUM`: ordered = reserved + backordered + shipped +
/// cancelled, and none is negative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Of the last target applied.
    pub target: u64,
    /// Of the last state sent.
    pub revision: u64,
    pub ordered: i64,
    pub reserved: i64,
    pub backordered: i64,
    pub shipped: i64,
    pub cancelled: i64,
    pub returned: i64,
    /// Of the returned, as told.
    pub restocked: i64,
    pub unusable: i64,
    pub mode: InventoryMode,
    /// What commercetools took off its on stock when the order was created.
    pub deducted: i64,
    pub promise: Promise,
    /// No reading of the location yet: the backordered units were never judged.
    pub waiting: bool,
}

impl Format for Hold {
    const VERSION: u8 = 2;
}

/// When backordered units can come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promise {
    #[default]
    None,
    /// Accepted as a backorder without a date.
    Undated,
    At(Timestamp),
}

impl Promise {
    pub fn date(self) -> Option<Timestamp> {
        match self {
            Self::At(date) => Some(date),
            Self::None | Self::Undated => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting;

impl Format for Waiting {
    const VERSION: u8 = 1;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told;

impl Format for Told {
    const VERSION: u8 = 1;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub quantity: i64,
}

impl Format for Move {
    const VERSION: u8 = 1;
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    pub entry: Option<Entry>,
    pub platform: Source,
    pub warehouse: Source,
}

impl Format for Sources {
    const VERSION: u8 = 1;
}

/// The inventory entry behind the platform's figures. It outlives its deletion, so that an old
/// reading does not bring it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub revision: u64,
    pub as_of: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifts {
    pub on_hand: Watch,
    pub oversold: Watch,
    pub overstated: Watch,
    pub unexplained: Watch,
}

impl Format for Drifts {
    const VERSION: u8 = 2;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// A complete snapshot of entries was read: an absent entry is a fact.
    pub entries_complete: bool,
}

impl Format for Project {
    const VERSION: u8 = 1;
}

// === impl LocationKey ===

impl LocationKey {
    pub fn new(actor: impl Into<String>, location: impl Into<String>) -> Self {
        Self { actor: actor.into(), location: location.into() }
    }

    /// Project and sku.
    pub fn parts(&self) -> (&str, &str) {
        self.actor.split_once(':').unwrap_or(("~", &self.actor))
    }

    pub fn project(&self) -> &str {
        self.parts().0
    }

    pub fn sku(&self) -> &str {
        self.parts().1
    }

    /// The case of that code about the sku.
    pub fn case(&self, code: &str, discriminator: &str) -> CaseKey {
        let (project, sku) = self.parts();
        CaseKey {
            project: project.to_owned(),
            code: code.to_owned(),
            entity_type: "sku".to_owned(),
            entity_id: sku.to_owned(),
            discriminator: discriminator.to_owned(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        self.write(&mut bytes);
        bytes
    }

    /// Reads a location from the front of a row's key; the rest is the row's own.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (actor, rest) = read_part(bytes)?;
        let (location, rest) = read_part(rest)?;
        Some((Self::new(actor, location), rest))
    }
}

/// The prefix of all rows of an actor.
pub fn actor_prefix(actor: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    write_part(actor, &mut bytes);
    bytes
}

impl StoreKey for LocationKey {
    fn write(&self, out: &mut Vec<u8>) {
        write_part(&self.actor, out);
        write_part(&self.location, out);
    }
}

// === impl HoldKey ===

impl HoldKey {
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = LocationKey::read(bytes)?;
        let (ordered_at, rest) = rest.split_first_chunk::<8>()?;
        let (order_id, rest) = read_part(rest)?;
        let (line_id, _) = read_part(rest)?;
        let ordered_at = Timestamp::from_ordered_bytes(*ordered_at);
        Some(Self { at, ordered_at, order_id: order_id.into(), line_id: line_id.into() })
    }
}

impl StoreKey for HoldKey {
    fn write(&self, out: &mut Vec<u8>) {
        self.at.write(out);
        out.extend_from_slice(&self.ordered_at.to_ordered_bytes());
        write_part(&self.order_id, out);
        write_part(&self.line_id, out);
    }
}

/// The key of a movement. The same movement told twice has the same `id`.
pub fn move_key(at: &LocationKey, when: Timestamp, id: &str) -> Vec<u8> {
    let mut key = before_instant(at, when);
    key.extend_from_slice(id.as_bytes());
    key
}

/// The instant of a movement, from its row's key.
pub fn move_instant(key: &[u8]) -> Option<Timestamp> {
    let (_, rest) = LocationKey::read(key)?;
    rest.first_chunk::<8>().map(|when| Timestamp::from_ordered_bytes(*when))
}

/// A key that lies before every row of `at` from `instant` on, and after all earlier ones.
pub fn before_instant(at: &LocationKey, instant: Timestamp) -> Vec<u8> {
    let mut bytes = at.bytes();
    bytes.extend_from_slice(&instant.to_ordered_bytes());
    bytes
}

/// Parts carry their length: whatever a sku or a channel is named, no key is the prefix of
/// another's.
fn write_part(part: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(part.as_bytes().iter().take(usize::from(length)));
}

fn read_part(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (part, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((std::str::from_utf8(part).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_sort_by_the_order_instant() {
        let key = |ordered_at, order: &str| HoldKey {
            at: LocationKey::new("acme:A:1", "~"),
            ordered_at: Timestamp(ordered_at),
            order_id: order.into(),
            line_id: "l".into(),
        };
        let bytes = |key: &HoldKey| {
            let mut bytes = Vec::new();
            key.write(&mut bytes);
            bytes
        };
        let (old, young) = (key(-5, "zz"), key(900, "a"));
        assert_eq!(HoldKey::read(&bytes(&old)), Some(old.clone()));
        assert!(bytes(&old) < bytes(&young));
        assert!(before_instant(&old.at, Timestamp(900)) < bytes(&young));
        assert!(before_instant(&old.at, Timestamp(900)) > bytes(&old));
        assert_eq!(old.at.parts(), ("acme", "A:1"));
        assert!(!bytes(&key(1, "a")).starts_with(&actor_prefix("acme:A")));
    }
}
