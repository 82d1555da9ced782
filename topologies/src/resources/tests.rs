use serde_json::{Value, json};

use aplomb_state::tester::Tester;

use crate::{
    outputs,
    testing::{
        START, cases, deliver, delivery, document, message, order_body, order_created,
        order_message, shown, state, view,
    },
};

const MINUTE_MS: i64 = 60_000;

fn tester() -> Tester {
    crate::testing::tester(&document())
}

fn confirmed(sequence: u64) -> Value {
    state(sequence, "orderState", "Open", "Confirmed")
}

#[test]
fn the_view_has_every_field() {
    let mut tester = tester();
    deliver(&mut tester, &order_created(1), 0);
    let expected = json!({
        "projectKey": "acme", "orderId": "o1", "orderNumber": "N-1", "version": 1, "sequence": 1,
        "orderState": "Open", "paymentState": "Pending", "shipmentState": "Pending",
        "lastLegal": {"orderState": "Open", "paymentState": "Pending", "shipmentState": "Pending"},
        "total": {"centAmount": 5000, "currencyCode": "EUR", "fractionDigits": 2},
        "lines": [
            {"lineItemId": "l1", "sku": "A-1", "productId": "p1", "inventoryMode": "ReserveOnOrder",
             "ordered": 3, "reserved": 3, "backordered": 0, "shipped": 0, "cancelled": 0,
             "returned": 0, "allocations": [{"sku": "A-1", "location": "ch-1", "reserved": 3,
             "backordered": 0, "shipped": 0}]},
            {"lineItemId": "l2", "sku": "B-2", "productId": "p2", "inventoryMode": "None",
             "ordered": 2, "reserved": 2, "backordered": 0, "shipped": 0, "cancelled": 0,
             "returned": 0, "allocations": [{"sku": "B-2", "location": "~", "reserved": 2,
             "backordered": 0, "shipped": 0}]}],
        "payments": [], "openCodes": [], "createdAt": "2026-03-02T08:00:00.000Z",
        "storeKey": "eu", "country": "DE", "origin": "Customer", "customerId": "c1",
        "partial": false, "incomplete": false, "asOf": "2026-03-02T08:00:00.001Z",
        "ruleHash": "tester"});
    assert_eq!(view(&tester), expected);
    for path in ["acme/o1", "acme:o1"] {
        let shown = tester.view("orders", path).expect("a view").expect("an order");
        let last = tester.latest(outputs::ORDER_VIEW, "acme:o1").expect("a record");
        assert_eq!(shown.as_bytes(), last);
    }
    assert_eq!(tester.view("orders", "acme/none"), Ok(None));
    assert!(tester.view("orders", "acme").is_err());
}

#[test]
fn doubled_and_permuted_deliveries_change_nothing() {
    let mut straight = tester();
    let messages = [order_created(1), confirmed(2), delivery(3, "d1", "l1", 1)];
    for message in &messages {
        deliver(&mut straight, message, 0);
    }
    let mut other = tester();
    let event = json!({"specversion": "1.0", "id": "o1-1", "type": "t", "source": "s",
                       "data": messages[0]});
    for (message, at_ms) in
        [&messages[2], &messages[1], &messages[2], &event, &messages[0], &messages[1]]
            .into_iter()
            .zip(0..)
    {
        deliver(&mut other, message, at_ms);
    }
    assert_eq!(view(&other), view(&straight));
    let kinds = |tester: &Tester| {
        shown(tester, outputs::ORDER_EVENTS).len() + shown(tester, outputs::ORDER_VERDICTS).len()
    };
    assert_eq!(kinds(&other), kinds(&straight));
    assert!(cases(&other).is_empty());
}

