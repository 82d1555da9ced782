//! What other systems say of an order, beside what commercetools says: ORDER_STATE_DESYNC and
//! ORDER_REJECTED.

use aplomb_state::{codec, context::Context, ids::Timestamp, rejection::Rejection};
use serde::{Deserialize, Serialize};

use super::{
    ORDERS, OrderRow,
    outcomes::{Code, Condition},
    publish::Before,
    transitions::{Dimension, State},
};
use crate::{
    drifts::Source,
    messages::{
        orders::{Identify, Says, SystemOrder},
        resources::ResourceMessage,
    },
    resources::{
        NAME,
        drifts::{Shown, Value},
        identifiers,
        notices::{Subject, Who},
    },
    settings::{Settings, StatusRule},
};

/// A system's last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    status: Option<String>,
    /// It refused the order, and why.
    rejected: Option<String>,
    as_of: Timestamp,
    source: Source,
}

impl Word {
    pub(super) fn shown(&self) -> Shown {
        let answer = if self.rejected.is_some() { "rejected" } else { "acknowledged" };
        let value = Value::text(self.status.as_deref().unwrap_or(answer));
        Shown { value, as_of: self.as_of, source: self.source.clone() }
    }
}

/// A system says something. An older word than its last says nothing.
pub fn told(ctx: &mut Context<'_>, key: &[u8], told: SystemOrder) -> Result<(), Rejection> {
    let mut row = ctx.get(&ORDERS, key)?.unwrap_or_default();
    if row.ended.is_some() {
        return Ok(());
    }
    let at_hand = Source::at_hand(ctx, &told.system, &told.cause);
    let source = Source { flow: told.flow, ..at_hand };
    let known = row.words.get(&told.system);
    if known.is_some_and(|known| told.as_of < known.as_of || known.source.cause == told.cause) {
        return Ok(());
    }
    let status = known.and_then(|known| known.status.clone());
    let (status, rejected) = match told.says {
        Says::Status(status) => (Some(status), None),
        Says::Accepted => (status, None),
        Says::Rejected(reason) => (status, Some(reason)),
    };
    let word = Word { status, rejected, as_of: told.as_of, source };
    row.words.insert(told.system, word);
    let who = Who::of(key)?;
    let subject = Subject { who, cause: &told.cause, at: told.as_of };
    row.judged_by(ctx);
    row.revision += 1;
    row.watch(ctx, &subject)?;
    if row.is_there() {
        row.write_view(ctx, &subject)?;
    }
    ctx.put(&ORDERS, key, &row)
}

impl OrderRow {
    /// What holds now, each with its grace.
    pub(super) fn desynced(
        &self,
        settings: &Settings,
        hold: &mut impl FnMut(bool, Code, &str, i64),
    ) {
        let graces = &settings.rules.orders;
        for (system, word) in &self.words {
            hold(!self.is_there(), Code::UnknownHere, system, graces.unknown_ms);
            hold(word.rejected.is_some(), Code::Rejected, system, 0);
            let rule = settings
                .flow(&word.source.flow)
                .and_then(|flow| flow.statuses.get(word.status.as_deref()?));
            let differs = self.order.known && rule.is_some_and(|rule| !self.goes_with(rule));
            hold(differs, Code::StateDesync, system, graces.desync_ms);
        }
    }

    /// What systems that take part in every order have not heard of, each with its grace. Of an
    /// order whose beginning was never told here they may have said all long ago.
    pub(super) fn unacknowledged(
        &self,
        settings: &Settings,
        who: Who<'_>,
        hold: &mut impl FnMut(bool, Code, &str, i64),
    ) {
        let cancelled = self.order.state(Dimension::Order) == Some(State::Cancelled);
        let flows = settings.flows.iter().filter(|flow| flow.must_acknowledge);
        for flow in flows {
            let ours = flow.project_key.as_deref().is_none_or(|project| project == who.project);
            let awaited = ours && self.order.known && !self.sequence.is_partial() && !cancelled;
            let missing = awaited && !self.words.contains_key(&flow.system);
            let grace_ms = settings.rules.orders.ack_within_ms;
            hold(missing, Code::MissingThere, &flow.system, grace_ms);
        }
    }

    /// commercetools told of it.
    pub(super) fn is_there(&self) -> bool {
        self.order.known || self.sequence.last() > 0
    }

    fn goes_with(&self, rule: &StatusRule) -> bool {
        let fits = |dimension, allowed: &Option<std::collections::BTreeSet<String>>| {
            let state = self.order.state(dimension).map_or("", State::name);
            allowed.as_ref().is_none_or(|allowed| allowed.contains(state))
        };
        fits(Dimension::Order, &rule.order_states)
            && fits(Dimension::Shipment, &rule.shipment_states)
    }

    pub(super) fn desync_detail(&self, condition: &Condition) -> Option<String> {
        let system = &condition.discriminator;
        if condition.code == Code::MissingThere {
            return Some(format!("{system} has not acknowledged the order"));
        }
        let word = self.words.get(system)?;
        match condition.code {
            Code::UnknownHere => {
                Some(format!("{system} has an order that commercetools does not have"))
            }
            Code::Rejected => Some(format!("{system} refused it: {}", word.rejected.as_deref()?)),
            Code::StateDesync => Some(format!(
                "{system} says {}, commercetools says {}",
                word.status.as_deref()?,
                self.own_states()
            )),
            _ => None,
        }
    }

    pub(super) fn own_states(&self) -> String {
        let state = |dimension| self.order.state(dimension).map_or("absent", State::name);
        format!("{}/{}", state(Dimension::Order), state(Dimension::Shipment))
    }

    /// Says to the actors of order numbers which one the order bears now.
    pub(super) fn identify(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        before: &Before,
    ) -> Result<(), Rejection> {
        let now = self.order.order_number.as_ref().filter(|_| !self.order.deleted);
        if now == before.order_number.as_ref() {
            return Ok(());
        }
        let settings = ctx.settings::<Settings>()?;
        let numbers = [(before.order_number.as_ref(), false), (now, true)];
        for (number, bears) in numbers {
            let Some(number) = number else { continue };
            let number = settings.rules.orders.canonical(number);
            let (project, kind) = (subject.who.project, identifiers::TYPE_ID);
            let actor = format!("{project}:{kind}:orderNumber:{number}");
            let identify = Identify {
                order_id: subject.who.id.to_owned(),
                revision: self.revision,
                bears,
                at: subject.at,
                cause: subject.cause.clone(),
            };
            let body = codec::encode(&ResourceMessage::Identify(identify));
            ctx.send(NAME, actor.into_bytes(), &body)?;
        }
        Ok(())
    }
}
