//! The stage `skus` against the numbered cases of the domain: what comes in, and every event,
//! availability, answer, drift and case that goes out.

#[expect(clippy::panic, clippy::unwrap_used, reason = "whatever is unexpected ends the test")]
mod skus_support;

use Step::{Delete, EntriesComplete, Read, Stock, Target, Until};
use aplomb_topologies::{messages::skus::*, outputs};
use skus_support::{
    Scenario, Shop, Step, at, carts, deletion, delta, json, order, reading, snapshot,
};

/// A warehouse feeds stock.
const WAREHOUSE: &str = r#"{"flows": [
    {"name": "wms", "topic": "sor.wms.stock.v1", "system": "wms", "kind": "stock"}]}"#;

#[test]
fn cases_1_to_5_holds_are_placed_once_and_summed() {
    let other_line = |order: HoldTarget| HoldTarget { line_id: "l2".into(), ..order };
    let elsewhere = |order: HoldTarget| HoldTarget { location: "c1".into(), ..order };
    let at_c1 = EntryReading { location: "c1".into(), entry_id: "e1".into(), ..reading(2, 4) };
    let first = HoldTarget { revision: 1, ..order("o1", 60, 2) };
    let again = first.clone();
    Scenario {
        name: "cases 1 to 5",
        settings: "",
        steps: vec![
            (Read(reading(0, 10)), vec!["10/0/0/0/0 atp 10 platform"]),
            (Target(first), vec!["Reserved o1 2", "10/2/0/0/0 atp 8 platform", "o1 #1 2+0"]),
            // 2 and 3: the same revision again, whatever form the order came in
            (Target(again), vec![]),
            // 4: the same sku on another line of the order
            (
                Target(other_line(order("o1", 60, 3))),
                vec!["Reserved o1 3", "10/5/0/0/0 atp 5 platform", "o1 #1 3+0"],
            ),
            // 5: another channel is another location
            (Read(EntryReading { as_of: at(61), ..at_c1 }), vec!["4/0/0/0/0 atp 4 platform in c1"]),
            (
                Target(elsewhere(other_line(order("o1", 62, 1)))),
                vec!["Reserved o1 1 in c1", "4/1/0/0/0 atp 3 platform in c1", "o1 #1 1+0"],
            ),
        ],
    }
    .play();
}

#[test]
fn cases_7_and_52_holds_wait_for_their_entry_and_are_placed_oldest_first() {
    let mode_none = |order: HoldTarget| HoldTarget { mode: InventoryMode::None, ..order };
    Scenario {
        name: "not known to be absent",
        settings: "",
        steps: vec![
            // The younger order is told first.
            (
                Target(mode_none(order("young", 20, 2))),
                vec!["0/0/2/0/0 atp 0 raw -2 none", "young #1 0+2"],
            ),
            (
                Target(mode_none(order("old", 10, 2))),
                vec!["0/0/4/0/0 atp 0 raw -4 none", "old #1 0+2"],
            ),
            (EntriesComplete, vec!["raise RESERVE_NO_ENTRY"]),
            (
                Target(mode_none(order("third", 30, 1))),
                vec!["0/0/5/0/0 atp 0 raw -5 none", "third #1 0+1"],
            ),
            (
                Read(reading(40, 3)),
                vec![
                    "Reserved old 2",
                    "Reserved young 1",
                    "Backordered young 1",
                    "Backordered third 1",
                    "3/3/2/0/0 atp 0 raw -2 platform",
                    "clear RESERVE_NO_ENTRY",
                    "old #2 2+0",
                    "young #2 1+1",
                    "third #2 0+1",
                ],
            ),
        ],
    }
    .play();
    Scenario {
        name: "known to be absent from the start",
        settings: r#"{"rules": {"bootstrap_entries": "none"}}"#,
        steps: vec![
            (
                Target(order("o1", 10, 2)),
                vec!["0/0/2/0/0 atp 0 raw -2 none", "raise RESERVE_NO_ENTRY", "o1 #1 0+2"],
            ),
            (
                Target(HoldTarget { cancelled: 2, as_of: at(20), ..order("o1", 10, 2) }),
                vec![
                    "Released o1 2",
                    "0/0/0/0/0 atp 0 none",
                    "clear RESERVE_NO_ENTRY",
                    "o1 #2 0+0",
                ],
            ),
        ],
    }
    .play();
}

