//! `order.events.v1` and `order.verdicts.v1`.

use aplomb_state::{context::Context, rejection::Rejection};
use serde::Serialize;

use super::{
    OrderRow,
    outcomes::{Event, EventKind, Verdict},
};
use crate::{
    outputs::{self, CauseShape, Emission, Money},
    resources::notices::Subject,
    time::Iso,
};

/// Something that happened to an order.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct EventShape<'a> {
    /// `OrderPlaced`, `PaymentConfirmed`, `InventoryAllocated`, `ItemsShipped`, `OrderDelivered`,
    /// `OrderCompleted`, `OrderCancelled`, `ReturnOpened` or `RefundSettled`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Key of the commercetools project.
    project_key: &'a str,
    /// Id of the commercetools order.
    order_id: &'a str,
    /// `orderNumber` of commercetools; absent: it has none, or none was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_number: Option<&'a str>,
    /// Id of the delivery; only of `ItemsShipped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_id: Option<&'a str>,
    /// Id of the commercetools payment; only of `RefundSettled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<&'a str>,
    /// The goods; only of `ItemsShipped` and `ReturnOpened`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<LineShape<'a>>,
    /// Units of stock over all `lines`; absent without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<i64>,
    /// The order's total when placed or paid, or what was refunded; absent of other events.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<&'a Money>,
    /// What brought it about.
    cause: CauseShape<'a>,
    /// When the cause happened, by its own clock: ISO 8601 UTC.
    at: Iso,
}

/// A line item and how much of it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct LineShape<'a> {
    /// Id of the order's line item.
    line_item_id: &'a str,
    /// `variant.sku` of the line; absent: the variant has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<&'a str>,
    /// Units of stock.
    quantity: i64,
}

/// How a change of an order was judged. The change was made in commercetools already.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct VerdictShape<'a> {
    /// Key of the commercetools project.
    project_key: &'a str,
    /// Id of the commercetools order.
    order_id: &'a str,
    /// `orderState`, `paymentState`, `shipmentState`, `returnShipment`, `returnPayment`, `state` or
    /// `lineItemState`; of a rule across them what it is about, such as `payments` or `delivery`.
    dimension: &'static str,
    /// State before; a custom one of the order by its key where the rules name it; absent: none,
    /// or no state changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    /// State after, likewise; absent where no state changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    /// `legal`, `legal_with_warning` or `violation`.
    verdict: &'static str,
    /// What decided: `transition` (its table), `force` (a forced transition), or a rule: `X1` to
    /// `X20`, `PAYMENT_AMOUNT`, `PAYMENT_DELAYED`.
    rule: &'static str,
    /// Hash of the rules in force; empty before any were read.
    rule_hash: &'a str,
    /// `ce_id` of the verdict that this one replaces; absent: it replaces none.
    #[serde(skip_serializing_if = "Option::is_none")]
    supersedes: Option<String>,
    /// What brought it about.
    cause: CauseShape<'a>,
    /// When the cause happened, by its own clock: ISO 8601 UTC.
    at: Iso,
}

pub(super) fn event(
    ctx: &mut Context<'_>,
    row: &OrderRow,
    subject: &Subject<'_>,
    event: &Event,
) -> Result<(), Rejection> {
    let Subject { who, cause, at } = *subject;
    let lines = event.lines.iter().map(|line| LineShape {
        line_item_id: &line.line_id,
        sku: line.sku.as_deref(),
        quantity: line.quantity,
    });
    let shape =
        EventShape {
            kind: event.kind.name(),
            project_key: who.project,
            order_id: who.id,
            order_number: row.order.order_number.as_deref(),
            delivery_id: event.delivery_id.as_deref(),
            payment_id: None,
            lines: lines.collect(),
            quantity: (!event.lines.is_empty())
                .then(|| event.lines.iter().map(|line| line.quantity).sum()),
            amount: row.order.stated.total.as_ref().filter(|_| {
                matches!(event.kind, EventKind::OrderPlaced | EventKind::PaymentConfirmed)
            }),
            cause: CauseShape::from(cause),
            at: Iso(at),
        };
    let (key, sender) = (format!("{}:{}", who.project, who.id), who.actor());
    let emission = Emission {
        output: outputs::ORDER_EVENTS,
        key: &key,
        effect: event.kind.name(),
        sender: &sender,
        // A message causes an event of a kind once, whenever it is folded; a sku's answers may
        // cause one several times.
        revision: match event.kind {
            EventKind::InventoryAllocated => row.revision,
            _ => 0,
        },
        cause,
        subject: who.id,
        at,
    };
    outputs::emit(ctx, &emission, &shape)
}

