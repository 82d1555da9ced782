//! What an order tells others after a message: events, verdicts, cases, hold targets, its view.

use std::collections::{BTreeMap, BTreeSet};

use aplomb_state::{codec, context::Context, ids::Timestamp, rejection::Rejection};

use super::{
    Ended, OrderRow,
    fold::{Line, Order},
    outcomes::{Code, Condition, Event, EventKind, Outcome},
    records, view,
};
use crate::{
    codes::Severity,
    exceptions,
    messages::{
        cases::Raise,
        payments::{LinkState, PaymentLink},
        resources::ResourceMessage,
        skus::{Cause, HoldTarget, NO_CHANNEL, SkuMessage},
    },
    outputs::{self, Emission},
    resources::{
        delivered::Delivered,
        drifts::Drifts,
        notices::{self, Subject, Who},
    },
};

/// The order as it was told last, as far as differences matter.
pub(super) struct Before {
    known: bool,
    /// What the skus were told of, line by line.
    lines: Vec<Told>,
    pub(super) conditions: BTreeSet<Condition>,
    payments: Vec<String>,
    /// The number it bore.
    pub(super) order_number: Option<String>,
    deleted: bool,
    /// The message of the claim there was.
    pub(super) claim: Option<u64>,
}

impl Before {
    pub(super) fn of(order: &Order) -> Self {
        Self {
            known: order.known,
            lines: order.lines.iter().map(told_of).collect(),
            conditions: order.conditions.clone(),
            payments: order.payments.clone(),
            order_number: order.order_number.clone().filter(|_| !order.deleted),
            deleted: order.deleted,
            claim: order.claim.as_ref().map(|claim| claim.sequence),
        }
    }

    fn line(&self, index: usize) -> Option<Told> {
        self.lines.get(index).copied()
    }
}

type Told = [i64; 6];

fn told_of(line: &Line) -> Told {
    let Line { ordered, cancelled, shipped, returned, restocked, unusable, .. } = line;
    [*ordered, *cancelled, *shipped, *returned, *restocked, *unusable]
}

impl OrderRow {
    /// True: the order was deleted.
    pub(super) fn publish(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Delivered<'_>,
        before: &Before,
        outcomes: &[Outcome],
    ) -> Result<bool, Rejection> {
        let cause = message.head.cause();
        let (who, at) = (Who::of(message.key)?, message.head.created_at);
        self.publish_as(ctx, &Subject { who, cause: &cause, at }, before, outcomes)
    }

    pub(super) fn publish_as(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        before: &Before,
        outcomes: &[Outcome],
    ) -> Result<bool, Rejection> {
        self.end_conditions();
        for outcome in outcomes {
            match outcome {
                Outcome::Event(event) => records::event(ctx, self, subject, event)?,
                Outcome::Verdict(verdict) => {
                    let verdict = self.claim_now(before, verdict, subject);
                    records::verdict(ctx, self, subject, &verdict, None)?;
                }
                Outcome::Raised(condition, detail) => {
                    self.raise(ctx, subject, condition, detail)?;
                }
                Outcome::ContractBroken(rule, detail) => {
                    contract_broken(ctx, subject, rule, detail)?;
                }
                Outcome::Held => {}
            }
        }
        self.clear_ended(ctx, subject, &before.conditions)?;
        self.target_changes(ctx, subject, before)?;
        self.watch(ctx, subject)?;
        self.show(ctx, subject)
    }

    pub(super) fn target_changes(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        before: &Before,
    ) -> Result<(), Rejection> {
        self.revision += 1;
        for (index, line) in self.order.lines.iter().enumerate() {
            let told = before.known.then(|| before.line(index)).flatten();
            if told != Some(told_of(line)) {
                self.target(ctx, subject, line)?;
            }
        }
        self.link_changes(ctx, subject, before)
    }

