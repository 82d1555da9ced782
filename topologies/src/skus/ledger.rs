//! The figures of a sku at one location, and their arithmetic.
//!
//! Two sources tell of stock. A warehouse counts what is physically there; the platform
//! (commercetools) tells what it still sells, from which every order of mode ≠ None was taken at
//! its creation. A platform reading is a checkpoint: orders created after it are not in it, and
//! within the settling time around it they may or may not be (case 58).

use aplomb_state::{codec::Format, ids::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{messages::skus::InventoryMode, settings::StockSemantics};

use super::state::{Hold, Promise};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub physical: Option<Physical>,
    pub platform: Option<Checkpoint>,
    pub totals: Totals,
    pub safety: i64,
    pub restock: Restock,
    pub releases: Releases,
    /// Waiting holds are served.
    pub refill: Walk,
    /// Holds give units up.
    pub reallocation: Walk,
    /// A comparator of the location is not at rest: its row must be read.
    pub watched: Watched,
    /// RESERVE_NO_ENTRY stands raised.
    pub no_entry: bool,
    /// RESERVE_ENTRY_DELETED stands raised.
    pub entry_deleted: bool,
    /// INV_INVARIANT stands raised.
    pub broken: bool,
    /// STALE_SNAPSHOT stands raised.
    pub stale: bool,
    /// The platform shows what the warehouse counted, though orders have taken of it.
    pub overstated: bool,
    /// What the platform's own checkpoints do not explain (case 51).
    pub unexplained: Unexplained,
    /// The greatest instant that any figure tells of.
    pub as_of: Timestamp,
    /// A counter of inputs that changed something, for deterministic ids.
    pub revision: u64,
    /// What the availability topic says.
    pub shown: Option<Figures>,
}

impl Format for Ledger {
    const VERSION: u8 = 4;
}

/// Where a reading's old value was not what the one before, and the orders since, had left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unexplained {
    pub units: i64,
    /// The old value read last, and what it should have been.
    pub read: i64,
    pub expected: i64,
    /// Orders between the two readings may still come and explain it.
    pub after: Timestamp,
    pub until: Timestamp,
}

/// What a warehouse counted, and what moved since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Physical {
    /// Who counted: one system at a time, the one that counted last.
    pub system: String,
    pub batch_id: Option<String>,
    pub quantity: i64,
    pub as_of: Timestamp,
    /// The sum of the movements after `as_of`.
    pub moved: i64,
}

/// The last reading of the inventory entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub on_stock: i64,
    pub available: i64,
    pub as_of: Timestamp,
    pub sequence: u64,
    /// When what carts hold was told last: at `as_of`, or before it.
    pub carts_as_of: Timestamp,
    pub since: Since,
}

/// What orders have taken off the platform's figures around and after a reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// Ordered after the reading: not in it.
    pub after: i64,
    /// Part of `after`, within the settling time: possibly in it.
    pub after_settling: i64,
    /// Ordered before the reading, within the settling time: possibly not in it.
    pub before_settling: i64,
    /// Ordered after the carts were told, out of them.
    pub from_carts: i64,
}

/// Sums over the holds of the location. Invariant `HOLD-TOTALS`: they follow every change of a
/// hold, so that no record needs to look through all holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub reserved: i64,
    pub backordered: i64,
    /// Judged, and without a promise.
    pub unpromised: i64,
    /// Never judged, for want of a reading.
    pub waiting: i64,
    /// Not shipped, and taken off the platform's on stock when ordered.
    pub deducted: i64,
    /// Holds with anything reserved or backordered.
    pub open: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restock {
    pub in_days: Option<i64>,
    pub expected: Option<Timestamp>,
}

/// Units that were released here and that the platform has not put back on stock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// (deadline, units), in order.
    pub due: Vec<(Timestamp, i64)>,
    /// Past their deadline: CT_RELEASE_PENDING stands raised.
    pub overdue: i64,
    /// The last rise of on stock that no release explained: the cancellation behind it may still
    /// be on its way.
    pub unexplained: Option<(Timestamp, i64)>,
}

