//! What a target does to a hold. Pure: hold and target in, hold and events out.
//!
//! It goes in two steps, because what is free depends on what the first one gave back:
//! [`settle`] ships, takes back and releases, and [`give`] hands out free stock to the rest.

use aplomb_state::ids::Timestamp;

use crate::{
    messages::skus::{HoldTarget, InventoryMode},
    settings::TrackOnly,
};

use super::{
    ledger::Restock,
    state::{Hold, Promise},
};

const DAY_MS: i64 = 86_400_000;

/// What happened to units of one hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Reserved(i64, Reason),
    Backordered(i64, Promise),
    /// They were reserved, and there is less than what is reserved.
    Reallocated(i64, Promise),
    Released(i64),
    Shipped(i64),
    /// Returned units are on the shelf again, or will never be.
    Restocked(i64),
    WrittenOff(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Ordered,
    /// Stock came for units that had been backordered.
    Backfill,
    /// A delivery was taken back.
    DeliveryReversed,
}

/// A hold after [`settle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub hold: Hold,
    pub wanted: Wanted,
    /// The change of what is physically there.
    pub moved: i64,
    /// The change of what is told to be back in stock.
    pub restocked: i64,
    pub released: i64,
    pub events: Vec<Event>,
}

/// Units asked for and not placed yet. They count as backordered in the hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub units: i64,
    /// Part of them: they came back with a delivery. Where others took meanwhile what it had left
    /// free, they wait like any demand, so that no unit is reserved twice.
    pub returned: i64,
}

/// What there is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `None`: no reading yet; demand waits.
    pub free: Option<i64>,
    /// For what does not fit.
    pub promise: Promise,
    pub portion: Portion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    Any,
    AllOrNothing,
}

/// Moves a hold to its target as far as no stock is needed for it. `None`: the target is old.
pub fn settle(before: Option<&Hold>, target: &HoldTarget) -> Option<Settled> {
    match before {
        Some(hold) if target.revision <= hold.target => None,
        Some(hold) => Some(go_on(hold, target)),
        None => Some(begin(target)),
    }
}

/// The buckets a target asks for. What was shipped counts before what was cancelled, and neither
/// beyond what was ordered (cases 19 and 24).
struct Buckets {
    ordered: i64,
    shipped: i64,
    cancelled: i64,
    unshipped: i64,
}

impl Buckets {
    fn of(target: &HoldTarget) -> Self {
        let ordered = target.ordered.max(0);
        let shipped = target.shipped.clamp(0, ordered);
        let cancelled = target.cancelled.clamp(0, ordered - shipped);
        Self { ordered, shipped, cancelled, unshipped: ordered - shipped - cancelled }
    }
}

/// The first target of a line. What is already shipped or cancelled in it happened before the
/// line was known: no stock moves for it (case 53).
fn begin(target: &HoldTarget) -> Settled {
    let buckets = Buckets::of(target);
    let takes_stock = target.mode != InventoryMode::None && buckets.unshipped > 0;
    let hold = Hold {
        target: target.revision,
        revision: 0,
        ordered: buckets.ordered,
        reserved: 0,
        backordered: buckets.unshipped,
        shipped: buckets.shipped,
        cancelled: buckets.cancelled,
        returned: target.returned.max(0),
        restocked: target.restocked.max(0),
        unusable: target.unusable.max(0),
        mode: target.mode,
        deducted: if takes_stock { buckets.ordered } else { 0 },
        promise: Promise::None,
        waiting: false,
    };
    let wanted = Wanted { units: buckets.unshipped, returned: 0 };
    Settled { hold, wanted, moved: 0, restocked: 0, released: 0, events: Vec::new() }
}

fn go_on(before: &Hold, target: &HoldTarget) -> Settled {
    let buckets = Buckets::of(target);
    let mut hold = Hold {
        target: target.revision,
        ordered: buckets.ordered,
        shipped: buckets.shipped,
        cancelled: buckets.cancelled,
        returned: target.returned.max(0),
        restocked: target.restocked.max(0),
        unusable: target.unusable.max(0),
        ..before.clone()
    };
    let mut events = Vec::new();
    let (restocked, unusable) =
        (hold.restocked - before.restocked, hold.unusable - before.unusable);
    if unusable > 0 {
        events.push(Event::WrittenOff(unusable));
    }
    let shipped = buckets.shipped - before.shipped;
    if shipped > 0 {
        take(&mut hold, shipped.min(before.reserved + before.backordered), Bucket::Reserved);
        events.push(Event::Shipped(shipped));
    }
    let held = hold.reserved + hold.backordered;
    let released = (held - buckets.unshipped).max(0);
    if released > 0 {
        take(&mut hold, released, Bucket::Backordered);
        events.push(Event::Released(released));
    }
    let units = (buckets.unshipped - held).max(0);
    let wanted = Wanted { units, returned: (-shipped).clamp(0, units) };
    hold.backordered += units;
    if hold.backordered == 0 {
        hold.promise = Promise::None;
        hold.waiting = false;
    }
    Settled { hold, wanted, moved: -shipped, restocked, released, events }
}

