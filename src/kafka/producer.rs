//! The transactional producer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use aplomb_state::ids::{NextOffset, Offset, TopicPartition};
use rdkafka::ClientConfig;
use rdkafka_sys::RDKafkaErrorCode as Code;

use super::{
    aside::Aside,
    error::{During, classify, is_unanswered},
    native::{Client, ClientEvents, Failure, GroupMetadata, Partitions, transaction::Topic},
};
use crate::log::{Class, Error, Producer, ToSend};

/// librdkafka keeps to a time-out within this, where it keeps to it at all.
const GRACE: Duration = Duration::from_secs(2);

/// A coordinator that is still ending the transaction before answers within milliseconds that it
/// is, and librdkafka asks it again half a second later. A new client asks at once.
const FIRST_PATIENCE: Duration = Duration::from_millis(50);

/// After the end of a transaction the broker still writes its markers. Whoever registers a
/// partition before that is over is turned away, and librdkafka asks again after 20 ms only.
const MARKERS: Duration = Duration::from_millis(5);

/// One transactional producer. Its topics go before its client.
pub struct KafkaProducer {
    config: ClientConfig,
    topics: Vec<(Arc<str>, Topic)>,
    offsets: Aside<Offsets, Result<(), Failure>>,
    pub(super) client: Arc<Client>,
    reports: Arc<Reports>,
    /// When the transaction before was ended.
    ended: Option<Instant>,
}

/// What is sent for the group.
struct Offsets {
    list: Partitions,
    group: GroupMetadata,
    wait: Duration,
}

/// What librdkafka has said about sent records and about the cluster.
#[derive(Default)]
struct Reports {
    is_tainted: AtomicBool,
    sent: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    /// The first record of this transaction that could not be written.
    failed: Option<Failure>,
    offsets: HashMap<usize, Offset>,
}

impl Reports {
    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, failure: &Failure) {
        if is_unanswered(failure.code) {
            self.is_tainted.store(true, Ordering::Relaxed);
        }
    }
}

impl ClientEvents for Arc<Reports> {
    fn error(&self, failure: Failure) {
        self.note(&failure);
        tracing::warn!(code = ?failure.code, "producer: {}", failure.text);
    }

    fn delivered(&self, result: Result<i64, Failure>, receipt: usize) {
        match result {
            Ok(_) if receipt == 0 => {}
            Ok(offset) => {
                self.sent().offsets.insert(receipt, Offset(offset));
            }
            // An abort throws away what was queued; that is no failure.
            Err(failure) if matches!(failure.code, Code::PurgeQueue | Code::PurgeInflight) => {}
            Err(failure) => {
                self.note(&failure);
                self.sent().failed.get_or_insert(failure);
            }
        }
    }
}

impl KafkaProducer {
    pub(super) fn open(config: &ClientConfig) -> Result<Self, Error> {
        let reports = Arc::new(Reports::default());
        let client = Client::producer(config, Box::new(Arc::clone(&reports)))
            .map_err(|reason| Error::new(Class::Fatal, format!("producer: {reason}")))?;
        let sends = Arc::clone(&client);
        let send = move |it: Offsets| sends.send_offsets(&it.list, &it.group, it.wait);
        let offsets = Aside::start("offsets", send)
            .map_err(|error| Error::new(Class::Fatal, format!("producer: thread: {error}")))?;
        let topics = Vec::new();
        Ok(Self { config: config.clone(), topics, offsets, client, reports, ended: None })
    }

    fn fail(&self, failure: &Failure, what: &str) -> Error {
        self.reports.note(failure);
        // "Fatal" alone only says that something fatal happened before.
        if failure.code == Code::Fatal
            && let Some(cause) = self.client.fatal()
        {
            return classify(&cause, During::Transaction, what);
        }
        classify(failure, During::Transaction, what)
    }

    fn check(&self, result: Result<(), Failure>, what: &str) -> Result<(), Error> {
        result.map_err(|failure| self.fail(&failure, what))
    }

