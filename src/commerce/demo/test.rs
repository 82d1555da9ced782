//! The summary, from records written by hand, and the text made of it.

use std::collections::{BTreeMap, BTreeSet};

use aplomb_state::ids::{Offset, Timestamp};
use aplomb_topologies::{codes, outputs};
use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::{
    Options, advice,
    inputs::{Counter, Inputs},
    records::Topics,
    report,
    run::Run,
    summary::{
        OpenCode, OpenDrift, Orders, Oversold, Owner, Payments, Stock, Summary, Transitions,
        summarise,
    },
    text::Colours,
};
use crate::embedded::Kept;

const SMALL: Options = Options { orders: 40, seed: 6, once: true, port: 0 };

fn kept(key: &str, value: Option<Json>, headers: &[(&str, &str)]) -> Kept {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Kept {
        partition: 0,
        offset: Offset(0),
        timestamp: Timestamp(0),
        key: Some(bytes(key)),
        value: value.map(|value| bytes(&value.to_string())),
        headers: headers.iter().map(|(name, value)| (bytes(name), Some(bytes(value)))).collect(),
    }
}

/// Records of one topic: (key, value), absent for a tombstone.
fn topic(name: &'static str, records: &[(&str, Option<Json>)]) -> Topics {
    let records = records.iter().map(|(key, value)| kept(key, value.clone(), &[])).collect();
    Topics { outputs: BTreeMap::from([(name, records)]), ..Topics::default() }
}

fn order(state: &str, shipment: &str, cents: i64, codes: &[&str]) -> Option<Json> {
    Some(json!({
        "projectKey": "p", "orderId": state, "orderState": state, "shipmentState": shipment,
        "total": {"centAmount": cents, "currencyCode": "EUR", "fractionDigits": 2},
        "openCodes": codes, "incomplete": state == "Open" && shipment == "none",
    }))
}

#[test]
fn orders_are_counted_by_their_last_view() {
    let topics = topic(
        outputs::ORDER_VIEW,
        &[
            ("1", order("Open", "Pending", 100, &[])),
            ("1", order("Complete", "Delivered", 100, &[])),
            ("2", order("Cancelled", "Pending", 50, &[])),
            ("3", order("Confirmed", "Shipped", 7, &[])),
            ("4", order("Confirmed", "Partial", 7, &[])),
            ("5", order("Open", "none", 1, &[])),
            ("6", order("Open", "Ready", 1, &[])),
            ("7", order("Open", "Ready", 1, &[])),
            ("7", None),
        ],
    );
    let expected = Orders {
        placed: 6,
        completed: 1,
        cancelled: 1,
        shipping: 2,
        incomplete: 1,
        worth: BTreeMap::from([("EUR".to_owned(), 166)]),
    };
    assert_eq!(summarise(&topics).orders, expected);
}

#[test]
fn payments_are_summed_by_currency() {
    let view = |captured: i64, refunded: i64, currency: &str| {
        let money = |cents: i64| json!({"centAmount": cents, "currencyCode": currency, "fractionDigits": 2});
        Some(json!({"captured": money(captured), "refunded": money(refunded)}))
    };
    let records = [
        ("1", view(0, 0, "EUR")),
        ("1", view(700, 0, "EUR")),
        ("2", view(300, 100, "EUR")),
        ("3", view(50, 0, "CHF")),
        ("4", Some(json!({}))),
    ];
    let of = |sums: &[(&str, i64)]| {
        sums.iter().map(|(currency, cents)| ((*currency).to_owned(), *cents)).collect()
    };
    let expected = Payments {
        count: 4,
        captured: of(&[("CHF", 50), ("EUR", 1_000)]),
        refunded: of(&[("EUR", 100)]),
    };
    assert_eq!(summarise(&topic(outputs::PAYMENT_VIEW, &records)).payments, expected);
}

