//! A group member of the embedded log.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use aplomb_state::ids::{NextOffset, Timestamp, TopicPartition};

use super::{
    StaticRejoin,
    cluster::{Cluster, Shared},
    faults::{self, Call, Faults},
    group::{Beat, Joining, Membership},
    record::Stored,
};
use crate::log::{
    Class, Committed, Consumer, Error, Fetched, GroupEvent, Head, Isolation, Leave, Member,
};

/// One member. Dropping it without [`Consumer::close`] is a crash: the group notices when the
/// session times out.
pub struct EmbeddedConsumer {
    shared: Arc<Shared>,
    faults: Option<Arc<dyn Faults>>,
    topics: Vec<Arc<str>>,
    membership: Membership,
    /// What was accepted and not released, and from where it is fetched. Ordered, so that what is
    /// fetched ahead does not depend on a hasher's seed.
    owned: BTreeMap<TopicPartition, Option<Fetch>>,
    /// Handed out and not answered yet.
    unanswered: Option<GroupEvent>,
    /// Follows the answer to a revocation.
    next_assigned: BTreeSet<TopicPartition>,
    after_release: AfterRelease,
}

/// What a released partition calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterRelease {
    Nothing,
    /// Others wait for it: join again.
    Join,
    /// It was the last act of a member that unsubscribed.
    Leave,
}

/// A started partition.
struct Fetch {
    /// Where the buffer ends.
    position: NextOffset,
    buffer: VecDeque<Stored>,
}

impl EmbeddedConsumer {
    pub(super) fn new(
        shared: Arc<Shared>,
        faults: Option<Arc<dyn Faults>>,
        member: &Member,
    ) -> Self {
        Self {
            shared,
            faults,
            topics: Vec::new(),
            membership: Membership::none(&member.group, member.instance_id.as_deref()),
            owned: BTreeMap::new(),
            unanswered: None,
            next_assigned: BTreeSet::new(),
            after_release: AfterRelease::Nothing,
        }
    }

    fn owned(&self) -> BTreeSet<TopicPartition> {
        self.owned.keys().cloned().collect()
    }

    /// One round with the group coordinator.
    fn serve(
        &mut self,
        cluster: &mut Cluster,
        now: Timestamp,
    ) -> Result<Option<GroupEvent>, Error> {
        if self.membership.member.is_none() {
            if self.topics.is_empty() || self.unanswered.is_some() {
                return Ok(None);
            }
            self.join(cluster, now);
        }
        let group = Arc::clone(&self.membership.group);
        let beat = cluster.group(&group, |group| group.beat(&self.membership, now));
        if beat == Beat::Fenced {
            return Err(self.membership.fenced());
        }
        if self.unanswered.is_some() {
            return Ok(None);
        }
        if beat == Beat::Unknown {
            let is_silent = self.shared.settings.static_rejoin == StaticRejoin::Silent
                && self.membership.instance.is_some();
            if !is_silent {
                return Ok(self.lose());
            }
            self.forget_membership();
            self.join(cluster, now);
            return Ok(self.learn_assignment(cluster, now));
        }
        if self.after_release == AfterRelease::Leave {
            self.leave(cluster, now);
            return Ok(None);
        }
        if self.topics.is_empty() {
            self.after_release = AfterRelease::Leave;
            return Ok(Some(GroupEvent::Revoked(self.owned().into_iter().collect())));
        }
        if !self.next_assigned.is_empty() {
            let added = std::mem::take(&mut self.next_assigned);
            return Ok(Some(GroupEvent::Assigned(added.into_iter().collect())));
        }
        if beat == Beat::Join || self.after_release == AfterRelease::Join {
            self.join(cluster, now);
        }
        Ok(self.learn_assignment(cluster, now))
    }

    fn join(&mut self, cluster: &mut Cluster, now: Timestamp) {
        let owned = self.owned();
        let settings = self.shared.settings;
        let joining = Joining { topics: &self.topics, owned: &owned, now };
        let name = Arc::clone(&self.membership.group);
        let id = cluster.group(&name, |group| group.join(&self.membership, &joining, &settings));
        self.membership.member = Some(id);
        self.after_release = AfterRelease::Nothing;
    }

