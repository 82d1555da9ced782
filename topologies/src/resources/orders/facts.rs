//! What the messages of an order say, as far as a rule needs it: a whitelist. Nothing personal is
//! read.

use aplomb_state::{ids::Timestamp, rejection::Rejection};
use serde::{Deserialize, Serialize};

use super::{
    machine::{ItemState, StateTransition},
    payloads::*,
    returns::{ReturnItem, ReturnPayment, ReturnShipment},
    transitions::{Dimension, State},
};
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
    /// Its items now, and what they were.
    DeliveryChanged {
        delivery: Delivery,
        old: Vec<DeliveryItem>,
    },
    DeliveryRemoved(String),
    /// Units of a parcel, which are among those of its delivery.
    Packed {
        delivery_id: String,
        parcel_id: String,
        items: Vec<DeliveryItem>,
    },
    ReturnsAdded(Vec<ReturnItem>),
    ReturnsSet(Vec<ReturnItem>),
    ReturnChanged {
        item_id: String,
        to: ReturnShipment,
    },
    LineAdded(Box<CreatedLine>),
    LineEdited(Edited),
    EditApplied {
        total: Option<Money>,
        gross: Option<Money>,
    },
    StateTransition(StateTransition),
    UnitsMoved(Moved),
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
    pub stated: Stated,
    /// By [`Dimension`].
    pub states: [Option<State>; 3],
    pub lines: Vec<CreatedLine>,
    pub deliveries: Vec<Delivery>,
    pub payments: Vec<String>,
}

/// What its creation states of an order, and the order keeps: part of the stored form, in this
/// place and sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    pub created_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
    pub customer_id: Option<String>,
    pub store_key: Option<String>,
    pub country: Option<String>,
    pub origin: Option<String>,
    pub custom_state: Option<String>,
    pub total: Option<Money>,
    /// With taxes that prices do not include. Absent: it is the total.
    pub gross: Option<Money>,
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
    /// What all of it costs, taxes included, in minor units.
    pub price: Option<i64>,
    pub states: Vec<ItemState>,
}

/// A line after units of it were removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    pub line_id: String,
    pub quantity: i64,
    pub price: Option<i64>,
    pub states: Vec<ItemState>,
}

