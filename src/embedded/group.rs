//! The group coordinator: members, generations and committed offsets.
//!
//! ```text
//!           join, leave, expiry, topics changed
//!   Stable ─────────────────────────────────────▶ Joining
//!      ▲                                             │
//!      └─────────────────────────────────────────────┘
//!        all members have joined, or were dropped at the deadline: the generation grows and
//!        each gets its share, less what another member still owns
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aplomb_state::ids::{Timestamp, TopicPartition};

use super::{
    Settings,
    assignment::{Claim, divide, withhold_owned},
    offsets::Offsets,
};
use crate::log::{Class, Error, GroupDescription, MemberDescription};

/// The group's metadata as one member knows it: what `send_offsets` is checked against.
#[derive(Clone, Debug)]
pub struct Membership {
    pub(super) group: Arc<str>,
    pub(super) instance: Option<Arc<str>>,
    /// Absent while this consumer is no member.
    pub(super) member: Option<Arc<str>>,
    pub(super) generation: i32,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub offsets: Offsets,
    generation: i32,
    phase: Phase,
    members: BTreeMap<Arc<str>, Member>,
    joined_ever: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Stable,
    Joining {
        until: Timestamp,
    },
}

#[derive(Debug)]
struct Member {
    instance: Option<Arc<str>>,
    topics: Vec<Arc<str>>,
    seen: Timestamp,
    joined: bool,
    /// As it said when it joined.
    owned: BTreeSet<TopicPartition>,
    /// Its share in the present generation.
    share: BTreeSet<TopicPartition>,
}

/// What a member brings when it joins.
pub(super) struct Joining<'a> {
    pub topics: &'a [Arc<str>],
    pub owned: &'a BTreeSet<TopicPartition>,
    pub now: Timestamp,
}

/// What a member learns from a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// The group waits for this member to join.
    Join,
    /// The group waits for others.
    Wait,
    Generation(i32),
    /// The group has dropped this member.
    Unknown,
    /// Another process has taken over its `group.instance.id`.
    Fenced,
}

impl Membership {
    pub(super) fn none(group: &str, instance: Option<&str>) -> Self {
        Self {
            group: Arc::from(group),
            instance: instance.map(Arc::from),
            member: None,
            generation: -1,
        }
    }

    pub(super) fn fenced(&self) -> Error {
        let instance = self.instance.as_deref().unwrap_or_default();
        Error::new(
            Class::Fatal,
            format!("fenced: another process uses group.instance.id {instance}"),
        )
    }
}

impl Group {
    /// A new member, a new process of a static member, or an old member that joins again.
    pub fn join(
        &mut self,
        membership: &Membership,
        joining: &Joining<'_>,
        settings: &Settings,
    ) -> Arc<str> {
        let until = joining.now.plus_ms(settings.rebalance_timeout_ms);
        let mut member = Member {
            instance: membership.instance.clone(),
            topics: joining.topics.to_vec(),
            seen: joining.now,
            joined: true,
            owned: joining.owned.clone(),
            share: BTreeSet::new(),
        };
        // What somebody else has got meanwhile is not its own any more, whatever it believes.
        let others = self.members.iter().filter(|(id, _)| Some(*id) != membership.member.as_ref());
        let taken: BTreeSet<_> = others.flat_map(|(_, other)| &other.share).cloned().collect();
        member.owned.retain(|partition| !taken.contains(partition));
        if let Some(id) = &membership.member
            && let Some(known) = self.members.get_mut(id)
        {
            member.share = std::mem::take(&mut known.share);
            self.members.insert(Arc::clone(id), member);
            self.begin_joining(until);
            self.mark_joined(id);
            return Arc::clone(id);
        }
        let id = self.next_id(membership);
        let predecessor = membership.instance.as_ref().and_then(|name| self.id_of(name));
        if let Some(old) = predecessor.and_then(|old| self.members.remove(&old)) {
            member.share = old.share;
            // NOTE: as with Kafka, also where the present assignment leaves out what its earlier
            // process was yet to give up: that stays without an owner.
            let same_topics = old.topics == member.topics;
            if same_topics && matches!(self.phase, Phase::Stable) {
                self.members.insert(Arc::clone(&id), member);
                return id;
            }
        }
        self.members.insert(Arc::clone(&id), member);
        self.begin_joining(until);
        self.mark_joined(&id);
        id
    }

    pub fn leave(&mut self, membership: &Membership, until: Timestamp) {
        let left = membership.member.as_ref().and_then(|id| self.members.remove(id));
        if left.is_some() {
            self.begin_joining(until);
        }
    }

    pub fn beat(&mut self, membership: &Membership, now: Timestamp) -> Beat {
        let (phase, generation) = (self.phase, self.generation);
        let Some(member) = membership.member.as_ref().and_then(|id| self.members.get_mut(id))
        else {
            let successor = membership.instance.as_ref().and_then(|name| self.id_of(name));
            return if successor.is_some() { Beat::Fenced } else { Beat::Unknown };
        };
        member.seen = now;
        match phase {
            Phase::Stable => Beat::Generation(generation),
            Phase::Joining { .. } if member.joined => Beat::Wait,
            Phase::Joining { .. } => Beat::Join,
        }
    }

