//! What moves stock, what is read of it, and where the two part.

use Step::{Delete, Read, Stock, Target, Until};
use aplomb_topologies::messages::skus::*;

use crate::{
    WAREHOUSE,
    skus_support::{Scenario, Step, at, carts, deletion, delta, order, reading, snapshot},
};

#[test]
fn cases_18_and_20_released_units_must_come_back_on_the_platform() {
    let cancelled = || HoldTarget { cancelled: 2, as_of: at(100), ..order("o1", 60, 2) };
    let start = || {
        vec![
            (Read(reading(0, 10)), vec!["10/0/0/0/0 atp 10 platform"]),
            (
                Target(order("o1", 60, 2)),
                vec!["Reserved o1 2", "10/2/0/0/0 atp 8 platform", "o1 #1 2+0"],
            ),
            (Target(cancelled()), vec!["Released o1 2", "8/0/0/0/0 atp 8 platform", "o1 #2 0+0"]),
            // 20: cancelled again, or deleted
            (Target(cancelled()), vec!["o1 #3 0+0"]),
        ]
    };
    let mut late = start();
    late.extend([
        (Until(700), vec![]),
        (Until(701), vec!["raise CT_RELEASE_PENDING"]),
        (Read(reading(800, 10)), vec!["10/0/0/0/0 atp 10 platform", "clear CT_RELEASE_PENDING"]),
    ]);
    Scenario { name: "put back too late", settings: "", steps: late }.play();
    let mut in_time = start();
    in_time.extend([
        (Read(reading(300, 10)), vec!["10/0/0/0/0 atp 10 platform"]),
        (Until(800), vec![]),
    ]);
    Scenario { name: "put back in time", settings: "", steps: in_time }.play();
    let untracked = |order| HoldTarget { mode: InventoryMode::None, ..order };
    Scenario {
        name: "mode None has nothing to put back",
        settings: "",
        steps: vec![
            (Read(reading(0, 10)), vec!["10/0/0/0/0 atp 10 platform"]),
            (
                Target(untracked(order("o1", 60, 2))),
                vec!["Reserved o1 2", "10/2/0/0/0 atp 8 platform", "o1 #1 2+0"],
            ),
            (
                Target(untracked(cancelled())),
                vec!["Released o1 2", "10/0/0/0/0 atp 10 platform", "o1 #2 0+0"],
            ),
            (Until(800), vec![]),
        ],
    }
    .play();
}

#[test]
fn cases_23_to_25_deliveries_move_stock() {
    let shipped =
        |seconds, shipped| HoldTarget { shipped, as_of: at(seconds), ..order("o1", 60, 5) };
    Scenario {
        name: "cases 23, 24, 25 and 42",
        settings: WAREHOUSE,
        steps: vec![
            (Stock(snapshot(0, 10)), vec!["10/0/0/0/0 atp 10 physical"]),
            (
                Target(order("o1", 60, 5)),
                vec!["Reserved o1 5", "10/5/0/0/0 atp 5 physical", "o1 #1 5+0"],
            ),
            (
                Target(shipped(100, 2)),
                vec!["Shipped o1 2", "8/3/0/0/0 atp 5 physical", "o1 #2 3+0"],
            ),
            (
                Target(shipped(200, 7)),
                vec!["Shipped o1 3", "5/0/0/0/0 atp 5 physical", "o1 #3 0+0"],
            ),
            // 42: counted between the two, the second shipment still to come: 8 − 3
            (Stock(snapshot(150, 8)), vec![]),
            (Stock(snapshot(160, 9)), vec!["6/0/0/0/0 atp 6 physical"]),
            // 41: older than the last one
            (Stock(snapshot(140, 99)), vec!["raise STALE_SNAPSHOT"]),
            // A shipment the warehouse tells is the same one again.
            (
                Stock(WarehouseStock { reason: Some("shipment".into()), ..delta(201, -3, "s") }),
                vec![],
            ),
            // A receipt before the count is in the count.
            (Stock(delta(155, 4, "r")), vec![]),
            (
                Target(shipped(300, 4)),
                vec!["Reserved o1 1 deliveryReversed", "7/1/0/0/0 atp 6 physical", "o1 #4 1+0"],
            ),
            (Stock(snapshot(400, 7)), vec!["clear STALE_SNAPSHOT"]),
        ],
    }
    .play();
}

#[test]
fn case_46_below_zero_is_accepted() {
    Scenario {
        name: "case 46",
        settings: "",
        steps: vec![
            (Read(reading(0, -3)), vec!["-3/0/0/0/0 atp 0 raw -3 platform"]),
            (
                Target(order("o1", 60, 1)),
                vec![
                    "DriftOpened OVERSOLD 0:-3",
                    "raise OVERSOLD",
                    "Backordered o1 1",
                    "DriftUpdated OVERSOLD 1:-3",
                    "-3/0/1/0/0 atp 0 raw -4 platform",
                    "o1 #1 0+1",
                ],
            ),
        ],
    }
    .play();
}

#[test]
fn case_47_a_deleted_entry_keeps_its_holds() {
    let other = EntryDeleted { entry_id: "other".into(), ..deletion(90) };
    let again = EntryReading { entry_id: "e2".into(), revision: 1, ..reading(200, 8) };
    Scenario {
        name: "cases 47 and 48",
        settings: "",
        steps: vec![
            (Read(reading(0, 10)), vec!["10/0/0/0/0 atp 10 platform"]),
            (
                Target(order("o1", 60, 2)),
                vec!["Reserved o1 2", "10/2/0/0/0 atp 8 platform", "o1 #1 2+0"],
            ),
            (Delete(other), vec![]),
            (
                Delete(deletion(100)),
                vec!["0/2/0/0/0 atp 0 raw -2 none", "raise RESERVE_ENTRY_DELETED"],
            ),
            (Read(again), vec!["10/2/0/0/0 atp 8 platform", "clear RESERVE_ENTRY_DELETED"]),
        ],
    }
    .play();
}

