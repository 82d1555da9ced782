//! Payments: the actor around the fold. It knows which orders are linked to it and tells them its
//! sums; money that no order stands behind is a case.

mod fold;
mod payloads;
mod publish;
mod view;
mod watched;

use aplomb_state::{
    codec::Format, context::Context, ids::Timestamp, rejection::Rejection, store::KeyValue,
};
use serde::{Deserialize, Serialize};

use self::{
    fold::{Code, Condition, Outcome, Payment},
    payloads::Fact,
    publish::Before,
};
use super::{
    actor::{self, Ended, Resource},
    delivered::{Bytes, Delivered, Head},
    drifts::Drifts,
    notices::{Subject, Who},
    sequencer::Sequence,
    watches::Watches,
};
use crate::{
    messages::{
        payments::{CheckoutFailed, LinkState, PaymentLink},
        skus::Cause,
    },
    settings::{Rules, Settings},
};

pub use view::payments_view;

pub const PAYMENTS: KeyValue<[u8], PaymentRow> = KeyValue::new("payments");

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRow {
    sequence: Sequence,
    /// Rises with every publication, and outlives deletion.
    revision: u64,
    payment: Payment,
    /// What orders said last, by order id. They outlive deletion.
    links: Vec<Link>,
    /// A checkout told that it made no order of what this paid.
    checkout_failed: bool,
    watches: Watches<Condition>,
    drifts: Drifts<Condition>,
    ended: Option<Ended>,
    rule_hash: String,
}

impl Format for PaymentRow {
    const VERSION: u8 = 2;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Link {
    order_id: String,
    /// The order's counter.
    revision: u64,
    state: LinkState,
}

impl PaymentRow {
    fn judged_by(&mut self, ctx: &Context<'_>) {
        let hash = ctx.configuration().map(|configuration| configuration.hash.as_str());
        let hash = hash.unwrap_or_default();
        if self.rule_hash != hash {
            hash.clone_into(&mut self.rule_hash);
        }
    }

    fn linked(&self) -> impl Iterator<Item = &str> {
        let linked = self.links.iter().filter(|link| link.state == LinkState::Linked);
        linked.map(|link| link.order_id.as_str())
    }
}

impl Resource for PaymentRow {
    const STORE: KeyValue<[u8], Self> = PAYMENTS;
    const BYTES: Bytes = Bytes::Whole;

    fn sequence(&mut self) -> &mut Sequence {
        &mut self.sequence
    }

    fn ended(&mut self) -> &mut Option<Ended> {
        &mut self.ended
    }

