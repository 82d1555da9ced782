use super::*;
use crate::messages::skus::Cause;

/// ordered, reserved, backordered, shipped, cancelled
type Buckets = [i64; 5];

const NONE: Option<Buckets> = None;
const PROMISE: Promise = Promise::At(Timestamp(99));

fn hold(buckets: Buckets) -> Hold {
    let [ordered, reserved, backordered, shipped, cancelled] = buckets;
    Hold {
        target: 1,
        revision: 1,
        ordered,
        reserved,
        backordered,
        shipped,
        cancelled,
        returned: 0,
        restocked: 0,
        unusable: 0,
        mode: InventoryMode::ReserveOnOrder,
        deducted: ordered,
        promise: Promise::None,
        waiting: false,
    }
}

/// ordered, shipped, cancelled
fn target([ordered, shipped, cancelled]: [i64; 3]) -> HoldTarget {
    HoldTarget {
        project: "acme".into(),
        order_id: "o".into(),
        order_number: None,
        line_id: "l".into(),
        sku: "A".into(),
        location: "~".into(),
        revision: 2,
        ordered_at: Timestamp(5),
        ordered,
        cancelled,
        shipped,
        returned: 0,
        restocked: 0,
        unusable: 0,
        mode: InventoryMode::ReserveOnOrder,
        as_of: Timestamp(7),
        cause: Cause::default(),
    }
}

fn offer(free: i64, promise: Promise) -> Offer {
    Offer { free: Some(free), promise, portion: Portion::Any }
}

fn buckets(hold: &Hold) -> Buckets {
    [hold.ordered, hold.reserved, hold.backordered, hold.shipped, hold.cancelled]
}

#[test]
fn every_target_moves_its_hold() {
    use Event::{Backordered, Released, Reserved, Shipped};
    use Reason::{DeliveryReversed, Ordered};
    let whole = Portion::AllOrNothing;
    let short = Promise::None;
    let all = Offer { portion: whole, ..offer(3, short) };
    let none = Offer { free: None, promise: short, portion: Portion::Any };
    // case, hold before, target, offer → hold after, moved, released, events
    #[rustfmt::skip]
    let rows: Vec<(&str, Option<Buckets>, [i64; 3], Offer, Buckets, i64, i64, Vec<Event>)> = vec![
        ("1 fits", NONE, [2, 0, 0], offer(3, short),
            [2, 2, 0, 0, 0], 0, 0, vec![Reserved(2, Ordered)]),
        ("1 fits exactly", NONE, [3, 0, 0], offer(3, short),
            [3, 3, 0, 0, 0], 0, 0, vec![Reserved(3, Ordered)]),
        ("7 no reading: waits, no event", NONE, [2, 0, 0], none,
            [2, 0, 2, 0, 0], 0, 0, vec![]),
        ("8 nothing there", NONE, [2, 0, 0], offer(0, short),
            [2, 0, 2, 0, 0], 0, 0, vec![Backordered(2, short)]),
        ("9 promised", NONE, [2, 0, 0], offer(0, PROMISE),
            [2, 0, 2, 0, 0], 0, 0, vec![Backordered(2, PROMISE)]),
        ("11 in part", NONE, [5, 0, 0], offer(3, short),
            [5, 3, 2, 0, 0], 0, 0, vec![Reserved(3, Ordered), Backordered(2, short)]),
        ("11 all or nothing", NONE, [5, 0, 0], all,
            [5, 0, 5, 0, 0], 0, 0, vec![Backordered(5, short)]),
        ("46 below zero there is nothing to give", NONE, [1, 0, 0], offer(-4, short),
            [1, 0, 1, 0, 0], 0, 0, vec![Backordered(1, short)]),
        ("18 cancelled", Some([5, 3, 2, 0, 0]), [5, 0, 5], offer(0, short),
            [5, 0, 0, 0, 5], 0, 5, vec![Released(5)]),
        ("18 one of five, the backordered first", Some([5, 3, 2, 0, 0]), [5, 0, 1], offer(0, short),
            [5, 3, 1, 0, 1], 0, 1, vec![Released(1)]),
        ("19 cancelled, part shipped", Some([5, 3, 0, 2, 0]), [5, 2, 3], offer(0, short),
            [5, 0, 0, 2, 3], 0, 3, vec![Released(3)]),
        ("20 cancelled again", Some([5, 0, 0, 0, 5]), [5, 0, 5], offer(0, short),
            [5, 0, 0, 0, 5], 0, 0, vec![]),
        ("23 part delivered", Some([5, 5, 0, 0, 0]), [5, 2, 0], offer(0, short),
            [5, 3, 0, 2, 0], -2, 0, vec![Shipped(2)]),
        ("23 delivered beyond what is reserved", Some([5, 1, 4, 0, 0]), [5, 2, 0], offer(0, short),
            [5, 0, 3, 2, 0], -2, 0, vec![Shipped(2)]),
        ("24 delivered above ordered", Some([5, 5, 0, 0, 0]), [5, 7, 0], offer(0, short),
            [5, 0, 0, 5, 0], -5, 0, vec![Shipped(5)]),
        ("25 delivery removed", Some([5, 0, 0, 5, 0]), [5, 3, 0], offer(2, short),
            [5, 2, 0, 3, 0], 2, 0, vec![Reserved(2, DeliveryReversed)]),
        ("25 delivery removed, a unit is taken", Some([5, 0, 0, 5, 0]), [5, 3, 0], offer(1, short),
            [5, 1, 1, 3, 0], 2, 0, vec![Reserved(1, DeliveryReversed), Backordered(1, short)]),
        ("25 delivery removed, cancelled", Some([5, 0, 0, 5, 0]), [5, 3, 2], offer(0, short),
            [5, 0, 0, 3, 2], 2, 0, vec![]),
        ("33 more", Some([2, 2, 0, 0, 0]), [4, 0, 0], offer(1, PROMISE),
            [4, 3, 1, 0, 0], 0, 0, vec![Reserved(1, Ordered), Backordered(1, PROMISE)]),
        ("34 less", Some([4, 3, 1, 0, 0]), [2, 0, 0], offer(0, short),
            [2, 2, 0, 0, 0], 0, 2, vec![Released(2)]),
        ("53 over before it was known", NONE, [2, 2, 0], offer(9, short),
            [2, 0, 0, 2, 0], 0, 0, vec![]),
        ("53 part over", NONE, [3, 2, 0], offer(9, short),
            [3, 1, 0, 2, 0], 0, 0, vec![Reserved(1, Ordered)]),
        ("negative quantities are none", NONE, [-2, -1, -1], offer(9, short),
            [0, 0, 0, 0, 0], 0, 0, vec![]),
    ];
    for (case, before, wanted, offer, after, moved, released, events) in rows {
        let before = before.map(hold);
        let settled = settle(before.as_ref(), &target(wanted)).expect("a new target");
        let mut hold = settled.hold;
        let mut happened = settled.events;
        happened.extend(give(&mut hold, settled.wanted, &offer));
        assert_eq!(buckets(&hold), after, "{case}");
        assert_eq!((settled.moved, settled.released), (moved, released), "{case}");
        assert_eq!(happened, events, "{case}");
        assert!(is_whole(&hold), "{case}");
        assert_eq!(hold.waiting, offer.free.is_none(), "{case}");
    }
}

