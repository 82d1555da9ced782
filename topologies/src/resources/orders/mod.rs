//! Orders: the actor around the fold. It turns outcomes into records, targets and cases.

mod claims;
mod compared;
mod edits;
mod facts;
mod fold;
mod machine;
mod outcomes;
mod payloads;
mod payments;
mod publish;
mod records;
mod refold;
mod returns;
mod rules;
mod systems;
mod transitions;
mod view;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use aplomb_state::{
    codec::{self, Format},
    context::Context,
    ids::Timestamp,
    rejection::Rejection,
    store::KeyValue,
    topology::{StateView, View},
};
use serde::{Deserialize, Serialize};

use self::{
    claims::Claimed,
    facts::Fact,
    fold::Order,
    outcomes::{Code, Condition, Outcome},
    payments::Account,
    systems::Word,
};
use super::{
    actor::{self, AfterEnd, Ended, Late, Resource},
    delivered::{Bytes, Delivered},
    drifts::Drifts,
    notices::{Subject, Who},
    sequencer::Sequence,
    watches::Watches,
};
use crate::{
    exceptions,
    messages::skus::{Cause, HoldState},
    settings::Settings,
};

pub use payments::payment_state;
pub use systems::told;

pub const ORDERS: KeyValue<[u8], OrderRow> = KeyValue::new("orders");

/// One row per order: what its messages say, and what its skus answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    sequence: Sequence,
    /// Rises with every publication, and outlives deletion.
    revision: u64,
    order: Order,
    allocations: Vec<Allocation>,
    /// Every unit was held, or gone, at the last answer.
    allocated: bool,
    /// What payments answered last, by payment id.
    payments: Vec<Account>,
    watches: Watches<Condition>,
    /// What other systems said last, by system.
    words: BTreeMap<String, Word>,
    drifts: Drifts<Condition>,
    claimed: Option<Claimed>,
    ended: Option<Ended>,
    /// Of the configuration by which the order was last judged.
    rule_hash: String,
}

impl Format for OrderRow {
    const VERSION: u8 = 3;
}

/// A sku's last answer for a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Allocation {
    line_id: String,
    /// Absent: without a channel.
    location: Option<String>,
    /// The sku actor's counter.
    revision: u64,
    reserved: i64,
    backordered: i64,
}

impl OrderRow {
    /// The actor's own open conditions, whatever a person did to their cases.
    fn open_codes(&self) -> BTreeSet<&'static str> {
        let mut codes: BTreeSet<_> =
            self.conditions().map(|condition| condition.code.name()).collect();
        if self.sequence.has_gap() {
            codes.insert("SEQUENCE_GAP");
        }
        codes
    }

    /// Those of its messages, and those that have held for long enough.
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.order.conditions.iter().chain(self.watches.open())
    }

    fn judged_by(&mut self, ctx: &Context<'_>) {
        let hash = ctx.configuration().map(|configuration| configuration.hash.as_str());
        let hash = hash.unwrap_or_default();
        if self.rule_hash != hash {
            hash.clone_into(&mut self.rule_hash);
        }
    }
}

impl Resource for OrderRow {
    const STORE: KeyValue<[u8], Self> = ORDERS;
    const BYTES: Bytes = Bytes::Whole;
    /// The skus count every order that ever took stock, also one that its deletion overtook.
    const AFTER_END: AfterEnd = AfterEnd::Told;

    fn sequence(&mut self) -> &mut Sequence {
        &mut self.sequence
    }

    fn ended(&mut self) -> &mut Option<Ended> {
        &mut self.ended
    }

