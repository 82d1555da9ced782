//! The bodies of messages, in the shapes that commercetools gives them.

use aplomb_state::ids::Timestamp;

use super::{
    catalog::{Entry, Mode},
    fact::{Change, Fact, Line, Order, Resource, Shipped},
    json::{Id, Json},
    payment, returns,
};

const TAX_PER_CENT: i64 = 19;
/// So long a line lies in the cart before it is ordered.
const IN_CART_MS: i64 = 600_000;

const TAX_RATE: &str = concat!(
    r#""taxRate":{"id":"de-19","name":"19% MwSt.","amount":0.19,"includedInPrice":true,"#,
    r#""country":"DE","subRates":[]}"#,
);
const ADDRESS: &str = concat!(
    r#"{"id":"aXk3","key":"home","firstName":"Anna","lastName":"Schmidt","#,
    r#""streetName":"Kastanienallee","streetNumber":"12","postalCode":"10435","#,
    r#""city":"Berlin","country":"DE","email":"anna.schmidt@example.com"}"#,
);
const LINE_TAIL: &str = concat!(
    r#""discountedPricePerQuantity":[],"taxedPricePortions":[],"perMethodTaxRate":[],"#,
    r#""priceMode":"Platform","lineItemMode":"Standard""#,
);
const ORDER_TAIL: &str = concat!(
    r#""priceRoundingMode":"HalfEven","taxMode":"Platform","taxRoundingMode":"HalfEven","#,
    r#""taxCalculationMode":"LineItemLevel","shippingMode":"Single","shipping":[],"#,
    r#""discountCodes":[],"refusedGifts":[],"country":"DE","locale":"de","#,
    r#""origin":"Customer","syncInfo":[],"returnInfo":[],"itemShippingAddresses":[]"#,
);
const INITIAL_STATE: &str =
    r#""state":{"typeId":"state","id":"9c0606a5-f1e2-4eab-82a7-0d68ffb9b765"}"#;
const PRODUCT_TYPE: &str =
    r#""productType":{"typeId":"product-type","id":"330b7114-243a-461c-b8d7-3c3e6da020a7"}"#;
const SHIPPING_REFERENCES: &str = concat!(
    r#""taxCategory":{"typeId":"tax-category","id":"e5630277-6233-4751-8ab5-fab6961e8220"},"#,
    r#""shippingMethod":{"typeId":"shipping-method","#,
    r#""id":"f4b788ef-c684-49e9-99c2-ca823e75398d"},"deliveries":[],"#,
    r#""shippingMethodState":"MatchesCart""#,
);

