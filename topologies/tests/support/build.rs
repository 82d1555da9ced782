//! From the short forms of scenario files to records as they are delivered.
//!
//! One of these stands beside `at`:
//! - `message`: a commercetools Message. `resource` is `type:id`; `id`, `resourceVersion` and the
//!   dates follow from sequence and `at` unless they are given. An `order`, its `lineItems`, an
//!   `inventoryEntry` and a `payment` are completed with the fields that every real one has.
//! - `cloudEvent`: the same, delivered as a CloudEvents 1.0 structured event.
//! - `missing`: the same, delivered as `payloadNotIncluded`.
//! - `created`, `updated`, `deleted`: a change notification.
//! - `deletedEvent`: the last, delivered as a CloudEvents 1.0 structured event.
//! - `event`: an Event of Checkout, as it stands.
//! - `stock`: a record of the warehouse's stock feed.
//! - `entry`: the same of the snapshot of inventory entries.
//! - `marker`, `entriesMarker`: the end of a batch of either.
//! - `systemOrder`: a record of the order management's feed.
//! - `rawStock`: a text, byte for byte, on the warehouse's topic.
//! - `raw`: a text, byte for byte, on the notifications' topic.

use aplomb_state::ids::Timestamp;
use aplomb_topologies::time;
use serde_json::{Map, Value, json};

pub const PROJECT: &str = "shop";
pub const NOTIFICATIONS: &str = "commercetools.notifications.v1";
pub const STOCK: &str = "sor.wms.stock.v1";
pub const ORDERS: &str = "sor.oms.order.v1";
/// The snapshot of inventory entries by which the first day begins.
pub const ENTRIES: &str = "sor.commercetools.stock.v1";
/// What `00:00:00` in a scenario stands for: 2026-08-01T00:00:00Z.
pub const START: Timestamp = Timestamp(1_785_542_400_000);

pub struct Delivery {
    pub topic: &'static str,
    pub value: Vec<u8>,
    pub at: Timestamp,
}

/// `hours:minutes:seconds[.milliseconds]` since [`START`].
pub fn instant(text: &str) -> Timestamp {
    let parts: Vec<f64> = text.split(':').map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds] = parts[..] else { panic!("{text}: expected hh:mm:ss") };
    START.plus_ms(((hours * 60.0 + minutes) * 60_000.0 + seconds * 1_000.0).round() as i64)
}

pub fn delivery(input: &Value) -> Delivery {
    let at = instant(input["at"].as_str().expect("an input needs `at`"));
    let (form, body) = input
        .as_object()
        .and_then(|fields| fields.iter().find(|(name, _)| !["at", "note"].contains(&name.as_str())))
        .expect("an input needs a form");
    let body_value = match form.as_str() {
        "message" => message(body, at),
        "cloudEvent" => cloud_event(&message(body, at)),
        "missing" => missing(message(body, at)),
        "created" => change("ResourceCreated", body, at),
        "updated" => change("ResourceUpdated", body, at),
        "deleted" => change("ResourceDeleted", body, at),
        "deletedEvent" => change_event(&change("ResourceDeleted", body, at)),
        "event" => body.clone(),
        "stock" => return record(STOCK, &stock(body, "wms", at), at),
        "entry" => return record(ENTRIES, &stock(body, "commercetools", at), at),
        "marker" => return record(STOCK, &marker(body, "wms", at), at),
        "entriesMarker" => return record(ENTRIES, &marker(body, "commercetools", at), at),
        "systemOrder" => return record(ORDERS, &system_order(body, at), at),
        "rawStock" => {
            let value = body.as_str().expect("raw is a text").as_bytes().to_vec();
            return Delivery { topic: STOCK, value, at };
        }
        "raw" => {
            let value = body.as_str().expect("raw is a text").as_bytes().to_vec();
            return Delivery { topic: NOTIFICATIONS, value, at };
        }
        other => panic!("unknown form {other}"),
    };
    record(NOTIFICATIONS, &body_value, at)
}

fn record(topic: &'static str, value: &Value, at: Timestamp) -> Delivery {
    Delivery { topic, value: value.to_string().into_bytes(), at }
}