/// Whether a walk over the holds goes on in later steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Walk {
    #[default]
    Idle,
    Running,
    /// There is reason to begin anew once this walk is over.
    Again,
}

impl Walk {
    /// A step of it is over, and another one follows.
    pub fn go_on(&mut self) {
        if *self == Self::Idle {
            *self = Self::Running;
        }
    }

    /// It has seen all holds. Answers whether it begins anew.
    pub fn end(&mut self) -> bool {
        let again = *self == Self::Again;
        *self = if again { Self::Running } else { Self::Idle };
        again
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    pub on_hand: bool,
    pub oversold: bool,
    pub overstated: bool,
    pub unexplained: bool,
}

impl Watched {
    pub fn any(&self) -> bool {
        self.on_hand || self.oversold || self.overstated || self.unexplained
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confidence {
    /// A warehouse counts.
    Physical,
    /// commercetools alone tells.
    Platform,
    /// No reading yet.
    #[default]
    None,
}

/// The availability of a location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub on_hand: i64,
    pub reserved: i64,
    pub backordered: i64,
    pub cart_holds: i64,
    pub safety: i64,
    pub confidence: Confidence,
}

impl Figures {
    pub fn atp_raw(&self) -> i64 {
        self.on_hand - self.reserved - self.backordered - self.cart_holds - self.safety
    }

    pub fn atp(&self) -> i64 {
        self.atp_raw().max(0)
    }
}

/// Both sides of INV_ONHAND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnStock {
    pub expected: i64,
    pub read: i64,
    /// By how much the sides differ under the kindest view of orders still settling.
    pub gap: i64,
    /// What is read, by either view of these orders.
    pub low: i64,
    pub high: i64,
}

// === impl Ledger ===

impl Ledger {
    pub fn confidence(&self) -> Confidence {
        match (&self.physical, &self.platform) {
            (Some(_), _) => Confidence::Physical,
            (None, Some(_)) => Confidence::Platform,
            (None, None) => Confidence::None,
        }
    }

    /// `None`: no reading yet.
    pub fn on_hand(&self) -> Option<i64> {
        match (&self.physical, &self.platform) {
            (Some(physical), _) => Some(physical.quantity + physical.moved),
            (None, Some(platform)) => Some(platform.on_stock_now() + self.totals.deducted),
            (None, None) => None,
        }
    }

    pub fn cart_holds(&self) -> i64 {
        self.platform.map_or(0, |platform| platform.cart_holds())
    }

    /// What order holds may have reserved. Safety stock does not count: in commercetools it only
    /// triggers messages. `None`: no reading yet.
    fn reservable(&self) -> Option<i64> {
        Some(self.on_hand()? - self.cart_holds())
    }

    /// What is not given to anyone yet.
    pub fn free(&self) -> Option<i64> {
        Some(self.reservable()? - self.totals.reserved)
    }

    /// What new demand may take. While older holds are being served, nothing: younger demand must
    /// not overtake them.
    pub fn allocatable(&self) -> Option<i64> {
        let free = self.free()?;
        Some(if self.refill == Walk::Idle { free } else { 0 })
    }

    /// Units that are reserved and not there to be reserved. Holds are given units up to the same
    /// limit, so invariant `HELD-SUM`: once the youngest holds gave these up, what is reserved
    /// follows from what is on hand, held in carts and still to be shipped, whatever came first.
    pub fn overreserved(&self) -> i64 {
        self.reservable().map_or(0, |most| (self.totals.reserved - most.max(0)).max(0))
    }

    pub fn figures(&self) -> Figures {
        Figures {
            on_hand: self.on_hand().unwrap_or(0),
            reserved: self.totals.reserved,
            backordered: self.totals.backordered,
            cart_holds: self.cart_holds(),
            safety: self.safety,
            confidence: self.confidence(),
        }
    }

    pub fn oversold(&self) -> bool {
        let Some(on_hand) = self.on_hand() else { return false };
        self.totals.unpromised > 0 || on_hand < self.totals.reserved
    }

