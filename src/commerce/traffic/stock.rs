//! The warehouse's feed: `sor.wms.stock.v1`.

use aplomb_state::ids::Timestamp;

use super::{
    WAREHOUSE_SYSTEM,
    catalog::PROJECT,
    fact::{Count, CountKind},
    json::Json,
};

pub(super) fn render(count: &Count) -> Vec<u8> {
    let mut json = Json::object(384);
    envelope(&mut json, count.as_of);
    json.open("ids");
    json.text("sku", &count.entry.product.sku);
    json.close();
    let reason = match count.kind {
        CountKind::Snapshot { batch } => {
            json.text("kind", "snapshot");
            json.format("batchId", format_args!("B{batch}"));
            "count"
        }
        CountKind::Receipt { event } => {
            json.text("kind", "delta");
            json.id("eventId", event);
            "receipt"
        }
        CountKind::Restock { event, .. } => {
            json.text("kind", "delta");
            json.id("eventId", event);
            "restock"
        }
    };
    json.open("value");
    json.text("location", count.entry.channel.warehouse_name());
    json.number("quantity", count.quantity);
    json.text("reason", reason);
    if let CountKind::Restock { number, line, .. } = count.kind {
        json.format("orderNumber", format_args!("EU-{number}"));
        json.id("lineItemId", line);
    }
    json.close();
    json.finish()
}

/// Ends a batch: so many records it had.
pub(super) fn complete(batch: u64, count: usize, as_of: Timestamp) -> Vec<u8> {
    let mut json = Json::object(256);
    envelope(&mut json, as_of);
    json.text("kind", "complete");
    json.format("batchId", format_args!("B{batch}"));
    json.open("value");
    json.count("partitions", 1);
    json.count("count", u64::try_from(count).unwrap_or(u64::MAX));
    json.close();
    json.finish()
}

/// A count of nobody knows what.
pub(super) fn without_sku(as_of: Timestamp) -> Vec<u8> {
    let mut json = Json::object(256);
    envelope(&mut json, as_of);
    json.text("kind", "snapshot");
    json.raw(r#""ids":{},"value":{"location":"B1","quantity":12,"reason":"count"}"#);
    json.finish()
}

fn envelope(json: &mut Json, as_of: Timestamp) {
    json.text("system", WAREHOUSE_SYSTEM);
    json.text("projectKey", PROJECT);
    json.text("entity", "stock");
    json.time("asOf", as_of);
}
