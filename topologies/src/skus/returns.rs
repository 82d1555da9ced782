//! Units that were returned and are told to be back in stock: they count once they are on the
//! shelf.
//!
//! commercetools tells that a return is BackInStock and changes no stock. Whether the units are
//! really there the warehouse says, by a delta with the reason `restock`; either may come first.
//! Where commercetools' word is enough (`restock_on = "message"`), they are there at once.

use std::collections::VecDeque;

use aplomb_state::{codec::Format, ids::Timestamp, rejection::Rejection};
use serde::{Deserialize, Serialize};

use crate::{
    outputs,
    settings::{FlowKind, RestockOn},
};

use super::{
    COMMERCETOOLS, RESTOCK_TIMER,
    place::Event,
    records::InventoryEvent,
    site::Site,
    state::{HoldKey, RETURNS},
    timer_key,
};

pub const CODE: &str = "RETURN_NOT_RESTOCKED";

/// So many deltas without a return are remembered.
const SPARE_MAX: usize = 64;

/// What is awaited at a location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returns {
    /// Told by commercetools, oldest first.
    awaited: Vec<Awaited>,
    /// Told by the warehouse alone so far, oldest first.
    spare: VecDeque<Restocked>,
}

impl Format for Returns {
    const VERSION: u8 = 1;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Awaited {
    order_id: String,
    order_number: Option<String>,
    line_id: String,
    ordered_at: Timestamp,
    units: i64,
    deadline: Timestamp,
    overdue: bool,
}

/// A delta of the warehouse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restocked {
    pub at: Timestamp,
    pub units: i64,
    pub order_number: Option<String>,
    pub line_id: Option<String>,
}

impl Awaited {
    /// A delta may say for which order and line it is.
    fn is_meant(&self, delta: &Restocked) -> bool {
        let order = delta.order_number.is_none() || delta.order_number == self.order_number;
        order && delta.line_id.as_ref().is_none_or(|line_id| *line_id == self.line_id)
    }
}

// === impl Returns ===

impl Returns {
    /// Units confirmed by a delta, for the returns they belong to.
    fn confirm(&mut self, delta: &mut Restocked) -> Vec<(HoldPart, i64)> {
        let mut confirmed = Vec::new();
        for awaited in &mut self.awaited {
            let units = awaited.units.min(delta.units);
            if units > 0 && awaited.is_meant(delta) {
                awaited.units -= units;
                delta.units -= units;
                confirmed.push((HoldPart::of(awaited), units));
            }
        }
        self.awaited.retain(|awaited| awaited.units > 0);
        confirmed
    }

    /// Takes awaited units of a line back: its return was dropped.
    fn forget(&mut self, key: &HoldKey, units: i64) {
        let mut left = units;
        for awaited in self.awaited.iter_mut().rev() {
            if awaited.order_id == key.order_id && awaited.line_id == key.line_id {
                let gone = awaited.units.min(left);
                awaited.units -= gone;
                left -= gone;
            }
        }
        self.awaited.retain(|awaited| awaited.units > 0);
    }

    fn overdue(&self) -> i64 {
        let overdue = self.awaited.iter().filter(|awaited| awaited.overdue);
        overdue.map(|awaited| awaited.units).sum()
    }
}

/// Which hold an awaited return belongs to.
struct HoldPart {
    order_id: String,
    line_id: String,
    ordered_at: Timestamp,
}

impl HoldPart {
    fn of(awaited: &Awaited) -> Self {
        let Awaited { order_id, line_id, ordered_at, .. } = awaited.clone();
        Self { order_id, line_id, ordered_at }
    }
}

// === impl Site ===

