//! A member of a group that answers what the group tells it, and remembers it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aplomb::log::{Consumer, GroupEvent, Log, Member};
use aplomb_state::ids::TopicPartition;

use super::{Fixture, Outcome, ROUND, until};

pub struct Party<L: Log> {
    pub consumer: L::Consumer,
    pub owned: BTreeSet<TopicPartition>,
    pub events: Vec<GroupEvent>,
}

/// What somebody else does while a party waits.
type Outside<'a> = &'a mut dyn FnMut() -> Outcome;

impl<L: Log> Party<L> {
    pub fn join(
        log: &L,
        group: &str,
        instance_id: Option<&str>,
        topic: &Arc<str>,
    ) -> Outcome<Self> {
        let instance_id = instance_id.map(str::to_owned);
        let mut consumer = log.consumer(&Member { group: group.to_owned(), instance_id })?;
        consumer.subscribe(&[Arc::clone(topic)])?;
        Ok(Self { consumer, owned: BTreeSet::new(), events: Vec::new() })
    }

    /// One poll, its event answered.
    pub fn turn(&mut self, wait: Duration) -> Outcome {
        if let Some(event) = self.consumer.poll(wait)? {
            self.answer(event)?;
        }
        Ok(())
    }

    pub fn answer(&mut self, event: GroupEvent) -> Outcome {
        match &event {
            GroupEvent::Assigned(added) => {
                self.consumer.accept(added)?;
                self.owned.extend(added.iter().cloned());
            }
            GroupEvent::Revoked(gone) | GroupEvent::Lost(gone) => {
                self.consumer.release(gone)?;
                self.owned.retain(|partition| !gone.contains(partition));
            }
        }
        self.events.push(event);
        Ok(())
    }

    /// Takes turns until it owns `count` partitions, and was told so.
    pub fn until_owning(
        &mut self,
        fixture: &impl Fixture,
        count: usize,
        meanwhile: Outside<'_>,
    ) -> Outcome {
        until(fixture, &format!("{count} partitions"), || {
            meanwhile()?;
            self.turn(ROUND)?;
            Ok((!self.events.is_empty() && self.owned.len() == count).then_some(()))
        })
    }
}

/// A party that has all partitions of the topic.
pub fn alone<F: Fixture>(fixture: &F, topic: &Arc<str>, count: usize) -> Outcome<Party<F::Log>> {
    let mut party = Party::join(fixture.log(), &fixture.fresh("group"), None, topic)?;
    party.until_owning(fixture, count, &mut || Ok(()))?;
    Ok(party)
}
