use serde_json::{Value, json};

use crate::{
    outputs,
    testing::{
        cases, deliver, delivery, document, message, order_body, order_created, order_message,
        shown, state, tester, view,
    },
};

const MINUTE_MS: i64 = 60_000;

fn confirmed(sequence: u64) -> Value {
    state(sequence, "orderState", "Open", "Confirmed")
}

#[test]
fn the_view_has_every_field() {
    let mut tester = tester(&document());
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
    let mut straight = tester(&document());
    let messages = [order_created(1), confirmed(2), delivery(3, "d1", "l1", 1)];
    for message in &messages {
        deliver(&mut straight, message, 0);
    }
    let mut other = tester(&document());
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
    let kinds = |tester: &aplomb_state::tester::Tester| {
        shown(tester, outputs::ORDER_EVENTS).len() + shown(tester, outputs::ORDER_VERDICTS).len()
    };
    assert_eq!(kinds(&other), kinds(&straight));
    assert!(cases(&other).is_empty());
}

#[test]
fn a_gap_is_given_up_after_its_deadline_and_heals() {
    let mut tester = tester(&document());
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &state(3, "orderState", "Confirmed", "Complete"), 1_000);
    tester.advance(crate::testing::START.plus_ms(61_000)).expect("no fault");
    assert_eq!(view(&tester)["sequence"], 1, "a record timed at the deadline is in time");
    tester.advance(crate::testing::START.plus_ms(61_001)).expect("no fault");
    let given_up = view(&tester);
    assert_eq!((&given_up["sequence"], &given_up["orderState"]), (&json!(3), &json!("Complete")));
    let expected = ["ORDER_COMPLETE_NOT_SHIPPED", "ORDER_VIEW_DIVERGED", "SEQUENCE_GAP"];
    assert_eq!(given_up["openCodes"], json!(expected));
    assert_eq!(tester.of_topic(outputs::REFETCH_REQUESTS).count(), 1);
    assert_eq!(tester.of_topic(outputs::ORDER_VERDICTS).count(), 1);

    deliver(&mut tester, &confirmed(2), 2 * MINUTE_MS);
    let healed = view(&tester);
    assert_eq!(healed["openCodes"], json!(["ORDER_COMPLETE_NOT_SHIPPED"]));
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

fn tester() -> aplomb_state::tester::Tester {
    crate::testing::tester(&document())
}
