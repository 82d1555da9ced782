//! What is placed, what waits, and what is promised.

use Step::{EntriesComplete, Read, Stock, Target, Until};
use aplomb_topologies::{messages::skus::*, outputs};

use crate::{
    WAREHOUSE,
    skus_support::{Scenario, Shop, Step, at, delta, json, order, reading, snapshot},
};

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
