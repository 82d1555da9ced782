//! A whole topology in one thread, one partition per topic, virtual time: for tests that need no
//! broker. It drives the same [`Fold`] as the worker.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    backend::{Database, StorePosition, TaskStore, memory::MemoryDatabase},
    clock::Upstream,
    codec,
    effect::{Effect, Headers, Target},
    envelope::{Configuration, Envelope, Frontier, Source},
    fold::{Fault, Fold, Inboxed},
    ids::{FoldVersion, Generation, NextOffset, Offset, TaskId, Timestamp, TopicPartition},
    record::{External, Header, Trace},
    stage::Inbox,
    topology::{StageState, Topology},
};

/// A record that an output topic holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    pub topic: &'static str,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

struct Actor {
    fold: Fold,
    store: Option<Box<dyn TaskStore>>,
    inbox: VecDeque<(Offset, Timestamp, Vec<u8>, Vec<u8>)>,
    next: i64,
}

/// See the module.
pub struct Tester {
    topology: Topology,
    database: MemoryDatabase,
    configuration: Configuration,
    /// By external topic.
    sources: BTreeMap<String, Actor>,
    /// Internal stages by place in the topology; the external one has none.
    actors: BTreeMap<u16, Actor>,
    now: Timestamp,
    /// Frontiers go as far as this: equal to `now`, or just above at the end.
    edge: Timestamp,
    pub outputs: Vec<Emitted>,
}

impl Tester {
    /// `flows`: (flow, topic) pairs of the external topics; `settings`: the topology's document.
    pub fn new(
        topology: Topology,
        flows: &[(&str, &str)],
        settings: &[u8],
        start: Timestamp,
    ) -> Result<Self, Fault> {
        topology.validate().map_err(|mistakes| Fault::new(mistakes.join("; ")))?;
        let source = |(flow, topic): &(&str, &str)| Source {
            flow: (*flow).to_owned(),
            topic: (*topic).to_owned(),
            partitions: 1,
            allowed_disorder_ms: 0,
        };
        let configuration = Configuration {
            revision: 1,
            hash: "tester".to_owned(),
            sources: flows.iter().map(source).collect(),
            time_hold_ms: i64::MAX,
            body: settings.to_vec(),
        };
        let mut tester = Self {
            topology,
            database: MemoryDatabase::default(),
            configuration,
            sources: BTreeMap::new(),
            actors: BTreeMap::new(),
            now: start,
            edge: start,
            outputs: Vec::new(),
        };
        tester.open()?;
        Ok(tester)
    }

    fn open(&mut self) -> Result<(), Fault> {
        let topology = self.topology.clone();
        for (stage, index) in topology.stages.iter().zip(0u16..) {
            let definition = stage.define();
            let inner: Arc<[Upstream]> =
                (1..index).map(|before| upstream(&topology, before)).collect();
            if definition.inbox == Inbox::External {
                for source in self.configuration.sources.clone() {
                    let input = TopicPartition::new(source.topic.as_str(), 0);
                    let task = TaskId { stage: definition.name.into(), input };
                    let state = &crate::fold::NoState;
                    let none = Arc::new([]);
                    let mut fold = Fold::open(&topology, Arc::clone(stage), task, none, state)?;
                    fold.configure(self.configuration.clone())?;
                    let actor = Actor { fold, store: None, inbox: VecDeque::new(), next: 0 };
                    self.sources.insert(source.topic.clone(), actor);
                }
                continue;
            }
            let task =
                TaskId { stage: definition.name.into(), input: upstream(&topology, index).input };
            let store = self.database.open(&task, &definition.all_stores())?;
            let fold = Fold::open(&topology, Arc::clone(stage), task, inner, store.as_ref())?;
            let actor = Actor { fold, store: Some(store), inbox: VecDeque::new(), next: 0 };
            self.actors.insert(index, actor);
        }
        let value = codec::encode(&Envelope::Configuration(self.configuration.clone()));
        for index in self.actors.keys().copied().collect::<Vec<_>>() {
            self.append(index, Vec::new(), value.clone());
        }
        self.settle()
    }

    /// Time rises to the record's, timers and hops run until nothing moves, then the record is
    /// taken, and what it causes runs until nothing moves.
    pub fn deliver(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
        timestamp: Timestamp,
    ) -> Result<(), Fault> {
        self.advance(timestamp)?;
        let flows = &self.configuration.sources;
        let flow = flows.iter().find(|source| source.topic == topic);
        let flow = flow.ok_or_else(|| Fault::new(format!("no flow reads {topic}")))?.flow.clone();
        let Some(source) = self.sources.get_mut(topic) else { return Ok(()) };
        let offset = Offset(source.next);
        source.next += 1;
        let headers = headers.iter().map(|&(name, value)| Header { name, value: Some(value) });
        let external = External { key, value, headers: headers.collect(), timestamp };
        let trace =
            Trace { flow, topic: topic.to_owned(), partition: 0, offset, traceparent: None };
        source.fold.ingest(offset, &trace, &external)?;
        let effects = source.fold.outbox().effects().to_vec();
        source.fold.committed();
        self.route(None, effects);
        self.settle()
    }