#[test]
fn a_gap_is_given_up_after_its_deadline_and_heals() {
    let mut tester = tester();
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &state(3, "orderState", "Confirmed", "Complete"), 1_000);
    tester.advance(START.plus_ms(61_000)).expect("no fault");
    assert_eq!(view(&tester)["sequence"], 1, "a record timed at the deadline is in time");
    tester.advance(START.plus_ms(61_001)).expect("no fault");
    let given_up = view(&tester);
    assert_eq!((&given_up["sequence"], &given_up["orderState"]), (&json!(3), &json!("Complete")));
    let unshipped = ["ORDER_COMPLETE_NOT_SHIPPED", "ORDER_COMPLETE_UNPAID"];
    let expected = [&unshipped[..], &["ORDER_VIEW_DIVERGED", "SEQUENCE_GAP"]].concat();
    assert_eq!(given_up["openCodes"], json!(expected));
    assert_eq!(tester.of_topic(outputs::REFETCH_REQUESTS).count(), 1);
    assert_eq!(tester.of_topic(outputs::ORDER_VERDICTS).count(), 1);

    deliver(&mut tester, &confirmed(2), 2 * MINUTE_MS);
    let healed = view(&tester);
    assert_eq!(healed["openCodes"], json!(unshipped));
    assert_eq!(healed["asOf"], given_up["asOf"]);
    let cases = cases(&tester);
    assert!(cases.contains(&"SEQUENCE_GAP/order/ clear".to_owned()), "{cases:?}");
    assert!(cases.contains(&"ORDER_VIEW_DIVERGED/order/orderState clear".to_owned()));
    let completed = shown(&tester, outputs::ORDER_EVENTS);
    assert_eq!(completed.iter().filter(|event| event.contains("OrderCompleted")).count(), 1);
    assert_eq!(tester.of_topic(outputs::ORDER_VERDICTS).count(), 2, "the late one has its own");

    let mut straight = self::tester();
    for (message, at) in
        [order_created(1), confirmed(2), state(3, "orderState", "Confirmed", "Complete")]
            .iter()
            .zip(0..)
    {
        deliver(&mut straight, message, at);
    }
    assert_eq!(view(&straight), healed);
}

fn text(value: &[&str]) -> Vec<String> {
    value.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn several_late_messages_heal_one_by_one() {
    let mut tester = tester();
    let messages = [
        order_created(1),
        confirmed(2),
        state(3, "paymentState", "Pending", "Paid"),
        delivery(4, "d1", "l1", 3),
        state(5, "shipmentState", "Pending", "Shipped"),
        state(6, "orderState", "Confirmed", "Complete"),
    ];
    // History is not seen from its start: adopted, then everything comes after all.
    for (index, at_ms) in [(5, 0), (3, 2 * MINUTE_MS), (0, 3 * MINUTE_MS), (4, 4 * MINUTE_MS)] {
        deliver(&mut tester, &messages[index], at_ms);
    }
    assert_eq!(view(&tester)["partial"], true);
    let unpaid = ["ORDER_COMPLETE_UNPAID", "ORDER_SHIPPED_UNPAID", "ORDER_VIEW_DIVERGED"];
    assert_eq!(view(&tester)["openCodes"], json!(unpaid));
    for (index, at_ms) in [(2, 5 * MINUTE_MS), (1, 6 * MINUTE_MS)] {
        deliver(&mut tester, &messages[index], at_ms);
    }
    let mut straight = self::tester();
    for (message, at_ms) in messages.iter().zip(0..) {
        deliver(&mut straight, message, at_ms);
    }
    assert_eq!(view(&tester), view(&straight));
    let kinds = |tester: &Tester| {
        let kind = |event: &String| {
            let (_, json) = event.split_once(' ').expect("key and value");
            let event: Value = serde_json::from_str(json).expect("JSON");
            event["type"].as_str().map(str::to_owned)
        };
        let mut kinds: Vec<_> = shown(tester, outputs::ORDER_EVENTS).iter().map(kind).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&tester), kinds(&straight));
    let cases = cases(&tester);
    assert_eq!(cases.iter().filter(|case| case.starts_with("HISTORY_MISSING")).count(), 1);
    assert!(cases.iter().all(|case| !case.starts_with("SEQUENCE_GAP")), "{cases:?}");
    assert_eq!(tester.of_topic(outputs::REFETCH_REQUESTS).count(), 1);
}

