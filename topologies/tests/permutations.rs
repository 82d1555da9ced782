//! The whole topology, under every order of arrival: with each gap filled in the end, any
//! interleaving and repetition of deliveries, at any pace, in any form, leaves the same
//! `order.view.v1` and `payment.view.v1`, byte for byte where no sku is short, and the same open
//! cases of payments. Where one is, who got the units may
//! differ, and nothing else: not the sums of what is reserved and backordered at a location.
//!
//! Invariant `HELD-SUM`: a location's reserved units are the lesser of what is on hand beside what
//! carts hold, and what is still to be shipped. What is on hand falls when units of an order of
//! mode ≠ None are shipped or released; then, or when carts hold more, the youngest holds give
//! units up (case 43).
//!
//! Left out: `all_or_nothing`. There the sums follow from who came first, which is the log's to
//! decide (case 12); scenarios 79 and 80 show it.

#![expect(clippy::expect_used, reason = "a topology that cannot run ends here")]

use std::collections::BTreeMap;

use aplomb_state::{ids::Timestamp, tester::Tester};
use aplomb_topologies::time;
use proptest::prelude::*;
use serde_json::{Value, json};

const PROJECT: &str = "shop";
const NOTIFICATIONS: &str = "commercetools.notifications.v1";
/// 2026-08-01T00:00:00Z.
const START: Timestamp = Timestamp(1_785_542_400_000);

const ORDERS: [&str; 4] = ["o1", "o2", "o3", "o4"];

/// Orders link these.
const PAYMENTS: [&str; 3] = ["p1", "p2", "p3"];

/// Cases that follow from the end of it all, whatever came first.
const PAYMENT_CODES: [&str; 6] = [
    "ORPHAN_PAYMENT",
    "ORDER_DELETED_WITH_CAPTURE",
    "PAYMENT_TX_UNKNOWN",
    "REFUND_EXCEEDS_CAPTURE",
    "PAYMENT_AMOUNT",
    "PAYMENT_STATE_LAG",
];

/// Where lines are held: sku and channel.
const PLACES: [(&str, Option<&str>); 4] =
    [("A", None), ("A", Some("ch-1")), ("B", None), ("C", Some("ch-1"))];

const MODES: [&str; 4] = ["None", "TrackOnly", "ReserveOnOrder", "ReserveOnCart"];

/// Of a place that never runs out.
const PLENTY: i64 = 1_000;

/// A place's stock as created, `None` for plenty, and its readings.
#[derive(Clone, Debug)]
struct Stock {
    scarce: Option<i64>,
    /// Units that carts hold at the creation.
    carts: i64,
    readings: Vec<Reading>,
}

#[derive(Clone, Debug)]
struct Reading {
    /// Above the last one.
    rise: i64,
    /// `None`: it tells on stock alone.
    carts: Option<i64>,
}

#[derive(Clone, Debug)]
struct Line {
    place: usize,
    quantity: i64,
    mode: usize,
}

#[derive(Clone, Debug)]
struct Plan {
    stocks: Vec<Stock>,
    orders: Vec<(Vec<Line>, Vec<u8>)>,
    payments: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Delivery {
    fact: usize,
    form: u8,
    wait_ms: i64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let carts = || prop_oneof![3 => Just(0i64), 2 => 1i64..4];
    let reading = (-2i64..3, prop::option::weighted(0.7, carts()));
    let reading = reading.prop_map(|(rise, carts)| Reading { rise, carts });
    let readings = prop::collection::vec(reading, 0..4);
    let stock = (prop::option::of(0i64..8), carts(), readings)
        .prop_map(|(scarce, carts, readings)| Stock { scarce, carts, readings });
    let line = (0..PLACES.len(), 1i64..4, 0..MODES.len())
        .prop_map(|(place, quantity, mode)| Line { place, quantity, mode });
    let choices = prop::collection::vec(any::<u8>(), 0..6);
    let order = (prop::collection::vec(line, 1..3), choices);
    let stocks = prop::collection::vec(stock, PLACES.len());
    let orders = prop::collection::vec(order, 1..=ORDERS.len());
    let payments = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), PAYMENTS.len());
    let all = (stocks, orders, payments);
    all.prop_map(|(stocks, orders, payments)| Plan { stocks, orders, payments })
}

