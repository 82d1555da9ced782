//! More is reserved than is there beside what carts hold (case 43): the youngest holds give units
//! up, in one step as far as it goes, and in later ones.

use aplomb_state::{codec, rejection::Rejection, scan::Scan};
use serde::{Deserialize, Serialize};

use super::{
    ledger::Walk,
    place,
    refill::{Continuation, HOLDS_PER_STEP_MAX, PAGE, Visit},
    site::Site,
    state::{HOLDS, Hold, HoldKey},
};

/// Where a walk goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The last hold looked at. Absent: it begins at the youngest.
    before: Option<Vec<u8>>,
}

// === impl Site ===

impl Site<'_, '_> {
    /// Answers whether any hold gave units up.
    pub fn reallocate(&mut self) -> Result<bool, Rejection> {
        let goes_on = self.gives_up_from.take();
        if self.ledger.overreserved() == 0 {
            if goes_on.is_some() {
                self.ledger.reallocation = Walk::Idle;
            }
            return Ok(false);
        }
        if goes_on.is_none() && self.ledger.reallocation != Walk::Idle {
            self.ledger.reallocation = Walk::Again;
            return Ok(false);
        }
        self.give_up(goes_on.unwrap_or_default())
    }

    /// One step of a walk from the youngest hold to the oldest. Nothing is given to anyone while
    /// units are missing, so that no hold behind the walk has any.
    fn give_up(&mut self, from: Resume) -> Result<bool, Rejection> {
        let mut before = from.before;
        let prefix = self.on.at.bytes();
        let (mut seen, mut has_given) = (0, false);
        while seen < HOLDS_PER_STEP_MAX {
            let page = self.ctx.scan(&HOLDS, Scan::falling(&prefix, before.as_deref(), PAGE))?;
            seen += page.len();
            for (key, hold) in &page {
                has_given |= self.give_up_one(key, hold)?;
            }
            let is_last = page.len() < PAGE;
            if self.ledger.overreserved() == 0 {
                self.ledger.reallocation = Walk::Idle;
                return Ok(has_given);
            } else if !is_last {
                before = page.last().map(|(key, _)| key.clone());
            } else if self.ledger.reallocation.end() {
                before = None;
            } else {
                return Ok(has_given);
            }
        }
        self.ledger.reallocation.go_on();
        let next = Continuation::Reallocate { visit: Visit::of(&self.on), from: Resume { before } };
        self.ctx.continue_later(&codec::encode(&next))?;
        Ok(has_given)
    }

    fn give_up_one(&mut self, key: &[u8], before: &Hold) -> Result<bool, Rejection> {
        let short = self.ledger.overreserved();
        let Some(key) = HoldKey::read(key).filter(|_| short > 0) else { return Ok(false) };
        let offer = self.offer(None, before, key.ordered_at);
        let mut hold = before.clone();
        let Some(event) = place::reallocate(&mut hold, short, &offer) else { return Ok(false) };
        self.ledger.absorb(Some(before), &hold);
        self.keep_hold(&key, Some(before), &mut hold, &[event])?;
        Ok(true)
    }
}
