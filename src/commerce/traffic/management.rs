//! The order management's feed: `sor.oms.order.v1`.

use aplomb_state::ids::Timestamp;

use super::{ORDER_MANAGEMENT_SYSTEM, catalog::PROJECT, json::Json};

/// What it says of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub number: u64,
    pub status: &'static str,
    pub as_of: Timestamp,
}

pub(super) fn render(said: &Status) -> Vec<u8> {
    let mut json = Json::object(320);
    json.text("system", ORDER_MANAGEMENT_SYSTEM);
    json.text("projectKey", PROJECT);
    json.text("entity", "order");
    json.time("asOf", said.as_of);
    json.open("ids");
    json.format("orderNumber", format_args!("OMS-EU-{}", said.number));
    json.close();
    json.text("kind", "snapshot");
    json.open("value");
    json.text("status", said.status);
    json.close();
    json.finish()
}

/// What it makes of a state of the order or of its shipment, if anything.
pub(super) fn status_of(state: &str) -> Option<&'static str> {
    Some(match state {
        "Confirmed" => "RELEASED",
        "Cancelled" => "CANCELLED",
        "Shipped" => "SHIPPED",
        "Complete" => "CLOSED",
        _ => return None,
    })
}
