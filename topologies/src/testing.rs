//! A topology of the real intake and resources between two echoes, for tests.

use std::sync::Arc;

use aplomb_state::{
    codec,
    context::Context,
    ids::{FoldVersion, Timestamp},
    record::{Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Stage, StageDefinition},
    tester::Tester,
    topology::{Topology, View},
};
use serde_json::{Value, json};

use crate::{
    exceptions,
    intake::Intake,
    messages::{
        cases::CaseMessage,
        resources::ResourceMessage,
        skus::{HoldState, SkuMessage},
    },
    outputs,
    resources::{Resources, orders_view},
    settings,
};

pub const CT: &str = "ct.v1";
pub const WMS: &str = "sor.wms.stock.v1";
pub const START: Timestamp = Timestamp(1_772_438_400_000);

/// A sku that always has enough. It shows every message as a record of `inventory.events.v1`.
struct Skus;

/// Shows every case message as a record of `exceptions.v1`: key `code/entity/discriminator`.
struct Cases;

fn definition(
    name: &'static str,
    output: &'static str,
    send: Option<&'static str>,
) -> StageDefinition {
    StageDefinition {
        name,
        inbox: Inbox::Internal,
        stores: Vec::new(),
        outputs: vec![output],
        sends: send.into_iter().collect(),
        limits: Limits::default(),
    }
}

impl Stage for Skus {
    fn define(&self) -> StageDefinition {
        definition("skus", outputs::INVENTORY_EVENTS, Some("resources"))
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let message: SkuMessage = codec::decode(record.body).expect("a message to a sku");
        let shown = match &message {
            SkuMessage::HoldTarget(target) => {
                let reserved = target.ordered - target.cancelled - target.shipped;
                let hold = HoldState {
                    project: target.project.clone(),
                    order_id: target.order_id.clone(),
                    line_id: target.line_id.clone(),
                    sku: target.sku.clone(),
                    location: target.location.clone(),
                    of_target: target.revision,
                    revision: target.revision,
                    reserved,
                    backordered: 0,
                    promise: None,
                    expires_at: None,
                };
                let key = format!("{}:order:{}", target.project, target.order_id).into_bytes();
                ctx.send("resources", key, &codec::encode(&ResourceMessage::HoldState(hold)))?;
                json!({"hold": target.line_id, "ordered": target.ordered, "mode":
                       format!("{:?}", target.mode), "cancelled": target.cancelled,
                       "shipped": target.shipped, "location": target.location})
            }
            SkuMessage::BatchEnded(ended) => {
                json!({"ended": ended.batch_id, "partitions": ended.partitions})
            }
            SkuMessage::Reading(reading) => {
                json!({"reading": reading.on_stock, "carts": reading.carts.map(|carts| carts.units),
                       "location": reading.location, "sequence": reading.sequence})
            }
            SkuMessage::EntryDeleted(deleted) => json!({"deleted": deleted.entry_id}),
            SkuMessage::Warehouse(stock) => {
                json!({"stock": stock.quantity, "kind": format!("{:?}", stock.kind),
                       "location": stock.location})
            }
            other => json!(format!("{other:?}")),
        };
        let shown = shown.to_string().into_bytes();
        ctx.emit(
            outputs::INVENTORY_EVENTS,
            record.key.to_vec(),
            Some(shown),
            aplomb_state::effect::Headers::default(),
        )
    }

    fn on_timer(&self, _: &mut Context<'_>, _: &Timer<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_rejection(
        &self,
        _: &mut Context<'_>,
        _: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        panic!("{rejection:?}")
    }
}

impl Stage for Cases {
    fn define(&self) -> StageDefinition {
        definition(exceptions::CASES, outputs::EXCEPTIONS, None)
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let message: CaseMessage = codec::decode(record.body).expect("a message to a case");
        let (case, what) = match message {
            CaseMessage::Raise(sent) => (sent.message.key, "raise"),
            CaseMessage::Clear(sent) => (sent.message.key, "clear"),
        };
        let key = format!("{}/{}/{}", case.code, case.entity_type, case.discriminator);
        ctx.emit(
            outputs::EXCEPTIONS,
            key.into_bytes(),
            Some(what.into()),
            aplomb_state::effect::Headers::default(),
        )
    }

    fn on_timer(&self, _: &mut Context<'_>, _: &Timer<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_rejection(
        &self,
        _: &mut Context<'_>,
        _: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        panic!("{rejection:?}")
    }
}

pub fn tester(document: &Value) -> Tester {
    tester_with(document, vec![orders_view()])
}

pub fn tester_with(document: &Value, views: Vec<View>) -> Tester {
    let topology = Topology {
        name: "test",
        fold_version: FoldVersion(1),
        stages: vec![Arc::new(Intake), Arc::new(Resources), Arc::new(Skus), Arc::new(Cases)],
        outputs: outputs::definitions(),
        views,
        lists: Vec::new(),
        settings: |bytes| Ok(Arc::new(settings::parse(bytes)?)),
    };
    let flows = [("ct", CT), ("wms", WMS)];
    let document = document.to_string();
    Tester::new(topology, &flows, document.as_bytes(), START).expect("a valid topology")
}