#[test]
fn case_8_nothing_there_and_no_promise_is_oversold_after_the_grace() {
    Scenario {
        name: "case 8",
        settings: WAREHOUSE,
        steps: vec![
            (Read(reading(0, 0)), vec!["0/0/0/0/0 atp 0 platform"]),
            (Stock(snapshot(1, 0)), vec!["0/0/0/0/0 atp 0 physical"]),
            (
                Target(order("o1", 60, 2)),
                vec!["Backordered o1 2", "0/0/2/0/0 atp 0 raw -2 physical", "o1 #1 0+2"],
            ),
            (Until(70), vec![]),
            (Until(71), vec!["DriftOpened OVERSOLD 2:0", "raise OVERSOLD"]),
            (
                Target(order("o2", 80, 1)),
                vec![
                    "Backordered o2 1",
                    "DriftUpdated OVERSOLD 3:0",
                    "0/0/3/0/0 atp 0 raw -3 physical",
                    "o2 #1 0+1",
                ],
            ),
            // 44: a receipt serves the oldest first
            (
                Stock(delta(90, 2, "r1")),
                vec![
                    "Reserved o1 2 backfill",
                    "DriftUpdated OVERSOLD 3:2",
                    "2/2/1/0/0 atp 0 raw -1 physical",
                    "o1 #2 2+0",
                ],
            ),
            (
                Stock(delta(100, 5, "r2")),
                vec![
                    "Reserved o2 1 backfill",
                    "DriftResolved OVERSOLD 3:7",
                    "closed",
                    "7/3/0/0/0 atp 4 physical",
                    "clear OVERSOLD",
                    "o2 #2 1+0",
                ],
            ),
            // The same receipt again.
            (Stock(delta(100, 5, "r2")), vec![]),
        ],
    }
    .play();
}

#[test]
fn cases_9_and_10_a_promise_makes_a_backorder() {
    let restockable = EntryReading { restockable_in_days: Some(2), ..reading(0, 0) };
    let expected = Some(at(3_600));
    let delivery = EntryReading { expected_delivery: expected, ..reading(70, 0) };
    let tracked = HoldTarget { mode: InventoryMode::TrackOnly, ..order("o1", 60, 2) };
    Scenario {
        name: "case 9",
        settings: "",
        steps: vec![
            (Read(restockable), vec!["0/0/0/0/0 atp 0 platform"]),
            (
                Target(order("o1", 60, 2)),
                vec![
                    "Backordered o1 2 2026-08-06T12:01:00.000Z",
                    "0/0/2/0/0 atp 0 raw -2 platform",
                    "o1 #1 0+2",
                ],
            ),
            (Until(600), vec![]),
        ],
    }
    .play();
    Scenario {
        name: "case 9, the date comes later",
        settings: "",
        steps: vec![
            (Read(reading(0, 0)), vec!["0/0/0/0/0 atp 0 platform"]),
            (
                Target(order("o1", 60, 2)),
                vec!["Backordered o1 2", "0/0/2/0/0 atp 0 raw -2 platform", "o1 #1 0+2"],
            ),
            (Read(EntryReading { on_stock: -2, ..delivery }), vec!["o1 #2 0+2"]),
            (Until(600), vec![]),
        ],
    }
    .play();
    let short = || vec!["Backordered o1 2", "0/0/2/0/0 atp 0 raw -2 platform", "o1 #1 0+2"];
    Scenario {
        name: "case 10, oversold",
        settings: "",
        steps: vec![
            (Read(reading(0, 0)), vec!["0/0/0/0/0 atp 0 platform"]),
            (Target(tracked.clone()), short()),
            (Until(600), vec!["DriftOpened OVERSOLD 2:0", "raise OVERSOLD"]),
        ],
    }
    .play();
    Scenario {
        name: "case 10, backorder",
        settings: r#"{"rules": {"track_only": "backorder"}}"#,
        steps: vec![
            (Read(reading(0, 0)), vec!["0/0/0/0/0 atp 0 platform"]),
            (Target(tracked), short()),
            (Until(600), vec![]),
        ],
    }
    .play();
}

