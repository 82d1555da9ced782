//! Random histories of one sku: whatever comes, in whatever order and how often, the figures are
//! the sums of the holds, and nothing that could be given is withheld.

#[expect(clippy::panic, clippy::unwrap_used, reason = "whatever is unexpected ends the test")]
#[expect(dead_code, reason = "scenarios need more of the shop")]
mod skus_support;

use std::collections::BTreeMap;

use aplomb_topologies::{messages::skus::*, outputs};
use proptest::prelude::*;
use serde_json::Value;
use skus_support::{Shop, Step, carts, deletion, delta, json, order, reading, snapshot};

const WAREHOUSE: &str = r#"{"flows": [
    {"name": "wms", "topic": "sor.wms.stock.v1", "system": "wms", "kind": "stock"}]}"#;

/// A step, at so many seconds after the one before.
fn step() -> impl Strategy<Value = (i64, Step)> {
    let quantities = (0..5i64, 0..5i64, 0..6i64);
    let modes = prop_oneof![
        Just(InventoryMode::None),
        Just(InventoryMode::TrackOnly),
        Just(InventoryMode::ReserveOnOrder),
        Just(InventoryMode::ReserveOnCart),
    ];
    let target =
        (0..5usize, quantities, modes).prop_map(|(id, (ordered, cancelled, shipped), mode)| {
            let id = ["o0", "o1", "o2", "o3", "o4"][id];
            Step::Target(HoldTarget { cancelled, shipped, mode, ..order(id, 0, ordered) })
        });
    let told = proptest::option::of((-30..=0i64, 0..3i64));
    let read = (-3..12i64, told, proptest::option::of(0..3i64));
    let read = read.prop_map(|(on_stock, told, days)| {
        let carts = told.and_then(|(before, units)| carts(before, units));
        Step::Read(EntryReading { carts, restockable_in_days: days, ..reading(0, on_stock) })
    });
    let kinds = prop_oneof![
        6 => target,
        3 => read,
        2 => (-2..12i64).prop_map(|quantity| Step::Stock(snapshot(0, quantity))),
        2 => (-3..5i64).prop_map(|quantity| Step::Stock(delta(0, quantity, "d"))),
        1 => Just(Step::Delete(deletion(0))),
        1 => Just(Step::EntriesComplete),
        1 => Just(Step::Until(0)),
    ];
    (-30..90i64, kinds)
}

/// Gives steps their times, revisions and ids. Facts may be older than what came before.
fn history(steps: Vec<(i64, Step)>) -> Vec<Step> {
    let mut now = 60;
    let numbered = steps.into_iter().zip(1u64..);
    let timed = numbered.map(|((seconds, step), number)| {
        now += seconds.max(0);
        let as_of = skus_support::at(now + seconds.min(0));
        match step {
            Step::Target(target) => {
                Step::Target(HoldTarget { revision: number, as_of, ..with_order_time(target) })
            }
            Step::Read(reading) => {
                // Told with the reading, or so many seconds before it.
                let told_at = |told: CartHolds| as_of.plus_ms(told.as_of.0 - skus_support::at(0).0);
                let carts = reading.carts.map(|told| CartHolds { as_of: told_at(told), ..told });
                Step::Read(EntryReading { revision: number, as_of, carts, ..reading })
            }
            Step::Delete(gone) => Step::Delete(EntryDeleted { revision: number, as_of, ..gone }),
            Step::Stock(stock) => {
                let event_id = stock.event_id.clone().map(|_| format!("d{number}"));
                Step::Stock(WarehouseStock { event_id, as_of, ..stock })
            }
            Step::Until(_) => Step::Until(now),
            Step::EntriesComplete => Step::EntriesComplete,
        }
    });
    timed.collect()
}

/// An order has one instant of creation, whatever its targets say.
fn with_order_time(target: HoldTarget) -> HoldTarget {
    let place = target.order_id.bytes().last().map_or(0, |byte| i64::from(byte - b'0'));
    HoldTarget { ordered_at: skus_support::at(40 * place), ..target }
}

fn latest(shop: &Shop, topic: &str) -> BTreeMap<Vec<u8>, Value> {
    let records = shop.tester.of_topic(topic);
    let records = records.filter_map(|r| Some((r.key.clone(), json(r.value.as_deref()?))));
    records.collect()
}

fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().expect("a number")
}

