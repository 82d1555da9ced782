//! The state of the whole cluster, behind one lock, and the waiting for it to change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aplomb_state::ids::{NextOffset, Offset, Timestamp, TopicPartition};

use super::{
    Settings,
    clock::LogClock,
    group::{Group, Membership},
    partition::{Outcome, Partition},
    record::Body,
    topic::Topic,
    transaction::{Coordinator, Ongoing, Session},
};
use crate::{
    clock::Clock,
    log::{Class, Committed, Error, GroupDescription, TopicDescription},
};

/// How long a waiter sleeps before it looks for what only time brings, such as an expiry.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What all ends of one log share.
pub(super) struct Shared {
    pub clock: LogClock,
    pub settings: Settings,
    cluster: Mutex<Cluster>,
    changed: Condvar,
}

/// Owns everything a broker would. It knows no clock: each call is told the time.
#[derive(Debug)]
pub(super) struct Cluster {
    settings: Settings,
    topics: HashMap<Arc<str>, Topic>,
    /// In the order of their names, so that a run can be repeated.
    groups: BTreeMap<Arc<str>, Group>,
    coordinator: Coordinator,
    /// Nothing expires before this instant. It may be too early, never too late.
    next_expiry: Timestamp,
    waiters: usize,
    /// Partitions without a leader to read from.
    stalled: BTreeSet<TopicPartition>,
    /// Something happened that a waiter may be waiting for.
    stirred: bool,
}

impl Shared {
    pub fn new(clock: LogClock, settings: Settings) -> Self {
        let cluster = Cluster {
            settings,
            topics: HashMap::new(),
            groups: BTreeMap::new(),
            coordinator: Coordinator::default(),
            next_expiry: Timestamp::MAX,
            waiters: 0,
            stalled: BTreeSet::new(),
            stirred: false,
        };
        Self { clock, settings, cluster: Mutex::new(cluster), changed: Condvar::new() }
    }

    /// Runs `work` under the lock, after whatever has expired by now.
    pub fn with<T>(&self, work: impl FnOnce(&mut Cluster, Timestamp) -> T) -> T {
        let mut cluster = self.lock();
        let now = self.clock.now();
        cluster.expire(now);
        let answer = work(&mut cluster, now);
        self.wake(&mut cluster);
        answer
    }

    /// Attempts `work` until it answers, but no longer than `wait`. On a virtual clock there is
    /// one attempt: nobody could move the clock meanwhile.
    pub fn wait<T>(
        &self,
        wait: Duration,
        mut work: impl FnMut(&mut Cluster, Timestamp) -> Option<T>,
    ) -> Option<T> {
        let mut cluster = self.lock();
        let start = self.clock.now();
        loop {
            let now = self.clock.now();
            cluster.expire(now);
            let answer = work(&mut cluster, now);
            self.wake(&mut cluster);
            let passed_ms = u64::try_from(now.0 - start.0).unwrap_or_default();
            let left = wait.saturating_sub(Duration::from_millis(passed_ms));
            if answer.is_some() || left.is_zero() || !self.clock.runs() {
                return answer;
            }
            cluster.waiters += 1;
            let woken = self.changed.wait_timeout(cluster, left.min(LOOK_EVERY));
            cluster = woken.unwrap_or_else(PoisonError::into_inner).0;
            cluster.waiters -= 1;
        }
    }

