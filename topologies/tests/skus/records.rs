//! What is written and shown.

use Step::{Read, Stock, Target, Until};
use aplomb_topologies::{messages::skus::*, outputs};

use crate::{
    WAREHOUSE,
    skus_support::{Shop, Step, json, order, reading, snapshot},
};

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
    let id = record.headers.get("ce_id")?;
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
