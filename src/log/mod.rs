//! The seam to the broker: assigned records in, transactional batch out, committed positions,
//! topic metadata. Two implementations, [`crate::kafka`] and [`crate::embedded`], pass one
//! conformance suite (`tests/conformance`); the worker is the same on both.
//!
//! Invariant: nothing behind this seam knows stages, tasks or stores.

mod error;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aplomb_state::ids::{NextOffset, Offset, Timestamp, TopicPartition};

pub use self::error::{Class, Error};

/// A cluster as one process sees it. Cheap to clone; every worker opens its own ends.
pub trait Log: Clone + Send + Sync + 'static {
    type Group: Send;
    type Consumer: Consumer<Group = Self::Group>;
    type Producer: Producer<Group = Self::Group>;
    type Reader: Reader;

    /// A new member of the group. It joins at the first [`Consumer::poll`] after `subscribe`.
    fn consumer(&self, member: &Member) -> Result<Self::Consumer, Error>;

    /// A transactional producer. Call [`Producer::init_transactions`] before anything else.
    fn producer(&self, transactional_id: &str) -> Result<Self::Producer, Error>;

    /// Reads partitions from given offsets, outside any group.
    fn reader(
        &self,
        from: &[(TopicPartition, NextOffset)],
        isolation: Isolation,
    ) -> Result<Self::Reader, Error>;

    /// The first offset still kept, and the offset after the last one. `ReadCommitted` ends at the
    /// last stable offset, `ReadUncommitted` at the high watermark. Answers in the order asked.
    fn watermarks(
        &self,
        partitions: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<Vec<Watermarks>, Error>;

    /// The first offset whose record has a timestamp of at least `at`; the high watermark if none.
    fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        at: Timestamp,
    ) -> Result<Vec<NextOffset>, Error>;

    /// What the group has committed (stable offsets). Answers in the order asked.
    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        wait: Duration,
    ) -> Result<Vec<Committed>, Error>;

    /// Who takes part in a group and owns what, as its coordinator has it. A group that does not
    /// exist, or that the coordinator tells nothing of, has no members.
    fn describe_group(&self, group: &str, wait: Duration) -> Result<GroupDescription, Error>;

    /// All topics there are, with their partition counts and the configuration entries that
    /// `topics check` compares (`cleanup.policy`, `retention.ms`, `max.message.bytes`,
    /// `message.timestamp.type`, `delete.retention.ms`, …).
    fn topics(&self, names: &[Arc<str>]) -> Result<Vec<Option<TopicDescription>>, Error>;

    /// Creates topics. One that exists already is an error that names it.
    fn create_topics(&self, topics: &[TopicDescription]) -> Result<(), Error>;

    /// Deletes topics. One that does not exist is an error that names it.
    fn delete_topics(&self, names: &[Arc<str>]) -> Result<(), Error>;

    /// Deletes everything before the given offsets. Only in topics that are not compacted.
    fn delete_records(&self, before: &[(TopicPartition, NextOffset)]) -> Result<(), Error>;

    /// The group as somebody who is no member of it knows it: offsets sent under this count only
    /// while the group has no member at all.
    fn outsider(&self, group: &str) -> Result<Self::Group, Error>;
}

/// How one worker takes part in the group.
#[derive(Clone, Debug)]
pub struct Member {
    pub group: String,
    /// `group.instance.id`; absent for dynamic membership.
    pub instance_id: Option<String>,
}

/// A group as its coordinator has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupDescription {
    /// No rebalance is under way.
    pub stable: bool,
    /// Sorted by id.
    pub members: Vec<MemberDescription>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    pub id: String,
    pub owns: BTreeSet<TopicPartition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    ReadUncommitted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub low: NextOffset,
    pub high: NextOffset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// A transaction that has not ended holds an offset of this partition: ask again.
    Unstable,
    None,
    At {
        next: NextOffset,
        metadata: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: Arc<str>,
    pub partitions: i32,
    /// Sorted by key.
    pub config: Vec<(String, String)>,
}

/// What the group tells a member. The worker does its work for an event and then answers it with
/// [`Consumer::accept`] or [`Consumer::release`]; until then the group waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// Added to what the member has. May be empty: then nothing changed but the generation.
    Assigned(Vec<TopicPartition>),
    /// To be given up, after the open transaction was committed or aborted. May be empty.
    Revoked(Vec<TopicPartition>),
    /// Owned by somebody else already: nothing may be committed for them.
    Lost(Vec<TopicPartition>),
}

/// A group member. Owned and called by one thread. No call blocks for longer than it is told to.
pub trait Consumer {
    type Group;

