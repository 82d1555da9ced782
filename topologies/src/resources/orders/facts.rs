//! What the messages of an order say, as far as a rule needs it: a whitelist. Nothing personal is
//! read.

use std::borrow::Cow;

use aplomb_state::{ids::Timestamp, rejection::Rejection};
use serde::{Deserialize, Serialize};

use super::transitions::{Dimension, State};
use crate::{messages::skus::InventoryMode, outputs::Money, time};

/// A fact with a rule. Everything else about an order is [`Fact::Other`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Created(Box<Created>),
    Imported(Box<Created>),
    Deleted,
    StateChanged {
        dimension: Dimension,
        from: Option<State>,
        to: State,
    },
    DeliveryAdded(Delivery),
    /// By its id.
    DeliveryRemoved(String),
    /// With the items it had before.
    DeliveryChanged(Delivery, Vec<DeliveryItem>),
    PaymentAdded(String),
    PaymentRemoved(String),
    /// The payload was left out. The type is known all the same.
    Missing {
        creates: bool,
    },
    /// Known, without effect on the view.
    Other,
}

/// An order as its creation states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created {
    pub order_number: Option<String>,
    pub created_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub customer_id: Option<String>,
    pub store_key: Option<String>,
    pub country: Option<String>,
    pub origin: Option<String>,
    pub custom_state: Option<String>,
    pub total: Option<Money>,
    /// By [`Dimension`].
    pub states: [Option<State>; 3],
    pub lines: Vec<CreatedLine>,
    pub deliveries: Vec<Delivery>,
    pub payments: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedLine {
    pub line_id: String,
    pub product_id: Option<String>,
    pub product_type: Option<String>,
    pub sku: Option<String>,
    pub location: Option<String>,
    pub mode: InventoryMode,
    pub quantity: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub delivery_id: String,
    pub items: Vec<DeliveryItem>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryItem {
    /// Of a line, or of a custom line.
    pub line_id: String,
    pub quantity: i64,
}

/// Reads the payload of a message of that type.
pub fn read(message_type: &str, payload: &str) -> Result<Fact, Rejection> {
    match message_type {
        "OrderCreated" | "OrderCreatedFromRecurringOrder" => {
            created(payload).map(|order| Fact::Created(Box::new(order)))
        }
        "OrderImported" => created(payload).map(|order| Fact::Imported(Box::new(order))),
        "OrderDeleted" => Ok(Fact::Deleted),
        "OrderStateChanged" => {
            let body: OrderState<'_> = body(payload)?;
            changed(Dimension::Order, body.old.as_ref(), &body.new)
        }
        "OrderPaymentStateChanged" => {
            let body: PaymentState<'_> = body(payload)?;
            changed(Dimension::Payment, body.old.as_ref(), &body.new)
        }
        "OrderShipmentStateChanged" => {
            let body: ShipmentState<'_> = body(payload)?;
            changed(Dimension::Shipment, body.old.as_ref(), &body.new)
        }
        "DeliveryAdded" => {
            let body: DeliveryBody<'_> = body(payload)?;
            delivery(&body.delivery).map(Fact::DeliveryAdded)
        }
        "DeliveryRemoved" => {
            let body: DeliveryBody<'_> = body(payload)?;
            Ok(Fact::DeliveryRemoved(body.delivery.id.0.into_owned()))
        }
        "DeliveryItemsUpdated" => {
            let body: DeliveryItemsBody<'_> = body(payload)?;
            let old = items(&body.old_items)?;
            let (delivery_id, items) = (body.delivery_id.0.into_owned(), items(&body.items)?);
            Ok(Fact::DeliveryChanged(Delivery { delivery_id, items }, old))
        }
        "OrderPaymentAdded" => {
            let body: PaymentBody<'_> = body(payload)?;
            Ok(Fact::PaymentAdded(body.payment_ref.id.0.into_owned()))
        }
        "OrderPaymentRemoved" => {
            let body: PaymentBody<'_> = body(payload)?;
            Ok(Fact::PaymentRemoved(body.payment_ref.id.0.into_owned()))
        }
        _ => Ok(Fact::Other),
    }
}

/// Whether a message of that type begins an order.
pub fn creates(message_type: &str) -> bool {
    matches!(message_type, "OrderCreated" | "OrderCreatedFromRecurringOrder" | "OrderImported")
}

fn body<'a, T: Deserialize<'a>>(payload: &'a str) -> Result<T, Rejection> {
    serde_json::from_str(payload)
        .map_err(|error| Rejection::new("CONTRACT_VIOLATION", "schema", error.to_string()))
}

fn violation(rule: &'static str, detail: impl Into<String>) -> Rejection {
    Rejection::new("CONTRACT_VIOLATION", rule, detail)
}

fn changed(
    dimension: Dimension,
    old: Option<&Text<'_>>,
    new: &Text<'_>,
) -> Result<Fact, Rejection> {
    let from = old.map(|old| state(dimension, old)).transpose()?;
    Ok(Fact::StateChanged { dimension, from, to: state(dimension, new)? })
}

fn state(dimension: Dimension, name: &Text<'_>) -> Result<State, Rejection> {
    let state = dimension.state(&name.0);
    let name = &name.0;
    state.ok_or_else(|| violation(dimension.name(), format!("{} {name}", dimension.name())))
}

fn delivery(delivery: &DeliveryDraft<'_>) -> Result<Delivery, Rejection> {
    let items = items(&delivery.items)?;
    Ok(Delivery { delivery_id: delivery.id.0.clone().into_owned(), items })
}

fn items(drafts: &[ItemDraft<'_>]) -> Result<Vec<DeliveryItem>, Rejection> {
    let read = |item: &ItemDraft<'_>| {
        if item.quantity < 0 {
            return Err(violation("delivery.items.quantity", "a quantity is negative"));
        }
        Ok(DeliveryItem { line_id: item.id.0.clone().into_owned(), quantity: item.quantity })
    };
    drafts.iter().map(read).collect()
}

fn created(payload: &str) -> Result<Created, Rejection> {
    let CreatedBody { order } = body(payload)?;
    let order_mode = order.inventory_mode.unwrap_or(Mode::None);
    let mut lines = Vec::with_capacity(order.line_items.len());
    for line in order.line_items {
        if line.quantity < 0 {
            return Err(violation("lineItems.quantity", "a quantity is negative"));
        }
        lines.push(CreatedLine {
            line_id: line.id.0.into_owned(),
            product_id: owned(line.product_id),
            product_type: line.product_type.map(|reference| reference.id.0.into_owned()),
            sku: owned(line.variant.and_then(|variant| variant.sku)),
            location: line.supply_channel.map(|channel| channel.id.0.into_owned()),
            mode: line.inventory_mode.unwrap_or(order_mode).into(),
            quantity: line.quantity,
        });
    }
    let shippings = order.shipping.into_iter().flatten().filter_map(|one| one.shipping_info);
    let infos = order.shipping_info.into_iter().chain(shippings);
    let deliveries = infos.flat_map(|info| info.deliveries);
    let deliveries: Result<Vec<_>, _> = deliveries.map(|one| delivery(&one)).collect();
    let states = [
        given(Dimension::Order, order.order_state.as_ref())?.or(Some(State::Open)),
        given(Dimension::Payment, order.payment_state.as_ref())?,
        given(Dimension::Shipment, order.shipment_state.as_ref())?,
    ];
    let payments = order.payment_info.into_iter().flat_map(|info| info.payments);
    Ok(Created {
        order_number: owned(order.order_number),
        created_at: instant(order.created_at.as_ref()),
        completed_at: instant(order.completed_at.as_ref()),
        customer_id: owned(order.customer_id),
        store_key: order.store.map(|store| store.key.0.into_owned()),
        country: owned(order.country),
        origin: owned(order.origin),
        custom_state: order.state.map(|state| state.id.0.into_owned()),
        total: order.total_price.map(Money::from),
        states,
        lines,
        deliveries: deliveries?,
        payments: payments.map(|payment| payment.id.0.into_owned()).collect(),
    })
}

fn given(dimension: Dimension, name: Option<&Text<'_>>) -> Result<Option<State>, Rejection> {
    name.map(|name| state(dimension, name)).transpose()
}

fn owned(text: Option<Text<'_>>) -> Option<String> {
    text.map(|text| text.0.trim().to_owned()).filter(|text| !text.is_empty())
}

fn instant(text: Option<&Text<'_>>) -> Option<Timestamp> {
    text.and_then(|text| time::parse(&text.0))
}

// --- the payloads

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Deserialize)]
struct KeyReference<'a> {
    #[serde(borrow)]
    key: Text<'a>,
}