impl Site<'_, '_> {
    /// commercetools tells of so many units more, or less, that are back in stock.
    pub fn back_in_stock(
        &mut self,
        key: &HoldKey,
        order_number: Option<&str>,
        target: u64,
        units: i64,
    ) -> Result<Option<Event>, Rejection> {
        if self.settings.rules.restock_on == RestockOn::Message {
            let id = format!("restock/{}/{}/{target}", key.order_id, key.line_id);
            self.move_stock(self.on.when, &id, units)?;
            return Ok((units > 0).then_some(Event::Restocked(units)));
        }
        let mut returns = self.ctx.get(&RETURNS, &self.on.at)?.unwrap_or_default();
        let overdue = returns.overdue();
        let mut confirmed = 0;
        if units < 0 {
            returns.forget(key, -units);
        } else {
            let deadline = self.on.when.plus_ms(self.settings.rules.restock_within_ms);
            let mut awaited = Awaited {
                order_id: key.order_id.clone(),
                order_number: order_number.map(str::to_owned),
                line_id: key.line_id.clone(),
                ordered_at: key.ordered_at,
                units,
                deadline,
                overdue: false,
            };
            for delta in &mut returns.spare {
                if !awaited.is_meant(delta) {
                    continue;
                }
                let units = awaited.units.min(delta.units);
                awaited.units -= units;
                delta.units -= units;
                confirmed += units;
            }
            returns.spare.retain(|delta| delta.units > 0);
            if awaited.units > 0 {
                self.ctx.schedule(deadline, &timer_key(RESTOCK_TIMER, &self.on.at));
                returns.awaited.push(awaited);
            }
        }
        self.keep_returns(&returns, overdue)?;
        Ok((confirmed > 0).then_some(Event::Restocked(confirmed)))
    }

    /// The warehouse tells of returned units on the shelf.
    pub fn restocked(&mut self, mut delta: Restocked) -> Result<(), Rejection> {
        let mut returns = self.ctx.get(&RETURNS, &self.on.at)?.unwrap_or_default();
        let overdue = returns.overdue();
        for (part, units) in returns.confirm(&mut delta) {
            let key = HoldKey {
                at: self.on.at.clone(),
                ordered_at: part.ordered_at,
                order_id: part.order_id,
                line_id: part.line_id,
            };
            self.tell_restocked(&key, units)?;
        }
        if delta.units > 0 {
            returns.spare.push_back(delta);
            if returns.spare.len() > SPARE_MAX {
                returns.spare.pop_front();
            }
        }
        self.keep_returns(&returns, overdue)
    }

    fn tell_restocked(&mut self, key: &HoldKey, units: i64) -> Result<(), Rejection> {
        let record = InventoryEvent::of(Event::Restocked(units), key, &self.on.cause, self.on.when);
        self.ledger.revision += 1;
        let revision = self.ledger.revision;
        let output = outputs::INVENTORY_EVENTS;
        let line = self.on.line(output, &self.on.at.actor, record.kind, revision);
        outputs::emit(self.ctx, &line, &record)
    }

    /// A return was not on the shelf in time.
    pub fn restock_deadline(&mut self, deadline: Timestamp) -> Result<(), Rejection> {
        let mut returns = self.ctx.get(&RETURNS, &self.on.at)?.unwrap_or_default();
        let before = returns.overdue();
        for awaited in returns.awaited.iter_mut().filter(|awaited| awaited.deadline <= deadline) {
            awaited.overdue = true;
        }
        let overdue = returns.overdue();
        self.keep_returns(&returns, before)?;
        if overdue == before {
            return Ok(());
        }
        let system = self.settings.flows.iter().find(|flow| flow.kind == FlowKind::Stock);
        let system = system.map_or("no warehouse", |flow| flow.system.as_str());
        let detail = format!(
            "{COMMERCETOOLS} says that {overdue} returned units are back in stock; {system} has \
             not said so"
        );
        self.raise(CODE, detail)
    }

    fn keep_returns(&mut self, returns: &Returns, overdue: i64) -> Result<(), Rejection> {
        if *returns == Returns::default() {
            self.ctx.delete(&RETURNS, &self.on.at)?;
        } else {
            self.ctx.put(&RETURNS, &self.on.at, returns)?;
        }
        if overdue > 0 && returns.overdue() == 0 { self.clear(CODE) } else { Ok(()) }
    }
}