/// Units of a line, or of a custom line, go from one custom state to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub line_id: String,
    pub quantity: i64,
    pub from: String,
    pub to: String,
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
        "DeliveryAdded"
        | "DeliveryItemsUpdated"
        | "DeliveryRemoved"
        | "ParcelAddedToDelivery"
        | "ParcelItemsUpdated" => delivered(message_type, payload),
        "ReturnInfoAdded" | "ReturnInfoSet" | "OrderReturnShipmentStateChanged" => {
            returned(message_type, payload)
        }
        "OrderLineItemAdded" | "OrderLineItemRemoved" | "OrderEditApplied" => {
            edited(message_type, payload)
        }
        "OrderStateTransition" => {
            let body: TransitionBody<'_> = body(payload)?;
            let from = body.old_state.map(|state| state.id.0.into_owned());
            let (to, forced) = (body.state.id.0.into_owned(), body.force);
            Ok(Fact::StateTransition(StateTransition { from, to, forced }))
        }
        "LineItemStateTransition" | "CustomLineItemStateTransition" => {
            let body: MovedBody<'_> = body(payload)?;
            let line_id = body.line_item_id.or(body.custom_line_item_id);
            let line_id = line_id.ok_or_else(|| violation("lineItemId", "no line was named"))?;
            Ok(Fact::UnitsMoved(Moved {
                line_id: line_id.0.into_owned(),
                quantity: counted("quantity", body.quantity)?,
                from: body.from_state.id.0.into_owned(),
                to: body.to_state.id.0.into_owned(),
            }))
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

fn delivered(message_type: &str, payload: &str) -> Result<Fact, Rejection> {
    match message_type {
        "DeliveryAdded" => {
            let body: DeliveryBody<'_> = body(payload)?;
            delivery(&body.delivery).map(Fact::DeliveryAdded)
        }
        "DeliveryItemsUpdated" => {
            let body: DeliveryChange<'_> = body(payload)?;
            let delivery_id = body.delivery_id.0.into_owned();
            let (items, old) = (items(&body.items)?, items(&body.old_items)?);
            Ok(Fact::DeliveryChanged { delivery: Delivery { delivery_id, items }, old })
        }
        "DeliveryRemoved" => {
            let body: DeliveryBody<'_> = body(payload)?;
            Ok(Fact::DeliveryRemoved(body.delivery.id.0.into_owned()))
        }
        "ParcelAddedToDelivery" => {
            let body: ParcelBody<'_> = body(payload)?;
            Ok(Fact::Packed {
                delivery_id: body.delivery.id.0.into_owned(),
                parcel_id: body.parcel.id.0.into_owned(),
                items: items(&body.parcel.items)?,
            })
        }
        "ParcelItemsUpdated" => {
            let body: ParcelChange<'_> = body(payload)?;
            Ok(Fact::Packed {
                delivery_id: body.delivery_id.0.into_owned(),
                parcel_id: body.parcel_id.0.into_owned(),
                items: items(&body.items)?,
            })
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
    let delivery_id = delivery.id.0.clone().into_owned();
    Ok(Delivery { delivery_id, items: items(&delivery.items)? })
}

fn items(drafts: &[ItemDraft<'_>]) -> Result<Vec<DeliveryItem>, Rejection> {
    let mut items = Vec::with_capacity(drafts.len());
    for item in drafts {
        if item.quantity < 0 {
            return Err(violation("delivery.items.quantity", "a quantity is negative"));
        }
        let line_id = item.id.0.clone().into_owned();
        items.push(DeliveryItem { line_id, quantity: item.quantity });
    }
    Ok(items)
}

fn created(payload: &str) -> Result<Created, Rejection> {
    let CreatedBody { order } = body(payload)?;
    let order_mode = order.inventory_mode.unwrap_or(Mode::None);
    let mut lines = Vec::with_capacity(order.line_items.len());
    for draft in order.line_items {
        lines.push(line(draft, order_mode)?);
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
    let stated = Stated {
        created_at: instant(order.created_at.as_ref()),
        completed_at: instant(order.completed_at.as_ref()),
        customer_id: owned(order.customer_id),
        store_key: order.store.map(|store| store.key.0.into_owned()),
        country: owned(order.country),
        origin: owned(order.origin),
        custom_state: order.state.map(|state| state.id.0.into_owned()),
        total: order.total_price.map(Money::from),
        gross: order.taxed_price.map(|taxed| Money::from(taxed.total_gross)),
    };
    Ok(Created {
        order_number: owned(order.order_number),
        stated,
        states,
        lines,
        deliveries: deliveries?,
        payments: payments.map(|payment| payment.id.0.into_owned()).collect(),
    })
}

fn line(draft: LineDraft<'_>, order_mode: Mode) -> Result<CreatedLine, Rejection> {
    Ok(CreatedLine {
        line_id: draft.id.0.into_owned(),
        product_id: owned(draft.product_id),
        product_type: draft.product_type.map(|reference| reference.id.0.into_owned()),
        sku: owned(draft.variant.and_then(|variant| variant.sku)),
        location: draft.supply_channel.map(|channel| channel.id.0.into_owned()),
        mode: draft.inventory_mode.unwrap_or(order_mode).into(),
        quantity: counted("lineItems.quantity", draft.quantity)?,
        price: price(draft.taxed_price, draft.total_price),
        states: states(draft.state),
    })
}

/// With taxes, where they are told.
fn price(taxed: Option<TaxedPrice<'_>>, total: Option<MoneyDraft<'_>>) -> Option<i64> {
    taxed.map(|taxed| taxed.total_gross).or(total).map(|price| price.cent_amount)
}

fn states(drafts: Vec<ItemStateDraft<'_>>) -> Vec<ItemState> {
    let state = |draft: ItemStateDraft<'_>| ItemState {
        state: draft.state.id.0.into_owned(),
        quantity: draft.quantity,
    };
    drafts.into_iter().map(state).collect()
}

fn counted(rule: &'static str, quantity: i64) -> Result<i64, Rejection> {
    if quantity < 0 { Err(violation(rule, "a quantity is negative")) } else { Ok(quantity) }
}

fn returned(message_type: &str, payload: &str) -> Result<Fact, Rejection> {
    match message_type {
        "ReturnInfoAdded" => {
            let body: ReturnBody<'_> = body(payload)?;
            return_items(body.return_info.items).map(Fact::ReturnsAdded)
        }
        "ReturnInfoSet" => {
            let body: ReturnsBody<'_> = body(payload)?;
            let infos = body.return_info.unwrap_or_default();
            let items = infos.into_iter().flat_map(|info| info.items).collect();
            return_items(items).map(Fact::ReturnsSet)
        }
        _ => {
            let body: ReturnChange<'_> = body(payload)?;
            let to = return_shipment(&body.return_shipment_state)?;
            Ok(Fact::ReturnChanged { item_id: body.return_item_id.0.into_owned(), to })
        }
    }
}

fn return_items(drafts: Vec<ReturnDraft<'_>>) -> Result<Vec<ReturnItem>, Rejection> {
    let item = |draft: ReturnDraft<'_>| {
        let line_id = draft.line_item_id.or(draft.custom_line_item_id);
        let line_id = line_id.ok_or_else(|| violation("returnInfo.items", "no line was named"))?;
        let payment = ReturnPayment::of(&draft.payment_state.0);
        let payment = payment.ok_or_else(|| {
            violation("returnPayment", format!("returnPaymentState {}", draft.payment_state.0))
        })?;
        Ok(ReturnItem {
            item_id: draft.id.0.into_owned(),
            line_id: line_id.0.into_owned(),
            quantity: counted("returnInfo.items.quantity", draft.quantity)?,
            shipment: return_shipment(&draft.shipment_state)?,
            payment,
        })
    };
    drafts.into_iter().map(item).collect()
}

fn return_shipment(name: &Text<'_>) -> Result<ReturnShipment, Rejection> {
    let state = ReturnShipment::of(&name.0);
    state.ok_or_else(|| violation("returnShipment", format!("returnShipmentState {}", name.0)))
}

fn edited(message_type: &str, payload: &str) -> Result<Fact, Rejection> {
    match message_type {
        "OrderLineItemAdded" => {
            let body: LineBody<'_> = body(payload)?;
            line(body.line_item, Mode::None).map(|line| Fact::LineAdded(Box::new(line)))
        }
        "OrderLineItemRemoved" => {
            let body: RemovedBody<'_> = body(payload)?;
            Ok(Fact::LineEdited(Edited {
                line_id: body.line_item_id.0.into_owned(),
                quantity: counted("newQuantity", body.new_quantity)?,
                price: price(body.new_taxed_price, body.new_total_price),
                states: states(body.new_state),
            }))
        }
        _ => {
            let body: EditBody<'_> = body(payload)?;
            let after = body.result.and_then(|result| result.excerpt_after_edit);
            let Some(Excerpt { total_price, taxed_price }) = after else {
                return Ok(Fact::EditApplied { total: None, gross: None });
            };
            let gross = taxed_price.map(|taxed| taxed.total_gross.into());
            Ok(Fact::EditApplied { total: Some(total_price.into()), gross })
        }
    }
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
