//! Reads partitions outside any group.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use aplomb_state::ids::{NextOffset, Offset, Timestamp, TopicPartition};
use rdkafka::ClientConfig;

use super::{
    error::{During, classify},
    native::{Client, Failure, Kind, Message, Partitions, Queue},
};
use crate::log::{Class, Error, Fetched, Reader};

const BATCH: usize = 256;

/// A consumer with a fixed assignment. It never pauses, so it may fetch in batches.
pub struct KafkaReader {
    /// Fetched and not yet handed out, at most a batch.
    fetched: VecDeque<Message>,
    partitions: Vec<(TopicPartition, i64)>,
    /// Where the last message belonged; mostly the next one does, too.
    last: usize,
    queue: Queue,
    pub(super) client: Arc<Client>,
}

impl KafkaReader {
    pub(super) fn open(
        config: &ClientConfig,
        from: &[(TopicPartition, NextOffset)],
    ) -> Result<Self, Error> {
        let fatal = |reason: &str| Error::new(Class::Fatal, format!("reader: {reason}"));
        let fail = |failure: &Failure| classify(failure, During::Request, "assign");
        let client = Client::consumer(config).map_err(|reason| fatal(&reason))?;
        let queue = client.consumer_queue().ok_or_else(|| fatal("no consumer queue"))?;
        let mut list = Partitions::new(from.len());
        for (partition, next) in from {
            let added = list.add(&partition.topic, partition.partition, next.0);
            added.map_err(|failure| fail(&failure))?;
        }
        client.assign(Some(&list)).map_err(|failure| fail(&failure))?;
        let partitions = from.iter().map(|(partition, next)| (partition.clone(), next.0));
        Ok(Self {
            fetched: VecDeque::new(),
            partitions: partitions.collect(),
            last: 0,
            queue,
            client,
        })
    }

    fn index(&self, message: &Message) -> Option<usize> {
        let topic = message.topic()?;
        let is_it = |index: &usize| {
            self.partitions.get(*index).is_some_and(|(one, _)| {
                one.partition == message.partition() && &*one.topic == topic
            })
        };
        Some(self.last).filter(is_it).or_else(|| (0..self.partitions.len()).find(is_it))
    }

    fn fetch(&mut self, wait: Duration) {
        if !self.fetched.is_empty() {
            return;
        }
        self.fetched.extend(self.queue.message(wait));
        if !self.fetched.is_empty() {
            let mut batch = Vec::with_capacity(BATCH);
            self.queue.batch(BATCH, &mut batch);
            self.fetched.extend(batch);
        }
    }
}

impl Reader for KafkaReader {
    fn read(
        &mut self,
        max: usize,
        wait: Duration,
        each: &mut dyn FnMut(&TopicPartition, &Fetched<'_>),
    ) -> Result<usize, Error> {
        self.fetch(wait);
        let mut count = 0;
        while count < max {
            let Some(message) = self.fetched.pop_front() else {
                let before = self.fetched.len();
                self.fetch(Duration::ZERO);
                if self.fetched.len() == before {
                    break;
                }
                continue;
            };
            let index = self.index(&message);
            let place = index.and_then(|index| self.partitions.get_mut(index));
            self.last = index.unwrap_or(self.last);
            match (message.kind(), place) {
                (Kind::Record, Some((partition, next))) => {
                    each(partition, &fetched(&message));
                    *next = message.offset() + 1;
                    count += 1;
                }
                (Kind::End, Some((_, next))) => *next = message.offset().max(*next),
                (Kind::Failed(failure), place) => {
                    let what = place.map_or("fetch".to_owned(), |(one, _)| one.to_string());
                    let error = classify(&failure, During::Request, &what);
                    if error.class != Class::Retry {
                        return Err(error);
                    }
                    // librdkafka goes on by itself.
                    tracing::debug!(%error, "fetch delayed");
                }
                (_, None) => tracing::warn!("record of a partition that is not read"),
            }
        }
        Ok(count)
    }

    fn position(&mut self, partition: &TopicPartition) -> NextOffset {
        let found = self.partitions.iter().find(|(one, _)| one == partition);
        NextOffset(found.map_or(-1, |(_, next)| *next))
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        // Nothing to answer and nobody to tell; the client ends its fetches.
        if let Err(failure) = self.client.assign(None) {
            tracing::debug!("reader: {}", failure.text);
        }
    }
}

/// A message as the seam shows it.
pub(super) fn fetched(message: &Message) -> Fetched<'_> {
    Fetched {
        offset: Offset(message.offset()),
        timestamp: Timestamp(message.timestamp()),
        key: message.key(),
        value: message.value(),
        headers: message,
    }
}
