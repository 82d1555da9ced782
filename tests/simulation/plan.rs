//! What a seed decides before anything starts.

use std::sync::Arc;

use aplomb::{
    application::Application,
    embedded::{Settings, StaticRejoin},
    log::TopicDescription,
    topics,
};
use aplomb_state::ids::Timestamp;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    load::{self, Kind},
    violation::Outcome,
    words,
};

pub const START: Timestamp = Timestamp(1_772_409_600_000);
/// A store that was away for longer may have missed tombstones.
pub const DELETE_RETENTION_MS: i64 = 20_000;
pub const SESSION_TIMEOUT_MS: i64 = 3_000;
/// Of every so many seeds, one runs the shop.
const COMMERCE_EVERY: u64 = 8;

/// See the module.
pub struct Plan {
    pub seed: u64,
    pub kind: Kind,
    /// How many workers each process has.
    pub workers: Vec<usize>,
    /// Processes keep their place in the group over a restart.
    pub is_static: bool,
    /// Somebody starts a process twice, with its identity and a disk of its own.
    pub has_twin: bool,
    /// Processes start with another version of the handlers from some action on.
    pub upgrade_at: Option<usize>,
    /// Of each call to fail.
    pub fault_probability: f64,
    pub actions: usize,
    pub settings: Settings,
    /// By fold version, the old one first.
    pub applications: Vec<Arc<Application>>,
    pub topics: Vec<TopicDescription>,
}

impl Plan {
    /// The plan of a seed, and the randomness for the rest of the run.
    pub fn of(seed: u64) -> Outcome<(Self, SmallRng)> {
        let mut random = SmallRng::seed_from_u64(seed);
        let kind =
            if seed % COMMERCE_EVERY == COMMERCE_EVERY - 1 { Kind::Commerce } else { Kind::Words };
        let is_static = random.random_bool(0.4);
        let silent = is_static && random.random_bool(0.6);
        let transaction_timeout_ms = if random.random_bool(0.5) { 1_500 } else { 6_000 };
        let settings = Settings {
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: 2 * SESSION_TIMEOUT_MS,
            transaction_timeout_ms,
            fetch_records_max: random.random_range(2..40),
            static_rejoin: if silent { StaticRejoin::Silent } else { StaticRejoin::Lost },
        };
        let hold_ms = if random.random_bool(0.3) { 2_000 } else { 600_000 };
        let (mut application, naming) = load::application(kind, 1, hold_ms)?;
        let tuning = &mut application.tuning;
        tuning.transaction_timeout_ms = transaction_timeout_ms;
        tuning.commit_interval_ms_max = random.random_range(10..200);
        tuning.commit_interval_ms_min = random.random_range(0..30);
        tuning.commit_records_max = random.random_range(2..24);
        tuning.turn_records_max = random.random_range(2..9);
        tuning.restore_records_max = random.random_range(1..12);
        tuning.tick_interval_ms = if random.random_bool(0.5) { 200 } else { 500 };
        tuning.merge_wait_ms_max = random.random_range(0..60);
        tuning.changelog_delete_retention_ms = DELETE_RETENTION_MS;
        let mut topics = topics::plan(&application.topology, &naming);
        for topic in &mut topics {
            for (key, value) in &mut topic.config {
                if key == "delete.retention.ms" {
                    *value = DELETE_RETENTION_MS.to_string();
                }
            }
        }
        topics.extend(application.configuration.sources.iter().map(|source| TopicDescription {
            name: source.topic.as_str().into(),
            partitions: source.partitions,
            config: Vec::new(),
        }));
        let mut newer = application.clone();
        newer.topology.fold_version = match kind {
            Kind::Words => words::topology(2).fold_version,
            Kind::Commerce => load::application(kind, 2, hold_ms)?.0.topology.fold_version,
        };
        let actions = 50;
        let has_twin = random.random_bool(0.1);
        let plan = Self {
            seed,
            kind,
            workers: if has_twin { vec![2, 1, 1, 1] } else { vec![2, 1, 1] },
            has_twin,
            is_static,
            upgrade_at: random.random_bool(0.2).then(|| random.random_range(5..actions)),
            fault_probability: [0.0, 0.01, 0.03][random.random_range(0..3)],
            actions,
            settings,
            applications: vec![Arc::new(application), Arc::new(newer)],
            topics,
        };
        Ok((plan, random))
    }
}