fn check(shop: &Shop, told: &[String]) {
    assert!(
        !told.iter().any(|line| line == "raise INV_INVARIANT" || line == "rejected"),
        "{told:?}"
    );
    let holds = latest(shop, outputs::INVENTORY_RESERVATIONS);
    let mut sums = [0, 0];
    for hold in holds.values() {
        let [ordered, reserved, backordered, shipped, cancelled] =
            ["ordered", "reserved", "backordered", "shipped", "cancelled"]
                .map(|field| number(hold, field));
        assert_eq!(ordered, reserved + backordered + shipped + cancelled, "{hold}");
        assert!(reserved.min(backordered).min(shipped).min(cancelled) >= 0, "{hold}");
        sums = [sums[0] + reserved, sums[1] + backordered];
    }
    let Some(shown) = latest(shop, outputs::INVENTORY_AVAILABILITY).into_values().next() else {
        assert_eq!(sums, [0, 0]);
        return;
    };
    assert_eq!(sums, ["reserved", "backordered"].map(|field| number(&shown, field)), "{shown}");
    let free = number(&shown, "onHand") - number(&shown, "reserved") - number(&shown, "cartHolds");
    let waits = number(&shown, "backordered") > 0 && shown["confidence"] != "none";
    assert!(!waits || free <= 0, "{free} free while holds wait: {shown}");
    // Nothing is reserved that is not there or that carts hold (case 43).
    let most = number(&shown, "onHand") - number(&shown, "cartHolds");
    let is_there = sums[0] <= most.max(0);
    assert!(is_there || shown["confidence"] == "none", "{shown}");
}

/// Case 43, in several steps: the youngest of many holds give units up, and no other.
#[test]
fn many_holds_give_units_up() {
    const ORDERS: i64 = 1_200;
    const COUNTED: i64 = 100;
    let mut shop = Shop::open(WAREHOUSE);
    shop.take(&Step::Stock(snapshot(60, ORDERS)));
    for number in 0..ORDERS {
        let id = format!("o{number:04}");
        shop.take(&Step::Target(order(&id, 61 + number, 1)));
    }
    let told = shop.take(&Step::Stock(snapshot(ORDERS + 100, COUNTED)));
    check(&shop, &told);
    let holds = latest(&shop, outputs::INVENTORY_RESERVATIONS);
    for (hold, place) in holds.values().zip(0..) {
        let reserved = i64::from(place < COUNTED);
        assert_eq!(number(hold, "reserved"), reserved, "{hold}");
    }
    let events = shop.tester.of_topic(outputs::INVENTORY_EVENTS);
    let events = events.filter_map(|record| Some(json(record.value.as_deref()?)));
    let given_up = events.filter(|event| event["type"] == "InventoryReallocated");
    assert_eq!(given_up.count() as i64, ORDERS - COUNTED);
}

/// Case 43 at a sku with a long past: a step looks at a part of the holds only, so that the order
/// behind the reading is heard first. It takes nothing that older holds are to keep.
#[test]
fn holds_that_are_over_are_passed_in_several_steps() {
    const ORDERS: i64 = 1_200;
    const OPEN: i64 = 100;
    const COUNTED: i64 = 40;
    let id = |number: i64| format!("o{number:04}");
    let mut shop = Shop::open(WAREHOUSE);
    shop.take(&Step::Stock(snapshot(60, ORDERS)));
    for number in 0..ORDERS {
        shop.take(&Step::Target(order(&id(number), 61 + number, 1)));
    }
    for number in OPEN..ORDERS {
        let shipped = HoldTarget { shipped: 1, ..order(&id(number), 61 + number, 1) };
        let as_of = skus_support::at(61 + ORDERS + number);
        shop.take(&Step::Target(HoldTarget { as_of, ..shipped }));
    }
    let late = 4 * ORDERS;
    let counted = Step::Stock(snapshot(late, COUNTED));
    let told = shop.take_together(&[counted, Step::Target(order("p", late, 1))]);
    check(&shop, &told);
    let place = |line: &str| told.iter().position(|told| told.starts_with(line));
    let (heard, given_up) = (place("Backordered p"), place("Reallocated"));
    assert!(heard.is_some() && heard < given_up, "{told:?}");
    let given_up = told.iter().filter(|line| line.starts_with("Reallocated"));
    assert_eq!(given_up.count() as i64, OPEN - COUNTED);
    for (hold, place) in latest(&shop, outputs::INVENTORY_RESERVATIONS).values().zip(0..) {
        assert_eq!(number(hold, "reserved"), i64::from(place < COUNTED), "{hold}");
    }
    // The walk is over: the next one begins.
    let told = shop.take(&Step::Stock(snapshot(late + 100, COUNTED - 1)));
    check(&shop, &told);
    assert!(told.contains(&format!("Reallocated {} 1", id(COUNTED - 1))), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn figures_are_the_sums_of_the_holds(steps in prop::collection::vec(step(), 1..40)) {
        let mut shop = Shop::open(WAREHOUSE);
        for step in history(steps) {
            let told = shop.take(&step);
            check(&shop, &told);
        }
    }

    #[test]
    fn what_is_told_twice_changes_nothing(steps in prop::collection::vec(step(), 1..40)) {
        let mut once = Shop::open("");
        let mut twice = Shop::open("");
        for step in history(steps) {
            let expected = once.take(&step);
            prop_assert_eq!(&twice.take(&step), &expected);
            let again = twice.take(&step);
            // A stale snapshot is stale again: the case counts causes, not deliveries.
            let news: Vec<_> =
                again.into_iter().filter(|line| line != "raise STALE_SNAPSHOT").collect();
            prop_assert_eq!(news, Vec::<String>::new());
        }
    }
}
