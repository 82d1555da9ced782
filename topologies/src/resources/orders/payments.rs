//! The payments of an order: what they answered, and the rules that need to know it.
//!
//! Orders and payments are told of side by side, so a rule counts only once it has been broken
//! for its grace; what holds is looked at anew after every change of either side.

use std::collections::BTreeMap;

use aplomb_state::{context::Context, ids::Timestamp, rejection::Rejection};
use serde::{Deserialize, Serialize};

use super::{
    ORDERS, OrderRow,
    outcomes::{Code, Condition, Judgement, Verdict},
    records,
    returns::{ReturnItem, ReturnPayment},
    rules::level_of,
    transitions::{Dimension, State},
};
use crate::{
    drifts,
    messages::{
        payments::{PaymentState, Statement},
        skus::Cause,
    },
    outputs::Money,
    resources::{
        drifts::{Comparing, Value},
        notices::{self, Subject, Who},
    },
    settings::{Level, Levels, Rules, Settings},
};

/// A payment's last answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    payment_id: String,
    /// The payment's counter.
    revision: u64,
    /// Absent: the payment was deleted.
    statement: Option<Statement>,
    /// When commercetools generated what it followed from.
    as_of: Timestamp,
}

/// What is known of all payments of an order together, in its currency and minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    /// Payments that answered.
    known: usize,
    /// Every payment answered.
    whole: bool,
    captured: i64,
    refunded: i64,
    kept: i64,
    /// Authorised and not captured, or pending.
    awaited: i64,
    /// Absent: a payment that may still come to something states no plan.
    planned: Option<i64>,
}

/// A payment answers. Only an answer above the last one counts.
pub fn payment_state(
    ctx: &mut Context<'_>,
    key: &[u8],
    state: &PaymentState,
) -> Result<(), Rejection> {
    let Some(mut row) = ctx.get(&ORDERS, key)? else { return Ok(()) };
    if row.ended.is_some() {
        return Ok(());
    }
    let account = Account {
        payment_id: state.payment_id.clone(),
        revision: state.revision,
        statement: state.statement.clone(),
        as_of: state.at,
    };
    let refunded = |account: &Account| {
        account.statement.as_ref().map_or(0, |statement| statement.totals.refunded)
    };
    let (now, mut before) = (refunded(&account), 0);
    match row.payments.binary_search_by(|known| known.payment_id.cmp(&state.payment_id)) {
        Ok(index) => {
            let Some(known) = row.payments.get_mut(index) else { return Ok(()) };
            if state.revision <= known.revision {
                return Ok(());
            }
            before = refunded(known);
            *known = account;
        }
        Err(index) => row.payments.insert(index, account),
    }
    let who = Who::of(key)?;
    let subject = Subject { who, cause: &state.cause, at: state.at };
    if let Some(statement) = state.statement.as_ref().filter(|_| now > before) {
        let amount = statement.totals.money(now - before);
        records::refund(ctx, &row, &subject, (&state.payment_id, state.revision), &amount)?;
    }
    row.judged_by(ctx);
    row.revision += 1;
    row.watch(ctx, &subject)?;
    row.write_view(ctx, &subject)?;
    ctx.put(&ORDERS, key, &row)
}

impl OrderRow {
    pub(super) fn statement(&self, payment_id: &str) -> Option<&Statement> {
        let account = self.payments.iter().find(|account| account.payment_id == payment_id)?;
        account.statement.as_ref()
    }

    /// Answers of the payments that are linked.
    pub(super) fn statements(&self) -> impl Iterator<Item = (&str, &Statement)> {
        let linked = self.order.payments.iter();
        linked.filter_map(|id| Some((id.as_str(), self.statement(id)?)))
    }

    fn sums(&self) -> Sums {
        let total = self.order.due();
        let currency = total.map(|total| total.currency_code.as_str());
        let mut sums = Sums { planned: Some(0), ..Sums::default() };
        for (_, statement) in self.statements() {
            let totals = &statement.totals;
            sums.known += 1;
            if statement.failed || currency.is_some_and(|own| own != totals.currency_code) {
                continue;
            }
            sums.captured = sums.captured.saturating_add(totals.captured);
            sums.refunded = sums.refunded.saturating_add(totals.refunded);
            sums.kept = sums.kept.saturating_add(totals.kept());
            let authorised = totals.authorised.saturating_sub(totals.captured).max(0);
            let awaited = authorised.saturating_add(totals.pending);
            sums.awaited = sums.awaited.saturating_add(awaited);
            let planned = statement.planned.as_ref().map(|planned| planned.cent_amount);
            let both = sums.planned.zip(planned);
            sums.planned = both.map(|(sum, planned)| sum.saturating_add(planned));
        }
        sums.whole = sums.known > 0 && sums.known == self.order.payments.len();
        sums
    }

