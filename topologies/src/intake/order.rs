//! The order feed of a system of record: `sor.<system>.order.v1`.

use aplomb_state::{ids::Timestamp, record::Trace, rejection::Rejection};
use serde::Deserialize;

use super::{
    Text,
    envelope::{self, Kind, given, owned},
    violation,
};
use crate::{
    messages::{
        orders::{Says, SystemOrder},
        skus::Cause,
    },
    settings::{Flow, Rules},
};

/// What a record of the feed says, and to which actor it goes.
pub(super) struct Order {
    pub project: String,
    pub as_of: Timestamp,
    /// Absent: heartbeats and complete markers have no effect on an order.
    pub message: Option<(String, SystemOrder)>,
}

#[derive(Deserialize)]
struct Value<'a> {
    #[serde(default, borrow)]
    status: Option<Text<'a>>,
    /// Why it was refused.
    #[serde(default, borrow)]
    reason: Option<Text<'a>>,
}

pub(super) fn read(
    bytes: &[u8],
    flow: &Flow,
    rules: &Rules,
    trace: &Trace,
    logged_at: Timestamp,
) -> Result<Order, Rejection> {
    let (head, envelope) = envelope::read::<Value<'_>>(bytes, "order", flow, trace, logged_at)?;
    let value = envelope.value.as_ref();
    let says = match head.kind {
        Kind::Snapshot | Kind::Delta => {
            let status = given(value.and_then(|value| value.status.as_ref()));
            let status = status.ok_or_else(|| violation("value.status", "no status was given"))?;
            if !flow.statuses.contains_key(status) {
                let detail = format!("status {status} is not in the flow's contract");
                return Err(violation("statuses", detail));
            }
            Some(Says::Status(status.to_owned()))
        }
        Kind::Ack => Some(Says::Accepted),
        Kind::Reject => {
            let reason = owned(value.and_then(|value| value.reason.as_ref()));
            Some(Says::Rejected(reason.unwrap_or_default()))
        }
        Kind::Complete | Kind::Heartbeat => None,
    };
    let (project, as_of) = (head.project, head.as_of);
    let Some(says) = says else { return Ok(Order { project, as_of, message: None }) };
    let ids = envelope.ids.as_ref();
    let number = given(ids.and_then(|ids| ids.order_number.as_ref()));
    let native = number.map(str::to_owned);
    let number = number.map(|number| {
        let prefix = flow.order_number_prefix.as_deref().unwrap_or_default();
        rules.orders.canonical(number.strip_prefix(prefix).unwrap_or(number))
    });
    let order_id = given(ids.and_then(|ids| ids.order_id.as_ref()));
    let actor = match (order_id, &number) {
        (Some(id), _) => format!("{project}:order:{id}"),
        (None, Some(number)) => format!("{project}:ident:orderNumber:{number}"),
        (None, None) => return Err(violation("ids", "neither orderId nor orderNumber was given")),
    };
    let message = SystemOrder {
        system: flow.system.clone(),
        flow: flow.name.clone(),
        order_number: number,
        native,
        says,
        as_of,
        cause: Cause { id: head.cause_id, ..Cause::default() },
    };
    Ok(Order { project, as_of, message: Some((actor, message)) })
}
