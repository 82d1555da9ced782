//! Whose an order number is. Orders register the number they bear; what another system says of a
//! number waits here until an order bears it, and goes on to that order.

use std::collections::BTreeMap;

use aplomb_state::{
    codec::{self, Format},
    context::Context,
    ids::Timestamp,
    record::Timer,
    rejection::Rejection,
    store::KeyValue,
};
use serde::{Deserialize, Serialize};

use super::{
    NAME,
    notices::{self, Who},
    watches::Watches,
};
use crate::{
    drifts::COMMERCETOOLS,
    exceptions,
    messages::{
        cases::{CaseKey, Raise},
        orders::{Identify, SystemOrder},
        resources::ResourceMessage,
        skus::Cause,
    },
    outputs::{self, Emission},
    settings::Settings,
    time::Iso,
};

/// Of the actor: `project:ident:idType:canonical`.
pub const TYPE_ID: &str = "ident";

pub const IDENTIFIERS: KeyValue<[u8], Identifier> = KeyValue::new("identifiers");

/// One canonical id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifier {
    /// Orders that bear it or did, by their id.
    orders: BTreeMap<String, Bearer>,
    /// What each system said last, as long as no order bears the number.
    waiting: BTreeMap<String, SystemOrder>,
    /// How each system writes it, the last at the end.
    systems: BTreeMap<String, Vec<Native>>,
    watches: Watches<Trouble>,
    revision: u64,
}

impl Format for Identifier {
    const VERSION: u8 = 2;
}

/// A system that writes an id in ever new ways is not remembered for all of them.
const NATIVES_MAX: usize = 8;

/// An id as a system writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Native {
    id: String,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bearer {
    /// The order's counter.
    revision: u64,
    bears: bool,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Trouble {
    /// A system names it, and no order does.
    Unknown(String),
    /// Two orders bear it.
    Duplicate,
}

/// Who uses an id, in commercetools and in other systems.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    /// Key of the commercetools project.
    project_key: &'a str,
    /// Kind of the id: `orderNumber`.
    id_type: &'a str,
    /// The id as all systems would write it: trimmed, case and leading zeros as the rules say.
    canonical: &'a str,
    /// Orders that bear it now, then how other systems write it.
    ids: Vec<IdShape<'a>>,
}

/// One user of the id.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct IdShape<'a> {
    /// `commercetools`, or the system's name in its records.
    system: &'a str,
    /// Id of the order in commercetools; of another system the id as it writes it.
    id: &'a str,
    /// First time it was told, ISO 8601 UTC.
    first_seen: Iso,
    /// Last time it was told, ISO 8601 UTC.
    last_seen: Iso,
}

/// What is behind the records of one step.
struct Subject<'a> {
    who: Who<'a>,
    cause: &'a Cause,
    at: Timestamp,
}

/// An order says whether it bears the number. Only a message above its last counts.
pub fn identify(ctx: &mut Context<'_>, key: &[u8], told: &Identify) -> Result<(), Rejection> {
    let mut row = ctx.get(&IDENTIFIERS, key)?.unwrap_or_default();
    let known = row.orders.get(&told.order_id);
    if known.is_some_and(|known| told.revision <= known.revision) {
        return Ok(());
    }
    let first_seen = known.map_or(told.at, |known| known.first_seen.min(told.at));
    let Identify { revision, bears, at: last_seen, .. } = *told;
    let bearer = Bearer { revision, bears, first_seen, last_seen };
    row.orders.insert(told.order_id.clone(), bearer);
    let who = Who::of(key)?;
    row.forward(ctx, who)?;
    row.close(ctx, key, &Subject { who, cause: &told.cause, at: told.at })
}

/// A system says something of the order with this number.
pub fn told(ctx: &mut Context<'_>, key: &[u8], told: SystemOrder) -> Result<(), Rejection> {
    let mut row = ctx.get(&IDENTIFIERS, key)?.unwrap_or_default();
    row.see(&told);
    let waits = row.waiting.get(&told.system);
    let (cause, at) = (told.cause.clone(), told.as_of);
    if waits.is_none_or(|waits| waits.as_of <= told.as_of) {
        row.waiting.insert(told.system.clone(), told);
    }
    let who = Who::of(key)?;
    row.forward(ctx, who)?;
    row.close(ctx, key, &Subject { who, cause: &cause, at })
}

