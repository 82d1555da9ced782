//! Goods that come back: the bodies of their messages.

use aplomb_state::ids::Timestamp;

use super::json::{Id, Json};

/// Units of one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returned {
    pub item: Id,
    pub line: Id,
    pub quantity: i64,
    pub at: Timestamp,
}

pub(super) fn added(json: &mut Json, returned: &Returned) {
    json.open("returnInfo");
    info(json, returned, "Initial", returned.at);
    json.close();
}

/// All returns of the order: there is one.
pub(super) fn refunded(json: &mut Json, returned: &Returned, at: Timestamp) {
    json.open_list("returnInfo");
    json.open_item();
    info(json, returned, "Refunded", at);
    json.close();
    json.close_list();
}

fn info(json: &mut Json, returned: &Returned, payment_state: &str, modified_at: Timestamp) {
    json.format("returnTrackingId", format_args!("RT-{}", returned.item));
    json.time("returnDate", returned.at);
    json.open_list("items");
    json.open_item();
    json.id("id", returned.item);
    json.text("type", "LineItemReturnItem");
    json.id("lineItemId", returned.line);
    json.number("quantity", returned.quantity);
    json.text("comment", "too small");
    json.text("shipmentState", "Returned");
    json.text("paymentState", payment_state);
    json.time("createdAt", returned.at);
    json.time("lastModifiedAt", modified_at);
    json.close();
    json.close_list();
}

pub(super) fn back_in_stock(json: &mut Json, item: Id) {
    json.id("returnItemId", item);
    json.text("returnShipmentState", "BackInStock");
}