/// Two flows, one of each kind.
pub fn document() -> Value {
    json!({"flows": [{"name": "ct", "topic": CT},
                     {"name": "wms", "topic": WMS, "kind": "stock", "system": "wms",
                      "project_key": "acme", "locations": {"B1": "ch-1"}}]})
}

pub fn deliver(tester: &mut Tester, value: &Value, at_ms: i64) {
    let bytes = value.to_string();
    deliver_bytes(tester, CT, bytes.as_bytes(), at_ms);
}

pub fn deliver_bytes(tester: &mut Tester, topic: &str, bytes: &[u8], at_ms: i64) {
    let at = START.plus_ms(at_ms);
    tester.deliver(topic, None, Some(bytes), &[], at).expect("no fault");
}

/// Values of a topic as text, `key value`, oldest first.
pub fn shown(tester: &Tester, topic: &str) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    tester
        .of_topic(topic)
        .map(|record| {
            let value = record.value.as_deref().map_or("-".to_owned(), text);
            format!("{} {value}", text(&record.key))
        })
        .collect()
}

pub fn cases(tester: &Tester) -> Vec<String> {
    shown(tester, outputs::EXCEPTIONS)
}

/// The fields of every message: the body follows flat.
pub fn message(resource: (&str, &str), sequence: u64, kind: &str, body: Value) -> Value {
    let (type_id, id) = resource;
    let mut message = json!({
        "notificationType": "Message", "projectKey": "acme",
        "id": format!("{id}-{sequence}"), "version": 1, "sequenceNumber": sequence,
        "resource": {"typeId": type_id, "id": id}, "resourceVersion": sequence, "type": kind,
        "createdAt": crate::time::format(START.plus_ms(i64::try_from(sequence).unwrap_or(0))),
        "lastModifiedAt": "2026-03-02T08:00:00.000Z",
    });
    if let (Some(message), Value::Object(body)) = (message.as_object_mut(), body) {
        message.extend(body);
    }
    message
}

pub fn order_message(sequence: u64, kind: &str, body: Value) -> Value {
    message(("order", "o1"), sequence, kind, body)
}

/// An order of three of A-1 at channel ch-1 and two of B-2 without a channel.
pub fn order_created(sequence: u64) -> Value {
    order_message(sequence, "OrderCreated", json!({"order": order_body()}))
}

pub fn order_body() -> Value {
    json!({
        "id": "o1", "version": 1, "createdAt": "2026-03-02T08:00:00.000Z",
        "orderNumber": "N-1", "customerId": "c1", "customerEmail": "anna@example.com",
        "orderState": "Open", "paymentState": "Pending", "shipmentState": "Pending",
        "inventoryMode": "ReserveOnOrder", "country": "DE", "origin": "Customer",
        "store": {"typeId": "store", "key": "eu"},
        "totalPrice": {"type": "centPrecision", "currencyCode": "EUR", "centAmount": 5000,
                       "fractionDigits": 2},
        "lineItems": [
            {"id": "l1", "productId": "p1", "quantity": 3, "variant": {"id": 1, "sku": "A-1"},
             "productType": {"typeId": "product-type", "id": "goods"},
             "supplyChannel": {"typeId": "channel", "id": "ch-1"}, "lineItemMode": "Standard"},
            {"id": "l2", "productId": "p2", "quantity": 2, "variant": {"id": 1, "sku": "B-2"},
             "productType": {"typeId": "product-type", "id": "goods"},
             "inventoryMode": "None", "lineItemMode": "GiftLineItem"}],
        "customLineItems": [{"id": "x1", "quantity": 1}],
    })
}

pub fn delivery(sequence: u64, id: &str, line: &str, quantity: i64) -> Value {
    let items = json!([{"id": line, "quantity": quantity}]);
    let body = json!({"delivery": {"id": id, "items": items, "parcels": []}});
    order_message(sequence, "DeliveryAdded", body)
}

pub fn state(sequence: u64, field: &str, old: &str, new: &str) -> Value {
    let mut letters = field.chars();
    let capital = letters.next().map(|first| first.to_ascii_uppercase()).unwrap_or_default();
    let name = format!("{capital}{}", letters.as_str());
    let kind = if field == "orderState" {
        "OrderStateChanged".to_owned()
    } else {
        format!("Order{name}Changed")
    };
    let old_field = format!("old{name}");
    let mut body = json!({ field: new });
    if !old.is_empty() {
        body[old_field] = json!(old);
    }
    order_message(sequence, &kind, body)
}

/// The last view of the one order.
pub fn view(tester: &Tester) -> Value {
    let bytes = tester.latest(outputs::ORDER_VIEW, "acme:o1").expect("a view");
    serde_json::from_slice(bytes).expect("JSON")
}