    fn leave(&mut self, cluster: &mut Cluster, now: Timestamp) {
        self.leave_group(cluster, now);
        self.forget_membership();
    }

    fn leave_group(&self, cluster: &mut Cluster, now: Timestamp) {
        let until = now.plus_ms(self.shared.settings.rebalance_timeout_ms);
        let name = Arc::clone(&self.membership.group);
        cluster.group(&name, |group| group.leave(&self.membership, until));
    }

    fn lose(&mut self) -> Option<GroupEvent> {
        self.forget_membership();
        // A member that had nothing has nothing to lose: it joins again at its next poll.
        (!self.owned.is_empty()).then(|| GroupEvent::Lost(self.owned().into_iter().collect()))
    }

    fn forget_membership(&mut self) {
        self.membership.member = None;
        self.membership.generation = -1;
        self.next_assigned.clear();
        self.after_release = AfterRelease::Nothing;
    }

    /// Compares the share in a new generation with what this member has.
    fn learn_assignment(&mut self, cluster: &mut Cluster, now: Timestamp) -> Option<GroupEvent> {
        let name = Arc::clone(&self.membership.group);
        let Beat::Generation(generation) =
            cluster.group(&name, |group| group.beat(&self.membership, now))
        else {
            return None;
        };
        if generation == self.membership.generation {
            return None;
        }
        self.membership.generation = generation;
        let share = cluster.group(&name, |group| group.share(&self.membership));
        let owned = self.owned();
        let added: BTreeSet<TopicPartition> = share.difference(&owned).cloned().collect();
        let revoked: Vec<TopicPartition> = owned.difference(&share).cloned().collect();
        if revoked.is_empty() {
            return Some(GroupEvent::Assigned(added.into_iter().collect()));
        }
        self.next_assigned = added;
        self.after_release = AfterRelease::Join;
        Some(GroupEvent::Revoked(revoked))
    }

    /// Whether a record waits in a started partition. An error does too: `head` tells it.
    fn has_records(&mut self, cluster: &Cluster) -> bool {
        let fetch_max = self.shared.settings.fetch_records_max;
        let mut owned = self.owned.iter_mut();
        owned.any(|(of, fetch)| {
            let Some(fetch) = fetch else {
                return false;
            };
            !fetch.buffer.is_empty()
                || fetch.fill(of, cluster, fetch_max).is_err()
                || !fetch.buffer.is_empty()
        })
    }

    fn fetch_mut(&mut self, partition: &TopicPartition) -> Option<&mut Fetch> {
        self.owned.get_mut(partition).and_then(Option::as_mut)
    }

    /// The started partition with something in its buffer, if there is something.
    fn filled(&mut self, partition: &TopicPartition) -> Result<Option<&mut Fetch>, Error> {
        let shared = Arc::clone(&self.shared);
        let Some(fetch) = self.fetch_mut(partition) else {
            return Ok(None);
        };
        if fetch.buffer.is_empty() {
            let fetch_max = shared.settings.fetch_records_max;
            shared.with(|cluster, _| fetch.fill(partition, cluster, fetch_max))?;
        }
        Ok(Some(fetch))
    }

    fn accepted(&mut self, partition: &TopicPartition) -> Result<&mut Option<Fetch>, Error> {
        let missing = || Error::new(Class::Fatal, format!("{partition} is not accepted"));
        self.owned.get_mut(partition).ok_or_else(missing)
    }
}

impl Consumer for EmbeddedConsumer {
    type Group = Membership;

    fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), Error> {
        let is_changed = self.topics != topics;
        self.topics = topics.to_vec();
        if is_changed && self.membership.member.is_some() {
            self.after_release = AfterRelease::Join;
        }
        Ok(())
    }

    fn poll(&mut self, wait: Duration) -> Result<Option<GroupEvent>, Error> {
        let shared = Arc::clone(&self.shared);
        let answer = shared.wait(wait, |cluster, now| match self.serve(cluster, now) {
            Err(error) => Some(Err(error)),
            Ok(Some(event)) => {
                self.unanswered = Some(event.clone());
                Some(Ok(Some(event)))
            }
            Ok(None) => self.has_records(cluster).then_some(Ok(None)),
        });
        answer.unwrap_or(Ok(None))
    }

    fn accept(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        match &self.unanswered {
            Some(GroupEvent::Assigned(assigned)) if is_same(assigned, partitions) => {}
            other => return Err(wrong_answer("accept", other.as_ref())),
        }
        self.unanswered = None;
        self.owned.extend(partitions.iter().map(|partition| (partition.clone(), None)));
        Ok(())
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        match &self.unanswered {
            Some(GroupEvent::Revoked(given) | GroupEvent::Lost(given))
                if is_same(given, partitions) => {}
            other => return Err(wrong_answer("release", other.as_ref())),
        }
        self.unanswered = None;
        for partition in partitions {
            self.owned.remove(partition);
        }
        Ok(())
    }

    fn start(&mut self, partition: &TopicPartition, next: NextOffset) -> Result<(), Error> {
        *self.accepted(partition)? = Some(Fetch { position: next, buffer: VecDeque::new() });
        Ok(())
    }

    fn hold(&mut self, partition: &TopicPartition) -> Result<(), Error> {
        *self.accepted(partition)? = None;
        Ok(())
    }

    fn head(&mut self, partition: &TopicPartition) -> Result<Option<Head>, Error> {
        let next = self.filled(partition)?.and_then(|fetch| fetch.buffer.front());
        Ok(next.map(|record| Head { offset: record.offset, timestamp: record.timestamp }))
    }

    fn take(
        &mut self,
        partition: &TopicPartition,
        each: &mut dyn FnMut(&Fetched<'_>),
    ) -> Result<bool, Error> {
        let Some(record) = self.filled(partition)?.and_then(|fetch| fetch.buffer.pop_front())
        else {
            return Ok(false);
        };
        each(&record.fetched());
        Ok(true)
    }

    fn drained_at(&mut self, partition: &TopicPartition) -> Option<Timestamp> {
        let shared = Arc::clone(&self.shared);
        let fetch = self.fetch_mut(partition).filter(|fetch| fetch.buffer.is_empty())?;
        shared.with(|cluster, now| {
            fetch.fill(partition, cluster, shared.settings.fetch_records_max).ok()?;
            let high = cluster.partition(partition).ok()?.high();
            let is_drained = fetch.buffer.is_empty() && fetch.position == high;
            (is_drained && !cluster.is_stalled(partition)).then_some(now)
        })
    }

    fn end(&mut self, partition: &TopicPartition) -> Option<NextOffset> {
        let shared = Arc::clone(&self.shared);
        self.fetch_mut(partition)?;
        shared.with(|cluster, _| cluster.partition(partition).ok().map(|found| found.high()))
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        wait: Duration,
    ) -> Result<Vec<Committed>, Error> {
        faults::ask(self.faults.as_deref(), Call::Committed)?;
        Ok(self.shared.committed(&self.membership.group, partitions, wait))
    }

    fn group(&mut self) -> Result<(Membership, String), Error> {
        let id = self.membership.member.as_deref().unwrap_or_default().to_owned();
        Ok((self.membership.clone(), id))
    }

    fn close(self, leave: Leave) -> Result<(), Error> {
        if leave == Leave::Leave || self.membership.instance.is_none() {
            self.shared.with(|cluster, now| self.leave_group(cluster, now));
        }
        Ok(())
    }
}

impl Fetch {
    fn fill(&mut self, of: &TopicPartition, cluster: &Cluster, max: usize) -> Result<(), Error> {
        if cluster.is_stalled(of) {
            return Ok(());
        }
        let Self { position, buffer } = self;
        let partition = cluster.partition(of)?;
        let reached = partition.fetch(*position, Isolation::ReadCommitted, max, |record| {
            buffer.push_back(record.clone());
        });
        *position = reached
            .map_err(|error| Error { message: format!("{of}: {}", error.message), ..error })?;
        Ok(())
    }
}

fn is_same(event: &[TopicPartition], answer: &[TopicPartition]) -> bool {
    event.len() == answer.len() && answer.iter().all(|partition| event.contains(partition))
}

fn wrong_answer(answer: &str, event: Option<&GroupEvent>) -> Error {
    Error::new(Class::Fatal, format!("{answer} does not answer {event:?}"))
}
