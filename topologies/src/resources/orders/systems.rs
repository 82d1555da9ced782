//! What other systems say of an order, beside what commercetools says: ORDER_STATE_DESYNC and
//! ORDER_REJECTED.

use aplomb_state::{codec, context::Context, ids::Timestamp, rejection::Rejection};
use serde::{Deserialize, Serialize};

use super::{
    ORDERS, OrderRow, drifts,
    outcomes::{Code, Condition},
    publish::{Before, Subject},
    transitions::{Dimension, State},
};
use crate::{
    drifts::{Drift, Entity, Side, SideTrace, SideValue, Source},
    exceptions,
    messages::{
        orders::{Identify, Says, SystemOrder},
        resources::ResourceMessage,
    },
    outputs::{self, Emission},
    resources::{NAME, identifiers, notices::Who},
    settings::{Rules, Settings, StatusRule},
    time::Iso,
};

const COMMERCETOOLS: &str = "commercetools";
pub(super) const FIELD: &str = "status";

/// A system's last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    status: Option<String>,
    /// It refused the order, and why.
    rejected: Option<String>,
    as_of: Timestamp,
    source: Source,
    /// Since when the drift is open, and since when it is seen.
    drift: Option<(Timestamp, Timestamp)>,
}

/// A system says something. An older word than its last says nothing.
pub fn told(ctx: &mut Context<'_>, key: &[u8], told: SystemOrder) -> Result<(), Rejection> {
    let mut row = ctx.get(&ORDERS, key)?.unwrap_or_default();
    if row.ended.is_some() {
        return Ok(());
    }
    let source = Source {
        system: told.system.clone(),
        flow: told.flow,
        trace: ctx.trace().clone(),
        cause: told.cause.clone(),
    };
    let known = row.words.get(&told.system);
    if known.is_some_and(|known| told.as_of < known.as_of || known.source.cause == told.cause) {
        return Ok(());
    }
    let (status, drift) = known.map_or((None, None), |known| (known.status.clone(), known.drift));
    let (status, rejected) = match told.says {
        Says::Status(status) => (Some(status), None),
        Says::Accepted => (status, None),
        Says::Rejected(reason) => (status, Some(reason)),
    };
    let word = Word { status, rejected, as_of: told.as_of, source, drift };
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

    /// The system's status, since when the drift is open, and since when it is seen.
    pub(super) fn open_drift(&self, system: &str) -> Option<(&str, Timestamp, Timestamp)> {
        let word = self.words.get(system)?;
        let (opened_at, first_seen) = word.drift?;
        Some((word.status.as_deref().unwrap_or_default(), opened_at, first_seen))
    }

    /// A drift has opened, or ended.
    pub(super) fn tell_desync(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        condition: &Condition,
        rules: &Rules,
    ) -> Result<(), Rejection> {
        if condition.code != Code::StateDesync {
            return Ok(());
        }
        let own_states = self.own_states();
        let Some(word) = self.words.get_mut(&condition.discriminator) else { return Ok(()) };
        let now_open = word.drift.is_none();
        let (opened_at, first_seen) =
            word.drift.take().unwrap_or((subject.at, subject.at.minus_ms(rules.orders.desync_ms)));
        if now_open {
            word.drift = Some((opened_at, first_seen));
        }
        // commercetools' side: the record at hand stands for it.
        let own = Source::at_hand(ctx, COMMERCETOOLS, subject.cause);
        let sides = [
            (&own, own_states.as_str(), self.order.as_of.unwrap_or(subject.at)),
            (&word.source, word.status.as_deref().unwrap_or_default(), word.as_of),
        ];
        let key = subject.who.case(condition.code.name(), &condition.discriminator);
        let id = exceptions::case_id(&key);
        let event = if now_open { "DriftOpened" } else { "DriftResolved" };
        let record = Drift {
            event,
            drift_id: &id,
            project_key: subject.who.project,
            kind: condition.code.name(),
            code: condition.code.name(),
            status: if now_open { "open" } else { "resolved" },
            entity: Entity { kind: "order", id: subject.who.id },
            location: None,
            field: FIELD,
            sides: sides.map(|(source, value, as_of)| Side {
                system: &source.system,
                value: SideValue::Text(value),
                as_of: Iso(as_of),
                trace: SideTrace::of(source),
            }),
            tolerance: 0,
            flaps: 0,
            first_seen: Iso(first_seen),
            opened_at: Iso(opened_at),
            resolved_at: (!now_open).then_some(Iso(subject.at)),
        };
        let sender = subject.who.actor();
        let emission = |output| Emission {
            output,
            key: &id,
            effect: event,
            sender: &sender,
            revision: self.revision,
            cause: subject.cause,
            subject: subject.who.id,
            at: subject.at,
        };
        let row = drifts::key(sender.as_bytes(), &condition.discriminator);
        let noted = now_open.then_some(drifts::Open);
        drifts::note(ctx, &row, noted)?;
        outputs::emit(ctx, &emission(outputs::DRIFT_EVENTS), &record)?;
        let open = emission(outputs::DRIFT_OPEN);
        if now_open { outputs::emit(ctx, &open, &record) } else { outputs::tombstone(ctx, &open) }
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