/// Every fact at least once, in any order, some of them again.
fn deliveries(count: usize) -> impl Strategy<Value = Vec<Delivery>> {
    let all: Vec<_> = (0..count).collect();
    let again = prop::sample::subsequence(all.clone(), 0..=count);
    let repeated = again.prop_map(move |again| [all.clone(), again].concat());
    repeated.prop_shuffle().prop_flat_map(|facts| {
        let wait = prop_oneof![6 => Just(0i64), 3 => 0i64..2_000, 1 => 0i64..90_000];
        let pace = prop::collection::vec((wait, 0u8..3), facts.len());
        pace.prop_map(move |pace| {
            let both = facts.iter().zip(pace);
            both.map(|(fact, (wait_ms, form))| Delivery { fact: *fact, form, wait_ms }).collect()
        })
    })
}

fn runs() -> impl Strategy<Value = (Plan, Vec<Delivery>)> {
    plan().prop_flat_map(|plan| {
        let count = plan.facts().len();
        (Just(plan), deliveries(count))
    })
}

impl Plan {
    /// Everything that happens, in the order in which it happens.
    fn facts(&self) -> Vec<Value> {
        let entries = self.stocks.iter().enumerate().map(|(place, stock)| entry(place, stock));
        let orders = ORDERS.iter().zip(&self.orders);
        let orders = orders.map(|(id, (lines, choices))| self.order(id, lines, choices));
        let payments = PAYMENTS.iter().zip(&self.payments);
        let payments = payments.map(|(id, choices)| payment(id, choices));
        entries.chain(orders).chain(payments).flatten().collect()
    }

    fn order(&self, id: &str, lines: &[Line], choices: &[u8]) -> Vec<Value> {
        let items: Vec<_> = lines
            .iter()
            .enumerate()
            .map(|(index, line)| {
                let mode = MODES[line.mode];
                let (sku, channel) = PLACES[line.place];
                let mut item = json!({"id": format!("l{index}"), "productId": "p",
                    "variant": {"id": 1, "sku": sku}, "quantity": line.quantity,
                    "productType": {"typeId": "product-type", "id": "goods"},
                    "lineItemMode": "Standard", "inventoryMode": mode});
                if let Some(channel) = channel {
                    item["supplyChannel"] = json!({"typeId": "channel", "id": channel});
                }
                item
            })
            .collect();
        let total = json!({"type": "centPrecision", "currencyCode": "EUR", "centAmount": 5000,
                           "fractionDigits": 2});
        // Before, between and after the readings.
        let place = ORDERS.iter().position(|known| *known == id).unwrap_or_default();
        let created = instant([0, 2, 3, 100][place]);
        let order = json!({"id": id, "createdAt": created, "orderNumber": format!("N-{id}"),
            "orderState": "Open", "paymentState": "Pending", "shipmentState": "Pending",
            "totalPrice": total, "lineItems": items});
        let mut facts = vec![message(("order", id), 1, "OrderCreated", json!({"order": order}))];
        let mut states = ["Open", "Pending", "Pending"];
        for (choice, sequence) in choices.iter().zip(2u64..) {
            let line = format!("l{}", usize::from(choice / 16) % lines.len());
            facts.push(change(id, sequence, *choice, &line, &mut states));
            if facts.last().is_some_and(|fact| fact["type"] == "OrderDeleted") {
                let erases = choice % 4 == 1;
                facts.push(json!({"notificationType": "ResourceDeleted", "projectKey": PROJECT,
                    "resource": {"typeId": "order", "id": id}, "version": sequence,
                    "modifiedAt": instant(sequence), "dataErasure": erases}));
                break;
            }
        }
        facts
    }

    /// Sku and location of the places that cannot give all that is ordered.
    fn short(&self) -> Vec<(&'static str, &'static str)> {
        let ordered = |place: usize| {
            let lines = self.orders.iter().flat_map(|(lines, _)| lines);
            lines.filter(|line| line.place == place).map(|line| line.quantity).sum::<i64>()
        };
        let short = PLACES.iter().enumerate().filter(|(place, _)| {
            self.stocks[*place].least().is_some_and(|stock| stock < ordered(*place))
        });
        short.map(|(_, place)| name(*place)).collect()
    }
}