    /// Looks at what holds now: conditions open, end, or wait for their grace.
    pub(super) fn watch(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
    ) -> Result<(), Rejection> {
        let settings = ctx.settings::<Settings>()?;
        let rules = &settings.rules;
        let turned = self.watches.turn(&self.watched(&settings, subject.who), ctx.now());
        self.watches.set_timer(ctx, subject.who);
        for condition in &turned.ended {
            if !self.order.deleted || condition.code.ends_with_the_order() {
                let case = subject.who.case(condition.code.name(), &condition.discriminator);
                notices::clear(ctx, case, subject.at, subject.cause)?;
            }
        }
        self.follow_drifts(ctx, subject, &turned, rules.cool_down_ms)?;
        self.settle_claim(ctx, subject)?;
        let opened = turned.opened.iter().map(|(condition, _)| condition);
        let mut turns = opened.clone().chain(&turned.ended);
        if turns.any(|condition| condition.code == Code::NoDelivery) && !self.order.deleted {
            self.target_all(ctx, subject)?;
        }
        for condition in opened {
            let (dimension, rule, level) = rule_of(condition.code, &rules.levels);
            let judgement = level_of(level);
            let (from, to) = (None, None);
            let verdict = Verdict { dimension, from, to, judgement, rule };
            let is_judged = !dimension.is_empty() && condition.code != Code::Unproven;
            if judgement != Judgement::Legal && is_judged {
                records::verdict(ctx, self, subject, &verdict, None)?;
            }
            let detail = self
                .waiting_detail(condition)
                .or_else(|| self.desync_detail(condition))
                .unwrap_or_else(|| self.watched_detail(condition));
            let detail = drifts::flapping(detail, self.drifts.flaps(condition));
            self.raise(ctx, subject, condition, &detail)?;
        }
        Ok(())
    }

    /// The timer of the next grace has fired.
    pub(super) fn watch_over(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        deadline: Timestamp,
    ) -> Result<(), Rejection> {
        if !self.watches.timer_fired(deadline) || self.ended.is_some() {
            return Ok(());
        }
        let id = format!("t:due:{}:{deadline}", who.actor());
        let resource = Some(format!("{}:{}", who.type_id, who.id));
        let cause = Cause { id, resource, ..Cause::default() };
        let subject = Subject { who, cause: &cause, at: deadline };
        self.judged_by(ctx);
        self.revision += 1;
        self.watch(ctx, &subject)?;
        if self.is_there() { self.write_view(ctx, &subject) } else { Ok(()) }
    }

    /// Every condition that holds now, with its grace.
    fn watched(&self, settings: &Settings, who: Who<'_>) -> BTreeMap<Condition, i64> {
        let rules = &settings.rules;
        let mut holding = BTreeMap::new();
        if self.order.deleted {
            return holding;
        }
        let mut hold = |holds: bool, code: Code, about: &str, grace_ms: i64| {
            if holds && rule_of(code, &rules.levels).2 != Level::Off {
                holding.insert(Condition { code, discriminator: about.to_owned() }, grace_ms);
            }
        };
        self.waiting(rules, &mut hold);
        self.desynced(settings, &mut hold);
        self.unacknowledged(settings, who, &mut hold);
        self.unpaid(rules, &mut hold);
        holding
    }

    fn unpaid(&self, rules: &Rules, hold: &mut impl FnMut(bool, Code, &str, i64)) {
        let (sums, graces) = (self.sums(), &rules.payments);
        let total = self.order.due().map(|total| total.cent_amount);
        let state = |dimension| self.order.state(dimension);
        let payment = state(Dimension::Payment);
        hold(self.shipped_before_payment(rules), Code::ShippedUnconfirmed, "pending", {
            if self.methods_are_known(rules) { 0 } else { graces.grace_ms }
        });
        if let Some(claim) = self.order.claim.as_ref().filter(|claim| !self.is_borne_out(claim)) {
            hold(true, Code::Unproven, &claim.sequence.to_string(), graces.grace_ms);
        }
        let cancelled = state(Dimension::Order) == Some(State::Cancelled);
        let code = Code::CancelledNotRefunded;
        hold(cancelled && sums.kept > 0, code, "", graces.refund_after_cancel_ms);
        let waits = matches!(payment, None | Some(State::Pending | State::BalanceDue))
            && (payment == Some(State::Pending) || sums.awaited > 0)
            && total.is_some_and(|total| sums.kept < total);
        let delayed = waits && !cancelled && !self.pays_later(rules);
        hold(delayed, Code::PaymentDelayed, "", graces.delayed_ms);
        let Some(total) = total.filter(|_| sums.known > 0) else { return };
        let short = payment == Some(State::Paid) && sums.captured < total;
        hold(short, Code::PaidNotCaptured, "", graces.not_captured_ms);
        let settled = matches!(payment, Some(State::Paid | State::CreditOwed));
        let lags = !settled && sums.kept >= total && sums.kept > 0;
        hold(lags, Code::PaymentStateLag, "", graces.state_lag_ms);
        hold(sums.kept > total, Code::PaymentAmount, "captured", graces.grace_ms);
        let planned = sums.planned.filter(|_| sums.whole);
        let unplanned = planned.is_some_and(|planned| planned != 0 && planned != total);
        hold(unplanned, Code::PaymentAmount, "amountPlanned", graces.grace_ms);
        let code = Code::RefundMismatch;
        hold(self.is_refund_odd(&sums, total, rules), code, "", graces.grace_ms);
        let said = self.order.returns.iter().any(|item| item.payment == ReturnPayment::Refunded);
        let code = Code::ReturnRefundMissing;
        hold(said && sums.refunded == 0, code, "", graces.return_refund_ms);
        let currency = self.order.due().map(|total| &total.currency_code);
        for (payment_id, statement) in self.statements() {
            let told = Some(&statement.totals.currency_code).filter(|code| !code.is_empty());
            let differs = told.is_some() && told != currency;
            hold(differs, Code::CurrencyMismatch, payment_id, 0);
        }
    }