    /// Lets time pass: deadlines before `to` fire.
    pub fn advance(&mut self, to: Timestamp) -> Result<(), Fault> {
        if to <= self.now {
            return Ok(());
        }
        self.now = to;
        self.edge = to;
        self.tick()
    }

    /// Deadlines at the present instant fire too.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.now = self.now.plus_ms(1);
        self.edge = self.now;
        self.tick()
    }

    /// The last value of a key, if it is not deleted.
    pub fn latest(&self, topic: &str, key: &str) -> Option<&[u8]> {
        let matching = |record: &&Emitted| record.topic == topic && record.key == key.as_bytes();
        self.outputs.iter().rev().find(matching)?.value.as_deref()
    }

    /// Records of one topic, in order.
    pub fn of_topic(&self, topic: &str) -> impl Iterator<Item = &Emitted> {
        self.outputs.iter().filter(move |record| record.topic == topic)
    }

    /// A view's answer, as the HTTP API would give it.
    pub fn view(&self, view: &str, id: &str) -> Result<Option<String>, String> {
        let view = self.topology.views.iter().find(|candidate| candidate.name == view);
        let view = view.ok_or("no such view")?;
        let actor = self.actors.values().find(|actor| *actor.fold.task().stage == *view.stage);
        let actor = actor.ok_or("no such stage")?;
        let snapshot = self.database.snapshot(actor.fold.task()).map_err(|e| e.to_string())?;
        let snapshot = snapshot.ok_or("no state")?;
        let definition = actor.fold.definition();
        let state = StageState { definition, snapshot: snapshot.as_ref() };
        (view.render)(&state, &(view.key)(id)?)
    }

    fn tick(&mut self) -> Result<(), Fault> {
        let mut before = BTreeMap::new();
        loop {
            let frontiers = self.frontiers()?;
            if frontiers == before {
                return Ok(());
            }
            for index in self.actors.keys().copied().collect::<Vec<_>>() {
                let upstream = frontiers.iter().filter(|(upstream, _)| upstream.stage < index);
                let frontiers = upstream.map(|(upstream, at)| Frontier {
                    stage: upstream.stage,
                    input: upstream.input.clone(),
                    at: *at,
                });
                let value = codec::encode(&Envelope::Tick(frontiers.collect()));
                self.append(index, Vec::new(), value);
            }
            self.settle()?;
            before = frontiers;
        }
    }

    fn frontiers(&mut self) -> Result<BTreeMap<Upstream, Timestamp>, Fault> {
        let mut frontiers = BTreeMap::new();
        for topic in self.sources.keys() {
            let input = TopicPartition::new(topic.as_str(), 0);
            frontiers.insert(Upstream { stage: 0, input }, self.edge);
        }
        for (index, actor) in &mut self.actors {
            let Some(store) = &actor.store else { continue };
            let at = actor.fold.frontier(store.as_ref())?;
            frontiers.insert(upstream(&self.topology, *index), at);
        }
        Ok(frontiers)
    }

    /// Downstream first, until every inbox is empty.
    fn settle(&mut self) -> Result<(), Fault> {
        loop {
            let waiting = self.actors.iter_mut().rev().find(|(_, actor)| !actor.inbox.is_empty());
            let Some((index, actor)) = waiting else { return Ok(()) };
            let index = *index;
            let Some((offset, appended, key, value)) = actor.inbox.pop_front() else { continue };
            let Some(store) = &mut actor.store else { continue };
            let input = Inboxed { offset, appended, key: &key, value: &value };
            actor.fold.step(store.as_ref(), input)?;
            let base = store.position().map(|position| position.inbox);
            let position = StorePosition {
                generation: Generation(1),
                inbox: offset.next(),
                changelog: NextOffset(0),
                fold_version: FoldVersion(0),
                restoring: false,
                current_as_of: appended,
            };
            store.apply(base, &mut actor.fold.overlay().writes(), &position)?;
            let effects = actor.fold.outbox().effects().to_vec();
            actor.fold.committed();
            self.route(Some(index), effects);
        }
    }

    fn route(&mut self, from: Option<u16>, effects: Vec<Effect>) {
        for effect in effects {
            let value = effect.value;
            match effect.target {
                Target::Output(index) => {
                    let Some(output) = self.topology.outputs.get(usize::from(index)) else {
                        continue;
                    };
                    let (topic, key, headers) = (output.topic, effect.key, effect.headers);
                    self.outputs.push(Emitted { topic, key, value, headers });
                }
                Target::Stage(index) | Target::Broadcast(index) => {
                    self.append(index, effect.key, value.unwrap_or_default());
                }
                Target::Own => {
                    if let Some(index) = from {
                        self.append(index, effect.key, value.unwrap_or_default());
                    }
                }
            }
        }
    }

    fn append(&mut self, index: u16, key: Vec<u8>, value: Vec<u8>) {
        if let Some(actor) = self.actors.get_mut(&index) {
            let offset = Offset(actor.next);
            actor.next += 1;
            actor.inbox.push_back((offset, self.now, key, value));
        }
    }
}

fn upstream(topology: &Topology, stage: u16) -> Upstream {
    let name = topology.stages.get(usize::from(stage)).map_or("", |stage| stage.define().name);
    Upstream { stage, input: TopicPartition::new(format!("inbox.{name}"), 0) }
}
