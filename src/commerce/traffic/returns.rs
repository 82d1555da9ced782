//! Goods that come back: the bodies of their messages.

use aplomb_state::ids::Timestamp;

use super::json::{Id, Json};

/// Units of one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Returned {
    pub item: Id,
    pub line: Id,
    pub quantity: i64,
}

pub(super) fn added(json: &mut Json, returned: &Returned, at: Timestamp) {
    json.open("returnInfo");
    json.format("returnTrackingId", format_args!("RT-{}", returned.item));
    json.time("returnDate", at);
    json.open_list("items");
    json.open_item();
    json.id("id", returned.item);
    json.text("type", "LineItemReturnItem");
    json.id("lineItemId", returned.line);
    json.number("quantity", returned.quantity);
    json.text("comment", "too small");
    json.text("shipmentState", "Returned");
    json.text("paymentState", "Initial");
    json.time("createdAt", at);
    json.time("lastModifiedAt", at);
    json.close();
    json.close_list();
    json.close();
}

pub(super) fn back_in_stock(json: &mut Json, item: Id) {
    json.id("returnItemId", item);
    json.text("returnShipmentState", "BackInStock");
}