    /// X13: a part was refunded that is not what came back, nor what was captured too much; or the
    /// order waits for money again. A cancelled order has X6.
    fn is_refund_odd(&self, sums: &Sums, total: i64, rules: &Rules) -> bool {
        let state = |dimension| self.order.state(dimension);
        let partial = sums.refunded > 0 && sums.refunded < sums.captured;
        if !partial || state(Dimension::Order) == Some(State::Cancelled) {
            return false;
        }
        let refundable = |item: &&ReturnItem| {
            matches!(item.payment, ReturnPayment::Initial | ReturnPayment::Refunded)
        };
        let items = || self.order.returns.iter().filter(refundable);
        let returned = items().filter_map(|item| {
            let line = self.order.lines.iter().find(|line| line.line_id == item.line_id)?;
            let price = i128::from(line.price.unwrap_or_default());
            Some(price * i128::from(item.quantity) / i128::from(line.ordered.max(1)))
        });
        let beyond = i128::from(sums.captured.saturating_sub(total).max(0));
        let expected = returned.sum::<i128>() + beyond;
        let tolerance =
            i128::from(rules.payments.refund_tolerance) * items().count().max(1) as i128;
        let waits = matches!(
            state(Dimension::Payment),
            Some(State::Pending | State::BalanceDue | State::Failed)
        );
        waits || (i128::from(sums.refunded) - expected).abs() > tolerance
    }

    /// X2: goods leave before their payment, and nobody agreed to that. States that came with the
    /// creation are accepted as given.
    fn shipped_before_payment(&self, rules: &Rules) -> bool {
        let shipment = self.order.state(Dimension::Shipment);
        let payment = self.order.state(Dimension::Payment);
        let [_, payment_changed, shipment_changed] = self.order.changed;
        matches!(shipment, Some(State::Shipped | State::Partial | State::Delivered))
            && matches!(payment, Some(State::Pending | State::BalanceDue))
            && (payment_changed || shipment_changed)
            && !self.pays_later(rules)
    }

    /// Nobody expects the money before the goods are there.
    fn pays_later(&self, rules: &Rules) -> bool {
        let mut methods =
            self.statements().filter_map(|(_, statement)| statement.method.as_deref());
        methods.any(|method| rules.payments.pay_later.contains(method))
    }

    /// Whether every payment has said how it pays, where that matters.
    fn methods_are_known(&self, rules: &Rules) -> bool {
        rules.payments.pay_later.is_empty()
            || self.statements().count() == self.order.payments.len()
    }

