//! Events of Checkout that concern payments.

use std::borrow::Cow;

use aplomb_state::{codec, context::Context, record::Record, rejection::Rejection};
use serde::Deserialize;

use super::delivered;
use crate::messages::{
    payments::CheckoutFailed,
    resources::{Notification, ResourceMessage},
    skus::Cause,
};

pub const ORDER_CREATION_FAILED: &str = "CheckoutOrderCreationFailed";

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(default, borrow)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(default, borrow)]
    payments: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// No order was made of a cart: each of its payments learns that it may have none.
pub fn tell_payments(
    ctx: &mut Context<'_>,
    record: &Record<'_>,
    notification: &Notification,
) -> Result<(), Rejection> {
    let value = record.external.and_then(|external| external.value).unwrap_or_default();
    let payload = delivered::payload_in(value, notification.payload)?;
    let event: Event<'_> = serde_json::from_str(payload)
        .map_err(|error| Rejection::new("CONTRACT_VIOLATION", "schema", error.to_string()))?;
    let cause = Cause { id: format!("e:{}", notification.resource_id), ..Cause::default() };
    for payment in event.data.into_iter().flat_map(|data| data.payments) {
        let failed = CheckoutFailed { at: ctx.at(), cause: cause.clone() };
        let key = format!("{}:payment:{}", notification.project, payment.id).into_bytes();
        let body = codec::encode(&ResourceMessage::CheckoutFailed(failed));
        ctx.send(super::NAME, key, &body)?;
    }
    Ok(())
}
