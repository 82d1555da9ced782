//! Verdicts: a change against its table and the cross-field rules X1, X3, X4, X5, X8.
//!
//! The change is already done when it is seen. A verdict is an event, never a veto.

use super::{
    facts::Delivery,
    fold::{Order, delivered},
    outcomes::{Code, Condition, Judgement, Outcome, Verdict},
    transitions::{Change, Dimension, Reopen, State, judge},
};
use crate::settings::{Level, Rules};

/// A cross-field rule that this message may have broken.
struct Crossed {
    rule: &'static str,
    code: Code,
    level: Level,
    discriminator: String,
    detail: String,
}

/// `None`: the same state again.
pub(super) fn judge_change(
    order: &mut Order,
    dimension: Dimension,
    from: Option<State>,
    to: State,
    rules: &Rules,
    outcomes: &mut Vec<Outcome>,
) -> Option<Judgement> {
    let reopen = if rules.allow_reopen { Reopen::Warned } else { Reopen::Forbidden };
    let change = judge(dimension, from, to, reopen);
    clear_ended(order);
    if change == Change::Same {
        return None;
    }
    let (mut judgement, mut rule) = match change {
        Change::Same | Change::Legal => (Judgement::Legal, "transition"),
        Change::Warned => (Judgement::LegalWithWarning, "transition"),
        Change::Illegal | Change::TerminalLeft => (Judgement::Violation, "transition"),
    };
    judge_table(order, dimension, (from, to), change, outcomes);
    for crossed in crossed_by_change(order, dimension, rules) {
        let level = level_of(crossed.level);
        if level > judgement {
            (judgement, rule) = (level, crossed.rule);
        }
        raise(order, crossed, outcomes);
    }
    if judgement != Judgement::Violation
        && let Some(legal) = order.legal.get_mut(dimension as usize)
    {
        *legal = Some(to);
    }
    let name = |state: State| state.name().into();
    let (dimension, from, to) = (dimension.name(), from.map(name), Some(name(to)));
    outcomes.push(Outcome::Verdict(Verdict { dimension, from, to, judgement, rule }));
    Some(judgement)
}

/// A transition's case is open until the dimension is left in a way the table knows.
fn judge_table(
    order: &mut Order,
    dimension: Dimension,
    (from, to): (Option<State>, State),
    change: Change,
    outcomes: &mut Vec<Outcome>,
) {
    let code = match change {
        Change::Illegal => Code::IllegalTransition,
        Change::TerminalLeft => Code::TerminalLeft,
        Change::Same | Change::Legal | Change::Warned => {
            for code in [Code::IllegalTransition, Code::TerminalLeft] {
                let discriminator = dimension.name().to_owned();
                order.conditions.remove(&Condition { code, discriminator });
            }
            return;
        }
    };
    let condition = Condition { code, discriminator: dimension.name().to_owned() };
    let from = from.map_or("absent", State::name);
    let detail = format!("{} went from {from} to {}", dimension.name(), to.name());
    order.conditions.insert(condition.clone());
    outcomes.push(Outcome::Raised(condition, detail));
}