#[derive(Clone, Copy)]
enum Bucket {
    Reserved,
    Backordered,
}

/// Takes units out of a hold, from the named bucket first.
fn take(hold: &mut Hold, units: i64, first: Bucket) {
    let (first, second) = match first {
        Bucket::Reserved => (&mut hold.reserved, &mut hold.backordered),
        Bucket::Backordered => (&mut hold.backordered, &mut hold.reserved),
    };
    let taken = units.min(*first);
    *first -= taken;
    *second -= units - taken;
}

/// Gives free stock to units that [`settle`] left as wanted.
pub fn give(hold: &mut Hold, wanted: Wanted, offer: &Offer) -> Vec<Event> {
    let Wanted { units: wanted, returned } = wanted;
    if wanted <= 0 {
        return Vec::new();
    }
    let Some(free) = offer.free else {
        hold.waiting = true;
        return Vec::new();
    };
    if hold.waiting {
        // Units that wait for a first reading are placed together, oldest hold first.
        return Vec::new();
    }
    let fits = fitting(wanted, free, offer.portion);
    hold.reserved += fits;
    hold.backordered -= fits;
    let mut events = Vec::new();
    let returned = returned.min(fits);
    for (units, reason) in
        [(returned, Reason::DeliveryReversed), (fits - returned, Reason::Ordered)]
    {
        if units > 0 {
            events.push(Event::Reserved(units, reason));
        }
    }
    if wanted > fits {
        hold.promise = offer.promise;
        events.push(Event::Backordered(wanted - fits, offer.promise));
    }
    events
}

/// Gives stock that came later to the backordered units of a hold. Answers whether the hold
/// changed, and the events.
pub fn refill(hold: &mut Hold, offer: &Offer) -> Option<Vec<Event>> {
    let free = offer.free?;
    let before = hold.clone();
    let fits = fitting(hold.backordered, free, offer.portion);
    hold.reserved += fits;
    hold.backordered -= fits;
    hold.waiting = false;
    hold.promise = if hold.backordered > 0 { offer.promise } else { Promise::None };
    let mut events = Vec::new();
    if fits > 0 {
        let reason = if before.waiting { Reason::Ordered } else { Reason::Backfill };
        events.push(Event::Reserved(fits, reason));
    }
    if before.waiting && hold.backordered > 0 {
        events.push(Event::Backordered(hold.backordered, offer.promise));
    }
    (*hold != before).then_some(events)
}

/// Takes back reserved units that are not there: `short` of them, or all where a line gets all or
/// nothing. `None`: the hold has none.
pub fn reallocate(hold: &mut Hold, short: i64, offer: &Offer) -> Option<Event> {
    let units = match offer.portion {
        Portion::Any => short.min(hold.reserved),
        Portion::AllOrNothing => hold.reserved,
    };
    if short <= 0 || units <= 0 {
        return None;
    }
    hold.reserved -= units;
    hold.backordered += units;
    if !hold.waiting {
        hold.promise = offer.promise;
    }
    Some(Event::Reallocated(units, hold.promise))
}

fn fitting(wanted: i64, free: i64, portion: Portion) -> i64 {
    match portion {
        Portion::AllOrNothing if free < wanted => 0,
        Portion::Any | Portion::AllOrNothing => wanted.min(free).max(0),
    }
}

/// What units that do not fit are promised (cases 8 to 10). A delivery that was expected before
/// the line was ordered is no promise.
pub fn promise(
    mode: InventoryMode,
    ordered_at: Timestamp,
    restock: &Restock,
    track_only: TrackOnly,
) -> Promise {
    if let Some(expected) = restock.expected.filter(|expected| *expected >= ordered_at) {
        return Promise::At(expected);
    }
    if let Some(days) = restock.in_days.filter(|days| *days >= 0) {
        return Promise::At(ordered_at.plus_ms(days.saturating_mul(DAY_MS)));
    }
    match (mode, track_only) {
        (InventoryMode::TrackOnly, TrackOnly::Backorder) => Promise::Undated,
        _ => Promise::None,
    }
}

/// Invariant `HOLD-SUM`.
pub fn is_whole(hold: &Hold) -> bool {
    let buckets = [hold.reserved, hold.backordered, hold.shipped, hold.cancelled];
    hold.ordered == buckets.iter().sum::<i64>() && buckets.iter().all(|bucket| *bucket >= 0)
}

#[cfg(test)]
mod tests;
