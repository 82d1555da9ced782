//! A group member.
//!
//! Rebalances are events of the consumer's queue. [`KafkaConsumer::poll`] hands them out, and the
//! group waits until `accept` or `release` answers: librdkafka's own thread keeps the membership
//! alive meanwhile, and takes the answer from any call, not only from inside a callback.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use aplomb_state::ids::{NextOffset, Offset, Timestamp, TopicPartition};
use rdkafka::ClientConfig;

use super::{
    KafkaLog, ask,
    ends::Ends,
    error::{During, classify, is_denied},
    input::{Input, State},
    native::{Client, Event, Failure, GroupMetadata, Partitions, Queue, Row, Wake},
    reader::fetched,
};
use crate::log::{Class, Committed, Consumer, Error, Fetched, GroupEvent, Head, Leave};

/// How often a partition whose fetcher is not up yet is tried again.
const DUE: Duration = Duration::from_millis(2);
/// After so many tries the fetcher has stopped rather than not started.
const TRIES: u32 = 250;

/// What the group waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Assign,
    Unassign,
}

impl Asked {
    pub(super) fn by(event: &GroupEvent) -> Self {
        match event {
            GroupEvent::Assigned(_) => Self::Assign,
            GroupEvent::Revoked(_) | GroupEvent::Lost(_) => Self::Unassign,
        }
    }
}

/// A group member, owned by one thread.
pub struct KafkaConsumer {
    pub(super) inputs: Vec<Input>,
    /// Read from the queue, not handed out yet.
    pub(super) events: VecDeque<GroupEvent>,
    /// An event was handed out, and the group waits for its answer.
    pub(super) asked: Option<Asked>,
    pub(super) is_closed: bool,
    tries: u32,
    pub(super) topics: Vec<Arc<str>>,
    wake: Arc<Wake>,
    pub(super) ends: Arc<Ends>,
    /// The watcher of the ends stops with the last of these.
    _log: KafkaLog,
    pub(super) queue: Queue,
    pub(super) client: Arc<Client>,
}

impl KafkaConsumer {
    pub(super) fn open(
        config: &ClientConfig,
        log: KafkaLog,
        ends: Arc<Ends>,
    ) -> Result<Self, Error> {
        let fatal = |reason: &str| Error::new(Class::Fatal, format!("consumer: {reason}"));
        let client = Client::consumer(config).map_err(|reason| fatal(&reason))?;
        let mut queue = client.consumer_queue().ok_or_else(|| fatal("no consumer queue"))?;
        let wake = Arc::new(Wake::default());
        queue.wakes(&wake);
        Ok(Self {
            inputs: Vec::new(),
            events: VecDeque::new(),
            asked: None,
            is_closed: false,
            tries: 0,
            topics: Vec::new(),
            wake,
            ends,
            _log: log,
            queue,
            client,
        })
    }

    fn input(&mut self, partition: &TopicPartition) -> Option<&mut Input> {
        self.inputs.iter_mut().find(|input| input.is(partition))
    }

    fn accepted(&mut self, partition: &TopicPartition) -> Result<&mut Input, Error> {
        let missing = || Error::new(Class::Fatal, format!("{partition} is not accepted"));
        self.input(partition).ok_or_else(missing)
    }

    /// Takes everything off the consumer's queue.
    fn serve(&mut self) -> Result<(), Error> {
        while let Some(event) = self.queue.event(Duration::ZERO) {
            match event {
                Event::Assigned(rows) => {
                    let partitions = self.partitions(rows);
                    self.events.push_back(GroupEvent::Assigned(partitions));
                }
                Event::Revoked(rows) => {
                    let partitions = self.partitions(rows);
                    let event = if self.client.is_assignment_lost() {
                        GroupEvent::Lost(partitions)
                    } else {
                        GroupEvent::Revoked(partitions)
                    };
                    self.events.push_back(event);
                }
                Event::Error { failure } => self.on_error(&failure)?,
                Event::Record { topic, partition } => {
                    // Its partition's queue did not get it: fetch it again.
                    let partition = TopicPartition::new(topic, partition);
                    if let Some(input) = self.input(&partition)
                        && input.state == State::Started
                    {
                        input.aim(NextOffset(input.next));
                    }
                }
                Event::Other => {}
            }
        }
        Ok(())
    }

