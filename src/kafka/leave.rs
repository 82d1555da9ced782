//! How a member stops taking part, with rebalances that come on the way.

use std::time::{Duration, Instant};

use super::{
    consumer::{Asked, KafkaConsumer},
    input::State,
    native::{Event, Failure, Partitions},
};
use crate::log::{GroupEvent, Leave};

/// How long this waits for the group; then the broker's session time-out does the rest.
const CLOSE: Duration = Duration::from_secs(5);

impl KafkaConsumer {
    /// Ends the membership. Rebalances on the way are answered here: nobody else would.
    pub(super) fn shut(&mut self, leave: Leave) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        for input in std::mem::take(&mut self.inputs) {
            if input.state != State::Held {
                self.ends.unwatch(&input.partition);
            }
        }
        let until = Instant::now() + CLOSE;
        if leave == Leave::Leave {
            self.unsubscribe(until);
        }
        if let Err(failure) = self.client.close(&self.queue) {
            tracing::warn!("close: {}", failure.text);
            return;
        }
        let mut asked = self.asked();
        while !self.client.is_closed() && Instant::now() < until {
            if asked.is_some() {
                // Whatever was asked, a client that closes takes this for the answer.
                warn("unassign", self.give_up());
            }
            asked = self.next_asked();
        }
    }

    /// A static member does not leave by closing. Unsubscribing makes it.
    fn unsubscribe(&mut self, until: Instant) {
        let mut asked = self.asked();
        warn("unsubscribe", self.client.unsubscribe());
        let is_member = |consumer: &Self| {
            consumer.client.group_metadata().is_some_and(|group| !group.member_id().is_empty())
        };
        while is_member(self) && Instant::now() < until {
            match asked {
                Some(Asked::Assign) => {
                    warn("assign", self.client.incremental_assign(&Partitions::new(0)));
                }
                Some(Asked::Unassign) => warn("unassign", self.give_up()),
                None => {}
            }
            asked = self.next_asked();
        }
    }

    /// What was handed out, or would be next, and still waits for an answer.
    fn asked(&mut self) -> Option<Asked> {
        let next = self.events.pop_front();
        self.asked.take().or_else(|| next.as_ref().map(Asked::by))
    }

    fn next_asked(&self) -> Option<Asked> {
        match self.queue.event(Duration::from_millis(10))? {
            Event::Assigned(_) => Some(Asked::by(&GroupEvent::Assigned(Vec::new()))),
            Event::Revoked(_) => Some(Asked::by(&GroupEvent::Revoked(Vec::new()))),
            _ => None,
        }
    }

    fn give_up(&self) -> Result<(), Failure> {
        if self.client.is_cooperative() {
            self.client.incremental_unassign_all()
        } else {
            self.client.assign(None)
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.shut(Leave::Stay);
    }
}

fn warn(what: &str, result: Result<(), Failure>) {
    if let Err(failure) = result {
        tracing::warn!("{what}: {}", failure.text);
    }
}
