use super::*;

const SETTLE_MS: i64 = 10_000;

fn hold(reserved: i64, backordered: i64) -> Hold {
    Hold {
        target: 1,
        revision: 1,
        ordered: reserved + backordered,
        reserved,
        backordered,
        shipped: 0,
        cancelled: 0,
        returned: 0,
        restocked: 0,
        unusable: 0,
        mode: InventoryMode::ReserveOnOrder,
        deducted: reserved + backordered,
        promise: Promise::None,
        waiting: false,
    }
}

fn checkpoint(on_stock: i64, available: i64) -> Checkpoint {
    let (as_of, carts_as_of) = (at(100), at(100));
    Checkpoint { on_stock, available, as_of, sequence: 1, carts_as_of, since: Since::default() }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

/// A ledger with one hold of `reserved` units.
fn ledger(physical: Option<i64>, platform: Option<Checkpoint>, reserved: i64) -> Ledger {
    let quantity = |quantity| Physical { quantity, as_of: at(100), ..Physical::default() };
    let mut ledger = Ledger { physical: physical.map(quantity), platform, ..Ledger::default() };
    ledger.absorb(None, &hold(reserved, 0));
    ledger
}

#[test]
fn a_warehouse_counts_before_the_platform() {
    use Confidence::{None as Nothing, Physical as Counted, Platform as Told};
    // physical, platform, reserved → confidence, on hand, free
    let rows = [
        (None, None, 2, Nothing, None, None),
        (None, Some(checkpoint(8, 8)), 2, Told, Some(10), Some(8)),
        (None, Some(checkpoint(8, 5)), 2, Told, Some(10), Some(5)),
        (Some(10), None, 2, Counted, Some(10), Some(8)),
        (Some(10), Some(checkpoint(8, 5)), 2, Counted, Some(10), Some(5)),
        // 46: below zero is accepted
        (Some(-3), None, 0, Counted, Some(-3), Some(-3)),
    ];
    for (physical, platform, reserved, confidence, on_hand, free) in rows {
        let ledger = ledger(physical, platform, reserved);
        let found = (ledger.confidence(), ledger.on_hand(), ledger.free());
        assert_eq!(found, (confidence, on_hand, free), "{physical:?} {platform:?}");
    }
}

#[test]
fn available_to_promise_is_never_below_zero_and_the_raw_figure_is_kept() {
    // physical, reserved, safety → atp, atpRaw
    for (physical, reserved, safety, atp, raw) in
        [(10, 2, 0, 8, 8), (10, 2, 3, 5, 5), (10, 2, 9, 0, -1), (-3, 0, 0, 0, -3)]
    {
        let mut ledger = ledger(Some(physical), None, reserved);
        ledger.safety = safety;
        let figures = ledger.figures();
        assert_eq!((figures.atp(), figures.atp_raw()), (atp, raw), "{physical}");
    }
}

#[test]
fn oversold_is_short_without_a_promise_or_reserved_beyond_what_is_there() {
    let promised = Hold { promise: Promise::Undated, ..hold(1, 2) };
    let waiting = Hold { waiting: true, ..hold(0, 2) };
    // case, on hand, hold, oversold
    let rows = [
        ("nothing short", Some(1), hold(1, 0), false),
        ("8 no promise", Some(1), hold(1, 2), true),
        ("9 promised", Some(1), promised, false),
        ("43 below reserved", Some(0), hold(1, 0), true),
        ("no reading, nothing is judged", None, hold(0, 2), false),
        ("7 waiting", None, waiting, false),
    ];
    for (case, on_hand, hold, expected) in rows {
        let physical =
            on_hand.map(|quantity| Physical { quantity, as_of: at(1), ..Physical::default() });
        let mut ledger = Ledger { physical, ..Ledger::default() };
        ledger.absorb(None, &hold);
        assert_eq!(ledger.oversold(), expected, "{case}");
    }
}

#[test]
fn totals_follow_every_change_of_a_hold() {
    let steps = [
        hold(0, 5),
        Hold { waiting: true, ..hold(0, 5) },
        Hold { promise: Promise::Undated, ..hold(2, 3) },
        Hold { shipped: 5, ordered: 5, deducted: 5, ..hold(0, 0) },
    ];
    let mut walked = Ledger::default();
    let mut before: Option<Hold> = None;
    for hold in steps {
        walked.absorb(before.as_ref(), &hold);
        let mut fresh = Ledger::default();
        fresh.absorb(None, &hold);
        assert_eq!(walked.totals, fresh.totals, "{hold:?}");
        assert!(!walked.is_broken());
        before = Some(hold);
    }
    assert_eq!(walked.totals, Totals::default());
}

#[test]
fn a_bucket_below_zero_breaks_the_ledger() {
    let mut ledger = ledger(Some(1), Some(checkpoint(5, 5)), 1);
    assert!(!ledger.is_broken());
    ledger.platform = Some(checkpoint(5, 6));
    assert!(ledger.is_broken(), "available above on stock");
    ledger.platform = None;
    ledger.absorb(Some(&hold(2, 0)), &hold(0, 0));
    assert!(ledger.is_broken(), "{:?}", ledger.totals);
}

#[test]
fn an_order_is_in_a_reading_or_not_and_near_it_nobody_knows() {
    use InventoryMode::{ReserveOnCart, ReserveOnOrder};
    // ordered at, mode → after, after_settling, before_settling, from_carts (read at 100 s, carts
    // told at 60 s)
    let rows = [
        (80, ReserveOnOrder, [0, 0, 0, 0]),
        (90, ReserveOnOrder, [0, 0, 2, 0]),
        (100, ReserveOnOrder, [0, 0, 2, 0]),
        (101, ReserveOnOrder, [2, 2, 0, 0]),
        (60, ReserveOnCart, [0, 0, 0, 0]),
        (61, ReserveOnCart, [0, 0, 0, 2]),
        (95, ReserveOnCart, [0, 0, 2, 2]),
        (110, ReserveOnCart, [2, 2, 0, 2]),
        (111, ReserveOnOrder, [2, 0, 0, 0]),
    ];
    for (ordered_at, mode, expected) in rows {
        let mut reading = Checkpoint { carts_as_of: at(60), ..checkpoint(9, 9) };
        reading.count(at(ordered_at), 2, mode, SETTLE_MS);
        let Since { after, after_settling, before_settling, from_carts } = reading.since;
        let found = [after, after_settling, before_settling, from_carts];
        assert_eq!(found, expected, "ordered at {ordered_at} s");
    }
}

#[test]
fn carts_hold_what_the_last_message_said_of_them() {
    // on stock, available, carts told at, ordered out of carts since → carts hold (read at 100 s)
    let rows = [
        ("told with the reading", 5, 3, 100, 0, 2),
        ("one of them was ordered", 5, 3, 100, 1, 1),
        ("more were ordered", 5, 3, 100, 4, 0),
        ("below zero", 5, -2, 100, 0, 7),
        ("told before", 5, 3, 60, 0, 2),
        ("told before, and nothing is on stock", 0, -2, 60, 0, 0),
        ("told before, and less is on stock", 1, -3, 60, 2, 1),
        ("told before, and on stock is below zero", -4, -6, 60, 0, 0),
    ];
    for (case, on_stock, available, told_at, from_carts, expected) in rows {
        let mut reading =
            Checkpoint { carts_as_of: at(told_at), ..checkpoint(on_stock, available) };
        reading.since.from_carts = from_carts;
        assert_eq!(reading.cart_holds(), expected, "{case}");
    }
}

#[test]
fn case_58_an_order_within_the_settling_time_explains_a_difference_either_way() {
    use StockSemantics::{Physical as Overwritten, Sellable};
    // Ten are there and the order holds two: eight are expected on the platform.
    // ordered at, read on stock, semantics → gap
    let rows = [
        ("in the reading, long ago", 50, 8, Sellable, 0),
        ("not in the reading, long ago", 50, 10, Sellable, 2),
        ("just before, in it", 95, 8, Sellable, 0),
        ("just before, not in it yet", 95, 10, Sellable, 0),
        ("just before, explains no more", 95, 13, Sellable, 3),
        ("just after, not in it", 105, 10, Sellable, 0),
        ("just after, in it", 105, 8, Sellable, 0),
        ("long after, not in it", 150, 10, Sellable, 0),
        ("long after, in it", 150, 8, Sellable, 2),
        ("overwritten with the count", 50, 10, Overwritten, 0),
        ("overwritten, then ordered", 150, 10, Overwritten, 0),
    ];
    for (case, ordered_at, on_stock, semantics, expected) in rows {
        let mut reading = checkpoint(on_stock, on_stock);
        let mode = InventoryMode::ReserveOnOrder;
        reading.count(at(ordered_at), 2, mode, SETTLE_MS);
        let ledger = ledger(Some(10), Some(reading), 2);
        let sides = ledger.on_stock(semantics).expect("both sides are known");
        assert_eq!(sides.gap, expected, "{case}: {sides:?}");
    }
}

#[test]
fn without_both_sides_there_is_nothing_to_compare() {
    for (physical, platform) in [(None, None), (Some(1), None), (None, Some(checkpoint(1, 1)))] {
        assert_eq!(ledger(physical, platform, 0).on_stock(StockSemantics::Sellable), None);
    }
}

#[test]
fn case_18_released_units_are_waited_for() {
    let grace = 600_000;
    // puts back before the release, after it, then the deadline → pending, overdue
    let rows = [
        ("never", None, None, 0, 5),
        ("in part", None, Some(2), 0, 3),
        ("in time", None, Some(5), 0, 0),
        ("before the cancellation was told", Some(5), None, 0, 0),
        ("too little before", Some(1), None, 0, 4),
    ];
    for (case, before, after, due, overdue) in rows {
        let mut releases = Releases::default();
        if let Some(units) = before {
            releases.put_back(at(99), units);
        }
        let deadline = releases.release(at(100), 5, grace);
        assert_eq!(deadline, (before != Some(5)).then_some(at(700)), "{case}");
        if let Some(units) = after {
            releases.put_back(at(200), units);
        }
        releases.expire(at(700));
        assert_eq!((releases.due.len(), releases.overdue), (due, overdue), "{case}");
        releases.put_back(at(900), 5);
        assert_eq!(releases.pending(), 0, "{case}");
    }
}

#[test]
fn while_older_holds_are_served_new_demand_gets_nothing() {
    let mut ledger = ledger(Some(10), None, 2);
    assert_eq!(ledger.allocatable(), Some(8));
    ledger.refill = Walk::Running;
    assert_eq!((ledger.allocatable(), ledger.free()), (Some(0), Some(8)));
}