    /// A record that could not be written dooms the transaction.
    fn check_sent(&self) -> Result<(), Error> {
        let failed = self.reports.sent().failed.clone();
        let Some(mut failure) = failed else { return Ok(()) };
        failure.flags.requires_abort = true;
        Err(self.fail(&failure, "record not written"))
    }

    fn topic(&mut self, name: &Arc<str>) -> Result<usize, Error> {
        let is_same = |(known, _): &(Arc<str>, Topic)| Arc::ptr_eq(known, name);
        if let Some(index) = self.topics.iter().position(is_same) {
            return Ok(index);
        }
        // The same name behind another pointer must not add an entry with every record.
        let is_equal = |(known, _): &(Arc<str>, Topic)| known == name;
        if let Some(index) = self.topics.iter().position(is_equal) {
            return Ok(index);
        }
        let topic = self.client.topic(name);
        let topic =
            topic.ok_or_else(|| Error::new(Class::Fatal, format!("no topic name: {name:?}")))?;
        self.topics.push((Arc::clone(name), topic));
        Ok(self.topics.len() - 1)
    }
}

impl Producer for KafkaProducer {
    type Group = GroupMetadata;

    fn init_transactions(&mut self, wait: Duration) -> Result<(), Error> {
        let until = Instant::now() + wait;
        let mut patience = FIRST_PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.client.init_transactions(patience.min(left)) {
                Err(failure) if failure.flags.retriable && patience < left => {
                    tracing::debug!("init transactions: {}; asking anew", failure.text);
                    *self = Self::open(&self.config)?;
                    patience *= 2;
                }
                outcome => {
                    self.check(outcome, "init transactions")?;
                    break;
                }
            }
        }
        self.client.serve();
        self.reports.is_tainted.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        *self.reports.sent() = Sent::default();
        if let Some(ended) = self.ended.take() {
            thread::sleep(MARKERS.saturating_sub(ended.elapsed()));
        }
        self.check(self.client.begin_transaction(), "begin transaction")
    }

    fn send(&mut self, record: &ToSend<'_>) -> Result<bool, Error> {
        let index = self.topic(record.topic)?;
        let Some((_, topic)) = self.topics.get(index) else {
            return Err(Error::new(Class::Fatal, "topic handle is gone"));
        };
        match self.client.produce(topic, record) {
            Ok(()) => Ok(true),
            Err(failure) if failure.code == Code::QueueFull => Ok(false),
            Err(failure) => Err(self.fail(&failure, &format!("send to {}", record.topic))),
        }
    }

    fn poll(&mut self) {
        self.client.serve();
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, NextOffset, String)],
        group: &Self::Group,
        wait: Duration,
    ) -> Result<(), Error> {
        let what = "send offsets";
        let mut list = Partitions::new(offsets.len());
        for (partition, next, metadata) in offsets {
            let added = list.add_with(&partition.topic, partition.partition, next.0, metadata);
            self.check(added, what)?;
        }
        let offsets = Offsets { list, group: group.clone(), wait };
        let sent = self.offsets.ask(offsets, wait + GRACE).unwrap_or_else(|| {
            let text = "no answer from librdkafka; this producer is left behind";
            Err(Failure::new(Code::OperationTimedOut, text))
        });
        self.check(sent, what)
    }

    fn drain(&mut self, wait: Duration) -> Result<(), Error> {
        let flushed = self.client.flush(wait);
        // The reason why a record failed says more than that some are left.
        self.check_sent()?;
        self.check(flushed, "drain")
    }

    fn commit(&mut self, wait: Duration) -> Result<(), Error> {
        self.check_sent()?;
        self.check(self.client.commit_transaction(wait), "commit transaction")?;
        self.ended = Some(Instant::now());
        Ok(())
    }

    fn abort(&mut self, wait: Duration) -> Result<(), Error> {
        self.check(self.client.abort_transaction(wait), "abort transaction")?;
        *self.reports.sent() = Sent::default();
        Ok(())
    }

    fn acknowledged(&self, receipt: usize) -> Option<Offset> {
        self.reports.sent().offsets.get(&receipt).copied()
    }

    fn tainted(&self) -> bool {
        self.reports.is_tainted.load(Ordering::Relaxed)
    }
}
