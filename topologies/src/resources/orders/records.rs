//! `order.events.v1` and `order.verdicts.v1`.

use aplomb_state::{context::Context, rejection::Rejection};
use serde::Serialize;

use super::{
    OrderRow,
    outcomes::{Event, EventKind, Verdict},
    publish::Subject,
};
use crate::{
    outputs::{self, CauseShape, Emission, Money},
    time::Iso,
};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct EventShape<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    project_key: &'a str,
    order_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<LineShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<&'a Money>,
    cause: CauseShape<'a>,
    at: Iso,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct LineShape<'a> {
    line_item_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<&'a str>,
    quantity: i64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct VerdictShape<'a> {
    project_key: &'a str,
    order_id: &'a str,
    dimension: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    verdict: &'static str,
    rule: &'static str,
    rule_hash: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    supersedes: Option<String>,
    cause: CauseShape<'a>,
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