    /// What the platform should show against what it shows. `None`: one side is not known.
    pub fn on_stock(&self, semantics: StockSemantics) -> Option<OnStock> {
        self.physical.as_ref()?;
        let platform = self.platform?;
        let on_hand = self.on_hand()?;
        let read = platform.on_stock_now();
        let mut low = read - platform.since.before_settling;
        let mut high = read + platform.since.after_settling;
        let expected = match semantics {
            // Released units that are not put back yet have a case of their own.
            StockSemantics::Sellable => on_hand - self.totals.deducted - self.releases.pending(),
            StockSemantics::Physical => {
                // The platform takes orders off; the next overwrite puts them back.
                low = low.min(platform.on_stock);
                high = high.max(platform.on_stock);
                on_hand
            }
        };
        let gap = (low - expected).max(expected - high).max(0);
        Some(OnStock { expected, read, gap, low, high })
    }

    /// INV_CT_OVERSTATED (case 45): somebody set the platform to what is physically there, and the
    /// units that orders hold are for sale again. Told only beside a warehouse's count: without
    /// one the same reading may be a receipt.
    pub fn judge_overstated(&mut self, semantics: StockSemantics) {
        let sides = self.on_stock(semantics).filter(|_| semantics == StockSemantics::Sellable);
        let held = self.totals.deducted;
        self.overstated = sides.is_some_and(|sides| {
            let surplus = sides.low - sides.expected..=sides.high - sides.expected;
            held > 0 && *surplus.start() > 0 && surplus.contains(&held)
        });
    }

    /// A lower reading ends it.
    pub fn is_overstated(&self, semantics: StockSemantics) -> bool {
        let sides = self.on_stock(semantics);
        self.overstated && sides.is_some_and(|sides| sides.low > sides.expected)
    }

    /// Keeps the totals in step with a hold. `before` absent: the hold is new.
    pub fn absorb(&mut self, before: Option<&Hold>, after: &Hold) {
        let before = before.map(Share::of).unwrap_or_default();
        let after = Share::of(after);
        let totals = &mut self.totals;
        totals.reserved += after.reserved - before.reserved;
        totals.backordered += after.backordered - before.backordered;
        totals.unpromised += after.unpromised - before.unpromised;
        totals.waiting += after.waiting - before.waiting;
        totals.deducted += after.deducted - before.deducted;
        totals.open += after.open - before.open;
    }

    /// A bucket below zero. Reserved may exceed what is on hand while holds give units up.
    pub fn is_broken(&self) -> bool {
        let totals = &self.totals;
        let least = totals.reserved.min(totals.backordered).min(totals.unpromised);
        least.min(totals.waiting).min(totals.deducted).min(totals.open) < 0
            || self.platform.is_some_and(|platform| platform.available > platform.on_stock)
    }
}

/// What one hold adds to the totals.
#[derive(Default)]
struct Share {
    reserved: i64,
    backordered: i64,
    unpromised: i64,
    waiting: i64,
    deducted: i64,
    open: i64,
}

impl Share {
    fn of(hold: &Hold) -> Self {
        let unshipped = hold.reserved + hold.backordered;
        let judged = hold.promise == Promise::None && !hold.waiting;
        Self {
            reserved: hold.reserved,
            backordered: hold.backordered,
            unpromised: if judged { hold.backordered } else { 0 },
            waiting: if hold.waiting { hold.backordered } else { 0 },
            deducted: if hold.deducted > 0 { unshipped } else { 0 },
            open: i64::from(unshipped > 0),
        }
    }
}

// === impl Unexplained ===

impl Unexplained {
    /// A reading tells its old value too.
    pub fn read(&mut self, old: i64, before: &Checkpoint, after: &Checkpoint) {
        // A reading that comes late does not know the orders after it.
        let expected = before.on_stock_now() + after.since.after;
        // Orders that still settled at either reading may be in it or not.
        let most = expected + before.since.after_settling + after.since.before_settling;
        let least = expected - before.since.before_settling - after.since.after_settling;
        let units = if (least..=most).contains(&old) { 0 } else { old - expected };
        if units == 0 && self.units != 0 {
            // What is told stays as it was found, and what may still explain it.
            return;
        }
        let units = self.units + units;
        *self = Self { units, read: old, expected, after: before.as_of, until: after.as_of };
    }