    pub fn describe(&self) -> GroupDescription {
        let members = self.members.iter().map(|(id, member)| MemberDescription {
            id: id.to_string(),
            owns: member.share.clone(),
        });
        let stable = matches!(self.phase, Phase::Stable);
        GroupDescription { stable, members: members.collect() }
    }

    /// The member's share in the present generation.
    pub fn share(&self, membership: &Membership) -> BTreeSet<TopicPartition> {
        let member = membership.member.as_ref().and_then(|id| self.members.get(id));
        member.map(|member| member.share.clone()).unwrap_or_default()
    }

    /// Ends the joining if nobody is missing. Answers whether it did.
    pub fn complete(&mut self, count_of: &dyn Fn(&str) -> i32) -> bool {
        let all_joined = self.members.values().all(|member| member.joined);
        if matches!(self.phase, Phase::Stable) || !all_joined {
            return false;
        }
        let topics: BTreeSet<&Arc<str>> =
            self.members.values().flat_map(|member| &member.topics).collect();
        let partitions: BTreeSet<TopicPartition> = topics
            .into_iter()
            .flat_map(|topic| {
                (0..count_of(topic)).map(|number| TopicPartition::new(Arc::clone(topic), number))
            })
            .collect();
        let claims: Vec<Claim<'_>> = self
            .members
            .values()
            .map(|member| Claim {
                topics: &member.topics,
                owned: &member.owned,
                meant: &member.share,
            })
            .collect();
        let shares = withhold_owned(divide(&partitions, &claims), &claims);
        for (member, share) in self.members.values_mut().zip(shares) {
            member.share = share;
        }
        self.generation += 1;
        self.phase = Phase::Stable;
        true
    }

    /// Drops the members that were silent, or that others have waited for, for too long.
    pub fn expire(&mut self, now: Timestamp, settings: &Settings) {
        let overdue = matches!(self.phase, Phase::Joining { until } if until <= now);
        let count = self.members.len();
        self.members.retain(|_, member| {
            let expires = member.seen.plus_ms(settings.session_timeout_ms);
            expires > now && (member.joined || !overdue)
        });
        if self.members.len() < count {
            self.begin_joining(now.plus_ms(settings.rebalance_timeout_ms));
        }
    }

    /// When the next member may have been silent for too long.
    pub fn next_expiry(&self, settings: &Settings) -> Timestamp {
        let sessions = self.members.values().map(|member| member.seen);
        let session = sessions.min().map(|seen| seen.plus_ms(settings.session_timeout_ms));
        let session = session.unwrap_or(Timestamp::MAX);
        match self.phase {
            Phase::Joining { until } => session.min(until),
            Phase::Stable => session,
        }
    }

    /// Asks all members to join again if one of them reads such a topic.
    pub fn topic_appeared(&mut self, topic: &Arc<str>, until: Timestamp) {
        if self.members.values().any(|member| member.topics.contains(topic)) {
            self.begin_joining(until);
        }
    }

    /// Whether offsets sent under this membership count. A consumer that is no member may only
    /// commit for a group without members.
    pub fn check(&self, membership: &Membership) -> Result<(), Error> {
        let Some(id) = &membership.member else {
            if self.members.is_empty() {
                return Ok(());
            }
            return Err(stale(membership, "the sender is no member"));
        };
        if self.members.contains_key(id) {
            if membership.generation == self.generation {
                return Ok(());
            }
            let reason = format!("generation {} is not {}", membership.generation, self.generation);
            return Err(stale(membership, &reason));
        }
        match membership.instance.as_ref().and_then(|name| self.id_of(name)) {
            Some(_) => Err(membership.fenced()),
            None => Err(stale(membership, &format!("member {id} is unknown"))),
        }
    }

    fn id_of(&self, instance: &Arc<str>) -> Option<Arc<str>> {
        let mut members = self.members.iter();
        members
            .find(|(_, member)| member.instance.as_ref() == Some(instance))
            .map(|(id, _)| Arc::clone(id))
    }

    fn next_id(&mut self, membership: &Membership) -> Arc<str> {
        self.joined_ever += 1;
        let name = membership.instance.as_deref().unwrap_or("member");
        Arc::from(format!("{name}-{:06}", self.joined_ever))
    }

    fn begin_joining(&mut self, until: Timestamp) {
        if matches!(self.phase, Phase::Stable) {
            self.phase = Phase::Joining { until };
            for member in self.members.values_mut() {
                member.joined = false;
            }
        }
    }

    fn mark_joined(&mut self, id: &Arc<str>) {
        if let Some(member) = self.members.get_mut(id) {
            member.joined = true;
        }
    }
}

fn stale(membership: &Membership, reason: &str) -> Error {
    let message = format!("group {}: {reason}", membership.group);
    Error { blameless: true, outdated: true, ..Error::new(Class::Abort, message) }
}
