//! An order says what it wants held.

use std::sync::Arc;

use aplomb_state::{context::Context, ids::Timestamp, rejection::Rejection, scan::Scan};

use crate::{
    messages::skus::HoldTarget,
    settings::{FlowKind, Settings},
};

use super::{
    COMMERCETOOLS, RELEASE_TIMER, checked,
    place::{self, Settled},
    site::{Occasion, Site},
    state::{self, HOLDS, Hold, HoldKey, LocationKey, MOVES, Move, move_instant},
    timer_key,
};

/// Movements are kept for a first snapshot that is this much older at most.
const MOVES_KEEP_MS: i64 = 48 * 3_600_000;

pub fn handle(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    actor: &str,
    target: HoldTarget,
) -> Result<(), Rejection> {
    checked(&[target.ordered, target.cancelled, target.shipped, target.returned])?;
    checked(&[target.restocked, target.unusable])?;
    let at = LocationKey::new(actor, target.location.as_str());
    let key = HoldKey {
        at: at.clone(),
        ordered_at: target.ordered_at,
        order_id: target.order_id.clone(),
        line_id: target.line_id.clone(),
    };
    let before = ctx.get(&HOLDS, &key)?;
    // A target that is not above the last is old: doubled, late or sent again.
    let Some(settled) = place::settle(before.as_ref(), &target) else { return Ok(()) };
    let on = Occasion::new(at, target.cause, target.as_of);
    let mut site = Site::open(ctx, settings, on)?;
    site.ledger.as_of = site.ledger.as_of.max(target.as_of);
    let order_number = target.order_number.as_deref();
    site.apply(&key, before.as_ref(), settled, order_number)?;
    site.close()
}

// === impl Site ===

impl Site<'_, '_> {
    fn apply(
        &mut self,
        key: &HoldKey,
        before: Option<&Hold>,
        settled: Settled,
        order_number: Option<&str>,
    ) -> Result<(), Rejection> {
        let Settled { mut hold, wanted, moved, restocked, released, mut events } = settled;
        self.ledger.absorb(before, &hold);
        if before.is_none() {
            self.count_deducted(key.ordered_at, &hold);
        }
        if moved != 0 && self.settings.rules.shipments_from == COMMERCETOOLS {
            let id = format!("hold/{}/{}/{}", key.order_id, key.line_id, hold.target);
            self.move_stock(self.on.when, &id, moved)?;
        }
        if restocked != 0 {
            events.extend(self.back_in_stock(key, order_number, hold.target, restocked)?);
        }
        if released > 0 && hold.deducted > 0 {
            self.await_release(released);
        }
        let offer = self.offer(self.ledger.allocatable(), &hold, key.ordered_at);
        let placed = hold.clone();
        events.extend(place::give(&mut hold, wanted, &offer));
        self.ledger.absorb(Some(&placed), &hold);
        self.keep_hold(key, before, &mut hold, &events)
    }

    /// The platform took the order off its on stock when it was created: after the last reading,
    /// or before it.
    fn count_deducted(&mut self, ordered_at: Timestamp, hold: &Hold) {
        let settle_ms = self.settings.rules.settle_ms;
        if let Some(platform) = &mut self.ledger.platform {
            platform.count(ordered_at, hold.deducted, hold.mode, settle_ms);
        }
        self.ledger.unexplained.explain(ordered_at, hold.deducted);
    }

    /// Waits for the platform to put back what was released (case 18).
    fn await_release(&mut self, released: i64) {
        let grace_ms = self.settings.rules.ct_release_ms;
        let deadline = self.ledger.releases.release(self.on.when, released, grace_ms);
        if let Some(deadline) = deadline {
            self.ctx.schedule(deadline, &timer_key(RELEASE_TIMER, &self.on.at));
        }
    }

    /// Physical stock moved at `when`. Counts on top of a snapshot only if that is older. `false`:
    /// nobody counts, or the movement is known.
    pub fn move_stock(
        &mut self,
        when: Timestamp,
        id: &str,
        quantity: i64,
    ) -> Result<bool, Rejection> {
        if !self.is_counted_somewhere() {
            return Ok(false);
        }
        let key = state::move_key(&self.on.at, when, id);
        if self.ctx.get(&MOVES, key.as_slice())?.is_some() {
            return Ok(false);
        }
        self.forget_moves(when)?;
        if let Some(physical) = &mut self.ledger.physical {
            if when <= physical.as_of {
                return Ok(true);
            }
            physical.moved += quantity;
        }
        self.ctx.put(&MOVES, key.as_slice(), &Move { quantity })?;
        Ok(true)
    }

    /// Without a warehouse feed nobody will ask for movements.
    fn is_counted_somewhere(&self) -> bool {
        self.ledger.physical.is_some()
            || self.settings.flows.iter().any(|flow| flow.kind == FlowKind::Stock)
    }

    /// Two old movements go with every new one, so their number stays bounded without a sweep.
    fn forget_moves(&mut self, when: Timestamp) -> Result<(), Rejection> {
        let counted = self.ledger.physical.as_ref().map(|physical| physical.as_of);
        let horizon = counted.unwrap_or_else(|| when.minus_ms(MOVES_KEEP_MS));
        let oldest = self.ctx.scan(&MOVES, Scan::rising(&self.on.at.bytes(), None, 2))?;
        for (key, _) in oldest {
            if move_instant(&key).is_some_and(|instant| instant <= horizon) {
                self.ctx.delete(&MOVES, key.as_slice())?;
            }
        }
        Ok(())
    }

    /// The sum of the movements after an instant.
    pub fn moved_after(&mut self, instant: Timestamp) -> Result<i64, Rejection> {
        let mut sum = 0;
        self.each_from(&MOVES, instant.plus_ms(1), |_, moved| sum += moved.quantity)?;
        Ok(sum)
    }
}