    /// Says anew what is to be held for every line.
    pub(super) fn target_all(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
    ) -> Result<(), Rejection> {
        self.revision += 1;
        self.order.lines.iter().try_for_each(|line| self.target(ctx, subject, line))
    }

    /// Says to payments what the order is to them now, and to its number's actor whether it bears
    /// it.
    pub(super) fn link_changes(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        before: &Before,
    ) -> Result<(), Rejection> {
        self.identify(ctx, subject, before)?;
        if before.payments == self.order.payments && before.deleted == self.order.deleted {
            return Ok(());
        }
        let told = links(&before.payments, before.deleted);
        let now = links(&self.order.payments, self.order.deleted);
        let gone = told.iter().filter(|(id, _)| !now.iter().any(|(other, _)| other == id));
        let gone = gone.map(|(id, _)| (id.clone(), LinkState::Unlinked));
        let new = now.iter().filter(|link| !told.contains(link)).cloned();
        for (payment_id, state) in gone.chain(new) {
            let link = PaymentLink {
                order_id: subject.who.id.to_owned(),
                revision: self.revision,
                state,
                at: subject.at,
                cause: subject.cause.clone(),
            };
            let key = format!("{}:payment:{payment_id}", subject.who.project).into_bytes();
            let message = ResourceMessage::PaymentLink(link);
            ctx.send(crate::resources::NAME, key, &codec::encode(&message))?;
        }
        Ok(())
    }

    /// What is only about our knowledge of an order ends with it.
    pub(super) fn end_conditions(&mut self) {
        if self.order.deleted {
            self.order.conditions.retain(|condition| !condition.code.ends_with_the_order());
        }
    }

    /// Writes the view, or its end. True: the order was deleted.
    pub(super) fn show(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
    ) -> Result<bool, Rejection> {
        if self.order.deleted {
            self.bury(ctx, subject)?;
            return Ok(true);
        }
        self.write_view(ctx, subject)?;
        Ok(false)
    }

    pub(super) fn clear_ended(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        before: &BTreeSet<Condition>,
    ) -> Result<(), Rejection> {
        for condition in before.difference(&self.order.conditions) {
            let case = subject.who.case(condition.code.name(), &condition.discriminator);
            notices::clear(ctx, case, subject.at, subject.cause)?;
        }
        Ok(())
    }

    pub(super) fn raise(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        condition: &Condition,
        detail: &str,
    ) -> Result<(), Rejection> {
        let total = self.order.stated.total.as_ref();
        let at_risk = self.at_risk(condition.code).zip(total);
        let raise = Raise {
            key: subject.who.case(condition.code.name(), &condition.discriminator),
            flow: ctx.trace().flow.clone(),
            // Money that is still to come is less bad than money that will not.
            severity: (condition.code == Code::ShippedUnconfirmed).then_some(Severity::High),
            detail: detail.to_owned(),
            amount_at_risk: at_risk.map(|(cents, total)| (cents, total.currency_code.clone())),
            due_at: None,
            at: subject.at,
            cause: subject.cause.clone(),
        };
        exceptions::raise(ctx, &raise)
    }

    /// Says what is to be held for a line: absolute, with a revision.
    pub(super) fn target(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        line: &Line,
    ) -> Result<(), Rejection> {
        let Some(sku) = line.sku.as_ref().filter(|_| !self.order.holds_nothing) else {
            return Ok(());
        };
        let who = subject.who;
        let target = HoldTarget {
            project: who.project.to_owned(),
            order_id: who.id.to_owned(),
            order_number: self.order.order_number.clone(),
            line_id: line.line_id.clone(),
            sku: sku.clone(),
            location: location_of(line.location.as_ref()).to_owned(),
            revision: self.revision,
            ordered_at: self.order.stated.created_at.unwrap_or(subject.at),
            // An edit may leave less than is shipped.
            ordered: line.ordered.max(self.shipped(line)),
            cancelled: line.cancelled,
            shipped: self.shipped(line),
            returned: line.returned,
            restocked: line.restocked,
            unusable: line.unusable,
            mode: line.mode,
            as_of: subject.at,
            cause: subject.cause.clone(),
        };
        let key = format!("{}:{sku}", who.project).into_bytes();
        ctx.send("skus", key, &codec::encode(&SkuMessage::HoldTarget(target)))
    }