#[test]
fn an_orders_drift_tells_states() {
    let drift = json!({
        "type": "DriftOpened", "projectKey": "p", "kind": "ORDER_STATE_DESYNC",
        "entity": {"type": "order", "id": "o"}, "firstSeen": "2026-03-02T09:00:00.000Z",
        "sides": [{"system": "commercetools", "value": "Open/absent"},
                  {"system": "oms", "value": "SHIPPED"}],
    });
    let summary = summarise(&topic(outputs::DRIFT_OPEN, &[("1", Some(drift))]));
    let text = report::render(&summary, "A day", None, Colours::Plain);
    assert!(text.contains("order o: commercetools says Open/absent, oms"), "{text}");
}

#[test]
fn a_verdict_that_was_replaced_does_not_count() {
    let verdict = |verdict: &str, supersedes: Option<&str>| {
        let mut value = json!({"projectKey": "p", "orderId": "o", "verdict": verdict});
        if let Some(id) = supersedes {
            value["supersedes"] = id.into();
        }
        Some(value)
    };
    let records = vec![
        kept("o", verdict("violation", None), &[("ce_id", "a")]),
        kept("o", verdict("legal", Some("a")), &[("ce_id", "b")]),
        kept("o", verdict("legal_with_warning", None), &[("ce_id", "c")]),
        kept("o", verdict("violation", None), &[("ce_id", "d")]),
    ];
    let outputs = BTreeMap::from([(outputs::ORDER_VERDICTS, records)]);
    let topics = Topics { outputs, ..Topics::default() };
    let expected = Transitions { legal: 1, warnings: 1, violations: 1 };
    assert_eq!(summarise(&topics).transitions, expected);
}

#[test]
fn stock_adds_up_events_and_what_is_held_now() {
    let event = |kind: &str, quantity: i64, reason: &str| {
        ("p:s", Some(json!({"type": kind, "quantity": quantity, "reason": reason})))
    };
    let mut topics = topic(
        outputs::INVENTORY_EVENTS,
        &[
            event("InventoryReserved", 5, "ordered"),
            event("InventoryReserved", 2, "backfill"),
            event("InventoryShipped", 3, ""),
            event("InventoryReleased", 1, ""),
            event("InventoryBackordered", 9, ""),
        ],
    );
    let hold = |reserved: i64, backordered: i64| {
        Some(json!({"reserved": reserved, "backordered": backordered}))
    };
    let holds =
        [("a", hold(5, 0)), ("a", hold(2, 1)), ("b", hold(1, 6)), ("c", hold(9, 9)), ("c", None)];
    topics.outputs.append(&mut topic(outputs::INVENTORY_RESERVATIONS, &holds).outputs);
    let expected = Stock {
        reserved: 7,
        backfilled: 2,
        shipped: 3,
        released: 1,
        held_now: 3,
        backordered_now: 7,
    };
    assert_eq!(summarise(&topics).stock, expected);
}

fn drift(event: &str, kind: &str, sku: &str, sides: [i64; 2]) -> Json {
    json!({
        "type": event, "projectKey": "p", "kind": kind, "entity": {"type": "sku", "id": sku},
        "location": "~", "firstSeen": "2026-03-02T09:00:00.000Z",
        "sides": [{"system": "commercetools", "value": sides[0]},
                  {"system": "wms", "value": sides[1]}],
    })
}

