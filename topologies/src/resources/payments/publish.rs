//! What a payment tells others: events, cases, its sums to the orders, its view.

use std::collections::BTreeSet;

use aplomb_state::{codec, context::Context, rejection::Rejection};
use serde::Serialize;

use super::{
    Ended, PaymentRow,
    fold::{Code, Condition, Event, Passage, Payment},
    view,
};
use crate::{
    drifts::{self, COMMERCETOOLS, Source},
    exceptions,
    messages::{
        cases::{CaseKey, Raise},
        payments::{PaymentState, Statement},
        resources::ResourceMessage,
    },
    outputs::{self, CauseShape, Emission, Money},
    resources::{
        drifts::{Compared, Comparing, Drifts, Shown, Value},
        notices::{self, Subject, Who},
        watches::Turned,
    },
    settings::Settings,
    time::Iso,
};

/// The payment as it was told last, as far as differences matter.
pub(super) struct Before {
    pub conditions: BTreeSet<Condition>,
    /// Absent: no message of it was seen.
    statement: Option<Statement>,
    linked: Vec<String>,
}

impl Before {
    pub(super) fn of(row: &PaymentRow) -> Self {
        Self {
            conditions: row.payment.conditions.clone(),
            statement: row.statement(),
            linked: row.linked().map(str::to_owned).collect(),
        }
    }
}

/// A transaction of a payment succeeded or failed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct EventShape<'a> {
    /// `PaymentAuthorised`, `PaymentAuthorisationCancelled`, `PaymentCaptured`, `PaymentRefunded`,
    /// `PaymentChargedBack` or `PaymentFailed`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Key of the commercetools project.
    project_key: &'a str,
    /// Id of the commercetools payment.
    payment_id: &'a str,
    /// Id of the transaction in commercetools.
    transaction_id: &'a str,
    /// `Authorization`, `CancelAuthorization`, `Charge`, `Refund` or `Chargeback`.
    transaction_type: &'static str,
    /// The transaction's amount.
    amount: &'a Money,
    /// `legal_with_warning` for success after failure, or `violation`; absent: it was legal.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    /// What brought it about.
    cause: CauseShape<'a>,
    /// `createdAt` of the message, ISO 8601 UTC.
    at: Iso,
}

impl PaymentRow {
    /// Absent: no message of the payment was seen, or it is gone.
    fn statement(&self) -> Option<Statement> {
        let seen = !self.sequence.is_new() && self.ended.is_none();
        seen.then(|| self.payment.statement())
    }

    /// After a change of any kind: ends and opens conditions, answers the orders, shows the view.
    pub(super) fn publish(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        before: &Before,
    ) -> Result<(), Rejection> {
        self.revision += 1;
        for condition in before.conditions.difference(&self.payment.conditions) {
            self.clear(ctx, subject, condition)?;
        }
        let settings = ctx.settings::<Settings>()?;
        let turned = self.watches.turn(&self.watched(&settings.rules), ctx.now());
        self.watches.set_timer(ctx, subject.who);
        self.follow_drifts(ctx, subject, &turned, settings.rules.cool_down_ms)?;
        for condition in &turned.ended {
            self.clear(ctx, subject, condition)?;
        }
        for (condition, _) in &turned.opened {
            let flaps = self.drifts.flaps(condition);
            let detail = drifts::flapping(self.watched_detail(condition), flaps);
            self.raise(ctx, subject, condition, &detail)?;
        }
        self.answer(ctx, subject, before)?;
        if self.sequence.is_new() || self.ended.is_some() {
            return Ok(());
        }
        self.write_view(ctx, subject)
    }

    /// Every linked order gets the sums that are new to it.
    fn answer(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        before: &Before,
    ) -> Result<(), Rejection> {
        let statement = self.statement();
        if statement.is_none() && self.ended.is_none() {
            return Ok(());
        }
        let changed = statement != before.statement;
        for order_id in self.linked() {
            if !changed && before.linked.iter().any(|known| known == order_id) {
                continue;
            }
            let state = PaymentState {
                payment_id: subject.who.id.to_owned(),
                revision: self.revision,
                statement: statement.clone(),
                at: subject.at,
                cause: subject.cause.clone(),
            };
            let key = format!("{}:order:{order_id}", subject.who.project).into_bytes();
            let message = ResourceMessage::PaymentState(state);
            ctx.send(crate::resources::NAME, key, &codec::encode(&message))?;
        }
        Ok(())
    }

