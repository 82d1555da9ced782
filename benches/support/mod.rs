//! The inputs of every stage, as a steady load of orders makes them, and a task to fold them again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use aplomb::commerce::traffic::{Load, NOTIFICATIONS, Traffic};
use aplomb_state::{
    backend::{Database, StorePosition, TaskStore, memory::MemoryDatabase},
    clock::Upstream,
    codec,
    effect::Target,
    envelope::{Configuration, Envelope, Source},
    fold::{Fault, Fold, Inboxed, NoState},
    ids::{FoldVersion, Generation, NextOffset, Offset, TaskId, Timestamp, TopicPartition},
    record::{External, Trace},
    topology::Topology,
};

/// Inputs between two writings of the overlay, as in a busy transaction.
const INPUTS_PER_APPLY: usize = 500;
const FLOW: &str = "commercetools";

/// A record of an inbox, or of the outside for the first stage.
pub struct Input {
    pub at: Timestamp,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// What each stage was given, by its place in the topology.
pub struct Inputs {
    pub topology: Topology,
    pub by_stage: Vec<Vec<Input>>,
}

/// One task over a state in memory.
pub struct Task {
    fold: Fold,
    store: Option<Box<dyn TaskStore>>,
    next: i64,
    unapplied: usize,
}

impl Inputs {
    /// So many notifications of orders and what they cause, stage by stage.
    pub fn of_orders(notifications: usize) -> Result<Self, Fault> {
        let topology = aplomb_topologies::topology();
        let load = Load { skus: 2_000, orders_per_second: 250, ..Load::default() };
        let traffic = Traffic::load(&load).filter(|delivery| delivery.topic == NOTIFICATIONS);
        let outside = traffic.take(notifications).map(|delivery| Input {
            at: delivery.timestamp,
            key: Vec::new(),
            value: delivery.value,
        });
        let mut tasks = Vec::new();
        for stage in 0..topology.stages.len() {
            tasks.push(Task::open(&topology, stage)?);
        }
        let mut inputs = Self {
            by_stage: tasks.iter().map(|_| Vec::new()).collect(),
            topology: topology.clone(),
        };
        let mut waiting = VecDeque::new();
        for input in outside {
            waiting.push_back((0, input));
            while let Some((stage, input)) = waiting.pop_front() {
                let Some(task) = tasks.get_mut(stage) else { continue };
                for (to, key, value) in task.take(stage, &input)? {
                    waiting.push_back((to, Input { at: input.at, key, value }));
                }
                if let Some(list) = inputs.by_stage.get_mut(stage) {
                    list.push(input);
                }
            }
        }
        Ok(inputs)
    }

    /// The place of a stage and what it was given.
    pub fn stage(&self, name: &str) -> (usize, &[Input]) {
        let stages = self.topology.stages.iter();
        let place = stages.map(|stage| stage.define().name).position(|stage| stage == name);
        let place = place.expect("a stage of the topology");
        (place, self.by_stage.get(place).map_or(&[], Vec::as_slice))
    }

    /// A task of that stage without state.
    pub fn task(&self, stage: usize) -> Task {
        Task::open(&self.topology, stage).expect("a task in memory opens")
    }
}

impl Task {
    fn open(topology: &Topology, place: usize) -> Result<Self, Fault> {
        let stage = topology.stages.get(place).cloned().ok_or_else(|| Fault::new("no stage"))?;
        let definition = stage.define();
        let inner: Arc<[Upstream]> = Arc::new([]);
        let input = TopicPartition::new(format!("inbox.{}", definition.name), 0);
        let id = TaskId { stage: definition.name.into(), input };
        if place == 0 {
            let mut fold = Fold::open(topology, stage, id, inner, &NoState)?;
            fold.configure(configuration())?;
            return Ok(Self { fold, store: None, next: 0, unapplied: 0 });
        }
        let store = MemoryDatabase::default().open(&id, &definition.all_stores())?;
        let fold = Fold::open(topology, stage, id, inner, store.as_ref())?;
        let mut task = Self { fold, store: Some(store), next: 0, unapplied: 0 };
        let value = codec::encode(&Envelope::Configuration(configuration()));
        task.take(place, &Input { at: Timestamp(0), key: Vec::new(), value })?;
        Ok(task)
    }

    /// Folds one input; answers what goes to which inbox.
    pub fn take(
        &mut self,
        stage: usize,
        input: &Input,
    ) -> Result<Vec<(usize, Vec<u8>, Vec<u8>)>, Fault> {
        self.step(stage, input)?;
        let mut sent = Vec::new();
        for effect in self.fold.outbox().effects() {
            if let (Target::Stage(to), Some(value)) = (effect.target, &effect.value) {
                sent.push((usize::from(to), effect.key.clone(), value.clone()));
            }
        }
        self.fold.outbox_mut().clear();
        Ok(sent)
    }

    /// Folds all, and throws the effects away.
    pub fn take_all(&mut self, stage: usize, inputs: &[Input]) -> Result<(), Fault> {
        for input in inputs {
            self.step(stage, input)?;
            self.fold.outbox_mut().clear();
        }
        Ok(())
    }

    fn step(&mut self, stage: usize, input: &Input) -> Result<(), Fault> {
        let offset = Offset(self.next);
        self.next += 1;
        let Some(store) = &mut self.store.as_mut().filter(|_| stage > 0) else {
            let external = External {
                key: None,
                value: Some(&input.value),
                headers: Vec::new(),
                timestamp: input.at,
            };
            let (flow, topic) = (FLOW.to_owned(), NOTIFICATIONS.to_owned());
            let trace = Trace { flow, topic, partition: 0, offset, traceparent: None };
            return self.fold.ingest(offset, &trace, &external).map(|_| ());
        };
        let Input { at, key, value } = input;
        self.fold.step(store.as_ref(), Inboxed { offset, appended: *at, key, value })?;
        self.unapplied += 1;
        if self.unapplied < INPUTS_PER_APPLY {
            return Ok(());
        }
        self.unapplied = 0;
        let base = store.position().map(|position| position.inbox);
        let to = position(offset.next());
        store.apply(base, &mut self.fold.overlay().writes(), &to)?;
        self.fold.committed();
        Ok(())
    }
}

fn position(inbox: NextOffset) -> StorePosition {
    StorePosition {
        generation: Generation(1),
        inbox,
        changelog: NextOffset(0),
        fold_version: FoldVersion(0),
        restoring: false,
        current_as_of: Timestamp(0),
    }
}

fn configuration() -> Configuration {
    let flow = BTreeMap::from([("name", FLOW), ("topic", NOTIFICATIONS)]);
    let body = serde_json::json!({"flows": [flow], "rules": {"bootstrap_entries": "none"}});
    Configuration {
        revision: 1,
        hash: "bench".to_owned(),
        sources: vec![Source {
            flow: FLOW.to_owned(),
            topic: NOTIFICATIONS.to_owned(),
            partitions: 1,
            allowed_disorder_ms: 0,
        }],
        time_hold_ms: i64::MAX,
        body: body.to_string().into_bytes(),
    }
}