#[derive(Deserialize)]
struct OrderState<'a> {
    #[serde(rename = "orderState", borrow)]
    new: Text<'a>,
    #[serde(rename = "oldOrderState", default, borrow)]
    old: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct PaymentState<'a> {
    #[serde(rename = "paymentState", borrow)]
    new: Text<'a>,
    #[serde(rename = "oldPaymentState", default, borrow)]
    old: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ShipmentState<'a> {
    #[serde(rename = "shipmentState", borrow)]
    new: Text<'a>,
    #[serde(rename = "oldShipmentState", default, borrow)]
    old: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct DeliveryBody<'a> {
    #[serde(borrow)]
    delivery: DeliveryDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryItemsBody<'a> {
    #[serde(borrow)]
    delivery_id: Text<'a>,
    #[serde(default, borrow)]
    items: Vec<ItemDraft<'a>>,
    #[serde(default, borrow)]
    old_items: Vec<ItemDraft<'a>>,
}

#[derive(Deserialize)]
struct DeliveryDraft<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(default, borrow)]
    items: Vec<ItemDraft<'a>>,
}

#[derive(Deserialize)]
struct ItemDraft<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    quantity: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentBody<'a> {
    #[serde(borrow)]
    payment_ref: Reference<'a>,
}

#[derive(Deserialize)]
struct CreatedBody<'a> {
    #[serde(borrow)]
    order: OrderDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderDraft<'a> {
    #[serde(default, borrow)]
    order_number: Option<Text<'a>>,
    #[serde(default, borrow)]
    created_at: Option<Text<'a>>,
    #[serde(default, borrow)]
    completed_at: Option<Text<'a>>,
    #[serde(default, borrow)]
    customer_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    store: Option<KeyReference<'a>>,
    #[serde(default, borrow)]
    country: Option<Text<'a>>,
    #[serde(default, borrow)]
    origin: Option<Text<'a>>,
    #[serde(default, borrow)]
    state: Option<Reference<'a>>,
    #[serde(default, borrow)]
    order_state: Option<Text<'a>>,
    #[serde(default, borrow)]
    payment_state: Option<Text<'a>>,
    #[serde(default, borrow)]
    shipment_state: Option<Text<'a>>,
    #[serde(default, borrow)]
    total_price: Option<MoneyDraft<'a>>,
    #[serde(default)]
    inventory_mode: Option<Mode>,
    #[serde(default, borrow)]
    line_items: Vec<LineDraft<'a>>,
    #[serde(default, borrow)]
    shipping_info: Option<ShippingInfo<'a>>,
    #[serde(default, borrow)]
    shipping: Option<Vec<Shipping<'a>>>,
    #[serde(default, borrow)]
    payment_info: Option<PaymentInfo<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LineDraft<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(default, borrow)]
    product_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    product_type: Option<Reference<'a>>,
    #[serde(default, borrow)]
    variant: Option<Variant<'a>>,
    quantity: i64,
    #[serde(default, borrow)]
    supply_channel: Option<Reference<'a>>,
    #[serde(default)]
    inventory_mode: Option<Mode>,
}