    /// An order that the platform took off between the two readings came late.
    pub fn explain(&mut self, ordered_at: Timestamp, deducted: i64) {
        if self.units < 0 && ordered_at > self.after && ordered_at <= self.until {
            let explained = deducted.min(-self.units);
            self.units += explained;
            self.expected -= explained;
        }
    }
}

// === impl Checkpoint ===

impl Checkpoint {
    /// The reading less what was ordered after it.
    pub fn on_stock_now(&self) -> i64 {
        self.on_stock - self.since.after
    }

    pub fn cart_holds(&self) -> i64 {
        let held = self.on_stock - self.available - self.since.from_carts;
        // Told before this reading: carts hold no more than is on stock by now.
        let most = if self.carts_as_of < self.as_of { self.on_stock } else { held };
        held.min(most).max(0)
    }

    /// Counts what the platform took off for one order.
    pub fn count(
        &mut self,
        ordered_at: Timestamp,
        deducted: i64,
        mode: InventoryMode,
        settle_ms: i64,
    ) {
        let (read_at, since) = (self.as_of, &mut self.since);
        if ordered_at > read_at {
            since.after += deducted;
            if ordered_at <= read_at.plus_ms(settle_ms) {
                since.after_settling += deducted;
            }
        } else if ordered_at >= read_at.minus_ms(settle_ms) {
            since.before_settling += deducted;
        }
        if mode == InventoryMode::ReserveOnCart && ordered_at > self.carts_as_of {
            since.from_carts += deducted;
        }
    }
}

// === impl Releases ===

impl Releases {
    pub fn pending(&self) -> i64 {
        self.overdue + self.due.iter().map(|(_, units)| units).sum::<i64>()
    }

    /// Units were released at `at`; the answer is the deadline to be scheduled, if any is left to
    /// wait for.
    pub fn release(&mut self, at: Timestamp, units: i64, grace_ms: i64) -> Option<Timestamp> {
        let mut units = units;
        if let Some((risen_at, risen)) = self.unexplained
            && risen_at >= at.minus_ms(grace_ms)
            && risen_at <= at.plus_ms(grace_ms)
        {
            let explained = risen.min(units);
            units -= explained;
            let left = risen - explained;
            self.unexplained = (left > 0).then_some((risen_at, left));
        }
        if units == 0 {
            return None;
        }
        // Whole seconds bound the list, however many orders are cancelled at once.
        let deadline = at.plus_ms(grace_ms).0;
        let deadline = Timestamp(deadline + (1_000 - deadline.rem_euclid(1_000)) % 1_000);
        match self.due.binary_search_by_key(&deadline, |(deadline, _)| *deadline) {
            Ok(found) => {
                if let Some((_, due)) = self.due.get_mut(found) {
                    *due += units;
                }
            }
            Err(place) => self.due.insert(place, (deadline, units)),
        }
        Some(deadline)
    }

    /// The platform's on stock rose beyond what orders explain.
    pub fn put_back(&mut self, at: Timestamp, risen: i64) {
        let mut left = risen;
        let settled = left.min(self.overdue);
        self.overdue -= settled;
        left -= settled;
        for (_, units) in &mut self.due {
            let settled = left.min(*units);
            *units -= settled;
            left -= settled;
        }
        self.due.retain(|(_, units)| *units > 0);
        if left > 0 {
            self.unexplained = Some((at, left));
        }
    }

    /// A deadline passed. Answers the units that became overdue.
    pub fn expire(&mut self, deadline: Timestamp) -> i64 {
        let passed = |(due, _): &&(Timestamp, i64)| *due <= deadline;
        let units = self.due.iter().filter(passed).map(|(_, units)| units).sum::<i64>();
        self.due.retain(|(due, _)| *due > deadline);
        self.overdue += units;
        units
    }
}

#[cfg(test)]
mod tests;