    /// Takes part in reading these topics. With none it leaves the group, a static member too, once
    /// the revocation that follows was answered.
    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), Error>;

    /// Serves the group and waits at most `wait` for an event or, in any started partition, for a
    /// record that [`Consumer::head`] has not shown yet. Must be called often, also while nothing
    /// is read.
    fn poll(&mut self, wait: Duration) -> Result<Option<GroupEvent>, Error>;

    /// Answers [`GroupEvent::Assigned`]. The partitions are held: nothing is fetched from them
    /// until [`Consumer::start`].
    fn accept(&mut self, partitions: &[TopicPartition]) -> Result<(), Error>;

    /// Answers [`GroupEvent::Revoked`] and [`GroupEvent::Lost`].
    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Error>;

    /// Fetches an accepted partition from `next` on. Called again, it rewinds (or skips): after
    /// it returns, no record from before the call is handed out.
    fn start(&mut self, partition: &TopicPartition, next: NextOffset) -> Result<(), Error>;

    /// Stops fetching; the partition stays assigned.
    fn hold(&mut self, partition: &TopicPartition) -> Result<(), Error>;

    /// The next record of a started partition without taking it. Never blocks. An offset that is
    /// out of range is an error of class `Fatal` that says so; it is never reset in silence.
    fn head(&mut self, partition: &TopicPartition) -> Result<Option<Head>, Error>;

    /// Takes the next record, if one is there, and hands it to `each`, borrowed from the fetch
    /// buffer. Returns whether there was one. Never blocks.
    fn take(
        &mut self,
        partition: &TopicPartition,
        each: &mut dyn FnMut(&Fetched<'_>),
    ) -> Result<bool, Error>;

    /// The latest known instant at which the end of the partition was seen by asking the broker
    /// and everything up to that end, the high watermark, has been taken since. Absent while
    /// records are waiting or nothing has been asked yet. Never rests on a cached end.
    fn drained_at(&mut self, partition: &TopicPartition) -> Option<Timestamp>;

    /// The high watermark last seen, for lag and for ordering; may be a second old.
    fn end(&mut self, partition: &TopicPartition) -> Option<NextOffset>;

    /// Committed stable offsets of this member's group. `Unstable` where the wait was too short.
    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        wait: Duration,
    ) -> Result<Vec<Committed>, Error>;

    /// The group's metadata, fetched now, with the member id it carries. An empty id means that
    /// this consumer is no member at the moment.
    fn group(&mut self) -> Result<(Self::Group, String), Error>;

    /// Stops taking part, with the revocation that goes with it left to the caller. A static
    /// member leaves the group only when `leave` says so.
    fn close(self, leave: Leave) -> Result<(), Error>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Leave,
    Stay,
}

/// The next record's place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub offset: Offset,
    pub timestamp: Timestamp,
}

/// A record as it stands in the fetch buffer.
pub struct Fetched<'a> {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a dyn Headers,
}

/// The headers of a fetched record. Names are bytes: foreign ones need not be UTF-8.
pub trait Headers {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>));
}

/// A record to be written.
#[derive(Clone, Copy, Debug)]
pub struct ToSend<'a> {
    pub topic: &'a Arc<str>,
    pub partition: i32,
    /// Absent: the log's own time, as the topic's `message.timestamp.type` says.
    pub timestamp: Option<Timestamp>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Non-zero: [`Producer::acknowledged`] reports the offset under this number.
    pub receipt: usize,
}

/// One transactional producer. Owned and called by one thread.
///
/// IMPORTANT: after any error of class `Migrated`, or any time-out or transport error inside a
/// transaction, the producer is dropped and a new one settles the transaction with
/// `init_transactions`.
pub trait Producer {
    type Group;

    /// Fences older producers of the same id and settles their transactions.
    fn init_transactions(&mut self, wait: Duration) -> Result<(), Error>;

    fn begin(&mut self) -> Result<(), Error>;

    /// Queues a record. `Ok(false)`: the queue is full; poll and offer it again.
    fn send(&mut self, record: &ToSend<'_>) -> Result<bool, Error>;

    /// Serves delivery reports; never blocks.
    fn poll(&mut self);

    /// Adds input offsets to the transaction.
    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, NextOffset, String)],
        group: &Self::Group,
        wait: Duration,
    ) -> Result<(), Error>;

    /// Waits until every record sent was acknowledged.
    fn drain(&mut self, wait: Duration) -> Result<(), Error>;

    /// Ends the transaction; nothing may be in flight. `Ok` means the broker said so.
    fn commit(&mut self, wait: Duration) -> Result<(), Error>;

    /// Aborts the transaction and forgets what was queued.
    fn abort(&mut self, wait: Duration) -> Result<(), Error>;

    /// The offset of the record sent with this receipt in the present transaction, once known.
    fn acknowledged(&self, receipt: usize) -> Option<Offset>;

    /// Whether a time-out or a transport error was seen since `init_transactions`: then a new
    /// producer must take over after this transaction (KIP-890 part 2 is missing in librdkafka).
    fn tainted(&self) -> bool;
}

/// Reads partitions outside any group: restore, verify, tests.
pub trait Reader {
    /// Waits at most `wait` and hands out what is there, at most `max` records.
    fn read(
        &mut self,
        max: usize,
        wait: Duration,
        each: &mut dyn FnMut(&TopicPartition, &Fetched<'_>),
    ) -> Result<usize, Error>;

    /// The offset reached, control records and compaction gaps included.
    fn position(&mut self, partition: &TopicPartition) -> NextOffset;
}