#[derive(Deserialize)]
struct Variant<'a> {
    #[serde(default, borrow)]
    sku: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ShippingInfo<'a> {
    #[serde(default, borrow)]
    deliveries: Vec<DeliveryDraft<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shipping<'a> {
    #[serde(default, borrow)]
    shipping_info: Option<ShippingInfo<'a>>,
}

#[derive(Deserialize)]
struct PaymentInfo<'a> {
    #[serde(default, borrow)]
    payments: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MoneyDraft<'a> {
    cent_amount: i64,
    #[serde(borrow)]
    currency_code: Text<'a>,
    #[serde(default)]
    fraction_digits: u8,
}

impl From<MoneyDraft<'_>> for Money {
    fn from(draft: MoneyDraft<'_>) -> Self {
        let MoneyDraft { cent_amount, currency_code, fraction_digits } = draft;
        Self { cent_amount, currency_code: currency_code.0.into_owned(), fraction_digits }
    }
}

#[derive(Clone, Copy, Deserialize)]
enum Mode {
    None,
    TrackOnly,
    ReserveOnOrder,
    ReserveOnCart,
}

impl From<Mode> for InventoryMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::None => Self::None,
            Mode::TrackOnly => Self::TrackOnly,
            Mode::ReserveOnOrder => Self::ReserveOnOrder,
            Mode::ReserveOnCart => Self::ReserveOnCart,
        }
    }
}