    /// Tells once when every unit of every line is held or gone, and again if that was lost since.
    pub(super) fn watch_allocation(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
    ) -> Result<(), Rejection> {
        let lines = &self.order.lines;
        let reserved = |line: &Line| {
            let of_line = self.allocations.iter().filter(|known| known.line_id == line.line_id);
            of_line.map(|known| known.reserved).sum::<i64>()
        };
        let held = |line: &Line| reserved(line) + line.shipped + line.cancelled;
        let lines = || lines.iter().filter(|line| line.sku.is_some());
        if lines().any(|line| held(line) < line.ordered) {
            self.allocated = false;
            return Ok(());
        }
        // An answer to an older target still counts as reserved what is shipped or cancelled.
        let settled = lines().all(|line| held(line) == line.ordered);
        let any = lines().any(|line| reserved(line) > 0);
        if self.allocated || !settled || !any {
            return Ok(());
        }
        self.allocated = true;
        let kind = EventKind::InventoryAllocated;
        let event = Event { kind, lines: Vec::new(), delivery_id: None };
        records::event(ctx, self, subject, &event)
    }

    pub(super) fn emit_view(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        cause: &Cause,
        at: Timestamp,
    ) -> Result<(), Rejection> {
        self.revision += 1;
        self.write_view(ctx, &Subject { who, cause, at })
    }

    /// Whatever is written here, the operator's view shows as well.
    pub(super) fn write_view(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
    ) -> Result<(), Rejection> {
        let Subject { who, cause, at } = *subject;
        let (key, sender) = (format!("{}:{}", who.project, who.id), who.actor());
        let emission = Emission {
            output: outputs::ORDER_VIEW,
            key: &key,
            effect: "OrderView",
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

    /// Of a deleted order only sequence, revision and the instant of its end stay.
    fn bury(&mut self, ctx: &mut Context<'_>, subject: &Subject<'_>) -> Result<(), Rejection> {
        self.order = Order { deleted: true, as_of: Some(subject.at), ..Order::default() };
        self.allocations = Vec::new();
        (self.words, self.drifts) = (BTreeMap::new(), Drifts::default());
        (self.payments, self.claimed) = (Vec::new(), None);
        self.watches.end(ctx, subject.who);
        self.ended = Some(Ended { until: subject.at, erased: false, dropped: 0 });
        self.write_view(ctx, subject)
    }
}

/// A message tells of what commercetools forbids: someone should know, nothing is held up.
fn contract_broken(
    ctx: &mut Context<'_>,
    subject: &Subject<'_>,
    rule: &str,
    detail: &str,
) -> Result<(), Rejection> {
    let flow = ctx.trace().flow.clone();
    let raise = Raise {
        key: subject.who.flow_case("CONTRACT_VIOLATION", &flow, rule),
        severity: Some(Severity::Info),
        flow,
        detail: format!("order {}: {detail}", subject.who.id),
        at: subject.at,
        cause: subject.cause.clone(),
        ..Raise::default()
    };
    exceptions::raise(ctx, &raise)
}

/// What an order is to its payments.
fn links(payments: &[String], deleted: bool) -> Vec<(String, LinkState)> {
    let state = if deleted { LinkState::OrderDeleted } else { LinkState::Linked };
    payments.iter().map(|payment_id| (payment_id.clone(), state)).collect()
}

pub(super) fn location_of(channel: Option<&String>) -> &str {
    channel.map_or(NO_CHANNEL, String::as_str)
}

pub(super) fn channel_of(location: &str) -> Option<String> {
    (location != NO_CHANNEL).then(|| location.to_owned())
}