    fn on_error(&self, failure: &Failure) -> Result<(), Error> {
        let fatal = self.client.fatal();
        let error = classify(fatal.as_ref().unwrap_or(failure), During::Request, "consumer");
        if fatal.is_some() || is_denied(failure.code) {
            return Err(error);
        }
        tracing::warn!(%error, code = ?failure.code, "consumer");
        Ok(())
    }

    fn partitions(&self, rows: Vec<Row>) -> Vec<TopicPartition> {
        let name = |topic: String| {
            let known = self.topics.iter().find(|known| ***known == *topic);
            known.map_or_else(|| Arc::from(topic.as_str()), Arc::clone)
        };
        rows.into_iter().map(|row| TopicPartition::new(name(row.topic), row.partition)).collect()
    }

    /// Starts what is due. Fetchers come up when those of earlier owners have gone down.
    fn start_due(&mut self) -> Result<(), Error> {
        let Self { inputs, client, tries, .. } = self;
        let mut is_any = false;
        for input in inputs.iter_mut().filter(|input| input.state == State::Due) {
            if !input.seek(client)? {
                is_any = true;
                if *tries >= TRIES && self.events.is_empty() && self.asked.is_none() {
                    input.reassign(client)?;
                }
            }
        }
        *tries = if is_any { *tries + 1 } else { 0 };
        Ok(())
    }

    fn forget(&mut self, partition: &TopicPartition) {
        if let Some(index) = self.inputs.iter().position(|input| input.is(partition)) {
            let input = self.inputs.swap_remove(index);
            if input.state != State::Held {
                self.ends.unwatch(partition);
            }
        }
    }
}

