//! What a worker runs: the topology with its names, partition counts and limits resolved.

use std::sync::Arc;

use aplomb_state::{
    clock::Upstream,
    envelope::{Configuration, Source},
    ids::{TaskId, Timestamp, TopicPartition},
    stage::{Inbox, StageDefinition},
    topology::Topology,
};

use crate::names;

/// Shared by all workers of a process; never changes while it runs.
#[derive(Clone)]
pub struct Application {
    /// Names the group, the transactional ids and the internal topics.
    pub id: String,
    pub topology: Topology,
    /// By place in the topology.
    pub stages: Vec<StageTopics>,
    /// By place in the topology.
    pub outputs: Vec<OutputTopic>,
    /// Of every inbox and changelog.
    pub inbox_partitions: i32,
    pub configuration: Configuration,
    pub start: Start,
    pub tuning: Tuning,
}

#[derive(Clone, Debug)]
pub struct StageTopics {
    pub definition: Arc<StageDefinition>,
    /// Absent for the external stage.
    pub inbox: Option<Arc<str>>,
    pub changelog: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub struct OutputTopic {
    pub topic: Arc<str>,
    pub partitions: i32,
}

/// Where external topics are read from at the very first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    At(Timestamp),
}

/// Bounds of the worker's loop.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// A transaction is not kept open for longer.
    pub commit_interval_ms_max: i64,
    /// Commits are at least so far apart.
    pub commit_interval_ms_min: i64,
    pub commit_records_max: usize,
    /// Of overlays and outboxes together.
    pub commit_bytes_max: usize,
    pub transaction_timeout_ms: i64,
    /// So long one commit may wait for the broker, in all its steps together.
    pub commit_wait_ms_max: i64,
    /// The same for the commit of what a rebalance takes away.
    pub revoke_wait_ms_max: i64,
    pub tick_interval_ms: i64,
    pub ticks: Ticks,
    /// Records handled before the group and the commit are looked at again.
    pub turn_records_max: usize,
    /// Restored per turn.
    pub restore_records_max: usize,
    /// How long intake waits for a partition that lags behind its known end.
    pub merge_wait_ms_max: i64,
    /// Records waiting downstream above which intake yields.
    pub downstream_lag_max: i64,
    /// `delete.retention.ms` of the changelogs.
    pub changelog_delete_retention_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// Every `tick_interval_ms`.
    Timed,
    /// Only when asked for: replay decides when time moves.
    OnRequest,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            commit_interval_ms_max: 500,
            commit_interval_ms_min: 5,
            commit_records_max: 20_000,
            commit_bytes_max: 32 << 20,
            transaction_timeout_ms: 10_000,
            commit_wait_ms_max: 8_000,
            revoke_wait_ms_max: 5_000,
            tick_interval_ms: 1_000,
            ticks: Ticks::Timed,
            turn_records_max: 1_000,
            restore_records_max: 5_000,
            merge_wait_ms_max: 200,
            downstream_lag_max: 50_000,
            changelog_delete_retention_ms: 86_400_000,
        }
    }
}

/// Names and counts of an application's topics.
#[derive(Clone, Debug)]
pub struct Naming {
    pub application_id: String,
    pub output_prefix: String,
    pub inbox_partitions: i32,
    pub output_partitions: i32,
}

impl Application {
    pub fn new(
        topology: Topology,
        naming: &Naming,
        configuration: Configuration,
        start: Start,
        tuning: Tuning,
    ) -> Self {
        let stage = |definition: StageDefinition| {
            let internal = definition.inbox == Inbox::Internal;
            let name = definition.name;
            StageTopics {
                inbox: internal.then(|| names::inbox(&naming.application_id, name)),
                changelog: internal.then(|| names::changelog(&naming.application_id, name)),
                definition: Arc::new(definition),
            }
        };
        let output = |name: &str| OutputTopic {
            topic: names::output(&naming.output_prefix, name),
            partitions: naming.output_partitions,
        };
        Self {
            id: naming.application_id.clone(),
            stages: topology.definitions().into_iter().map(stage).collect(),
            outputs: topology.outputs.iter().map(|definition| output(definition.topic)).collect(),
            inbox_partitions: naming.inbox_partitions,
            topology,
            configuration,
            start,
            tuning,
        }
    }

    /// Everything the group consumes: the external topics and the inboxes.
    pub fn subscription(&self) -> Vec<Arc<str>> {
        let external = self.configuration.sources.iter().map(|source| source.topic.as_str().into());
        external.chain(self.stages.iter().filter_map(|stage| stage.inbox.clone())).collect()
    }

    /// The stage whose input this is, by place.
    pub fn stage_of(&self, input: &TopicPartition) -> Option<u16> {
        let inbox = self.stages.iter().position(|stage| stage.inbox.as_ref() == Some(&input.topic));
        let external = || self.source_of(input).map(|_| 0);
        inbox.or_else(external).and_then(|index| u16::try_from(index).ok())
    }

    /// The configured source that an external partition belongs to.
    pub fn source_of(&self, input: &TopicPartition) -> Option<&Source> {
        self.configuration.sources.iter().find(|source| *source.topic == *input.topic)
    }

    /// The stages with an inbox of their own, by place.
    pub fn inner_stages(&self) -> impl Iterator<Item = u16> + use<> {
        (1..self.stages.len()).filter_map(|stage| u16::try_from(stage).ok())
    }

    pub fn stage(&self, index: u16) -> Option<&StageTopics> {
        self.stages.get(usize::from(index))
    }

    pub fn task_id(&self, stage: u16, input: TopicPartition) -> Option<TaskId> {
        let name = self.stage(stage)?.definition.name;
        Some(TaskId { stage: name.into(), input })
    }

    /// The inbox partitions of the stages between the external one and `stage`.
    pub fn inner_upstream(&self, stage: u16) -> Arc<[Upstream]> {
        let before = self.stages.iter().zip(0u16..).take(usize::from(stage));
        before
            .filter_map(|(topics, index)| topics.inbox.as_ref().map(|inbox| (index, inbox)))
            .flat_map(|(stage, inbox)| {
                (0..self.inbox_partitions).map(move |partition| Upstream {
                    stage,
                    input: TopicPartition { topic: Arc::clone(inbox), partition },
                })
            })
            .collect()
    }

    /// Partitions of all inboxes.
    pub fn inbox_partitions(&self) -> Vec<TopicPartition> {
        let inboxes = self.stages.iter().filter_map(|stage| stage.inbox.as_ref());
        inboxes
            .flat_map(|inbox| {
                let partitions = 0..self.inbox_partitions;
                partitions.map(|partition| TopicPartition { topic: Arc::clone(inbox), partition })
            })
            .collect()
    }

    /// Partitions of all outputs.
    pub fn output_partitions(&self) -> Vec<TopicPartition> {
        let partitions = self.outputs.iter().flat_map(|output| {
            let topic = &output.topic;
            (0..output.partitions)
                .map(|partition| TopicPartition::new(Arc::clone(topic), partition))
        });
        partitions.collect()
    }

    /// Partitions of all external topics, as configured.
    pub fn external_partitions(&self) -> Vec<TopicPartition> {
        let sources = self.configuration.sources.iter();
        sources
            .flat_map(|source| {
                let topic: Arc<str> = source.topic.as_str().into();
                (0..source.partitions)
                    .map(move |partition| TopicPartition { topic: Arc::clone(&topic), partition })
            })
            .collect()
    }
}
