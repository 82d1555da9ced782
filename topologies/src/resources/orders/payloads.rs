//! The payloads of an order's messages, as far as they are read.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{messages::skus::InventoryMode, outputs::Money};

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

#[derive(Deserialize)]
pub(super) struct Reference<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct KeyReference<'a> {
    #[serde(borrow)]
    pub key: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct OrderState<'a> {
    #[serde(rename = "orderState", borrow)]
    pub new: Text<'a>,
    #[serde(rename = "oldOrderState", default, borrow)]
    pub old: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct PaymentState<'a> {
    #[serde(rename = "paymentState", borrow)]
    pub new: Text<'a>,
    #[serde(rename = "oldPaymentState", default, borrow)]
    pub old: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ShipmentState<'a> {
    #[serde(rename = "shipmentState", borrow)]
    pub new: Text<'a>,
    #[serde(rename = "oldShipmentState", default, borrow)]
    pub old: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct DeliveryBody<'a> {
    #[serde(borrow)]
    pub delivery: DeliveryDraft<'a>,
}

#[derive(Deserialize)]
pub(super) struct DeliveryDraft<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(default, borrow)]
    pub items: Vec<ItemDraft<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ItemDraft<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    pub quantity: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentBody<'a> {
    #[serde(borrow)]
    pub payment_ref: Reference<'a>,
}

#[derive(Deserialize)]
pub(super) struct CreatedBody<'a> {
    #[serde(borrow)]
    pub order: OrderDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderDraft<'a> {
    #[serde(default, borrow)]
    pub order_number: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub created_at: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub completed_at: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub customer_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub store: Option<KeyReference<'a>>,
    #[serde(default, borrow)]
    pub country: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub origin: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub state: Option<Reference<'a>>,
    #[serde(default, borrow)]
    pub order_state: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub payment_state: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub shipment_state: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub total_price: Option<MoneyDraft<'a>>,
    #[serde(default, borrow)]
    pub taxed_price: Option<TaxedPrice<'a>>,
    #[serde(default)]
    pub inventory_mode: Option<Mode>,
    #[serde(default, borrow)]
    pub line_items: Vec<LineDraft<'a>>,
    #[serde(default, borrow)]
    pub shipping_info: Option<ShippingInfo<'a>>,
    #[serde(default, borrow)]
    pub shipping: Option<Vec<Shipping<'a>>>,
    #[serde(default, borrow)]
    pub payment_info: Option<PaymentInfo<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineDraft<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(default, borrow)]
    pub product_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub product_type: Option<Reference<'a>>,
    #[serde(default, borrow)]
    pub variant: Option<Variant<'a>>,
    pub quantity: i64,
    #[serde(default, borrow)]
    pub total_price: Option<MoneyDraft<'a>>,
    #[serde(default, borrow)]
    pub taxed_price: Option<TaxedPrice<'a>>,
    #[serde(default, borrow)]
    pub supply_channel: Option<Reference<'a>>,
    #[serde(default)]
    pub inventory_mode: Option<Mode>,
    #[serde(default, borrow)]
    pub state: Vec<ItemStateDraft<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ItemStateDraft<'a> {
    pub quantity: i64,
    #[serde(borrow)]
    pub state: Reference<'a>,
}

#[derive(Deserialize)]
pub(super) struct Variant<'a> {
    #[serde(default, borrow)]
    pub sku: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ShippingInfo<'a> {
    #[serde(default, borrow)]
    pub deliveries: Vec<DeliveryDraft<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shipping<'a> {
    #[serde(default, borrow)]
    pub shipping_info: Option<ShippingInfo<'a>>,
}

#[derive(Deserialize)]
pub(super) struct PaymentInfo<'a> {
    #[serde(default, borrow)]
    pub payments: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TaxedPrice<'a> {
    #[serde(borrow)]
    pub total_gross: MoneyDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MoneyDraft<'a> {
    pub cent_amount: i64,
    #[serde(borrow)]
    pub currency_code: Text<'a>,
    #[serde(default)]
    pub fraction_digits: u8,
}

impl From<MoneyDraft<'_>> for Money {
    fn from(draft: MoneyDraft<'_>) -> Self {
        let MoneyDraft { cent_amount, currency_code, fraction_digits } = draft;
        Self { cent_amount, currency_code: currency_code.0.into_owned(), fraction_digits }
    }
}

#[derive(Clone, Copy, Deserialize)]
pub(super) enum Mode {
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryChange<'a> {
    #[serde(borrow)]
    pub delivery_id: Text<'a>,
    #[serde(default, borrow)]
    pub items: Vec<ItemDraft<'a>>,
    #[serde(default, borrow)]
    pub old_items: Vec<ItemDraft<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ParcelBody<'a> {
    #[serde(borrow)]
    pub delivery: Reference<'a>,
    #[serde(borrow)]
    pub parcel: DeliveryDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParcelChange<'a> {
    #[serde(borrow)]
    pub delivery_id: Text<'a>,
    #[serde(borrow)]
    pub parcel_id: Text<'a>,
    #[serde(default, borrow)]
    pub items: Vec<ItemDraft<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReturnBody<'a> {
    #[serde(borrow)]
    pub return_info: ReturnInfo<'a>,
}

/// The whole array; absent means none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReturnsBody<'a> {
    #[serde(default, borrow)]
    pub return_info: Option<Vec<ReturnInfo<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct ReturnInfo<'a> {
    #[serde(default, borrow)]
    pub items: Vec<ReturnDraft<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReturnDraft<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(default, borrow)]
    pub line_item_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub custom_line_item_id: Option<Text<'a>>,
    pub quantity: i64,
    #[serde(borrow)]
    pub shipment_state: Text<'a>,
    #[serde(borrow)]
    pub payment_state: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReturnChange<'a> {
    #[serde(borrow)]
    pub return_item_id: Text<'a>,
    #[serde(borrow)]
    pub return_shipment_state: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineBody<'a> {
    #[serde(borrow)]
    pub line_item: LineDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemovedBody<'a> {
    #[serde(borrow)]
    pub line_item_id: Text<'a>,
    pub new_quantity: i64,
    #[serde(default, borrow)]
    pub new_total_price: Option<MoneyDraft<'a>>,
    #[serde(default, borrow)]
    pub new_taxed_price: Option<TaxedPrice<'a>>,
    #[serde(default, borrow)]
    pub new_state: Vec<ItemStateDraft<'a>>,
}

#[derive(Deserialize)]
pub(super) struct EditBody<'a> {
    #[serde(default, borrow)]
    pub result: Option<EditResult<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EditResult<'a> {
    #[serde(default, borrow)]
    pub excerpt_after_edit: Option<Excerpt<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Excerpt<'a> {
    #[serde(borrow)]
    pub total_price: MoneyDraft<'a>,
    #[serde(default, borrow)]
    pub taxed_price: Option<TaxedPrice<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransitionBody<'a> {
    #[serde(borrow)]
    pub state: Reference<'a>,
    #[serde(default, borrow)]
    pub old_state: Option<Reference<'a>>,
    #[serde(default)]
    pub force: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MovedBody<'a> {
    #[serde(default, borrow)]
    pub line_item_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub custom_line_item_id: Option<Text<'a>>,
    pub quantity: i64,
    #[serde(borrow)]
    pub from_state: Reference<'a>,
    #[serde(borrow)]
    pub to_state: Reference<'a>,
}