/// A payment of the order gave money back, by its answer of that revision.
pub(super) fn refund(
    ctx: &mut Context<'_>,
    row: &OrderRow,
    subject: &Subject<'_>,
    (payment_id, revision): (&str, u64),
    amount: &Money,
) -> Result<(), Rejection> {
    let Subject { who, cause, at } = *subject;
    let effect = "RefundSettled";
    let shape = EventShape {
        kind: effect,
        project_key: who.project,
        order_id: who.id,
        order_number: row.order.order_number.as_deref(),
        delivery_id: None,
        payment_id: Some(payment_id),
        lines: Vec::new(),
        quantity: None,
        amount: Some(amount),
        cause: CauseShape::from(cause),
        at: Iso(at),
    };
    let (key, sender) = (format!("{}:{}", who.project, who.id), who.actor());
    let output = outputs::ORDER_EVENTS;
    let subject = who.id;
    let emission =
        Emission { output, key: &key, effect, sender: &sender, revision, cause, subject, at };
    outputs::emit(ctx, &emission, &shape)
}

/// `supersedes`: the id of the verdict that this one replaces.
pub(super) fn verdict(
    ctx: &mut Context<'_>,
    row: &OrderRow,
    subject: &Subject<'_>,
    verdict: &Verdict,
    supersedes: Option<String>,
) -> Result<(), Rejection> {
    let Subject { who, cause, at } = *subject;
    let (key, sender) = (format!("{}:{}", who.project, who.id), who.actor());
    let shape = VerdictShape {
        project_key: who.project,
        order_id: who.id,
        dimension: verdict.dimension,
        from: verdict.from.as_deref(),
        to: verdict.to.as_deref(),
        verdict: verdict.judgement.name(),
        rule: verdict.rule,
        rule_hash: &row.rule_hash,
        supersedes,
        cause: CauseShape::from(cause),
        at: Iso(at),
    };
    outputs::emit(ctx, &judged(subject, verdict, &key, &sender), &shape)
}

/// The id of a verdict with that cause.
pub(super) fn verdict_id(subject: &Subject<'_>, verdict: &Verdict) -> String {
    let who = subject.who;
    let (key, sender) = (format!("{}:{}", who.project, who.id), who.actor());
    outputs::event_id(&judged(subject, verdict, &key, &sender))
}

fn judged<'a>(
    subject: &Subject<'a>,
    verdict: &Verdict,
    key: &'a str,
    sender: &'a str,
) -> Emission<'a> {
    Emission {
        output: outputs::ORDER_VERDICTS,
        key,
        effect: "OrderJudged",
        sender,
        // By its content, so that a later verdict can name the one it replaces without a memory.
        revision: fingerprint(verdict),
        cause: subject.cause,
        subject: subject.who.id,
        at: subject.at,
    }
}

fn fingerprint(verdict: &Verdict) -> u64 {
    let digest = outputs::digest(&[
        verdict.dimension.as_bytes(),
        verdict.from.as_deref().unwrap_or_default().as_bytes(),
        verdict.to.as_deref().unwrap_or_default().as_bytes(),
        verdict.judgement.name().as_bytes(),
        verdict.rule.as_bytes(),
    ]);
    digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![
        crate::schemas::of::<EventShape<'_>>(outputs::ORDER_EVENTS),
        crate::schemas::of::<VerdictShape<'_>>(outputs::ORDER_VERDICTS),
    ]
}
