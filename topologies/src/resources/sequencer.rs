//! Which message of a resource comes next. Pure: numbers and instants in, decisions out.
//!
//! ```text
//!            next number                a number beyond the next
//!   in order ───────────► in order      ──────────────────────► gap open (timer)
//!   gap open ── the missing number ───► in order
//!   gap open ── gap_timeout ──────────► given up (SEQUENCE_GAP), or adopted if nothing came before
//!   given up ── every missing number ─► in order, healed
//!   given up ── heal window over ─────► lost: late numbers are not applied any more
//!   in order ── refused by the fold ──► in order; the number, told again, heals like a missing one
//! ```
//!
//! Invariants:
//! - `SEQ-ONCE` no sequence number is applied twice.
//! - `SEQ-KEPT` a number at or below `last` was applied, or stands in `missing` or in `refused`; of
//!   the latter the newest are kept.

use aplomb_state::ids::Timestamp;
use serde::{Deserialize, Serialize};

/// Ids are kept for so many sequence numbers.
pub const IDS_KEPT: usize = 128;

/// Ranges of missing numbers kept per resource; more are joined into one.
const RANGES_KEPT: usize = 16;

/// Numbers kept per resource that were refused.
const REFUSED_KEPT: usize = 16;

/// Part of the row of every resource's actor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Everything up to here was applied or given up.
    last: u64,
    /// By sequence number, ascending; those ahead as well.
    seen: Vec<Seen>,
    /// Waiting for a number before them; ascending.
    ahead: Vec<Ahead>,
    /// Given up, ascending and disjoint.
    missing: Vec<Range>,
    /// Consumed, and refused by the fold, ascending: told again, they may be good.
    refused: Vec<u64>,
    /// The first number seen, where history before it was never told.
    adopted_at: Option<u64>,
    /// The subscription leaves message types out: a missing number says nothing.
    gaps_are_legal: bool,
    /// What follows waits for the content of the last one, however long.
    held: bool,
    /// The deadline of the open gap, as scheduled.
    timer: Option<Timestamp>,
    /// Until when missing numbers can still be filled in.
    heal_until: Option<Timestamp>,
    /// Messages kept since the first number was given up.
    kept: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    sequence: u64,
    id: u64,
    fact: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ahead {
    sequence: u64,
    arrived: Timestamp,
}

/// Both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub from: u64,
    pub to: u64,
}

/// What a delivered message says about itself, whatever form it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub sequence: u64,
    /// Of the message id.
    id: u64,
    /// Of type and resource version.
    fact: u64,
}

impl Identity {
    pub fn new(sequence: u64, id: &str, message_type: &str, resource_version: u64) -> Self {
        let fact = hash(hash(BASIS, message_type.as_bytes()), &resource_version.to_be_bytes());
        Self { sequence, id: hash(BASIS, id.as_bytes()), fact }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Apply it.
    Next,
    /// Keep it until what comes before is there.
    Ahead,
    /// The very same fact again, in whatever form.
    Duplicate,
    /// The id was seen with other facts.
    DuplicateConflict,
    /// The number was seen with another id.
    SequenceConflict,
    /// Fills a number that was given up or refused.
    Heals,
    /// Fills a number that was given up or refused, too late.
    TooLate,
    /// Below all that is remembered: a replay.
    Forgotten,
}

/// What giving up a gap means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// History before this point was never seen.
    Adopted(Range),
    Gap(Range),
}

impl Sequence {
    pub fn last(&self) -> u64 {
        self.last
    }

    /// No message was ever taken.
    pub fn is_new(&self) -> bool {
        self.seen.is_empty()
    }

    /// History is missing at the front.
    pub fn is_partial(&self) -> bool {
        self.missing.iter().any(|range| !self.is_gap(range))
    }

    /// Numbers are missing behind what was seen.
    pub fn has_gap(&self) -> bool {
        !self.gaps_are_legal && self.missing.iter().any(|range| self.is_gap(range))
    }

    /// Numbers are left out on purpose: none of them is a gap.
    pub fn excuse_gaps(&mut self) {
        self.gaps_are_legal = true;
    }

    fn is_gap(&self, range: &Range) -> bool {
        self.adopted_at.is_none_or(|first| range.from > first)
    }

    /// Numbers were given up or refused.
    pub fn has_missing(&self) -> bool {
        !self.missing.is_empty() || !self.refused.is_empty()
    }

    pub fn is_healing(&self) -> bool {
        self.heal_until.is_some()
    }

