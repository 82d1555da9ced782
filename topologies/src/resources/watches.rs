//! Conditions that count only once they have held for a while.
//!
//! Whoever owns a [`Watches`] says after every change what holds now. So it does not matter in
//! which order the changes came, nor whether a change was taken back: a condition that still holds
//! when its grace is over opens, one that does not hold any more is forgotten or ends.

use std::collections::{BTreeMap, BTreeSet};

use aplomb_state::{context::Context, ids::Timestamp};
use serde::{Deserialize, Serialize};

use super::notices::Who;

/// First byte of the key of a timer that ends a grace; the actor's key follows.
pub const DUE: u8 = b'd';

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watches<K: Ord> {
    /// What holds and is not old enough, by its deadline.
    due: BTreeMap<K, Timestamp>,
    open: BTreeSet<K>,
    timer: Option<Timestamp>,
}

/// What has changed by a look at what holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned<K> {
    /// With when they began to hold.
    pub opened: Vec<(K, Timestamp)>,
    pub ended: Vec<K>,
}

impl<K: Ord> Default for Watches<K> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), open: BTreeSet::new(), timer: None }
    }
}

impl<K: Ord + Clone> Watches<K> {
    pub fn open(&self) -> impl Iterator<Item = &K> {
        self.open.iter()
    }

    /// `holding`: what holds now, each with its grace. What is due at `now` opens, so a timer
    /// passes its own deadline.
    pub fn turn(&mut self, holding: &BTreeMap<K, i64>, now: Timestamp) -> Turned<K> {
        let mut opened = Vec::new();
        for (key, grace_ms) in holding {
            if self.open.contains(key) {
                continue;
            }
            let deadline = *self.due.entry(key.clone()).or_insert(now.plus_ms(*grace_ms));
            if deadline <= now {
                opened.push((key.clone(), deadline.minus_ms(*grace_ms)));
            }
        }
        for (key, _) in &opened {
            self.due.remove(key);
        }
        self.due.retain(|key, _| holding.contains_key(key));
        let over = self.open.iter().filter(|key| !holding.contains_key(*key));
        let ended: Vec<K> = over.cloned().collect();
        self.open.retain(|key| holding.contains_key(key));
        self.open.extend(opened.iter().map(|(key, _)| key.clone()));
        Turned { opened, ended }
    }

    /// Moves the one timer of the actor to where the next grace ends.
    pub fn set_timer(&mut self, ctx: &mut Context<'_>, who: Who<'_>) {
        let next = self.due.values().min().copied();
        if next == self.timer {
            return;
        }
        let key = [&[DUE], who.actor().as_bytes()].concat();
        if let Some(deadline) = self.timer {
            ctx.cancel(deadline, &key);
        }
        if let Some(deadline) = next {
            ctx.schedule(deadline, &key);
        }
        self.timer = next;
    }

    /// Nothing is watched any more.
    pub fn end(&mut self, ctx: &mut Context<'_>, who: Who<'_>) {
        (self.due, self.open) = (BTreeMap::new(), BTreeSet::new());
        self.set_timer(ctx, who);
    }

    /// Whether that timer is the one that was set last.
    pub fn timer_fired(&mut self, deadline: Timestamp) -> bool {
        let fired = self.timer == Some(deadline);
        if fired {
            self.timer = None;
        }
        fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(ms)
    }

    #[test]
    fn a_condition_opens_once_it_held_for_its_grace() {
        let mut watches = Watches::default();
        let nothing = Turned { opened: vec![], ended: vec![] };
        let holding = BTreeMap::from([("slow", 60), ("fast", 0)]);
        let turned = watches.turn(&holding, at(100));
        assert_eq!(turned, Turned { opened: vec![("fast", at(100))], ended: vec![] });
        assert_eq!(watches.turn(&holding, at(159)), nothing);
        let turned = watches.turn(&holding, at(160));
        assert_eq!(turned, Turned { opened: vec![("slow", at(100))], ended: vec![] });
        let turned = watches.turn(&BTreeMap::new(), at(161));
        assert_eq!(turned, Turned { opened: vec![], ended: vec!["fast", "slow"] });
        assert_eq!(watches, Watches::default());
    }

    #[test]
    fn what_ends_within_its_grace_begins_anew() {
        let mut watches = Watches::default();
        let holding = BTreeMap::from([("slow", 60)]);
        watches.turn(&holding, at(0));
        watches.turn(&BTreeMap::new(), at(50));
        let opened = |turned: Turned<&'static str>| turned.opened;
        assert!(opened(watches.turn(&holding, at(55))).is_empty());
        assert!(opened(watches.turn(&holding, at(60))).is_empty());
        assert_eq!(opened(watches.turn(&holding, at(115))), [("slow", at(55))]);
    }
}