#[test]
fn a_revision_not_above_the_last_is_old() {
    let before = hold([5, 5, 0, 0, 0]);
    for (revision, old) in [(0, true), (1, true), (2, false)] {
        let target = HoldTarget { revision, ..target([5, 0, 5]) };
        assert_eq!(settle(Some(&before), &target).is_none(), old, "revision {revision}");
    }
}

#[test]
fn only_orders_with_a_mode_take_from_the_platform() {
    // mode, target → taken off when ordered (13: none without a mode; 53: none for the past)
    let rows = [
        (InventoryMode::None, [2, 0, 0], 0),
        (InventoryMode::TrackOnly, [2, 0, 0], 2),
        (InventoryMode::ReserveOnOrder, [2, 1, 0], 2),
        (InventoryMode::ReserveOnCart, [2, 0, 0], 2),
        (InventoryMode::ReserveOnOrder, [2, 2, 0], 0),
    ];
    for (mode, wanted, expected) in rows {
        let target = HoldTarget { mode, ..target(wanted) };
        let settled = settle(None, &target).expect("a first target");
        assert_eq!(settled.hold.deducted, expected, "{mode:?} {wanted:?}");
    }
}

#[test]
fn stock_that_comes_later_is_given_to_backordered_units() {
    use Event::{Backordered, Reserved};
    let waiting = |buckets| Hold { waiting: true, ..hold(buckets) };
    let promised = Hold { promise: PROMISE, ..hold([5, 0, 5, 0, 0]) };
    let backfill = Reason::Backfill;
    let whole = Offer { portion: Portion::AllOrNothing, ..offer(3, Promise::None) };
    let none = Offer { free: None, ..offer(0, Promise::None) };
    // case, hold, offer → buckets after and events, if it changed
    #[rustfmt::skip]
    let rows: Vec<(&str, Hold, Offer, Option<(Buckets, Vec<Event>)>)> = vec![
        ("44 all", promised.clone(), offer(9, Promise::None),
            Some(([5, 5, 0, 0, 0], vec![Reserved(5, backfill)]))),
        ("44 in part", promised.clone(), offer(2, PROMISE),
            Some(([5, 2, 3, 0, 0], vec![Reserved(2, backfill)]))),
        ("44 nothing", promised.clone(), offer(0, PROMISE), None),
        ("the promise is gone", promised, offer(0, Promise::None),
            Some(([5, 0, 5, 0, 0], vec![]))),
        ("11 all or nothing", hold([5, 0, 5, 0, 0]), whole, None),
        ("52 placed", waiting([2, 0, 2, 0, 0]), offer(2, Promise::None),
            Some(([2, 2, 0, 0, 0], vec![Reserved(2, Reason::Ordered)]))),
        ("52 placed in part", waiting([2, 0, 2, 0, 0]), offer(1, Promise::None), Some((
            [2, 1, 1, 0, 0],
            vec![Reserved(1, Reason::Ordered), Backordered(1, Promise::None)],
        ))),
        ("52 still no reading", waiting([2, 0, 2, 0, 0]), none, None),
    ];
    for (case, mut hold, offer, expected) in rows {
        let events = refill(&mut hold, &offer);
        assert_eq!(events.map(|events| (buckets(&hold), events)), expected, "{case}");
        assert!(is_whole(&hold), "{case}");
    }
}