fn message(body: &Value, at: Timestamp) -> Value {
    let mut fields = body.as_object().expect("a message is an object").clone();
    let resource = fields.remove("resource").expect("a message needs `resource`");
    let (type_id, id) = resource.as_str().unwrap().split_once(':').expect("type:id");
    let sequence = fields.remove("sequence").expect("a message needs `sequence`");
    let written = time::format(at);
    let mut whole = json!({
        "notificationType": "Message",
        "projectKey": PROJECT,
        "id": format!("{id}-message-{sequence}"),
        "version": 1,
        "sequenceNumber": sequence,
        "resource": {"typeId": type_id, "id": id},
        "resourceVersion": sequence,
        "createdAt": written,
        "lastModifiedAt": written,
    });
    for (name, value) in &mut fields {
        match name.as_str() {
            "order" => *value = order(value, id, &sequence, &written),
            "lineItem" => *value = line_item(value),
            "inventoryEntry" => *value = inventory_entry(value, id, &written),
            "payment" => *value = payment(value, id, &written),
            _ => {}
        }
    }
    merge(&mut whole, Value::Object(fields));
    whole
}

fn order(given: &Value, id: &str, version: &Value, at: &str) -> Value {
    let lines: Vec<Value> =
        given["lineItems"].as_array().into_iter().flatten().map(line_item).collect();
    let total: i64 = lines.iter().filter_map(|l| l["totalPrice"]["centAmount"].as_i64()).sum();
    let mut whole = json!({
        "type": "Order",
        "id": id,
        "version": version,
        "orderNumber": format!("N-{id}"),
        "createdAt": at,
        "lastModifiedAt": at,
        "totalPrice": money(total),
        "taxRoundingMode": "HalfEven",
        "orderState": "Open",
        "origin": "Customer",
        "country": "DE",
        "customLineItems": [],
        "discountCodes": [],
        "refusedGifts": [],
        "syncInfo": [],
        "returnInfo": [],
    });
    let mut given = given.clone();
    given["lineItems"] = Value::Array(lines);
    merge(&mut whole, given);
    whole
}

/// `sku` and `channel` stand for `variant.sku` and `supplyChannel`.
fn line_item(given: &Value) -> Value {
    let mut fields = given.as_object().expect("a line is an object").clone();
    let quantity = fields.get("quantity").and_then(Value::as_i64).expect("a line has a quantity");
    let mut whole = json!({
        "productId": "product-1",
        "productType": {"typeId": "product-type", "id": "goods"},
        "name": {"en": "A thing"},
        "variant": {"id": 1, "prices": [], "attributes": []},
        "price": {"id": "price-1", "value": money(1_000)},
        "totalPrice": money(1_000 * quantity),
        "discountedPricePerQuantity": [],
        "taxedPricePortions": [],
        "state": [{"quantity": quantity, "state": {"typeId": "state", "id": "initial"}}],
        "priceMode": "Platform",
        "lineItemMode": "Standard",
    });
    if let Some(sku) = fields.remove("sku") {
        whole["variant"]["sku"] = sku;
    }
    if let Some(channel) = fields.remove("channel") {
        whole["supplyChannel"] = json!({"typeId": "channel", "id": channel});
    }
    merge(&mut whole, Value::Object(fields));
    whole
}

fn inventory_entry(given: &Value, id: &str, at: &str) -> Value {
    let mut fields = given.as_object().expect("an entry is an object").clone();
    let mut whole = json!({
        "id": id,
        "version": 1,
        "createdAt": at,
        "lastModifiedAt": at,
        "availableQuantity": fields.get("quantityOnStock"),
    });
    if let Some(channel) = fields.remove("channel") {
        whole["supplyChannel"] = json!({"typeId": "channel", "id": channel});
    }
    merge(&mut whole, Value::Object(fields));
    whole
}

fn payment(given: &Value, id: &str, at: &str) -> Value {
    let mut whole = json!({
        "id": id,
        "version": 1,
        "createdAt": at,
        "lastModifiedAt": at,
        "paymentMethodInfo": {"paymentInterface": "psp"},
        "paymentStatus": {},
        "transactions": [],
        "interfaceInteractions": [],
    });
    merge(&mut whole, given.clone());
    whole
}

fn money(cents: i64) -> Value {
    json!({"type": "centPrecision", "currencyCode": "EUR", "centAmount": cents, "fractionDigits": 2})
}

fn cloud_event(message: &Value) -> Value {
    let type_id = message["resource"]["typeId"].as_str().unwrap();
    let kind = message["type"].as_str().unwrap();
    json!({
        "specversion": "1.0",
        "id": message["id"],
        "type": format!("com.commercetools.{type_id}.message.{kind}"),
        "source": format!("/{PROJECT}/{type_id}s"),
        "subject": message["resource"]["id"],
        "time": message["lastModifiedAt"],
        "sequence": message["sequenceNumber"].to_string(),
        "sequencetype": "Integer",
        "dataref": format!("/{PROJECT}/messages/{}", message["id"].as_str().unwrap()),
        "datacontenttype": "application/json",
        "data": message,
    })
}