#[test]
fn cases_11_and_12_the_log_decides_who_gets_the_last_units() {
    Scenario {
        name: "in part, then the race for the last unit",
        settings: "",
        steps: vec![
            (Read(reading(0, 6)), vec!["6/0/0/0/0 atp 6 platform"]),
            (
                Target(order("o1", 60, 5)),
                vec!["Reserved o1 5", "6/5/0/0/0 atp 1 platform", "o1 #1 5+0"],
            ),
            // Ordered later, told first.
            (
                Target(order("o3", 62, 1)),
                vec!["Reserved o3 1", "6/6/0/0/0 atp 0 platform", "o3 #1 1+0"],
            ),
            (
                Target(order("o2", 61, 1)),
                vec!["Backordered o2 1", "6/6/1/0/0 atp 0 raw -1 platform", "o2 #1 0+1"],
            ),
        ],
    }
    .play();
    Scenario {
        name: "all or nothing",
        settings: r#"{"rules": {"all_or_nothing": true}}"#,
        steps: vec![
            (Read(reading(0, 3)), vec!["3/0/0/0/0 atp 3 platform"]),
            (
                Target(order("o1", 60, 5)),
                vec!["Backordered o1 5", "3/0/5/0/0 atp 0 raw -2 platform", "o1 #1 0+5"],
            ),
            // 3 + 2 came: the reading is less what the order took.
            (
                Read(reading(90, 0)),
                vec![
                    "DriftOpened OVERSOLD 5:3",
                    "raise OVERSOLD",
                    "Reserved o1 5 backfill",
                    "DriftResolved OVERSOLD 5:5",
                    "closed",
                    "5/5/0/0/0 atp 0 platform",
                    "clear OVERSOLD",
                    "o1 #2 5+0",
                ],
            ),
        ],
    }
    .play();
}