#[test]
fn what_is_short_is_promised_or_not() {
    use InventoryMode::{None as Untracked, ReserveOnOrder, TrackOnly as Tracked};
    let restock =
        |in_days, expected: Option<i64>| Restock { in_days, expected: expected.map(Timestamp) };
    let ordered_at = Timestamp(1_000);
    let day = |days: i64| Promise::At(Timestamp(1_000 + days * DAY_MS));
    let (oversold, backorder) = (TrackOnly::Oversold, TrackOnly::Backorder);
    #[rustfmt::skip]
    let rows = [
        ("8", ReserveOnOrder, restock(None, None), oversold, Promise::None),
        ("9 in days", ReserveOnOrder, restock(Some(3), None), oversold, day(3)),
        ("9 in no days", ReserveOnOrder, restock(Some(0), None), oversold, day(0)),
        ("9 expected", ReserveOnOrder, restock(None, Some(2_000)), oversold,
            Promise::At(Timestamp(2_000))),
        ("9 the date counts before the days", ReserveOnOrder, restock(Some(3), Some(2_000)),
            oversold, Promise::At(Timestamp(2_000))),
        ("9 a date that has passed", ReserveOnOrder, restock(None, Some(999)), oversold,
            Promise::None),
        ("10 oversold", Tracked, restock(None, None), oversold, Promise::None),
        ("10 backorder", Tracked, restock(None, None), backorder, Promise::Undated),
        ("10 promised", Tracked, restock(Some(1), None), oversold, day(1)),
        ("10 other modes", Untracked, restock(None, None), backorder, Promise::None),
    ];
    for (case, mode, restock, track_only, expected) in rows {
        assert_eq!(promise(mode, ordered_at, &restock, track_only), expected, "{case}");
    }
}

#[test]
fn a_hold_gives_up_what_is_not_there() {
    let waiting = Hold { waiting: true, ..hold([5, 3, 2, 0, 0]) };
    let any = offer(0, PROMISE);
    let whole = Offer { portion: Portion::AllOrNothing, ..any };
    // case, hold, short, offer → buckets and promise after, and the event
    #[rustfmt::skip]
    let rows = [
        ("43 in part", hold([5, 5, 0, 0, 0]), 2, any,
            Some(([5, 3, 2, 0, 0], Event::Reallocated(2, PROMISE)))),
        ("43 all it has", hold([5, 3, 1, 1, 0]), 9, any,
            Some(([5, 0, 4, 1, 0], Event::Reallocated(3, PROMISE)))),
        ("43 all or nothing", hold([5, 5, 0, 0, 0]), 1, whole,
            Some(([5, 0, 5, 0, 0], Event::Reallocated(5, PROMISE)))),
        ("43 not judged yet", waiting, 1, any,
            Some(([5, 2, 3, 0, 0], Event::Reallocated(1, Promise::None)))),
        ("nothing reserved", hold([5, 0, 5, 0, 0]), 1, any, None),
        ("nothing short", hold([5, 5, 0, 0, 0]), 0, any, None),
    ];
    for (case, mut hold, short, offer, expected) in rows {
        let event = reallocate(&mut hold, short, &offer);
        assert_eq!(event.map(|event| (buckets(&hold), event)), expected, "{case}");
        assert!(is_whole(&hold), "{case}");
    }
}