const ENVELOPE: [&str; 10] = [
    "notificationType",
    "projectKey",
    "id",
    "version",
    "sequenceNumber",
    "resource",
    "resourceVersion",
    "resourceUserProvidedIdentifiers",
    "createdAt",
    "lastModifiedAt",
];

fn missing(message: Value) -> Value {
    let kind = message["type"].clone();
    let fields = message.as_object().unwrap().clone();
    let mut kept: Map<String, Value> =
        fields.into_iter().filter(|(name, _)| ENVELOPE.contains(&name.as_str())).collect();
    let reason = "Payload too large";
    kept.insert("payloadNotIncluded".into(), json!({"reason": reason, "payloadType": kind}));
    Value::Object(kept)
}

fn change(kind: &str, body: &Value, at: Timestamp) -> Value {
    let mut fields = body.as_object().expect("a change is an object").clone();
    let resource = fields.remove("resource").expect("a change needs `resource`");
    let (type_id, id) = resource.as_str().unwrap().split_once(':').expect("type:id");
    let mut whole = json!({
        "notificationType": kind,
        "projectKey": PROJECT,
        "resource": {"typeId": type_id, "id": id},
        "modifiedAt": time::format(at),
    });
    merge(&mut whole, Value::Object(fields));
    whole
}

/// A change has neither id nor sequence of its own, so the event's id is any.
fn change_event(change: &Value) -> Value {
    let type_id = change["resource"]["typeId"].as_str().unwrap();
    let kind = change["notificationType"].as_str().unwrap();
    json!({
        "specversion": "1.0",
        "id": "0b8f5a0e-6f0f-4f0a-9c55-1f6d5c8c2f11",
        "type": format!("com.commercetools.{type_id}.change.{kind}"),
        "source": format!("/{PROJECT}/{type_id}s"),
        "subject": change["resource"]["id"],
        "time": change["modifiedAt"],
        "datacontenttype": "application/json",
        "data": change,
    })
}

fn marker(body: &Value, system: &str, at: Timestamp) -> Value {
    let mut whole = json!({
        "system": system,
        "projectKey": PROJECT,
        "entity": "stock",
        "kind": "complete",
        "asOf": time::format(at),
        "value": {"partitions": 1, "count": 1},
    });
    merge(&mut whole, body.clone());
    whole
}

/// `orderNumber` and `orderId` stand for `ids`, `status` and `reason` for `value`.
fn system_order(body: &Value, at: Timestamp) -> Value {
    let mut fields = body.as_object().expect("an order record is an object").clone();
    let (mut ids, mut value) = (Map::new(), Map::new());
    for name in ["orderNumber", "orderId"] {
        ids.extend(fields.remove(name).map(|given| (name.to_owned(), given)));
    }
    for name in ["status", "reason"] {
        value.extend(fields.remove(name).map(|given| (name.to_owned(), given)));
    }
    let mut whole = json!({
        "system": "oms",
        "projectKey": PROJECT,
        "entity": "order",
        "kind": "snapshot",
        "ids": ids,
        "asOf": time::format(at),
        "value": value,
    });
    merge(&mut whole, Value::Object(fields));
    whole
}

fn stock(body: &Value, system: &str, at: Timestamp) -> Value {
    let mut fields = body.as_object().expect("a stock record is an object").clone();
    let sku = fields.remove("sku").expect("a stock record needs `sku`");
    let mut value = Map::new();
    let names = [
        "location",
        "quantity",
        "reason",
        "orderNumber",
        "lineItemId",
        "entryId",
        "availableQuantity",
    ];
    for name in names {
        if let Some(given) = fields.remove(name) {
            value.insert(name.to_owned(), given);
        }
    }
    let mut whole = json!({
        "system": system,
        "projectKey": PROJECT,
        "entity": "stock",
        "ids": {"sku": sku},
        "asOf": time::format(at),
        "value": value,
    });
    merge(&mut whole, Value::Object(fields));
    whole
}

/// What is given replaces what is there; `null` takes it away.
fn merge(whole: &mut Value, given: Value) {
    match (whole, given) {
        (Value::Object(fields), Value::Object(given)) => {
            for (name, value) in given {
                if value.is_null() {
                    fields.remove(&name);
                } else {
                    merge(fields.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (whole, given) => *whole = given,
    }
}
