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
/// How long one that leaves waits to be let in, and then out.
const LEAVE: Duration = Duration::from_secs(10);
/// A request to leave that came in the middle of a rebalance is repeated after so long.
const AGAIN: Duration = Duration::from_millis(500);

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
        if leave == Leave::Leave {
            self.unsubscribe();
        }
        let until = Instant::now() + CLOSE;
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
    ///
    /// NOTE: librdkafka leaves only when it has joined. One whose request to join is under way
    /// would be let in afterwards, and keep its place until its session ends; so it is waited for.
    fn unsubscribe(&mut self) {
        let until = Instant::now() + LEAVE;
        let mut asked = self.asked();
        if self.is_static() && !self.topics.is_empty() {
            while !self.is_member() && Instant::now() < until {
                self.answer(asked);
                asked = self.next_asked();
            }
        }
        let mut again = Instant::now();
        loop {
            if Instant::now() >= again {
                warn("unsubscribe", self.client.unsubscribe());
                again = Instant::now() + AGAIN;
            }
            if !self.is_member() {
                return;
            }
            if Instant::now() >= until {
                tracing::warn!("the group was not left in time; the session's time-out will do it");
                return;
            }
            self.answer(asked);
            asked = self.next_asked();
        }
    }

    fn is_member(&self) -> bool {
        self.client.group_metadata().is_some_and(|group| !group.member_id().is_empty())
    }

    fn is_static(&self) -> bool {
        self.client.group_metadata().is_some_and(|group| group.is_static())
    }

    fn answer(&self, asked: Option<Asked>) {
        match asked {
            Some(Asked::Assign) => {
                warn("assign", self.client.incremental_assign(&Partitions::new(0)));
            }
            Some(Asked::Unassign) => warn("unassign", self.give_up()),
            None => {}
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
