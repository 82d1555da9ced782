//! One accepted partition of a member: its queue, and how far it was taken.

use std::{sync::Arc, time::Duration};

use aplomb_state::ids::{NextOffset, TopicPartition};
use rdkafka_sys::RDKafkaErrorCode as Code;

use super::{
    error::{During, classify},
    native::{Client, Failure, Kind, Message, Partitions, Queue, Wake},
};
use crate::log::{Class, Error};

/// The seek is an operation of librdkafka's main thread, without a request.
const SEEK: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Assigned, not fetched.
    Held,
    /// To be fetched from `next`, as soon as librdkafka's fetcher is up.
    Due,
    Started,
}

pub struct Input {
    pub partition: TopicPartition,
    pub state: State,
    /// Offset of the next record to be taken.
    pub next: i64,
    /// Everything below was seen: `next`, or past control records and gaps behind it.
    pub reached: i64,
    pub head: Option<Message>,
    /// The head was shown to the worker, which may have its reasons to leave it.
    pub shown: bool,
    /// Why nothing more can be read. Stays until the partition is started anew.
    pub failed: Option<Error>,
    queue: Queue,
}

impl Input {
    /// Splits the partition off and pauses it. Done before it is assigned, so that nothing of it
    /// is ever fetched from the wrong offset or into the wrong queue.
    pub fn hold_new(
        client: &Arc<Client>,
        partition: &TopicPartition,
        wake: &Arc<Wake>,
    ) -> Result<Self, Error> {
        let queue = client.partition_queue(&partition.topic, partition.partition);
        let mut queue =
            queue.ok_or_else(|| Error::new(Class::Fatal, format!("{partition}: no queue")))?;
        queue.wakes(wake);
        let input = Self {
            partition: partition.clone(),
            state: State::Held,
            next: 0,
            reached: 0,
            head: None,
            shown: false,
            failed: None,
            queue,
        };
        input.pause(client)?;
        Ok(input)
    }

    pub fn is(&self, partition: &TopicPartition) -> bool {
        self.partition.partition == partition.partition
            && (Arc::ptr_eq(&self.partition.topic, &partition.topic)
                || self.partition.topic == partition.topic)
    }

    /// Something is there that nobody has looked at yet.
    pub fn is_news(&self) -> bool {
        self.failed.is_some() || (self.head.is_some() && !self.shown)
    }

    pub fn is_ready(&self) -> bool {
        self.head.is_some() || self.failed.is_some()
    }

    pub fn hold(&mut self, client: &Client) -> Result<(), Error> {
        self.state = State::Held;
        self.head = None;
        self.failed = None;
        self.pause(client)
    }

    /// Asks to be fetched from `next` on; [`Input::seek`] does it.
    pub fn aim(&mut self, next: NextOffset) {
        self.state = State::Due;
        self.next = next.0;
        self.reached = next.0;
        self.head = None;
        self.failed = None;
    }

    /// Tries to fetch from `next` on. `Ok(false)`: the fetcher is not up.
    ///
    /// IMPORTANT: pause, seek, resume. Each raises the version below which librdkafka throws
    /// fetched records away, also those in the queue already; the pause purges old errors, which
    /// carry no version. All three have been carried out when they return.
    pub fn seek(&mut self, client: &Client) -> Result<bool, Error> {
        let list = self.list(self.next)?;
        self.pause(client)?;
        client.seek(&list, SEEK).map_err(|failure| self.fail(&failure, "seek"))?;
        match list.rows().into_iter().next().map(|row| row.result) {
            Some(Err(failure))
                if matches!(failure.code, Code::State | Code::PreviousInProgress) =>
            {
                return Ok(false);
            }
            Some(Err(failure)) => return Err(self.fail(&failure, "seek")),
            _ => {}
        }
        client.resume(&list).map_err(|failure| self.fail(&failure, "resume"))?;
        self.state = State::Started;
        Ok(true)
    }

    /// Assigns the partition anew at `next`. After an out-of-range error librdkafka has stopped
    /// the fetcher, and a seek does not start it again.
    ///
    /// NOTE: not while the group waits for an answer, for which librdkafka would take this.
    pub fn reassign(&mut self, client: &Client) -> Result<(), Error> {
        let list = self.list(self.next)?;
        let fail = |failure: Failure| self.fail(&failure, "assign anew");
        client.incremental_unassign(&list).map_err(fail)?;
        client.resume(&list).map_err(fail)?;
        client.incremental_assign(&list).map_err(fail)?;
        self.state = State::Started;
        Ok(())
    }

    /// Looks for the next record, if none is at hand.
    pub fn fill(&mut self) {
        while self.state == State::Started && !self.is_ready() {
            let Some(message) = self.queue.next() else { return };
            match message.kind() {
                Kind::Record if message.offset() >= self.next => {
                    self.head = Some(message);
                    self.shown = false;
                }
                Kind::Record => {}
                Kind::End => self.reached = self.reached.max(message.offset()),
                Kind::Failed(failure) => self.on_failure(&failure, message.offset()),
            }
        }
    }

    fn on_failure(&mut self, failure: &Failure, offset: i64) {
        let error = self.fail(failure, "fetch");
        if error.out_of_range && (0..self.next).contains(&offset) {
            // Of a fetch from before the last start: its fetcher has stopped, though.
            self.state = State::Due;
        } else if error.class == Class::Fatal {
            self.failed = Some(error);
        } else {
            // librdkafka goes on by itself.
            tracing::warn!(%error, "fetch delayed");
        }
    }

    fn pause(&self, client: &Client) -> Result<(), Error> {
        let list = self.list(self.next)?;
        client.pause(&list).map_err(|failure| self.fail(&failure, "pause"))
    }

    fn list(&self, offset: i64) -> Result<Partitions, Error> {
        let mut list = Partitions::new(1);
        list.add(&self.partition.topic, self.partition.partition, offset)
            .map_err(|failure| self.fail(&failure, "list"))?;
        Ok(list)
    }

    fn fail(&self, failure: &Failure, what: &str) -> Error {
        let place = format!("{} at {}: {what}", self.partition, self.next);
        classify(failure, During::Request, &place)
    }
}