#[test]
fn drifts_are_what_is_open_now_and_oversold_stands_apart() {
    let open = [
        ("1", Some(drift("DriftOpened", "OVERSOLD", "A", [12, 10]))),
        ("2", Some(drift("DriftOpened", "OVERSOLD", "B", [8, 1]))),
        ("3", Some(drift("DriftOpened", "INV_ONHAND", "C", [5, 9]))),
        ("4", Some(drift("DriftOpened", "INV_ONHAND", "D", [5, 9]))),
        ("4", None),
        ("1", Some(drift("DriftUpdated", "OVERSOLD", "A", [13, 10]))),
    ];
    let mut topics = topic(outputs::DRIFT_OPEN, &open);
    let mut events: Vec<_> = open.iter().filter(|(_, value)| value.is_some()).cloned().collect();
    events.push(("4", Some(drift("DriftResolved", "INV_ONHAND", "D", [9, 9]))));
    topics.outputs.append(&mut topic(outputs::DRIFT_EVENTS, &events).outputs);
    let summary = summarise(&topics);
    let oversold = |sku: &str, units, needed, on_hand| Oversold {
        sku: sku.to_owned(),
        location: "~".to_owned(),
        units,
        needed,
        on_hand,
    };
    assert_eq!(summary.oversold, [oversold("B", 7, 8, 1), oversold("A", 3, 13, 10)]);
    assert_eq!((summary.drifts.opened, summary.drifts.resolved), (4, 1));
    let expected = OpenDrift {
        kind: "INV_ONHAND".to_owned(),
        entity: "C".to_owned(),
        field: String::new(),
        location: Some("~".to_owned()),
        sides: [("commercetools".to_owned(), "5".to_owned()), ("wms".to_owned(), "9".to_owned())],
        since: "2026-03-02T09:00:00.000Z".to_owned(),
    };
    assert_eq!(summary.drifts.open, [expected]);
    assert_eq!(summary.look.sku.as_deref(), Some("/skus/p/B"));
}

fn case(id: &str, code: &str, severity: &str, owner: &str, status: &str, due: &str) -> Json {
    json!({
        "entity": {"type": "order", "id": id},
        "caseId": id, "code": code, "severity": severity, "status": status, "owner": owner,
        "businessEffect": "effect", "sla": {"class": "same-day", "dueAt": due},
    })
}

#[test]
fn cases_stand_by_owner_the_gravest_first() {
    let topics = topic(
        outputs::EXCEPTIONS,
        &[
            ("1", Some(case("1", "SEQUENCE_GAP", "medium", "ops", "open", "2"))),
            ("2", Some(case("2", "OVERSOLD", "critical", "stock", "open", "9"))),
            ("3", Some(case("3", "OVERSOLD", "critical", "stock", "acknowledged", "8"))),
            ("4", Some(case("4", "INV_ONHAND", "high", "stock", "resolved", "1"))),
            ("5", Some(case("5", "MALFORMED_JSON", "high", "ops", "open", "3"))),
            ("6", Some(case("6", "INV_ONHAND", "high", "stock", "open", "1"))),
            ("6", Some(case("6", "INV_ONHAND", "high", "stock", "suppressed", "1"))),
        ],
    );
    let summary = summarise(&topics);
    let code = |code: &str, severity: &str, ids: &[&str], due: &str| OpenCode {
        code: code.to_owned(),
        severity: severity.to_owned(),
        effect: "effect".to_owned(),
        cases: ids.len(),
        about: ids.iter().map(|id| ("order".to_owned(), (*id).to_owned())).collect(),
        due_at: due.to_owned(),
    };
    let owner = |name: &str, cases, codes| Owner { name: name.to_owned(), cases, codes };
    let expected = [
        owner("stock", 2, vec![code("OVERSOLD", "critical", &["3", "2"], "8")]),
        owner(
            "ops",
            2,
            vec![
                code("MALFORMED_JSON", "high", &["5"], "3"),
                code("SEQUENCE_GAP", "medium", &["1"], "2"),
            ],
        ),
    ];
    assert_eq!(summary.owners, expected);
    assert_eq!(summary.look.case.as_deref(), Some("/cases/~/3"));
}

#[test]
fn dead_letters_are_counted_by_code() {
    let letter = |code| kept("k", None, &[("code", code)]);
    let letters = vec![letter("A"), letter("B"), letter("A"), kept("k", None, &[])];
    let topics = Topics { outputs: BTreeMap::from([(outputs::DLQ, letters)]), ..Topics::default() };
    let expected = [("(no code)", 1), ("A", 2), ("B", 1)];
    let expected = expected.map(|(code, count)| (code.to_owned(), count));
    assert_eq!(summarise(&topics).dead_letters, BTreeMap::from(expected));
}