#[test]
fn a_verdict_that_healing_changes_supersedes_the_first() {
    let mut document = document();
    document["rules"] = json!({"levels": {"x2": "off"}});
    let mut tester = crate::testing::tester(&document);
    deliver(&mut tester, &order_created(1), 0);
    // Without the payment's failure, shipping looks legal.
    deliver(&mut tester, &state(3, "shipmentState", "Pending", "Shipped"), 1_000);
    deliver(&mut tester, &state(2, "paymentState", "Pending", "Failed"), 2 * MINUTE_MS);
    let verdicts: Vec<Value> = tester
        .of_topic(outputs::ORDER_VERDICTS)
        .map(|record| {
            serde_json::from_slice(record.value.as_deref().unwrap_or_default()).expect("JSON")
        })
        .collect();
    let told: Vec<_> = verdicts
        .iter()
        .map(|verdict| {
            (verdict["dimension"].as_str(), verdict["verdict"].as_str(), verdict["rule"].as_str())
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("shipmentState"), Some("legal"), Some("transition")),
            (Some("paymentState"), Some("legal"), Some("transition")),
            (Some("shipmentState"), Some("violation"), Some("X1")),
        ]
    );
    let first = tester.of_topic(outputs::ORDER_VERDICTS).next().expect("a record");
    let id = first.headers.get("ce_id").expect("an id");
    assert_eq!(verdicts[2]["supersedes"].as_str().map(str::as_bytes), Some(id));
    assert_eq!(view(&tester)["lastLegal"]["shipmentState"], "Pending");
    assert_eq!(view(&tester)["openCodes"], json!(["ORDER_SHIPPED_UNPAID"]));
}

#[test]
fn past_the_window_a_late_message_only_says_that_the_view_diverged() {
    let mut tester = tester();
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &state(3, "shipmentState", "Pending", "Ready"), 1_000);
    let week_ms = 7 * 24 * 60 * MINUTE_MS + 2 * MINUTE_MS;
    for again in 0..2 {
        deliver(&mut tester, &confirmed(2), week_ms + again);
    }
    let view = view(&tester);
    assert_eq!(view["orderState"], "Open");
    assert_eq!(
        view["openCodes"],
        json!(["ORDER_STUCK", "ORDER_VIEW_DIVERGED", "PAYMENT_DELAYED", "SEQUENCE_GAP"])
    );
    assert_eq!(tester.of_topic(outputs::REFETCH_REQUESTS).count(), 2);
}

#[test]
fn contradicting_duplicates_are_kept_out() {
    let mut other = confirmed(2);
    other["resourceVersion"] = json!(9);
    let mut same_sequence = confirmed(2);
    same_sequence["id"] = json!("another");
    let rows = [(other, "DUPLICATE_CONFLICT"), (same_sequence, "SEQUENCE_CONFLICT")];
    for (second, code) in rows {
        let mut tester = tester();
        for message in [&order_created(1), &confirmed(2)] {
            deliver(&mut tester, message, 0);
        }
        let before = view(&tester);
        deliver(&mut tester, &second, 1);
        assert_eq!(view(&tester), before);
        assert_eq!(cases(&tester), [format!("{code}/order/ raise")]);
        assert_eq!(tester.of_topic(outputs::DLQ).count(), 1);
    }
}