pub(super) fn judge_delivery(
    order: &mut Order,
    delivery: &Delivery,
    rules: &Rules,
    outcomes: &mut Vec<Outcome>,
) {
    clear_ended(order);
    let mut worst: Option<(Judgement, &'static str)> = None;
    for crossed in crossed_by_delivery(order, delivery, rules) {
        let level = level_of(crossed.level);
        if worst.is_none_or(|(judgement, _)| level > judgement) {
            worst = Some((level, crossed.rule));
        }
        raise(order, crossed, outcomes);
    }
    if let Some((judgement, rule)) = worst {
        let dimension = "delivery";
        let (from, to) = (None, None);
        outcomes.push(Outcome::Verdict(Verdict { dimension, from, to, judgement, rule }));
    }
}

fn crossed_by_change(order: &Order, dimension: Dimension, rules: &Rules) -> Vec<Crossed> {
    let levels = &rules.levels;
    let mut crossed = Vec::new();
    if dimension != Dimension::Order && levels.x1 != Level::Off && shipped_unpaid(order) {
        crossed.push(Crossed {
            rule: "X1",
            code: Code::ShippedUnpaid,
            level: levels.x1,
            discriminator: String::new(),
            detail: "goods are shipped while the payment failed".to_owned(),
        });
    }
    if dimension == Dimension::Order {
        if levels.x3 != Level::Off && complete_not_shipped(order) {
            crossed.push(Crossed {
                rule: "X3",
                code: Code::CompleteNotShipped,
                level: levels.x3,
                discriminator: String::new(),
                detail: "the order is complete, its goods are not shipped".to_owned(),
            });
        }
        if levels.x4 != Level::Off && complete_unpaid(order) {
            crossed.push(Crossed {
                rule: "X4",
                code: Code::CompleteUnpaid,
                level: levels.x4,
                discriminator: String::new(),
                detail: "the order is complete, it is not paid".to_owned(),
            });
        }
        crossed.extend(cancelled_after_ship(order, rules));
    }
    crossed
}

fn crossed_by_delivery(order: &Order, delivery: &Delivery, rules: &Rules) -> Vec<Crossed> {
    let level = rules.levels.x8;
    let mut crossed = Vec::new();
    let touched = |line_id: &str| delivery.items.iter().any(|item| item.line_id == line_id);
    for line in order.lines.iter().filter(|line| touched(&line.line_id)) {
        let delivered = delivered(&order.deliveries, &line.line_id);
        if level != Level::Off && delivered > line.ordered {
            let (line_id, ordered) = (line.line_id.clone(), line.ordered);
            crossed.push(Crossed {
                rule: "X8",
                code: Code::Overdelivered,
                level,
                detail: format!("line {line_id}: {delivered} delivered of {ordered} ordered"),
                discriminator: line_id,
            });
        }
    }
    crossed.extend(cancelled_after_ship(order, rules));
    crossed
}

fn cancelled_after_ship(order: &Order, rules: &Rules) -> Option<Crossed> {
    let broken = rules.levels.x5 != Level::Off && shipped_and_cancelled(order);
    broken.then(|| Crossed {
        rule: "X5",
        code: Code::CancelledAfterShip,
        level: rules.levels.x5,
        discriminator: String::new(),
        detail: "the order is cancelled, some of its goods are shipped".to_owned(),
    })
}

fn raise(order: &mut Order, crossed: Crossed, outcomes: &mut Vec<Outcome>) {
    let condition = Condition { code: crossed.code, discriminator: crossed.discriminator };
    order.conditions.insert(condition.clone());
    outcomes.push(Outcome::Raised(condition, crossed.detail));
}

/// Whatever does not hold any more ends, whichever message ended it.
fn clear_ended(order: &mut Order) {
    if order.conditions.is_empty() {
        return;
    }
    let mut conditions = std::mem::take(&mut order.conditions);
    conditions.retain(|condition| match condition.code {
        Code::ShippedUnpaid => shipped_unpaid(order),
        Code::CompleteNotShipped => complete_not_shipped(order),
        Code::CompleteUnpaid => complete_unpaid(order),
        Code::CancelledAfterShip => shipped_and_cancelled(order),
        Code::Overdelivered => {
            let line = order.lines.iter().find(|line| line.line_id == condition.discriminator);
            line.is_some_and(|line| delivered(&order.deliveries, &line.line_id) > line.ordered)
        }
        Code::IllegalTransition
        | Code::TerminalLeft
        | Code::SkuMissing
        | Code::ViewDiverged
        | Code::PayloadMissing
        // Not of the fold: they need to know the payments.
        | Code::ShippedUnconfirmed
        | Code::CancelledNotRefunded
        | Code::PaidNotCaptured
        | Code::PaymentStateLag
        | Code::PaymentAmount
        | Code::PaymentDelayed
        | Code::CurrencyMismatch
        | Code::RefundMismatch
        | Code::ReturnRefundMissing
        | Code::Unproven
        // Ended where they are judged.
        | Code::ReturnExceedsDelivered
        | Code::LineUnknown
        | Code::LineStateSum
        | Code::EditBelowShipped
        // Not of the fold: they need time.
        | Code::ShipQuantity
        | Code::NoDelivery
        | Code::Stuck
        | Code::NumberMissing
        | Code::StatusIncompatible
        // Not of the fold: they need another system.
        | Code::StateDesync
        | Code::Rejected
        | Code::UnknownHere
        | Code::MissingThere => true,
    });
    order.conditions = conditions;
}

fn shipped_unpaid(order: &Order) -> bool {
    let shipment = order.state(Dimension::Shipment);
    matches!(shipment, Some(State::Shipped | State::Partial | State::Delivered))
        && order.state(Dimension::Payment) == Some(State::Failed)
}

fn complete_not_shipped(order: &Order) -> bool {
    let shipment = order.state(Dimension::Shipment);
    order.state(Dimension::Order) == Some(State::Complete)
        && !matches!(shipment, Some(State::Shipped | State::Delivered))
        && order.lines.iter().any(|line| line.physical)
}

/// An order without a payment state is not one that waits for money.
fn complete_unpaid(order: &Order) -> bool {
    let payment = order.state(Dimension::Payment);
    order.state(Dimension::Order) == Some(State::Complete)
        && !matches!(payment, None | Some(State::Paid | State::CreditOwed))
}

fn shipped_and_cancelled(order: &Order) -> bool {
    order.state(Dimension::Order) == Some(State::Cancelled)
        && order.lines.iter().any(|line| line.shipped > 0)
}

pub(super) fn level_of(level: Level) -> Judgement {
    match level {
        Level::Off => Judgement::Legal,
        Level::Warn => Judgement::LegalWithWarning,
        Level::Error => Judgement::Violation,
    }
}