impl Stock {
    /// What is left beside carts at the worst of times. `None`: plenty.
    fn least(&self) -> Option<i64> {
        let (mut on_stock, mut carts) = (self.scarce?, self.carts);
        let later = self.readings.iter().map(|reading| {
            on_stock += reading.rise;
            carts = reading.carts.unwrap_or(carts);
            on_stock - carts
        });
        later.min().into_iter().chain([self.scarce? - self.carts]).min()
    }
}

fn name((sku, channel): (&'static str, Option<&'static str>)) -> (&'static str, &'static str) {
    (sku, channel.unwrap_or("~"))
}

/// Whatever is chosen, states follow from the ones before.
fn change(
    id: &str,
    sequence: u64,
    choice: u8,
    line: &str,
    states: &mut [&'static str; 3],
) -> Value {
    let targets = [
        &["Open", "Confirmed", "Complete", "Cancelled"][..],
        &["BalanceDue", "Failed", "Pending", "CreditOwed", "Paid"],
        &["Shipped", "Delivered", "Ready", "Pending", "Partial", "Canceled"],
    ];
    let quantity = i64::from(choice % 3) + 1;
    let items = json!([{"id": line, "quantity": quantity}]);
    let (kind, body) = match choice % 16 {
        0..=3 => {
            let delivery = json!({"id": format!("d{sequence}"), "items": items, "parcels": []});
            ("DeliveryAdded", json!({"delivery": delivery}))
        }
        4 => {
            let removed = json!({"delivery": {"id": format!("d{}", sequence - 1)}});
            ("DeliveryRemoved", removed)
        }
        5 => {
            let old = json!([{"id": line, "quantity": 1}]);
            let delivery = format!("d{}", sequence - 1);
            let body = json!({"deliveryId": delivery, "items": items, "oldItems": old});
            ("DeliveryItemsUpdated", body)
        }
        6 => ("OrderStateChanged", json!({"orderState": "Melted"})),
        7 => {
            let payment = json!({"typeId": "payment", "id": format!("p{quantity}")});
            ("OrderPaymentAdded", json!({"paymentRef": payment}))
        }
        8 | 9 if choice > 100 => ("OrderDeleted", json!({})),
        other => {
            let dimension = usize::from(other % 3);
            let to = targets[dimension][usize::from(choice / 16) % targets[dimension].len()];
            let from = std::mem::replace(&mut states[dimension], to);
            match dimension {
                0 => ("OrderStateChanged", json!({"orderState": to, "oldOrderState": from})),
                1 => {
                    let body = json!({"paymentState": to, "oldPaymentState": from});
                    ("OrderPaymentStateChanged", body)
                }
                _ => {
                    let body = json!({"shipmentState": to, "oldShipmentState": from});
                    ("OrderShipmentStateChanged", body)
                }
            }
        }
    };
    message(("order", id), sequence, kind, body)
}

/// Transactions of any kind and state; some change of which nobody heard.
fn payment(id: &str, choices: &[u8]) -> Vec<Value> {
    let amount = |cents: i64| json!({"currencyCode": "EUR", "centAmount": cents});
    let resource = ("payment", id);
    let created = json!({"id": id, "amountPlanned": amount(5_000), "transactions": []});
    let created = message(resource, 1, "PaymentCreated", json!({"payment": created}));
    let states = ["Initial", "Pending", "Success", "Success", "Failure"];
    let kinds = ["Authorization", "Charge", "Charge", "Refund", "Chargeback"];
    let changes = choices.iter().zip(2u64..).map(|(choice, sequence)| {
        let state = states[usize::from(choice / 16) % states.len()];
        if choice % 4 == 0 {
            let of = sequence - 1 - u64::from(choice / 4 % 2);
            let body = json!({"transactionId": format!("t{of}"), "state": state});
            return message(resource, sequence, "PaymentTransactionStateChanged", body);
        }
        let kind = kinds[usize::from(*choice) % kinds.len()];
        let amount = amount(2_500 * i64::from(choice % 3));
        let transaction =
            json!({"id": format!("t{sequence}"), "type": kind, "amount": amount, "state": state});
        let body = json!({"transaction": transaction});
        message(resource, sequence, "PaymentTransactionAdded", body)
    });
    [created].into_iter().chain(changes).collect()
}

fn entry(place: usize, stock: &Stock) -> Vec<Value> {
    let (sku, channel) = PLACES[place];
    let id = format!("e{place}");
    let mut on_stock = stock.scarce.unwrap_or(PLENTY);
    let mut entry = json!({"id": id, "sku": sku, "quantityOnStock": on_stock,
                           "availableQuantity": on_stock - stock.carts});
    if let Some(channel) = channel {
        entry["supplyChannel"] = json!({"typeId": "channel", "id": channel});
    }
    let resource = ("inventory-entry", id.as_str());
    let created = json!({"inventoryEntry": entry});
    let mut facts = vec![message(resource, 1, "InventoryEntryCreated", created)];
    for (reading, sequence) in stock.readings.iter().zip(2u64..) {
        on_stock += reading.rise;
        let (kind, body) = match reading.carts {
            Some(carts) => {
                let available = on_stock - carts;
                let body =
                    json!({"newQuantityOnStock": on_stock, "newAvailableQuantity": available});
                ("InventoryEntryQuantitySet", body)
            }
            None => ("InventoryEntrySafetyStock", json!({"quantityOnStock": on_stock})),
        };
        facts.push(message(resource, sequence, kind, body));
    }
    facts
}

fn message(resource: (&str, &str), sequence: u64, kind: &str, body: Value) -> Value {
    let (type_id, id) = resource;
    let mut message = json!({
        "notificationType": "Message", "projectKey": PROJECT, "version": 1,
        "id": format!("{id}-{sequence}"), "sequenceNumber": sequence,
        "resource": {"typeId": type_id, "id": id}, "resourceVersion": sequence, "type": kind,
        "createdAt": instant(sequence), "lastModifiedAt": instant(sequence),
    });
    if let (Some(message), Value::Object(body)) = (message.as_object_mut(), body) {
        message.extend(body);
    }
    message
}

fn instant(sequence: u64) -> String {
    time::format(START.plus_ms(i64::try_from(sequence).unwrap_or(0)))
}

/// As a Message, as a CloudEvents event, or with the change beside it.
fn in_forms(fact: &Value, form: u8) -> Vec<Value> {
    let message = fact["notificationType"] == "Message";
    match form {
        1 if message => vec![json!({"specversion": "1.0", "id": fact["id"],
            "type": "com.commercetools.order.message", "source": "/shop/orders",
            "subject": fact["resource"]["id"], "time": fact["lastModifiedAt"], "data": fact})],
        2 if message => {
            let updated = json!({"notificationType": "ResourceUpdated", "projectKey": PROJECT,
                "resource": fact["resource"], "version": fact["resourceVersion"], "oldVersion": 1,
                "modifiedAt": fact["createdAt"]});
            vec![updated, fact.clone()]
        }
        _ => vec![fact.clone()],
    }
}

fn tester() -> Tester {
    let flows = json!({"flows": [{"name": "ct", "topic": NOTIFICATIONS}],
                       "rules": {"bootstrap_entries": "none"}});
    let (topology, flows) = (aplomb_topologies::topology(), flows.to_string());
    Tester::new(topology, &[("ct", NOTIFICATIONS)], flows.as_bytes(), START).expect("valid")
}

fn deliver(tester: &mut Tester, value: &Value, at_ms: i64) {
    let (bytes, at) = (value.to_string(), START.plus_ms(at_ms));
    tester.deliver(NOTIFICATIONS, None, Some(bytes.as_bytes()), &[], at).expect("no fault");
}

fn view(tester: &Tester, order: &str) -> Option<String> {
    let bytes = tester.latest("order.view.v1", &format!("{PROJECT}:{order}"))?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn payments(tester: &Tester) -> Vec<Option<String>> {
    let view = |id: &&str| tester.latest("payment.view.v1", &format!("{PROJECT}:{id}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    PAYMENTS.iter().map(|id| view(id).map(text)).collect()
}

/// Code and entity of the open cases about money, by id.
fn open_cases(tester: &Tester) -> BTreeMap<String, (String, String)> {
    let mut open = BTreeMap::new();
    for record in tester.of_topic("exceptions.v1") {
        let value = record.value.as_deref().expect("a case");
        let case: Value = serde_json::from_slice(value).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&case["caseId"]);
        if case["status"] == "open" && PAYMENT_CODES.contains(&text(&case["code"]).as_str()) {
            open.insert(id, (text(&case["code"]), case["entity"].to_string()));
        } else {
            open.remove(&id);
        }
    }
    open
}

/// A view without what depends on who got the units of a short place. True: something was left
/// out.
fn masked(view: &str, short: &[(&str, &str)]) -> (Value, bool) {
    let mut view: Value = serde_json::from_str(view).expect("JSON");
    let mut any = false;
    for line in view["lines"].as_array_mut().into_iter().flatten() {
        for allocation in line["allocations"].as_array_mut().into_iter().flatten() {
            let place = (allocation["sku"].as_str(), allocation["location"].as_str());
            if short.iter().any(|(sku, location)| place == (Some(sku), Some(location))) {
                any = true;
                take(allocation, &["reserved", "backordered"]);
            }
        }
        if any {
            take(line, &["reserved", "backordered"]);
        }
    }
    if any {
        take(&mut view, &["asOf"]);
    }
    (view, any)
}

fn take(value: &mut Value, fields: &[&str]) {
    for field in fields {
        value.as_object_mut().expect("an object").remove(*field);
    }
}

/// Reserved and backordered by sku and location, as the reservations say.
fn held(tester: &Tester) -> BTreeMap<String, (i64, i64)> {
    let mut last = BTreeMap::new();
    for record in tester.of_topic("inventory.reservations.v1") {
        let value = record.value.as_deref().expect("a reservation");
        last.insert(&record.key, serde_json::from_slice::<Value>(value).expect("JSON"));
    }
    let mut sums = BTreeMap::new();
    for hold in last.values() {
        let number = |field: &str| hold[field].as_i64().expect("a number");
        let (reserved, backordered) = (number("reserved"), number("backordered"));
        if reserved + backordered > 0 {
            let place = format!("{}:{}", hold["sku"], hold["location"]);
            let sum = sums.entry(place).or_insert((0, 0));
            *sum = (sum.0 + reserved, sum.1 + backordered);
        }
    }
    sums
}

fn on_hand(tester: &Tester) -> Vec<Value> {
    let places = PLACES.iter().map(|(sku, channel)| {
        let key = format!("{PROJECT}:{sku}:{}", channel.unwrap_or("~"));
        let value = tester.latest("inventory.availability.v1", &key).expect("a figure");
        let mut value: Value = serde_json::from_slice(value).expect("JSON");
        take(&mut value, &["asOf"]);
        value
    });
    places.collect()
}

/// As many cases as a round has time for; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 512 };
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 3000, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_interleaving_and_repetition_ends_the_same((plan, deliveries) in runs()) {
        let facts = plan.facts();
        let mut straight = tester();
        for fact in &facts {
            deliver(&mut straight, fact, 0);
        }
        let mut shuffled = tester();
        let mut at_ms = 0;
        for delivery in &deliveries {
            at_ms += delivery.wait_ms;
            for value in in_forms(&facts[delivery.fact], delivery.form) {
                deliver(&mut shuffled, &value, at_ms);
            }
        }
        // Past every grace.
        let end_ms = at_ms + 20 * 86_400_000;
        straight.advance(START.plus_ms(end_ms)).expect("no fault");
        shuffled.advance(START.plus_ms(end_ms)).expect("no fault");
        let short = plan.short();
        for order in ORDERS {
            let (expected, found) = (view(&straight, order), view(&shuffled, order));
            let (Some(expected), Some(found)) = (&expected, &found) else {
                prop_assert_eq!(&found, &expected, "{}", order);
                continue;
            };
            let (rest, is_short) = masked(expected, &short);
            if is_short {
                prop_assert_eq!(&masked(found, &short).0, &rest, "{}", order);
            } else {
                prop_assert_eq!(found, expected, "{}", order);
            }
        }
        prop_assert_eq!(payments(&shuffled), payments(&straight));
        prop_assert_eq!(open_cases(&shuffled), open_cases(&straight));
        prop_assert_eq!(held(&shuffled), held(&straight));
        prop_assert_eq!(on_hand(&shuffled), on_hand(&straight));
    }
}