#[test]
fn case_57_a_line_held_in_a_cart_is_not_counted_twice() {
    let told = EntryReading { carts: carts(0, 6), ..reading(0, 10) };
    let line = HoldTarget { mode: InventoryMode::ReserveOnCart, ..order("o1", 60, 5) };
    Scenario {
        name: "case 57",
        settings: "",
        steps: vec![
            (Read(told), vec!["10/0/0/6/0 atp 4 platform"]),
            (Target(line), vec!["Reserved o1 5", "10/5/0/1/0 atp 4 platform", "o1 #1 5+0"]),
            // Told without the available quantity: the carts stay as they are.
            (Read(EntryReading { carts: carts(0, 6), ..reading(90, 5) }), vec![]),
        ],
    }
    .play();
}

#[test]
fn case_58_no_drift_before_the_next_checkpoint() {
    let start = || {
        vec![
            (Read(reading(0, 100)), vec!["100/0/0/0/0 atp 100 platform"]),
            (Stock(snapshot(1, 100)), vec!["100/0/0/0/0 atp 100 physical"]),
        ]
    };
    let placed = || {
        (
            Target(order("o1", 60, 20)),
            vec!["Reserved o1 20", "100/20/0/0/0 atp 80 physical", "o1 #1 20+0"],
        )
    };
    let mut order_first = start();
    // The reading five seconds later does not have the order in it yet.
    order_first.extend([placed(), (Read(reading(65, 100)), vec![]), (Until(600), vec![])]);
    let mut settled = order_first.clone();
    settled.extend([(Read(reading(700, 80)), vec![]), (Until(900), vec![])]);
    Scenario { name: "order first, then in the reading", settings: WAREHOUSE, steps: settled }
        .play();
    let mut missing = order_first.clone();
    // At the next checkpoint it must be in it.
    missing.extend([
        (Read(reading(700, 99)), vec![]),
        (Until(711), vec!["DriftOpened INV_ONHAND 99:80", "raise INV_ONHAND"]),
        (
            Read(reading(720, 81)),
            vec!["DriftResolved INV_ONHAND 81:80", "closed", "clear INV_ONHAND"],
        ),
    ]);
    Scenario { name: "order first, never in a reading", settings: WAREHOUSE, steps: missing }
        .play();
    let mut overwritten = order_first;
    // All of what was counted: what the order holds is for sale again (case 45).
    overwritten.extend([
        (Read(reading(700, 100)), vec![]),
        (Until(701), vec!["DriftOpened INV_CT_OVERSTATED 100:80", "raise INV_CT_OVERSTATED"]),
        (
            Read(reading(720, 80)),
            vec!["DriftResolved INV_CT_OVERSTATED 80:80", "closed", "clear INV_CT_OVERSTATED"],
        ),
    ]);
    Scenario { name: "the count overwrites it", settings: WAREHOUSE, steps: overwritten }.play();
    let mut reading_first = start();
    reading_first.extend([
        (Read(reading(65, 100)), vec![]),
        (
            Target(HoldTarget { ..order("o1", 60, 20) }),
            vec!["Reserved o1 20", "100/20/0/0/0 atp 80 physical", "o1 #1 20+0"],
        ),
        (Until(600), vec![]),
        (Read(reading(700, 80)), vec![]),
        (Until(900), vec![]),
    ]);
    Scenario { name: "reading first", settings: WAREHOUSE, steps: reading_first }.play();
}

#[test]
fn a_drift_waits_for_one_and_a_half_intervals_of_the_feed() {
    let settings = r#"{"flows": [{"name": "wms", "topic": "t", "system": "wms", "kind": "stock",
        "feed_interval_ms": 60000}]}"#;
    Scenario {
        name: "grace",
        settings,
        steps: vec![
            (Read(reading(0, 10)), vec!["10/0/0/0/0 atp 10 platform"]),
            (Stock(snapshot(1, 12)), vec!["12/0/0/0/0 atp 12 physical"]),
            (Until(91), vec![]),
            (Until(92), vec!["DriftOpened INV_ONHAND 10:12", "raise INV_ONHAND"]),
            (
                Stock(snapshot(100, 13)),
                vec!["DriftUpdated INV_ONHAND 10:13", "13/0/0/0/0 atp 13 physical"],
            ),
            // One unit apart is within tolerance.
            (
                Stock(snapshot(110, 11)),
                vec![
                    "DriftResolved INV_ONHAND 10:11",
                    "closed",
                    "11/0/0/0/0 atp 11 physical",
                    "clear INV_ONHAND",
                ],
            ),
            // A difference that ends before its grace was none.
            (Stock(snapshot(120, 13)), vec!["13/0/0/0/0 atp 13 physical"]),
            (Stock(snapshot(130, 10)), vec!["10/0/0/0/0 atp 10 physical"]),
            (Until(900), vec![]),
        ],
    }
    .play();
}

#[test]
fn more_on_offer_than_on_stock_breaks_an_invariant() {
    Scenario {
        name: "INV_INVARIANT",
        settings: "",
        steps: vec![
            (
                Read(EntryReading { carts: carts(0, -1), ..reading(0, 10) }),
                vec!["10/0/0/0/0 atp 10 platform", "raise INV_INVARIANT"],
            ),
            (Read(reading(60, 10)), vec!["clear INV_INVARIANT"]),
            (Read(reading(90, i64::MAX)), vec!["rejected", "raise CONTRACT_VIOLATION"]),
        ],
    }
    .play();
}