impl Consumer for KafkaConsumer {
    type Group = GroupMetadata;

    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), Error> {
        let fail = |failure: &Failure| classify(failure, During::Request, "subscribe");
        let mut list = Partitions::new(topics.len());
        for topic in topics {
            list.add(topic, -1, 0).map_err(|failure| fail(&failure))?;
        }
        self.topics = topics.to_vec();
        let subscribed = match topics {
            // Leaves the group, once the revocation that follows was answered.
            [] => self.client.unsubscribe(),
            _ => self.client.subscribe(&list),
        };
        subscribed.map_err(|failure| fail(&failure))
    }

    fn poll(&mut self, wait: Duration) -> Result<Option<GroupEvent>, Error> {
        let until = Instant::now() + wait;
        loop {
            // IMPORTANT: forget old rings before looking, or a ring in between is lost.
            self.wake.clear();
            let is_over = Instant::now() >= until;
            self.serve()?;
            if let Some(event) = self.events.pop_front() {
                self.asked = Some(Asked::by(&event));
                return Ok(Some(event));
            }
            self.start_due()?;
            self.inputs.iter_mut().for_each(Input::fill);
            if is_over || self.inputs.iter().any(Input::is_news) {
                return Ok(None);
            }
            let is_due = self.inputs.iter().any(|input| input.state == State::Due);
            let next = if is_due { until.min(Instant::now() + DUE) } else { until };
            self.wake.wait(next);
        }
    }

    fn accept(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let list = list(partitions)?;
        for partition in partitions {
            self.forget(partition);
            let input = Input::hold_new(&self.client, partition, &self.wake)?;
            self.inputs.push(input);
        }
        self.asked = None;
        let assigned = if self.client.is_cooperative() {
            self.client.incremental_assign(&list)
        } else {
            self.client.assign(Some(&list))
        };
        assigned.map_err(|failure| classify(&failure, During::Request, "accept"))
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        // What was lost before it was accepted is not in librdkafka's assignment.
        let is_held = |partition: &&TopicPartition| self.inputs.iter().any(|one| one.is(partition));
        let held: Vec<_> = partitions.iter().filter(is_held).cloned().collect();
        let list = list(&held)?;
        for partition in partitions {
            self.forget(partition);
        }
        self.asked = None;
        let released = if self.client.is_cooperative() {
            self.client.incremental_unassign(&list)
        } else {
            self.client.assign(None)
        };
        released.map_err(|failure| classify(&failure, During::Request, "release"))
    }

    fn start(&mut self, partition: &TopicPartition, next: NextOffset) -> Result<(), Error> {
        let is_free = self.asked.is_none() && self.events.is_empty();
        let (ends, client) = (Arc::clone(&self.ends), Arc::clone(&self.client));
        let input = self.accepted(partition)?;
        if input.state == State::Held {
            ends.watch(partition);
        }
        let is_stopped = input.failed.as_ref().is_some_and(|error| error.out_of_range);
        input.aim(next);
        if is_stopped && is_free {
            return input.reassign(&client);
        }
        input.seek(&client).map(drop)
    }

    fn hold(&mut self, partition: &TopicPartition) -> Result<(), Error> {
        let (ends, client) = (Arc::clone(&self.ends), Arc::clone(&self.client));
        let input = self.accepted(partition)?;
        if input.state != State::Held {
            ends.unwatch(partition);
        }
        input.hold(&client)
    }

    fn head(&mut self, partition: &TopicPartition) -> Result<Option<Head>, Error> {
        let Some(input) = self.input(partition) else { return Ok(None) };
        input.fill();
        input.shown = true;
        if let Some(error) = &input.failed {
            return Err(error.clone());
        }
        Ok(input.head.as_ref().map(|message| Head {
            offset: Offset(message.offset()),
            timestamp: Timestamp(message.timestamp()),
        }))
    }

    fn take(
        &mut self,
        partition: &TopicPartition,
        each: &mut dyn FnMut(&Fetched<'_>),
    ) -> Result<bool, Error> {
        let Some(input) = self.input(partition) else { return Ok(false) };
        input.fill();
        if let Some(error) = &input.failed {
            return Err(error.clone());
        }
        let Some(message) = input.head.take() else { return Ok(false) };
        input.next = message.offset() + 1;
        input.reached = input.reached.max(input.next);
        each(&fetched(&message));
        Ok(true)
    }

    fn drained_at(&mut self, partition: &TopicPartition) -> Option<Timestamp> {
        let seen = self.ends.seen(partition)?;
        let input = self.input(partition)?;
        input.fill();
        let is_drained =
            input.state == State::Started && !input.is_ready() && input.reached >= seen.end.0;
        is_drained.then_some(seen.at)
    }

    fn end(&mut self, partition: &TopicPartition) -> Option<NextOffset> {
        self.ends.seen(partition).map(|seen| seen.end)
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        wait: Duration,
    ) -> Result<Vec<Committed>, Error> {
        ask::committed(&self.client, partitions, wait)
    }

    fn group(&mut self) -> Result<(Self::Group, String), Error> {
        let none = || Error::new(Class::Retry, "the group's metadata is not there");
        let group = self.client.group_metadata().ok_or_else(none)?;
        let member_id = group.member_id();
        Ok((group, member_id))
    }

    fn close(mut self, leave: Leave) -> Result<(), Error> {
        self.shut(leave);
        Ok(())
    }
}

fn list(partitions: &[TopicPartition]) -> Result<Partitions, Error> {
    let mut list = Partitions::new(partitions.len());
    for partition in partitions {
        list.add(&partition.topic, partition.partition, 0)
            .map_err(|failure| classify(&failure, During::Request, "partitions"))?;
    }
    Ok(list)
}