    pub fn heal_until(&self) -> Option<Timestamp> {
        self.heal_until
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    pub fn waiting(&self) -> usize {
        self.ahead.len()
    }

    pub fn offer(&self, identity: Identity) -> Offer {
        let place = self.seen.binary_search_by_key(&identity.sequence, |seen| seen.sequence);
        if let Some(seen) = place.ok().and_then(|place| self.seen.get(place)) {
            let refused = self.refused.binary_search(&identity.sequence).is_ok();
            return match (seen.id == identity.id, seen.fact == identity.fact) {
                (true, true) if refused && self.is_healing() => Offer::Heals,
                (true, true) if refused => Offer::TooLate,
                (true, true) => Offer::Duplicate,
                (true, false) => Offer::DuplicateConflict,
                (false, _) => Offer::SequenceConflict,
            };
        }
        if self.seen.iter().any(|seen| seen.id == identity.id) {
            return Offer::DuplicateConflict;
        }
        if identity.sequence > self.last {
            let next = identity.sequence == self.last + 1 && !self.held;
            return if next { Offer::Next } else { Offer::Ahead };
        }
        match (self.is_missing(identity.sequence), self.is_healing()) {
            (true, true) => Offer::Heals,
            (true, false) => Offer::TooLate,
            (false, _) => Offer::Forgotten,
        }
    }

    /// After an offer was [`Offer::Next`]: its number is consumed, whatever becomes of it.
    pub fn take(&mut self, identity: Identity) {
        self.remember(identity);
        self.last = self.last.max(identity.sequence);
    }

    /// After an offer was [`Offer::Ahead`].
    pub fn keep(&mut self, identity: Identity, now: Timestamp) {
        self.remember(identity);
        let place = self.ahead.partition_point(|ahead| ahead.sequence < identity.sequence);
        self.ahead.insert(place, Ahead { sequence: identity.sequence, arrived: now });
    }

    /// The kept number that is next now. It leaves the waiting ones and is consumed.
    pub fn release(&mut self) -> Option<u64> {
        let next = self.peek()?;
        self.ahead.remove(0);
        self.last = next;
        Some(next)
    }

    /// As [`Sequence::release`], without taking it.
    pub fn peek(&self) -> Option<u64> {
        let first = self.ahead.first()?;
        (!self.held && first.sequence == self.last + 1).then_some(first.sequence)
    }

    /// The fold refused a number that was consumed.
    pub fn refuse(&mut self, sequence: u64) {
        if let Err(place) = self.refused.binary_search(&sequence) {
            self.refused.insert(place, sequence);
        }
        if self.refused.len() > REFUSED_KEPT {
            self.refused.remove(0);
        }
    }

    /// Whether it was refused. It is not any more.
    fn forgive(&mut self, sequence: u64) -> bool {
        let place = self.refused.binary_search(&sequence);
        place.map(|place| self.refused.remove(place)).is_ok()
    }

    /// After an offer was [`Offer::Heals`].
    pub fn heal(&mut self, identity: Identity) {
        if self.forgive(identity.sequence) {
            return;
        }
        self.remember(identity);
        let sequence = identity.sequence;
        let mut missing = Vec::with_capacity(self.missing.len() + 1);
        for range in &self.missing {
            if sequence < range.from || sequence > range.to {
                missing.push(*range);
                continue;
            }
            if range.from < sequence {
                missing.push(Range { from: range.from, to: sequence - 1 });
            }
            if sequence < range.to {
                missing.push(Range { from: sequence + 1, to: range.to });
            }
        }
        self.missing = missing;
    }

    /// After an offer was [`Offer::TooLate`]: said once, its repetitions are duplicates.
    pub fn note(&mut self, identity: Identity) {
        if !self.forgive(identity.sequence) {
            self.remember(identity);
        }
    }

    /// When the open gap ends, if one is open.
    pub fn deadline(&self, gap_timeout_ms: i64) -> Option<Timestamp> {
        if self.held || self.peek().is_some() {
            return None;
        }
        self.ahead.iter().map(|ahead| ahead.arrived.plus_ms(gap_timeout_ms)).min()
    }

    /// Sets the timer that stands for the open gap: what to cancel, what to schedule.
    pub fn set_timer(
        &mut self,
        deadline: Option<Timestamp>,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        if self.timer == deadline {
            return (None, None);
        }
        (std::mem::replace(&mut self.timer, deadline), deadline)
    }

    /// The timer fired and is gone.
    pub fn timer_fired(&mut self, deadline: Timestamp) {
        if self.timer == Some(deadline) {
            self.timer = None;
        }
    }

    /// Stops waiting for the numbers before the first kept one.
    pub fn give_up(&mut self) -> Option<GivenUp> {
        let first = self.ahead.first()?.sequence;
        let range = Range { from: self.last + 1, to: first.saturating_sub(1) };
        let unseen = self.last == 0;
        self.missing.push(range);
        if self.missing.len() > RANGES_KEPT {
            // Bounded: the two last become one. Numbers between them were seen and answer as such.
            let second = self.missing.pop();
            if let (Some(first), Some(second)) = (self.missing.last_mut(), second) {
                first.to = second.to;
            }
        }
        self.last = range.to;
        if unseen {
            self.adopted_at = Some(first);
            return Some(GivenUp::Adopted(range));
        }
        Some(GivenUp::Gap(range))
    }

    /// From now on what is applied is kept as well, for a late message to be folded in.
    pub fn open_window(&mut self, until: Timestamp) {
        self.heal_until.get_or_insert(until);
    }

    /// Counts a message kept in the window; false: there is no room for it.
    pub fn keep_in_window(&mut self, messages_max: u32) -> bool {
        self.kept = self.kept.saturating_add(1);
        self.kept <= messages_max
    }

    /// Missing numbers stay known; they cannot be filled any more.
    pub fn close_window(&mut self) {
        self.heal_until = None;
        self.kept = 0;
    }

    /// What follows waits until [`Sequence::unhold`].
    pub fn hold(&mut self) {
        self.held = true;
    }

    pub fn unhold(&mut self) {
        self.held = false;
    }

    /// Forgets what waits: the resource is gone. Numbers that never came stay known as such.
    pub fn drop_waiting(&mut self) {
        self.ahead.clear();
        self.held = false;
    }

    fn is_missing(&self, sequence: u64) -> bool {
        self.missing.iter().any(|range| (range.from..=range.to).contains(&sequence))
    }

    fn remember(&mut self, identity: Identity) {
        let Identity { sequence, id, fact } = identity;
        let place = self.seen.partition_point(|seen| seen.sequence < sequence);
        self.seen.insert(place, Seen { sequence, id, fact });
        // Those waiting must stay known, however many they are.
        if self.seen.len() > IDS_KEPT.max(self.ahead.len() + 1) {
            self.seen.remove(0);
        }
    }
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: part of the stored form, so it must never change.
fn hash(basis: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(basis, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests;