    /// Waits for the end of transactions that hold offsets of these partitions.
    pub fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
        wait: Duration,
    ) -> Vec<Committed> {
        let mut answer = Vec::new();
        self.wait(wait, |cluster, _| {
            answer = cluster.committed(group, partitions);
            (!answer.contains(&Committed::Unstable)).then_some(())
        });
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Cluster> {
        // A panic of a handler's thread while it held the lock is not ours to pass on: every
        // change under the lock is complete by itself.
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waking costs a system call, so it is done only if somebody waits.
    fn wake(&self, cluster: &mut Cluster) {
        if std::mem::take(&mut cluster.stirred) && cluster.waiters > 0 {
            self.changed.notify_all();
        }
    }
}

// === topics ===

impl Cluster {
    pub fn create(&mut self, description: &TopicDescription, now: Timestamp) -> Result<(), Error> {
        let name = &description.name;
        if self.topics.contains_key(name) {
            return Err(Error::new(Class::Fatal, format!("topic {name} exists already")));
        }
        self.topics.insert(Arc::clone(name), Topic::new(description)?);
        let until = now.plus_ms(self.settings.rebalance_timeout_ms);
        for group in self.groups.values_mut() {
            group.topic_appeared(name, until);
        }
        self.settle_groups();
        Ok(())
    }

    pub fn delete(&mut self, name: &Arc<str>) -> Result<(), Error> {
        self.stirred = true;
        self.topics.remove(name).ok_or_else(|| unknown(name))?;
        for group in self.groups.values_mut() {
            group.offsets.forget(|partition| partition.topic == *name);
        }
        Ok(())
    }

    pub fn topic(&self, name: &str) -> Result<&Topic, Error> {
        self.topics.get(name).ok_or_else(|| unknown(name))
    }

    pub fn topic_mut(&mut self, name: &str) -> Result<&mut Topic, Error> {
        self.stirred = true;
        self.topics.get_mut(name).ok_or_else(|| unknown(name))
    }

    pub fn partition(&self, of: &TopicPartition) -> Result<&Partition, Error> {
        self.topic(&of.topic)?.partition(of.partition)
    }

    /// The topic is empty again, and the groups' offsets of it are gone.
    pub fn recreate(&mut self, name: &str) -> Result<(), Error> {
        let topic = self.topic_mut(name)?;
        *topic = Topic::new(&topic.describe())?;
        for group in self.groups.values_mut() {
            group.offsets.forget(|partition| *partition.topic == *name);
        }
        Ok(())
    }

    pub fn forget_offsets(&mut self, group: &str) {
        if let Some(group) = self.groups.get_mut(group) {
            group.offsets.forget(|_| true);
        }
    }

    pub fn stall(&mut self, partition: TopicPartition) {
        self.stalled.insert(partition);
    }

    pub fn resume(&mut self) {
        self.stalled.clear();
        self.stirred = true;
    }

    pub fn is_stalled(&self, partition: &TopicPartition) -> bool {
        self.stalled.contains(partition)
    }
}

// === transactions ===

/// A record on its way into a transaction.
pub(super) struct Outgoing<'a> {
    pub topic: &'a Arc<str>,
    pub partition: i32,
    pub timestamp: Option<Timestamp>,
    pub body: Body,
}

impl Cluster {
    pub fn init(&mut self, id: &Arc<str>, now: Timestamp) -> Session {
        let (session, ongoing) = self.coordinator.init(id);
        if let Some(ongoing) = ongoing {
            self.end(&ongoing, Outcome::Abort, now);
        }
        session
    }

    pub fn check_session(&self, session: Session) -> Result<(), Error> {
        self.coordinator.check(session)
    }

    pub fn append(
        &mut self,
        session: Session,
        record: Outgoing<'_>,
        now: Timestamp,
    ) -> Result<Offset, Error> {
        let until = now.plus_ms(self.settings.transaction_timeout_ms);
        let topic = self.topics.get_mut(record.topic).ok_or_else(|| unknown(record.topic))?;
        let ongoing = self.coordinator.ongoing(session, until)?;
        self.next_expiry = self.next_expiry.min(ongoing.until);
        let created = record.timestamp.unwrap_or(now);
        let number = ongoing.number;
        let is_new = topic.partition(record.partition)?.is_new_to(number);
        let offset = topic.append(record.partition, created, now, Some(number), record.body)?;
        if is_new {
            let name = Arc::clone(&topic.name);
            ongoing.partitions.push(TopicPartition { topic: name, partition: record.partition });
        }
        self.stirred = true;
        Ok(offset)
    }