/// A number has been waited for in vain.
pub fn on_timer(ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection> {
    let key = timer.key.get(1..).unwrap_or_default();
    let Some(mut row) = ctx.get(&IDENTIFIERS, key)? else { return Ok(()) };
    if !row.watches.timer_fired(timer.deadline) {
        return Ok(());
    }
    let who = Who::of(key)?;
    let cause =
        Cause { id: format!("t:due:{}:{}", who.actor(), timer.deadline), ..Cause::default() };
    row.close(ctx, key, &Subject { who, cause: &cause, at: timer.deadline })
}

impl Identifier {
    fn see(&mut self, told: &SystemOrder) {
        let Some(id) = told.native.as_ref() else { return };
        let natives = self.systems.entry(told.system.clone()).or_default();
        let known = natives.iter().position(|native| native.id == *id);
        let mut native = match known {
            Some(place) => natives.remove(place),
            None => Native { id: id.clone(), first_seen: told.as_of, last_seen: told.as_of },
        };
        native.first_seen = native.first_seen.min(told.as_of);
        native.last_seen = native.last_seen.max(told.as_of);
        natives.push(native);
        natives
            .sort_by(|left, right| (left.last_seen, &left.id).cmp(&(right.last_seen, &right.id)));
        if natives.len() > NATIVES_MAX {
            natives.remove(0);
        }
    }

    fn bearers(&self) -> impl Iterator<Item = &String> {
        self.orders.iter().filter(|(_, bearer)| bearer.bears).map(|(order_id, _)| order_id)
    }

    /// What waits goes to the order that bears the number: of several, to the first by its id, for
    /// they are told of as duplicates.
    fn forward(&mut self, ctx: &mut Context<'_>, who: Who<'_>) -> Result<(), Rejection> {
        let Some(order_id) = self.bearers().next() else { return Ok(()) };
        let actor = format!("{}:order:{order_id}", who.project);
        for told in std::mem::take(&mut self.waiting).into_values() {
            let body = codec::encode(&ResourceMessage::SystemOrder(told));
            ctx.send(NAME, actor.clone().into_bytes(), &body)?;
        }
        Ok(())
    }

    /// Draws the consequences and writes the row.
    fn close(
        mut self,
        ctx: &mut Context<'_>,
        key: &[u8],
        subject: &Subject<'_>,
    ) -> Result<(), Rejection> {
        let settings = ctx.settings::<Settings>()?;
        let mut holding = BTreeMap::new();
        for system in self.waiting.keys() {
            holding.insert(Trouble::Unknown(system.clone()), settings.rules.orders.unknown_ms);
        }
        if self.bearers().count() > 1 {
            holding.insert(Trouble::Duplicate, 0);
        }
        let turned = self.watches.turn(&holding, ctx.now());
        self.watches.set_timer(ctx, subject.who);
        for trouble in &turned.ended {
            notices::clear(ctx, case(subject.who, trouble), subject.at, subject.cause)?;
        }
        for (trouble, _) in &turned.opened {
            let (_, number) = number_of(subject.who);
            let detail = match trouble {
                Trouble::Unknown(system) => {
                    format!("{system} has an order {number} that commercetools does not have")
                }
                Trouble::Duplicate => {
                    let orders: Vec<&str> = self.bearers().map(String::as_str).collect();
                    format!("order number {number} is borne by {}", orders.join(" and "))
                }
            };
            let raise = Raise {
                key: case(subject.who, trouble),
                flow: ctx.trace().flow.clone(),
                detail,
                at: subject.at,
                cause: subject.cause.clone(),
                ..Raise::default()
            };
            exceptions::raise(ctx, &raise)?;
        }
        self.revision += 1;
        self.show(ctx, subject)?;
        ctx.put(&IDENTIFIERS, key, &self)
    }

    fn show(&self, ctx: &mut Context<'_>, subject: &Subject<'_>) -> Result<(), Rejection> {
        let (id_type, canonical) = number_of(subject.who);
        let bearers = self.orders.iter().filter(|(_, bearer)| bearer.bears);
        let own = bearers.map(|(order_id, bearer)| IdShape {
            system: COMMERCETOOLS,
            id: order_id,
            first_seen: Iso(bearer.first_seen),
            last_seen: Iso(bearer.last_seen),
        });
        let others = self.systems.iter().flat_map(|(system, natives)| {
            natives.iter().map(move |native| IdShape {
                system,
                id: &native.id,
                first_seen: Iso(native.first_seen),
                last_seen: Iso(native.last_seen),
            })
        });
        let ids: Vec<_> = own.chain(others).collect();
        let key = format!("{}:{}", subject.who.project, subject.who.id);
        let sender = subject.who.actor();
        let emission = Emission {
            output: outputs::IDENTIFIERS,
            key: &key,
            effect: "Identifier",
            sender: &sender,
            revision: self.revision,
            cause: subject.cause,
            subject: canonical,
            at: subject.at,
        };
        if ids.is_empty() {
            return outputs::tombstone(ctx, &emission);
        }
        let project_key = subject.who.project;
        outputs::emit(ctx, &emission, &Shape { project_key, id_type, canonical, ids })
    }
}

/// `idType:canonical`
fn number_of(who: Who<'_>) -> (&str, &str) {
    who.id.split_once(':').unwrap_or(("", who.id))
}

fn case(who: Who<'_>, trouble: &Trouble) -> CaseKey {
    let (id_type, number) = number_of(who);
    let (code, discriminator) = match trouble {
        Trouble::Unknown(system) => ("ORDER_UNKNOWN_IN_CT", system.as_str()),
        Trouble::Duplicate => ("IDENT_DUPLICATE", ""),
    };
    CaseKey {
        entity_type: id_type.to_owned(),
        entity_id: number.to_owned(),
        ..who.case(code, discriminator)
    }
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![crate::schemas::of::<Shape<'_>>(outputs::IDENTIFIERS)]
}