    fn watched_detail(&self, condition: &Condition) -> String {
        let sums = self.sums();
        let total = self.order.due();
        let currency = total.map(|total| total.currency_code.as_str()).unwrap_or_default();
        let total = total.map(|total| total.cent_amount).unwrap_or_default();
        let Sums { captured, kept, .. } = sums;
        match condition.code {
            Code::ShippedUnconfirmed => "goods are shipped, the payment is not there".to_owned(),
            Code::CancelledNotRefunded => {
                format!("the order is cancelled, {kept} {currency} are not refunded")
            }
            Code::PaidNotCaptured => {
                format!("the order is paid, {captured} of {total} {currency} are captured")
            }
            Code::PaymentStateLag => {
                format!("{kept} of {total} {currency} are captured, the order is not paid")
            }
            Code::PaymentDelayed => {
                let awaited = sums.awaited;
                format!("{kept} of {total} {currency} are captured, {awaited} are on their way")
            }
            Code::Unproven => {
                let (from, to) = self
                    .order
                    .claim
                    .as_ref()
                    .map_or(("", ""), |claim| (claim.from.name(), claim.to.name()));
                format!("paymentState went from {from} to {to}, no payment bears that out")
            }
            Code::RefundMismatch => {
                let refunded = sums.refunded;
                format!("{refunded} of {captured} {currency} are refunded, other goods came back")
            }
            Code::ReturnRefundMissing => {
                "a return is said to be refunded, no payment gave money back".to_owned()
            }
            Code::PaymentAmount if condition.discriminator == "captured" => {
                format!("{kept} captured and kept, the order's total is {total} {currency}")
            }
            Code::PaymentAmount => {
                let planned = sums.planned.unwrap_or_default();
                format!("{planned} planned, the order's total is {total} {currency}")
            }
            _ => {
                let payment_id = &condition.discriminator;
                format!("payment {payment_id} is not in the order's currency {currency}")
            }
        }
    }

    /// What is at stake, in the order's minor units.
    pub(super) fn at_risk(&self, code: Code) -> Option<i64> {
        let sums = self.sums();
        let total = self.order.due()?.cent_amount;
        let amount = match code {
            Code::ShippedUnpaid
            | Code::ShippedUnconfirmed
            | Code::CancelledAfterShip
            | Code::CompleteUnpaid => total,
            Code::CancelledNotRefunded => sums.kept,
            Code::PaidNotCaptured => total.saturating_sub(sums.captured),
            Code::PaymentDelayed => total.saturating_sub(sums.kept),
            Code::RefundMismatch => sums.refunded,
            _ => return None,
        };
        Some(amount)
    }

    /// Of a condition that compares the order with its payments: what is compared, the order's
    /// side, and theirs.
    pub(super) fn payment_sides(
        &self,
        condition: &Condition,
    ) -> Option<(&'static str, [Value; 2])> {
        let (sums, due) = (self.sums(), self.order.due());
        let money = |cent_amount| {
            let amount = due.map(|due| Money { cent_amount, ..due.clone() });
            amount.map_or(Value::text("absent"), Value::Money)
        };
        let total = || money(due.map_or(0, |due| due.cent_amount));
        let state =
            || Value::text(self.order.state(Dimension::Payment).map_or("absent", State::name));
        Some(match condition.code {
            Code::PaymentAmount if condition.discriminator == "captured" => {
                ("captured", [total(), money(sums.kept)])
            }
            Code::PaymentAmount => {
                ("amountPlanned", [total(), money(sums.planned.unwrap_or_default())])
            }
            Code::PaymentStateLag => ("paymentState", [state(), money(sums.kept)]),
            Code::PaymentDelayed => ("paymentState", [state(), money(sums.awaited)]),
            _ => return None,
        })
    }

    /// When the payments said last what they come to.
    pub(super) fn paid_as_of(&self, subject: &Subject<'_>) -> Timestamp {
        let linked = self.payments.iter();
        let linked = linked.filter(|account| self.order.payments.contains(&account.payment_id));
        linked.map(|account| account.as_of).max().unwrap_or(subject.at)
    }
}

/// What the verdict is about, the rule, and its level.
fn rule_of(code: Code, levels: &Levels) -> (&'static str, &'static str, Level) {
    match code {
        Code::ShippedUnconfirmed => ("payments", "X2", levels.x2),
        Code::CancelledNotRefunded => ("payments", "X6", levels.x6),
        Code::PaidNotCaptured => ("payments", "X10", levels.x10),
        Code::PaymentStateLag => ("payments", "X11", levels.x11),
        Code::ReturnRefundMissing => ("payments", "X14", levels.x14),
        Code::RefundMismatch => ("payments", "X13", levels.x13),
        Code::CurrencyMismatch => ("payments", "X16", levels.x16),
        Code::Unproven => ("payments", "transition", Level::Error),
        Code::PaymentAmount => ("payments", "PAYMENT_AMOUNT", levels.payment_amount),
        Code::PaymentDelayed => ("payments", "PAYMENT_DELAYED", levels.payment_delayed),
        Code::ShipQuantity => ("delivery", "X7", levels.x7),
        Code::NoDelivery => ("delivery", "X9", levels.x9),
        Code::Stuck => ("stuck", "X17", levels.x17),
        Code::StatusIncompatible => ("status", "X18", levels.x18),
        Code::NumberMissing => ("identifiers", "X19", levels.x19),
        // Drifts and answers: not verdicts on the order.
        Code::StateDesync | Code::Rejected | Code::UnknownHere | Code::MissingThere => {
            ("", "", Level::Error)
        }
        _ => ("", "", Level::Off),
    }
}