    pub(super) fn event(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        event: &Event,
    ) -> Result<(), Rejection> {
        let Subject { who, cause, at } = *subject;
        let shape = EventShape {
            kind: event.name(),
            project_key: who.project,
            payment_id: who.id,
            transaction_id: &event.transaction_id,
            transaction_type: event.kind.name(),
            amount: &event.amount,
            verdict: match event.passage {
                Passage::Legal => None,
                Passage::Late => Some("legal_with_warning"),
                Passage::Violation => Some("violation"),
            },
            cause: CauseShape::from(cause),
            at: Iso(at),
        };
        let (key, sender) = (format!("{}:{}", who.project, who.id), who.actor());
        let emission = Emission {
            output: outputs::PAYMENT_EVENTS,
            key: &key,
            effect: event.name(),
            sender: &sender,
            // A creation may come with several transactions; each ends once by one message.
            revision: fingerprint(&event.transaction_id),
            cause,
            subject: who.id,
            at,
        };
        outputs::emit(ctx, &emission, &shape)
    }

    pub(super) fn raise(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        condition: &Condition,
        detail: &str,
    ) -> Result<(), Rejection> {
        let totals = self.payment.totals();
        let amount = match condition.code {
            Code::RefundExceedsCapture => totals.refunded.saturating_sub(totals.captured),
            Code::OrderDeletedWithCapture => totals.kept(),
            Code::Orphan if totals.kept() > 0 => totals.kept(),
            Code::Orphan => totals.authorised,
            _ => 0,
        };
        let raise = Raise {
            key: case(subject.who, condition),
            flow: ctx.trace().flow.clone(),
            detail: detail.to_owned(),
            amount_at_risk: (amount > 0).then_some((amount, totals.currency_code)),
            at: subject.at,
            cause: subject.cause.clone(),
            ..Raise::default()
        };
        exceptions::raise(ctx, &raise)
    }

    fn clear(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        condition: &Condition,
    ) -> Result<(), Rejection> {
        notices::clear(ctx, case(subject.who, condition), subject.at, subject.cause)
    }

    fn write_view(&self, ctx: &mut Context<'_>, subject: &Subject<'_>) -> Result<(), Rejection> {
        let Subject { who, cause, at } = *subject;
        let (key, sender) = (format!("{}:{}", who.project, who.id), who.actor());
        let emission = Emission {
            output: outputs::PAYMENT_VIEW,
            key: &key,
            effect: "PaymentView",
            sender: &sender,
            revision: self.revision,
            cause,
            subject: who.id,
            at,
        };
        match view::render(self, who.project, who.id) {
            Some(json) => outputs::emit_rendered(ctx, &emission, json),
            None => outputs::tombstone(ctx, &emission),
        }
    }

    /// Of a deleted payment only its sequence, its revision and its orders stay.
    pub(super) fn bury(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
    ) -> Result<(), Rejection> {
        let before = Before::of(self);
        let open: BTreeSet<_> = self.watches.open().chain(&before.conditions).cloned().collect();
        for condition in open.iter().filter(|condition| condition.code.ends_with_the_payment()) {
            self.clear(ctx, subject, condition)?;
        }
        self.revision += 1;
        let turned = Turned { opened: Vec::new(), ended: self.watches.open().cloned().collect() };
        let settings = ctx.settings::<Settings>()?;
        self.follow_drifts(ctx, subject, &turned, settings.rules.cool_down_ms)?;
        self.drifts = Drifts::default();
        self.payment = Payment::default();
        self.ended = Some(Ended { until: subject.at, erased: false, dropped: 0 });
        self.watches.end(ctx, subject.who);
        self.answer(ctx, subject, &before)?;
        self.write_view(ctx, subject)
    }
}

/// Money that no order stands behind is a drift between the payment and its orders.
impl Comparing for PaymentRow {
    type Condition = Condition;

    fn drifts(&mut self) -> &mut Drifts<Condition> {
        &mut self.drifts
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn compared(
        &self,
        ctx: &Context<'_>,
        subject: &Subject<'_>,
        condition: &Condition,
    ) -> Option<Compared> {
        if condition.code != Code::Orphan {
            return None;
        }
        let money = self.payment.money_held();
        let money = if money.currency_code.is_empty() {
            Value::text("unknown")
        } else {
            Value::Money(money)
        };
        let order = Value::text(self.linked().next().unwrap_or("absent"));
        let sides = [money, order].map(|value| Shown {
            value,
            as_of: subject.at,
            // Payments and orders: the record at hand stands for them.
            source: Source::at_hand(ctx, COMMERCETOOLS, subject.cause),
        });
        let (code, discriminator) = (condition.code.name(), condition.discriminator.clone());
        Some(Compared { code, discriminator, field: "order", sides })
    }
}

/// A deleted order's case is about the order, with the payment as discriminator.
fn case(who: Who<'_>, condition: &Condition) -> CaseKey {
    let code = condition.code.name();
    if condition.code == Code::OrderDeletedWithCapture {
        let order = Who { type_id: "order", id: &condition.discriminator, ..who };
        return order.case(code, who.id);
    }
    who.case(code, &condition.discriminator)
}

fn fingerprint(id: &str) -> u64 {
    let digest = outputs::digest(&[id.as_bytes()]);
    digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![crate::schemas::of::<EventShape<'_>>(outputs::PAYMENT_EVENTS)]
}