    pub fn add_offsets(
        &mut self,
        session: Session,
        offsets: &[(TopicPartition, NextOffset, String)],
        membership: &Membership,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.coordinator.check(session)?;
        let group = self.groups.entry(Arc::clone(&membership.group)).or_default();
        group.check(membership)?;
        let until = now.plus_ms(self.settings.transaction_timeout_ms);
        let ongoing = self.coordinator.ongoing(session, until)?;
        self.next_expiry = self.next_expiry.min(ongoing.until);
        group.offsets.add(ongoing.number, offsets);
        if !ongoing.groups.contains(&membership.group) {
            ongoing.groups.push(Arc::clone(&membership.group));
        }
        Ok(())
    }

    pub fn end_transaction(
        &mut self,
        session: Session,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<(), Error> {
        if let Some(ongoing) = self.coordinator.take(session)? {
            self.end(&ongoing, outcome, now);
        }
        Ok(())
    }

    fn end(&mut self, ongoing: &Ongoing, outcome: Outcome, now: Timestamp) {
        for touched in &ongoing.partitions {
            let topic = self.topics.get_mut(&touched.topic);
            if let Some(Ok(partition)) = topic.map(|topic| topic.partition_mut(touched.partition)) {
                partition.end_transaction(ongoing.number, outcome, now);
            }
        }
        for name in &ongoing.groups {
            if let Some(group) = self.groups.get_mut(name) {
                group.offsets.end_transaction(ongoing.number, outcome);
            }
        }
        self.stirred = true;
    }
}

// === groups ===

impl Cluster {
    /// Works on a group, and then completes its joining if nobody is missing any more.
    pub fn group<T>(&mut self, name: &Arc<str>, work: impl FnOnce(&mut Group) -> T) -> T {
        let group = self.groups.entry(Arc::clone(name)).or_default();
        let answer = work(group);
        let topics = &self.topics;
        if group.complete(&|topic| count_of(topics, topic)) {
            self.stirred = true;
        }
        self.next_expiry = self.next_expiry.min(group.next_expiry(&self.settings));
        answer
    }

    fn committed(&self, group: &str, partitions: &[TopicPartition]) -> Vec<Committed> {
        let offsets = self.groups.get(group).map(|group| &group.offsets);
        let of = |partition| offsets.map_or(Committed::None, |found| found.committed(partition));
        partitions.iter().map(of).collect()
    }

    pub fn describe_group(&self, name: &str) -> GroupDescription {
        self.groups.get(name).map(Group::describe).unwrap_or_default()
    }

    pub fn stable(&self, group: &str, partitions: &[TopicPartition]) -> Vec<Committed> {
        let offsets = self.groups.get(group).map(|group| &group.offsets);
        let of = |partition| offsets.map_or(Committed::None, |found| found.stable(partition));
        partitions.iter().map(of).collect()
    }

    fn settle_groups(&mut self) {
        let topics = &self.topics;
        for group in self.groups.values_mut() {
            group.complete(&|topic| count_of(topics, topic));
            self.next_expiry = self.next_expiry.min(group.next_expiry(&self.settings));
        }
        self.stirred = true;
    }

    fn expire(&mut self, now: Timestamp) {
        if now < self.next_expiry {
            return;
        }
        for ongoing in self.coordinator.expire(now) {
            self.end(&ongoing, Outcome::Abort, now);
        }
        for group in self.groups.values_mut() {
            group.expire(now, &self.settings);
        }
        self.next_expiry = self.coordinator.next_expiry();
        self.settle_groups();
    }
}

fn count_of(topics: &HashMap<Arc<str>, Topic>, name: &str) -> i32 {
    let count = topics.get(name).map_or(0, |topic| topic.partitions.len());
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn unknown(topic: &str) -> Error {
    Error::new(Class::Fatal, format!("topic {topic} does not exist"))
}
