//! More is reserved than is there beside what carts hold (case 43): the youngest holds give units
//! up, in one step as far as it goes, and in later ones.

use std::collections::VecDeque;

use aplomb_state::{codec, rejection::Rejection};

use super::{
    place,
    refill::Continuation,
    site::Site,
    state::{HOLDS, Hold, HoldKey},
};

/// So many holds give units up in one step.
const HOLDS_PER_STEP_MAX: usize = 500;
const PAGE: usize = 500;

// === impl Site ===

impl Site<'_, '_> {
    /// Answers whether any hold gave units up.
    pub fn reallocate(&mut self) -> Result<bool, Rejection> {
        if self.ledger.overreserved() == 0 {
            return Ok(false);
        }
        for (key, before) in self.youngest(self.ledger.overreserved())? {
            let short = self.ledger.overreserved();
            let offer = self.offer(None, &before, key.ordered_at);
            let mut hold = before.clone();
            if let Some(event) = place::reallocate(&mut hold, short, &offer) {
                self.ledger.absorb(Some(&before), &hold);
                self.keep_hold(&key, Some(&before), &mut hold, &[event])?;
            }
        }
        if self.ledger.overreserved() > 0 {
            let next = Continuation::Reallocate {
                actor: self.on.at.actor.clone(),
                location: self.on.at.location.clone(),
                when: self.on.when,
                cause: self.on.cause.clone(),
            };
            self.ctx.continue_later(&codec::encode(&next))?;
        }
        Ok(true)
    }

    /// The youngest holds that together have so many units reserved, youngest first. Rows lie
    /// oldest first and are read in that order alone, so this looks at all of the location.
    fn youngest(&mut self, units: i64) -> Result<Vec<(HoldKey, Hold)>, Rejection> {
        let prefix = self.on.at.bytes();
        let mut after: Option<Vec<u8>> = None;
        let mut found = VecDeque::<(HoldKey, Hold)>::new();
        let mut sum = 0;
        loop {
            let page = self.ctx.scan(&HOLDS, &prefix, after.as_deref(), PAGE)?;
            let (is_last, last) = (page.len() < PAGE, page.last().map(|(key, _)| key.clone()));
            for (key, hold) in page {
                let Some(key) = HoldKey::read(&key).filter(|_| hold.reserved > 0) else { continue };
                sum += hold.reserved;
                found.push_back((key, hold));
                while let Some((_, oldest)) = found.front()
                    && (sum - oldest.reserved >= units || found.len() > HOLDS_PER_STEP_MAX)
                {
                    sum -= oldest.reserved;
                    found.pop_front();
                }
            }
            if is_last {
                return Ok(found.into_iter().rev().collect());
            }
            after = last;
        }
    }
}