    fn apply(&mut self, ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<bool, Rejection> {
        let fact = payloads::read(message)?;
        let before = Before::of(self);
        let settings = ctx.settings::<Settings>()?;
        let outcomes = self.payment.apply(&message.head, &fact, &settings.rules);
        self.judged_by(ctx);
        if fact == Fact::Missing {
            actor::payload_missing(ctx, message)?;
        }
        let cause = message.head.cause();
        let subject = Subject::of(message, &cause)?;
        for outcome in &outcomes {
            match outcome {
                Outcome::Event(event) => self.event(ctx, &subject, event)?,
                Outcome::Raised(condition, detail) => {
                    self.raise(ctx, &subject, condition, detail)?;
                }
            }
        }
        self.publish(ctx, &subject, &before).map(|()| false)
    }

    fn skip(&mut self, ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<(), Rejection> {
        let before = Before::of(self);
        self.payment.skip();
        self.judged_by(ctx);
        let cause = message.head.cause();
        self.publish(ctx, &Subject::of(message, &cause)?, &before)
    }

    fn refold(
        &mut self,
        ctx: &mut Context<'_>,
        base: Self,
        log: &[Delivered<'_>],
        late: &Delivered<'_>,
    ) -> Result<bool, Rejection> {
        // The late one must be readable; the others were refused already if they were not.
        payloads::read(late)?;
        let settings = ctx.settings::<Settings>()?;
        let rules = &settings.rules;
        let others = log.iter().filter(|message| message.head.sequence != late.head.sequence);
        let (_, told) = fold(base.payment.clone(), others, rules);
        let (payment, all) = fold(base.payment, log.iter(), rules);
        let before = Before::of(self);
        self.payment = payment;
        self.judged_by(ctx);
        let who = Who::of(late.key)?;
        let cause = late.head.cause();
        let subject = Subject { who, cause: &cause, at: late.head.created_at };
        for (head, outcomes) in &all {
            let same = told.iter().find(|(other, _)| other.sequence == head.sequence);
            let told = same.map(|(_, outcomes)| outcomes.as_slice()).unwrap_or_default();
            for outcome in outcomes {
                match outcome {
                    Outcome::Event(event) if !told.contains(outcome) => {
                        let cause = head.cause();
                        let subject = Subject { who, cause: &cause, at: head.created_at };
                        self.event(ctx, &subject, event)?;
                    }
                    Outcome::Raised(condition, detail)
                        if self.payment.conditions.contains(condition)
                            && !before.conditions.contains(condition) =>
                    {
                        self.raise(ctx, &subject, condition, detail)?;
                    }
                    Outcome::Event(_) | Outcome::Raised(..) => {}
                }
            }
        }
        self.publish(ctx, &subject, &before).map(|()| false)
    }

    fn too_late(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Delivered<'_>,
    ) -> Result<(), Rejection> {
        let before = Before::of(self);
        let condition = Condition { code: Code::ViewDiverged, discriminator: "history".to_owned() };
        let detail = format!("message {} came too late to be applied", message.head.sequence);
        let cause = message.head.cause();
        let subject = Subject::of(message, &cause)?;
        self.payment.conditions.insert(condition.clone());
        self.raise(ctx, &subject, &condition, &detail)?;
        self.publish(ctx, &subject, &before)
    }

    fn due(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        deadline: Timestamp,
    ) -> Result<(), Rejection> {
        if !self.watches.timer_fired(deadline) {
            return Ok(());
        }
        let before = Before::of(self);
        self.judged_by(ctx);
        let id = format!("t:due:{}:{deadline}", who.actor());
        let resource = Some(format!("{}:{}", who.type_id, who.id));
        let cause = Cause { id, resource, ..Cause::default() };
        self.publish(ctx, &Subject { who, cause: &cause, at: deadline }, &before)
    }

    fn delete(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        at: Timestamp,
        cause: &Cause,
    ) -> Result<(), Rejection> {
        self.bury(ctx, &Subject { who, cause, at })
    }
}

type Told = Vec<(Head, Vec<Outcome>)>;

fn fold<'a, 'b: 'a>(
    mut payment: Payment,
    log: impl Iterator<Item = &'a Delivered<'b>>,
    rules: &Rules,
) -> (Payment, Told) {
    let mut all = Vec::new();
    for message in log {
        match payloads::read(message) {
            Ok(fact) => {
                let outcomes = payment.apply(&message.head, &fact, rules);
                all.push((message.head.clone(), outcomes));
            }
            Err(_) => payment.skip(),
        }
    }
    (payment, all)
}

/// An order says what it is to this payment. Only a revision above the last one counts.
pub fn link(ctx: &mut Context<'_>, key: &[u8], link: &PaymentLink) -> Result<(), Rejection> {
    let mut row: PaymentRow = ctx.get(&PAYMENTS, key)?.unwrap_or_default();
    let before = Before::of(&row);
    match row.links.binary_search_by(|known| known.order_id.cmp(&link.order_id)) {
        Ok(index) => {
            let Some(known) = row.links.get_mut(index) else { return Ok(()) };
            if link.revision <= known.revision {
                return Ok(());
            }
            (known.revision, known.state) = (link.revision, link.state);
        }
        Err(index) => {
            let (order_id, revision) = (link.order_id.clone(), link.revision);
            row.links.insert(index, Link { order_id, revision, state: link.state });
        }
    }
    row.judged_by(ctx);
    let who = Who::of(key)?;
    row.publish(ctx, &Subject { who, cause: &link.cause, at: link.at }, &before)?;
    ctx.put(&PAYMENTS, key, &row)
}

/// A checkout took this payment and made no order.
pub fn checkout_failed(
    ctx: &mut Context<'_>,
    key: &[u8],
    failed: &CheckoutFailed,
) -> Result<(), Rejection> {
    let mut row: PaymentRow = ctx.get(&PAYMENTS, key)?.unwrap_or_default();
    let before = Before::of(&row);
    row.checkout_failed = true;
    row.judged_by(ctx);
    let who = Who::of(key)?;
    row.publish(ctx, &Subject { who, cause: &failed.cause, at: failed.at }, &before)?;
    ctx.put(&PAYMENTS, key, &row)
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    [view::schemas(), publish::schemas()].concat()
}

#[cfg(test)]
mod tests;