    fn apply(&mut self, ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<bool, Rejection> {
        let fact = fact_of(message)?;
        let before = publish::Before::of(&self.order);
        let settings = ctx.settings::<Settings>()?;
        let outcomes = self.order.apply(&message.head, &fact, &settings.rules);
        self.judged_by(ctx);
        if outcomes.contains(&Outcome::Held) {
            self.sequence.hold();
        }
        if matches!(fact, Fact::Missing { .. }) {
            actor::payload_missing(ctx, message)?;
        }
        self.publish(ctx, message, &before, &outcomes)
    }

    fn skip(&mut self, ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<(), Rejection> {
        self.order.skip();
        self.judged_by(ctx);
        let cause = message.head.cause();
        self.emit_view(ctx, Who::of(message.key)?, &cause, message.head.created_at)
    }

    fn refold(
        &mut self,
        ctx: &mut Context<'_>,
        base: Self,
        log: &[Delivered<'_>],
        late: &Delivered<'_>,
    ) -> Result<bool, Rejection> {
        self.refold_order(ctx, base.order, log, late)
    }

    fn too_late(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Delivered<'_>,
    ) -> Result<(), Rejection> {
        let before = publish::Before::of(&self.order);
        let condition = Condition { code: Code::ViewDiverged, discriminator: "history".to_owned() };
        let detail = format!("message {} came too late to be applied", message.head.sequence);
        self.order.conditions.insert(condition.clone());
        let outcomes = [Outcome::Raised(condition, detail)];
        self.publish(ctx, message, &before, &outcomes).map(|_| ())
    }

    fn tell_late(
        &mut self,
        ctx: &mut Context<'_>,
        base: Self,
        log: &[Delivered<'_>],
        late: &Late<'_>,
    ) -> Result<bool, Rejection> {
        self.target_late(ctx, base.order, log, late)
    }

    fn due(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        deadline: Timestamp,
    ) -> Result<(), Rejection> {
        self.watch_over(ctx, who, deadline)
    }

    fn delete(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        at: Timestamp,
        cause: &Cause,
    ) -> Result<(), Rejection> {
        let before = publish::Before::of(&self.order);
        self.order.delete();
        self.publish_as(ctx, &Subject { who, cause, at }, &before, &[]).map(|_| ())
    }
}

fn fact_of(message: &Delivered<'_>) -> Result<Fact, Rejection> {
    let head = &message.head;
    if head.payload_missing.is_some() {
        return Ok(Fact::Missing { creates: facts::creates(&head.message_type) });
    }
    facts::read(&head.message_type, message.payload()?)
}

/// A sku answers. Only an answer above the last one counts, so that doubled and late ones are
/// harmless.
pub fn hold_state(ctx: &mut Context<'_>, key: &[u8], hold: &HoldState) -> Result<(), Rejection> {
    let Some(mut row) = ctx.get(&ORDERS, key)? else { return Ok(()) };
    if row.ended.is_some() {
        return Ok(());
    }
    let mut known = row.allocations.iter_mut();
    let known = known.find(|allocation| {
        allocation.line_id == hold.line_id
            && publish::location_of(allocation.location.as_ref()) == hold.location
    });
    let changed = match known {
        Some(known) if hold.revision <= known.revision => return Ok(()),
        Some(known) => {
            known.revision = hold.revision;
            let was = (known.reserved, known.backordered);
            (known.reserved, known.backordered) = (hold.reserved, hold.backordered);
            was != (hold.reserved, hold.backordered)
        }
        None => {
            row.allocations.push(Allocation {
                line_id: hold.line_id.clone(),
                location: publish::channel_of(&hold.location),
                revision: hold.revision,
                reserved: hold.reserved,
                backordered: hold.backordered,
            });
            // Skus answer in any order; the view must not show which was first.
            row.allocations
                .sort_by(|a, b| (&a.line_id, &a.location).cmp(&(&b.line_id, &b.location)));
            true
        }
    };
    if changed {
        let cause = Cause { id: exceptions::position_cause(ctx.trace()), ..Cause::default() };
        let at = row.order.as_of.unwrap_or(ctx.at());
        let who = Who::of(key)?;
        row.emit_view(ctx, who, &cause, at)?;
        row.watch_allocation(ctx, &Subject { who, cause: &cause, at })?;
    }
    ctx.put(&ORDERS, key, &row)
}

/// `/orders/{project}/{orderId}`, also with a colon between: the JSON last written to
/// `order.view.v1`.
pub fn orders_view() -> View {
    View { name: "orders", stage: super::NAME, key: view_key, render: render_view }
}

fn view_key(path: &str) -> Result<Vec<u8>, String> {
    let parts = path.split_once(['/', ':']);
    match parts {
        Some((project, order)) if !project.is_empty() && !order.is_empty() => {
            Ok(format!("{project}:order:{order}").into_bytes())
        }
        _ => Err("an order is named by project/orderId".to_owned()),
    }
}

fn render_view(state: &dyn StateView, key: &[u8]) -> Result<Option<String>, String> {
    let Some(bytes) = state.get(ORDERS.name, key)? else { return Ok(None) };
    let row: OrderRow = codec::decode(&bytes).map_err(|error| error.to_string())?;
    let who = Who::of(key).map_err(|rejection| rejection.detail)?;
    let json = view::render(&row, who.project, who.id);
    json.map(|json| String::from_utf8(json).map_err(|error| error.to_string())).transpose()
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    [view::schemas(), records::schemas()].concat()
}

#[cfg(test)]
mod tests;