pub(super) fn write(json: &mut Json, fact: &Fact) {
    match (&fact.change, &fact.resource) {
        (Change::OrderCreated, Resource::Order(placed)) => order(json, placed, fact.version),
        (Change::EntryCreated { on_stock }, Resource::Entry(created)) => {
            entry(json, created, *on_stock, fact.at);
        }
        (Change::QuantitySet { old, new }, Resource::Entry(changed)) => {
            json.number("oldQuantityOnStock", *old);
            json.number("newQuantityOnStock", *new);
            json.number("oldAvailableQuantity", *old);
            json.number("newAvailableQuantity", *new);
            json.text("sku", &changed.product.sku);
            channel(json, "supplyChannel", changed.channel.id());
        }
        (Change::OrderState { from, to }, _) => {
            json.text("orderState", to);
            json.text("oldOrderState", from);
        }
        (Change::PaymentState { from, to }, _) => {
            json.text("paymentState", to);
            json.text("oldPaymentState", from);
        }
        (Change::ShipmentState { from, to }, _) => {
            json.text("shipmentState", to);
            json.text("oldShipmentState", from);
        }
        (Change::Delivery(shipped) | Change::DeliveryRemoved(shipped), _) => {
            delivery(json, shipped, fact.at);
        }
        (Change::DeliveryItems { now, was }, _) => repacked(json, now, was),
        (Change::Parcel { id, of }, _) => parcel(json, *id, of, fact.at),
        (Change::Workflow { to }, _) => {
            json.open("state");
            json.text("typeId", "state");
            json.text("id", to.id());
            json.close();
            json.raw(r#""force":false"#);
        }
        (Change::LineAdded { line: edited, added }, _) => {
            json.open("lineItem");
            line(json, edited, fact.at);
            json.close();
            json.number("addedQuantity", *added);
        }
        (Change::LineRemoved { line: edited, removed }, _) => {
            json.id("lineItemId", edited.id);
            json.number("removedQuantity", *removed);
            json.number("newQuantity", edited.quantity);
            json.raw(r#""newState":[]"#);
            json.money("newTotalPrice", edited.total_cents());
        }
        (Change::Returned(returned), _) => returns::added(json, returned),
        (Change::ReturnRefunded(returned), _) => returns::refunded(json, returned, fact.at),
        (Change::BackInStock { item }, _) => returns::back_in_stock(json, *item),
        (Change::PaymentCreated(first), Resource::Payment(paid)) => {
            payment::created(json, paid, first, fact.at);
        }
        (Change::Transaction(added), _) => payment::transaction(json, added, fact.at),
        (Change::TransactionState { transaction, state }, _) => {
            json.id("transactionId", *transaction);
            json.text("state", state);
        }
        (Change::Unknown, _) => json.number("points", 120),
        _ => {}
    }
}

fn delivery(json: &mut Json, shipped: &Shipped, at: Timestamp) {
    json.open("delivery");
    json.id("id", shipped.id);
    json.format("key", format_args!("delivery-{}", shipped.number));
    json.time("createdAt", at);
    items(json, "items", shipped);
    json.raw(r#""parcels":[]"#);
    address(json, "address");
    json.close();
}

fn repacked(json: &mut Json, now: &Shipped, was: &Shipped) {
    json.id("deliveryId", now.id);
    items(json, "items", now);
    items(json, "oldItems", was);
}

fn parcel(json: &mut Json, id: Id, of: &Shipped, at: Timestamp) {
    delivery(json, of, at);
    json.open("parcel");
    json.id("id", id);
    json.time("createdAt", at);
    json.open("trackingData");
    json.format("trackingId", format_args!("TR-{id}"));
    json.text("carrier", "DHL");
    json.close();
    json.close();
}

fn items(json: &mut Json, name: &str, shipped: &Shipped) {
    json.open_list(name);
    for (line, quantity) in &shipped.items {
        json.open_item();
        json.id("id", *line);
        json.number("quantity", *quantity);
        json.close();
    }
    json.close_list();
}

fn entry(json: &mut Json, entry: &Entry, on_stock: i64, at: Timestamp) {
    json.open("inventoryEntry");
    json.id("id", entry.id);
    json.count("version", 1);
    json.time("createdAt", at);
    json.time("lastModifiedAt", at);
    json.format("key", format_args!("{}_{}", entry.product.sku, entry.channel.key()));
    json.text("sku", &entry.product.sku);
    json.number("quantityOnStock", on_stock);
    json.number("availableQuantity", on_stock);
    channel(json, "supplyChannel", entry.channel.id());
    if let Some(days) = entry.product.restockable_in_days {
        json.number("restockableInDays", days);
    }
    json.close();
}

fn order(json: &mut Json, order: &Order, version: u64) {
    json.open("order");
    json.id("id", order.id);
    json.count("version", version);
    json.time("createdAt", order.placed_at);
    json.time("lastModifiedAt", order.placed_at);
    json.format("orderNumber", format_args!("EU-{}", order.number));
    json.id("customerId", order.customer);
    json.text("customerEmail", "anna.schmidt@example.com");
    json.raw(r#""store":{"typeId":"store","key":"eu-web"}"#);
    json.open_list("lineItems");
    for placed in &order.lines {
        json.open_item();
        line(json, placed, order.placed_at.minus_ms(IN_CART_MS));
        json.close();
    }
    json.close_list();
    json.raw(r#""customLineItems":[]"#);
    let total = order.total_cents();
    json.money("totalPrice", total);
    taxed(json, "taxedPrice", total);
    let edited = order.lines.iter().all(|line| line.entry.product.mode == Mode::None);
    let mode = if edited { Mode::None } else { Mode::ReserveOnOrder };
    json.text("inventoryMode", mode.as_str());
    address(json, "billingAddress");
    address(json, "shippingAddress");
    shipping(json);
    json.raw(ORDER_TAIL);
    json.reference("cart", "cart", order.cart);
    if let Some(payment) = order.payment {
        payment::info(json, payment);
    }
    json.text("orderState", "Open");
    json.text("paymentState", "Pending");
    json.text("shipmentState", "Pending");
    json.close();
}

fn line(json: &mut Json, line: &Line, added_at: Timestamp) {
    let product = &line.entry.product;
    json.id("id", line.id);
    json.id("productId", product.id);
    json.text("productKey", &product.slug);
    localised(json, "name", &product.name);
    localised(json, "productSlug", &product.slug);
    json.raw(PRODUCT_TYPE);
    json.open("variant");
    json.count("id", 1);
    json.text("sku", &product.sku);
    json.text("key", &product.slug);
    json.raw(r#""prices":[],"images":[],"attributes":[],"assets":[]"#);
    json.close();
    json.open("price");
    json.id("id", product.price_id);
    json.money("value", product.cents);
    json.text("country", "DE");
    json.close();
    json.number("quantity", line.quantity);
    json.money("totalPrice", line.total_cents());
    taxed(json, "taxedPrice", line.total_cents());
    json.open_list("state");
    json.open_item();
    json.number("quantity", line.quantity);
    json.raw(INITIAL_STATE);
    json.close();
    json.close_list();
    json.raw(TAX_RATE);
    json.raw(LINE_TAIL);
    json.time("addedAt", added_at);
    json.time("lastModifiedAt", added_at);
    channel(json, "supplyChannel", line.entry.channel.id());
    if product.mode != Mode::ReserveOnOrder {
        json.text("inventoryMode", product.mode.as_str());
    }
}

fn shipping(json: &mut Json) {
    const CENTS: i64 = 490;
    json.open("shippingInfo");
    json.text("shippingMethodName", "Standard");
    json.money("price", CENTS);
    json.open("shippingRate");
    json.money("price", CENTS);
    json.raw(r#""tiers":[]"#);
    json.close();
    json.raw(TAX_RATE);
    json.raw(SHIPPING_REFERENCES);
    json.close();
}

/// Tax is included in `gross`.
fn taxed(json: &mut Json, name: &str, gross: i64) {
    let net = gross * 100 / (100 + TAX_PER_CENT);
    json.open(name);
    json.money("totalNet", net);
    json.money("totalGross", gross);
    json.open_list("taxPortions");
    json.open_item();
    json.raw(r#""name":"19% MwSt.","rate":0.19"#);
    json.money("amount", gross - net);
    json.close();
    json.close_list();
    json.money("totalTax", gross - net);
    json.close();
}

fn localised(json: &mut Json, name: &str, value: &str) {
    json.open(name);
    json.text("en", value);
    json.close();
}

fn channel(json: &mut Json, name: &str, id: &str) {
    json.open(name);
    json.text("typeId", "channel");
    json.text("id", id);
    json.close();
}

fn address(json: &mut Json, name: &str) {
    json.raw_value(name, ADDRESS);
}