#[test]
fn a_fact_told_again_in_any_form_is_repeated() {
    let message = |id: &str, version: u64| {
        json!({"notificationType": "Message", "id": id, "resource": {"id": "r"},
               "resourceVersion": version})
    };
    let change = |version: u64| {
        let resource = json!({"id": "r"});
        json!({"notificationType": "ResourceUpdated", "resource": resource, "version": version})
    };
    let mut counter = Counter::default();
    for value in [
        change(2), // told by the message after it
        message("a", 1),
        message("b", 2),
        message("b", 2),                                                   // again
        json!({"specversion": "1.0", "id": "b", "data": message("b", 2)}), // again
        change(3),       // new: nothing else tells of it
        change(3),       // again
        message("c", 2), // another message of one update
        json!("no notification"),
    ] {
        counter.notification(value.to_string().as_bytes());
    }
    counter.notification(b"{");
    counter.warehouse();
    counter.order_management();
    let expected = Inputs { notifications: 10, counts: 1, statuses: 1, repeated: 4 };
    assert_eq!(counter.inputs(), expected);
}

#[test]
fn an_empty_day_is_told_as_well() {
    let text = report::render(&Summary::default(), "Nothing", None, Colours::Plain);
    assert!(text.contains("nobody has to do anything"), "{text}");
}

#[test]
fn every_code_that_can_be_a_case_has_advice_of_its_own() {
    for code in advice::codes() {
        assert!(codes::of(code).is_some(), "{code}");
    }
    let advised: BTreeSet<_> = advice::codes().collect();
    // DUPLICATE_DROPPED is counted, and never a case.
    let cases = codes::CODES.iter().filter(|code| code.name != "DUPLICATE_DROPPED");
    let without: Vec<_> = cases.filter(|code| !advised.contains(code.name)).collect();
    assert!(without.is_empty(), "{without:?}");
}

fn small_day() -> (Summary, usize) {
    let mut run = Run::start(&SMALL).expect("a start");
    let delivered = run.live(&SMALL).expect("a day");
    (summarise(&run.topics().expect("the topics")), delivered)
}

#[test]
fn the_same_seed_gives_the_same_day_with_something_of_everything() {
    let (summary, delivered) = small_day();
    assert_eq!((&summary, delivered), (&small_day().0, delivered));
    let inputs = &summary.inputs;
    assert_eq!(inputs.notifications + inputs.counts + inputs.statuses, delivered);
    assert!(summary.payments.count > 40 && !summary.payments.captured.is_empty());
    assert!(summary.inputs.repeated > 0);
    assert_eq!(summary.orders.placed, 40);
    assert!(summary.orders.completed > 0 && summary.orders.cancelled > 0);
    assert!(summary.transitions.violations > 0);
    assert_eq!(summary.dead_letters.values().sum::<usize>(), 7);
    assert_eq!(
        summary.oversold.iter().map(|oversold| &*oversold.sku).collect::<Vec<_>>(),
        ["RUNNER-X-LTD"]
    );
    assert!(summary.drifts.resolved > 0 && !summary.drifts.open.is_empty());
    let look = &summary.look;
    assert!(look.sku.is_some() && look.order.is_some() && look.case.is_some());
}

#[test]
fn the_text_fits_a_terminal_and_has_colours_only_on_demand() {
    let (summary, _) = small_day();
    let plain = report::render(&summary, "A day", None, Colours::Plain);
    assert!(plain.is_ascii());
    for line in plain.lines() {
        assert!(line.len() <= 80, "{line}");
    }
    let coloured = report::render(&summary, "A day", None, Colours::Ansi);
    assert!(coloured.contains("\x1b[31m") && !plain.contains('\x1b'));
}