#[test]
fn deliveries_ship_what_was_ordered_and_no_more() {
    let mut tester = tester();
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &delivery(2, "d1", "l1", 2), 1);
    assert_eq!(view(&tester)["lines"][0]["shipped"], 2);
    assert_eq!(view(&tester)["lines"][0]["reserved"], 1);
    deliver(&mut tester, &delivery(3, "d2", "l1", 4), 2);
    let view = view(&tester);
    assert_eq!(
        (&view["lines"][0]["shipped"], &view["lines"][0]["reserved"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(view["openCodes"], json!(["ORDER_OVERDELIVERED"]));
    let events = shown(&tester, outputs::ORDER_EVENTS);
    let shipped: Vec<_> = events.iter().filter(|event| event.contains("ItemsShipped")).collect();
    assert!(shipped[0].contains(r#""quantity":2"#) && shipped[1].contains(r#""quantity":1"#));
    let verdicts = shown(&tester, outputs::ORDER_VERDICTS);
    assert!(verdicts[0].contains(r#""dimension":"delivery","verdict":"violation","rule":"X8""#));
}

#[test]
fn cancelling_releases_what_is_not_shipped_once() {
    let mut tester = tester();
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &delivery(2, "d1", "l1", 1), 1);
    deliver(&mut tester, &state(3, "orderState", "Open", "Cancelled"), 2);
    assert_eq!(view(&tester)["openCodes"], json!(["ORDER_CANCELLED_AFTER_SHIP"]));
    assert_eq!(view(&tester)["lastLegal"]["orderState"], "Open");
    let sent = tester.of_topic(outputs::INVENTORY_EVENTS).count();
    deliver(&mut tester, &state(4, "orderState", "Cancelled", "Cancelled"), 3);
    assert_eq!(tester.of_topic(outputs::INVENTORY_EVENTS).count(), sent, "cancelled twice");
    let targets = shown(&tester, outputs::INVENTORY_EVENTS);
    assert!(targets[sent - 2].contains(r#""cancelled":2,"hold":"l1""#), "{targets:?}");
    assert!(targets[sent - 1].contains(r#""cancelled":2,"hold":"l2""#), "{targets:?}");
    deliver(&mut tester, &order_message(5, "OrderDeleted", json!({})), 4);
    assert_eq!(tester.of_topic(outputs::INVENTORY_EVENTS).count(), sent, "then deleted");
}

#[test]
fn a_deleted_order_leaves_a_marker_for_a_while() {
    let mut tester = tester();
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &order_message(2, "OrderDeleted", json!({})), 1);
    assert_eq!(tester.latest(outputs::ORDER_VIEW, "acme:o1"), None);
    assert_eq!(tester.view("orders", "acme/o1"), Ok(None));
    let before = tester.outputs.len();
    deliver(&mut tester, &delivery(3, "d1", "l1", 1), 2);
    deliver(&mut tester, &order_created(1), 3);
    assert_eq!(tester.outputs.len(), before, "later messages are dropped");
    let month_ms = 30 * 24 * 60 * MINUTE_MS + 10;
    deliver(
        &mut tester,
        &message(("order", "o1"), 1, "OrderCreated", json!({"order": order_body()})),
        month_ms,
    );
    assert!(tester.latest(outputs::ORDER_VIEW, "acme:o1").is_some(), "the marker is gone");
}

#[test]
fn erasure_leaves_nothing_personal_and_is_resolved_with_the_marker() {
    let mut tester = tester();
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &state(3, "orderState", "Confirmed", "Complete"), 1);
    let erased = json!({"notificationType": "ResourceDeleted", "projectKey": "acme",
        "resource": {"typeId": "order", "id": "o1"}, "version": 9, "dataErasure": true,
        "modifiedAt": "2026-03-02T08:00:00.000Z"});
    deliver(&mut tester, &erased, 2);
    deliver(&mut tester, &erased, 3);
    assert_eq!(tester.latest(outputs::ORDER_VIEW, "acme:o1"), None);
    assert_eq!(cases(&tester), ["PII_ERASURE_PENDING/order/ raise"]);
    tester.advance(START.plus_ms(31 * 24 * 60 * MINUTE_MS)).expect("no fault");
    assert_eq!(cases(&tester)[1..], ["PII_ERASURE_PENDING/order/ clear"]);
}

#[test]
fn imports_hold_unless_shipped_or_closed() {
    // (field, state, targets sent)
    let rows = [
        ("orderState", "Open", 2),
        ("orderState", "Complete", 0),
        ("orderState", "Cancelled", 0),
        ("shipmentState", "Shipped", 0),
        ("shipmentState", "Delivered", 0),
        ("shipmentState", "Partial", 2),
    ];
    for (field, state, targets) in rows {
        let mut order = order_body();
        order[field] = json!(state);
        let mut tester = tester();
        deliver(&mut tester, &order_message(1, "OrderImported", json!({"order": order})), 0);
        assert_eq!(tester.of_topic(outputs::INVENTORY_EVENTS).count(), targets, "{field} {state}");
        assert_eq!(view(&tester)["lastLegal"][field], state);
        assert!(cases(&tester).is_empty() && shown(&tester, outputs::ORDER_VERDICTS).is_empty());
    }
}

#[test]
fn a_line_without_a_sku_is_told_about() {
    let mut order = order_body();
    order["lineItems"][0]["variant"] = json!({"id": 1});
    let mut tester = tester();
    deliver(&mut tester, &order_message(1, "OrderCreated", json!({"order": order})), 0);
    assert_eq!(cases(&tester), ["RESERVE_SKU_MISSING/order/l1 raise"]);
    assert_eq!(tester.of_topic(outputs::INVENTORY_EVENTS).count(), 1);
}

#[test]
fn an_order_without_its_payload_holds_what_follows_until_the_content_comes() {
    let missing = |sequence: u64, kind: &str| {
        let mut message = order_message(sequence, kind, json!({}));
        message.as_object_mut().expect("an object").remove("type");
        message["payloadNotIncluded"] =
            json!({"reason": "Payload too large.", "payloadType": kind});
        message
    };
    let mut tester = tester();
    deliver(&mut tester, &missing(1, "OrderCreated"), 0);
    deliver(&mut tester, &confirmed(2), 1);
    deliver(&mut tester, &confirmed(2), 5 * MINUTE_MS);
    let held = view(&tester);
    assert_eq!((&held["sequence"], &held["incomplete"]), (&json!(1), &json!(true)));
    assert_eq!(held["openCodes"], json!(["PAYLOAD_MISSING"]));
    assert_eq!(tester.of_topic(outputs::REFETCH_REQUESTS).count(), 1);
    deliver(&mut tester, &order_created(1), 6 * MINUTE_MS);
    let view = view(&tester);
    assert_eq!((&view["sequence"], &view["incomplete"]), (&json!(2), &json!(false)));
    assert_eq!(view["orderState"], "Confirmed");
    assert_eq!(cases(&tester), ["PAYLOAD_MISSING/order/1 raise", "PAYLOAD_MISSING/order/1 clear"]);

    let mut later = self::tester();
    deliver(&mut later, &order_created(1), 0);
    deliver(&mut later, &missing(2, "OrderShippingAddressSet"), 1);
    deliver(&mut later, &state(3, "orderState", "Open", "Confirmed"), 2);
    let view = self::view(&later);
    assert_eq!((&view["sequence"], &view["incomplete"]), (&json!(3), &json!(true)));
}

#[test]
fn a_rejected_message_consumes_its_number_and_has_its_own_dead_letter() {
    let mut tester = tester();
    let broken = order_message(2, "OrderStateChanged", json!({"orderState": "Melted"}));
    // In the buffer first, so that it is released beside others.
    deliver(&mut tester, &broken, 0);
    deliver(&mut tester, &state(3, "orderState", "Open", "Confirmed"), 1);
    deliver(&mut tester, &order_created(1), 2);
    let view = view(&tester);
    assert_eq!((&view["sequence"], &view["incomplete"]), (&json!(3), &json!(true)));
    let letters: Vec<_> = tester.of_topic(outputs::DLQ).collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value.as_deref(), Some(broken.to_string().as_bytes()));
    assert_eq!(cases(&tester), text(&["CONTRACT_VIOLATION/flow/orderState raise"]));
}

#[test]
fn entries_are_joined_and_unknown_ones_wait() {
    let entry =
        |sequence, kind: &str, body| message(("inventory-entry", "e1"), sequence, kind, body);
    let created = json!({"inventoryEntry": {"id": "e1", "sku": "A-1", "quantityOnStock": 5,
        "availableQuantity": 4, "supplyChannel": {"typeId": "channel", "id": "ch-1"}}});
    let quantity = json!({"oldQuantityOnStock": 5, "newQuantityOnStock": 9,
        "oldAvailableQuantity": 4, "newAvailableQuantity": 8});
    let mut tester = tester();
    deliver(&mut tester, &entry(2, "InventoryEntryQuantitySet", quantity.clone()), 0);
    deliver(
        &mut tester,
        &entry(3, "InventoryEntryReservationExpirationInMinutesSet", json!({})),
        1,
    );
    assert!(shown(&tester, outputs::INVENTORY_EVENTS).is_empty());
    tester.advance(START.plus_ms(2 * MINUTE_MS)).expect("no fault");
    assert!(shown(&tester, outputs::INVENTORY_EVENTS).is_empty(), "its sku is not known");
    assert_eq!(tester.of_topic(outputs::REFETCH_REQUESTS).count(), 1);
    deliver(&mut tester, &entry(1, "InventoryEntryCreated", created), 3 * MINUTE_MS);
    deliver(
        &mut tester,
        &entry(
            4,
            "InventoryEntryOutOfStock",
            json!({"sku": "A-1", "supplyChannel":
        {"typeId": "channel", "id": "ch-1"}}),
        ),
        3 * MINUTE_MS,
    );
    deliver(
        &mut tester,
        &entry(5, "InventoryEntrySafetyStock", json!({"quantityOnStock": 2})),
        3 * MINUTE_MS,
    );
    deliver(&mut tester, &entry(6, "InventoryEntryDeleted", json!({})), 3 * MINUTE_MS);
    let readings = text(&[
        r#"acme:A-1 {"carts":1,"location":"ch-1","reading":9,"sequence":2}"#,
        r#"acme:A-1 {"carts":1,"location":"ch-1","reading":0,"sequence":4}"#,
        r#"acme:A-1 {"carts":1,"location":"ch-1","reading":2,"sequence":5}"#,
        r#"acme:A-1 {"deleted":"e1"}"#,
    ]);
    assert_eq!(shown(&tester, outputs::INVENTORY_EVENTS), readings);
    assert_eq!(cases(&tester), ["HISTORY_MISSING/flow/ raise"]);
}

#[test]
fn other_resources_are_put_in_sequence_without_effect() {
    let customer = |sequence, kind| message(("customer", "c1"), sequence, kind, json!({}));
    let mut tester = tester();
    deliver(&mut tester, &customer(1, "CustomerCreated"), 0);
    deliver(&mut tester, &customer(1, "CustomerCreated"), 1);
    deliver(&mut tester, &customer(3, "CustomerTitleSet"), 2);
    tester.advance(START.plus_ms(2 * MINUTE_MS)).expect("no fault");
    assert_eq!(cases(&tester), ["SEQUENCE_GAP/customer/ raise"]);
    deliver(&mut tester, &customer(2, "CustomerEmailChanged"), 3 * MINUTE_MS);
    assert_eq!(cases(&tester)[1..], ["SEQUENCE_GAP/customer/ clear"]);
}

#[test]
fn deliveries_can_be_changed_and_taken_back() {
    let updated = |sequence, old: i64, new: i64| {
        let items = |quantity| json!([{"id": "l1", "quantity": quantity}]);
        let body = json!({"deliveryId": "d1", "items": items(new), "oldItems": items(old)});
        order_message(sequence, "DeliveryItemsUpdated", body)
    };
    let removed = order_message(6, "DeliveryRemoved", json!({"delivery": {"id": "d1"}}));
    // (message, shipped, open codes)
    let rows = [
        (delivery(2, "d1", "l1", 1), 1, json!([])),
        (updated(3, 1, 2), 2, json!([])),
        (updated(4, 1, 5), 3, json!(["ORDER_OVERDELIVERED", "ORDER_VIEW_DIVERGED"])),
        (updated(5, 5, 1), 1, json!([])),
        (removed, 0, json!([])),
    ];
    let mut tester = tester();
    deliver(&mut tester, &order_created(1), 0);
    for ((message, shipped, codes), at_ms) in rows.into_iter().zip(1..) {
        deliver(&mut tester, &message, at_ms);
        let view = view(&tester);
        assert_eq!(view["lines"][0]["shipped"], shipped, "{message}");
        assert_eq!(view["lines"][0]["reserved"], 3 - shipped, "{message}");
        assert_eq!(view["openCodes"], codes, "{message}");
    }
    let allocated = shown(&tester, outputs::ORDER_EVENTS);
    let allocated = allocated.iter().filter(|event| event.contains("InventoryAllocated"));
    assert_eq!(allocated.count(), 1);
}

#[test]
fn the_window_closes_after_its_number_of_messages() {
    // (messages after the gap, healed)
    for (after, healed) in [(2, true), (3, false)] {
        let mut document = document();
        document["rules"] = json!({"heal_window_messages": 2});
        let mut tester = crate::testing::tester(&document);
        deliver(&mut tester, &order_created(1), 0);
        for sequence in 3..3 + after {
            let at_ms = 1_000 + i64::try_from(sequence).unwrap_or(0) * 2 * MINUTE_MS;
            deliver(&mut tester, &order_message(sequence, "OrderStoreSet", json!({})), at_ms);
        }
        deliver(&mut tester, &confirmed(2), 30 * MINUTE_MS);
        let state = if healed { "Confirmed" } else { "Open" };
        assert_eq!(view(&tester)["orderState"], state, "{after}");
    }
}

#[test]
fn behind_a_filtered_subscription_a_missing_number_says_nothing() {
    let mut document = document();
    document["flows"][0]["sequence"] = json!("monotonic");
    let mut tester = crate::testing::tester(&document);
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &state(7, "orderState", "Confirmed", "Complete"), 1);
    deliver(&mut tester, &confirmed(5), 2);
    tester.advance(START.plus_ms(2 * MINUTE_MS)).expect("no fault");
    assert_eq!(view(&tester)["orderState"], "Complete");
    let told = cases(&tester);
    assert!(told.iter().all(|case| !case.starts_with("SEQUENCE_GAP")), "{told:?}");
    let codes = ["ORDER_COMPLETE_NOT_SHIPPED", "ORDER_COMPLETE_UNPAID"];
    assert_eq!(view(&tester)["openCodes"], json!(codes));
    assert_eq!(tester.of_topic(outputs::REFETCH_REQUESTS).count(), 0);
}