#[test]
fn case_13_an_order_without_a_mode_is_held_here_only() {
    let untracked = HoldTarget { mode: InventoryMode::None, ..order("o1", 60, 2) };
    Scenario {
        name: "case 13",
        settings: WAREHOUSE,
        steps: vec![
            (Read(reading(0, 10)), vec!["10/0/0/0/0 atp 10 platform"]),
            (Stock(snapshot(1, 10)), vec!["10/0/0/0/0 atp 10 physical"]),
            (Target(untracked), vec!["Reserved o1 2", "10/2/0/0/0 atp 8 physical", "o1 #1 2+0"]),
            // Unchanged on stock is what is expected.
            (Read(reading(120, 10)), vec![]),
            (Until(600), vec![]),
        ],
    }
    .play();
}

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
fn case_53_an_imported_order_that_is_over_holds_nothing() {
    let over = HoldTarget { shipped: 2, ..order("o1", 60, 2) };
    Scenario {
        name: "case 53",
        settings: "",
        steps: vec![
            (Read(reading(0, 10)), vec!["10/0/0/0/0 atp 10 platform"]),
            (Target(over), vec!["o1 #1 0+0"]),
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
    let mut missing = order_first;
    // At the next checkpoint it must be in it.
    missing.extend([
        (Read(reading(700, 100)), vec![]),
        (Until(711), vec!["DriftOpened INV_ONHAND 100:80", "raise INV_ONHAND"]),
        (
            Read(reading(720, 81)),
            vec!["DriftResolved INV_ONHAND 81:80", "closed", "clear INV_ONHAND"],
        ),
    ]);
    Scenario { name: "order first, never in a reading", settings: WAREHOUSE, steps: missing }
        .play();
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

#[test]
fn records_carry_all_their_fields() {
    let mut shop = Shop::open(WAREHOUSE);
    shop.take(&Read(EntryReading { safety_stock: Some(1), ..reading(0, 10) }));
    shop.take(&Stock(snapshot(1, 0)));
    shop.take(&Target(order("o1", 60, 2)));
    shop.take(&Until(600));
    let tester = &shop.tester;
    let last = |topic: &str| {
        let record = tester.of_topic(topic).last().unwrap();
        (String::from_utf8(record.key.clone()).unwrap(), json(record.value.as_deref().unwrap()))
    };
    let (key, event) = last(outputs::INVENTORY_EVENTS);
    assert_eq!(key, "acme:A");
    let expected = serde_json::json!({
        "type": "InventoryBackordered", "projectKey": "acme", "sku": "A", "location": "~",
        "orderId": "o1", "lineItemId": "l", "quantity": 2, "at": "2026-08-04T12:01:00.000Z",
        "cause": {"id": "m:acme:o1", "messageId": "o1", "resource": "order:o", "sequence": 3}
    });
    assert_eq!(event, expected);
    let (key, reservation) = last(outputs::INVENTORY_RESERVATIONS);
    assert_eq!(key, "acme:o1:l:A:~");
    let expected = serde_json::json!({
        "projectKey": "acme", "orderId": "o1", "lineItemId": "l", "sku": "A", "location": "~",
        "ordered": 2, "reserved": 0, "backordered": 2, "shipped": 0, "cancelled": 0, "returned": 0
    });
    assert_eq!(reservation, expected);
    let (key, availability) = last(outputs::INVENTORY_AVAILABILITY);
    assert_eq!(key, "acme:A:~");
    let expected = serde_json::json!({
        "projectKey": "acme", "sku": "A", "location": "~", "onHand": 0, "reserved": 0,
        "backordered": 2, "cartHolds": 0, "safetyStock": 1, "atp": 0, "atpRaw": -3,
        "asOf": "2026-08-04T12:01:00.000Z", "confidence": "physical"
    });
    assert_eq!(availability, expected);
    assert_eq!(last(outputs::INVENTORY_HISTORY), (key, availability));
    let oversold = tester.of_topic(outputs::DRIFT_EVENTS).last().unwrap();
    let drift = json(oversold.value.as_deref().unwrap());
    let id = String::from_utf8(oversold.key.clone()).unwrap();
    assert_eq!(tester.latest(outputs::DRIFT_OPEN, &id), oversold.value.as_deref());
    let expected = serde_json::json!({
        "type": "DriftOpened", "driftId": id, "projectKey": "acme", "kind": "OVERSOLD",
        "code": "OVERSOLD", "status": "open", "entity": {"type": "sku", "id": "A"},
        "location": "~", "field": "onHand", "tolerance": 0,
        "sides": [
            {"system": "commercetools", "value": 2, "asOf": "2026-08-04T12:01:00.000Z",
             "trace": {"topic": "feed", "partition": 0, "offset": 2}},
            {"system": "wms", "value": 0, "asOf": "2026-08-04T12:00:01.000Z",
             "trace": {"topic": "feed", "partition": 0, "offset": 1, "messageId": "snapshot",
                       "resource": "order:o"}}
        ],
        "firstSeen": "2026-08-04T12:01:00.000Z", "openedAt": "2026-08-04T12:01:10.000Z"
    });
    assert_eq!(drift, expected);
    let ids: Vec<_> = tester.outputs.iter().filter_map(ce_id).collect();
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "ids are unique");
}

fn ce_id(record: &aplomb_state::tester::Emitted) -> Option<String> {
    let (_, id) = record.headers.iter().find(|(name, _)| name == "ce_id")?;
    Some(String::from_utf8_lossy(id).into_owned())
}

#[test]
fn an_operator_sees_a_sku() {
    let mut shop = Shop::open(WAREHOUSE);
    shop.take(&Read(reading(0, 1)));
    shop.take(&Stock(snapshot(1, 1)));
    shop.take(&Target(order("o1", 60, 2)));
    for path in ["acme/A", "acme:A"] {
        let page = json(shop.tester.view("skus", path).unwrap().unwrap().as_bytes());
        let location = &page["locations"][0];
        assert_eq!((&page["projectKey"], &page["sku"]), (&"acme".into(), &"A".into()));
        assert_eq!(location["availability"]["atpRaw"], -1);
        assert_eq!(location["holds"]["reserved"], 1);
        assert_eq!(location["holds"]["oldestShort"][0]["orderId"], "o1");
        assert_eq!(location["drifts"][0]["status"], "suspect");
    }
    assert_eq!(shop.tester.view("skus", "acme/B"), Ok(None));
    assert!(shop.tester.view("skus", "acme").is_err());
}

#[test]
fn a_long_queue_is_served_in_steps_and_nobody_overtakes() {
    const ORDERS: i64 = 1_300;
    let mut shop = Shop::open("");
    shop.take(&Read(reading(0, 0)));
    for number in 0..ORDERS {
        let told = shop.take(&Target(order(&format!("o{number:04}"), 20 + number, 1)));
        assert!(told.contains(&format!("Backordered o{number:04} 1")), "{told:?}");
    }
    let seconds = 20 + ORDERS + 60;
    // All but the last hundred can be served: on stock is less what the orders took.
    shop.take(&Read(reading(seconds, -100)));
    let reserved: Vec<_> = shop
        .tester
        .of_topic(outputs::INVENTORY_EVENTS)
        .map(|record| json(record.value.as_deref().unwrap()))
        .filter(|event| event["type"] == "InventoryReserved")
        .map(|event| event["orderId"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<_> = (0..ORDERS - 100).map(|number| format!("o{number:04}")).collect();
    assert_eq!(reserved, expected);
    let told = shop.take(&Target(order("late", seconds + 60, 1)));
    assert!(told.contains(&"Backordered late 1".to_owned()), "{told:?}");
}
