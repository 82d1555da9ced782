//! A stage whose messages say what it does, and one task of it to be driven step by step.
//!
//! A message is a list of commands: `put a 1; emit a 1; try put b 2, reject; schedule 50 emit c 1`.
//! A timer's key is what it does. `ignore` drops the error of the command behind it.

use std::{collections::BTreeMap, sync::Arc};

use aplomb_state::{
    backend::{Database, TaskStore, memory::MemoryDatabase},
    clock::Upstream,
    codec::{self, Format},
    context::Context,
    effect::{Effect, Target},
    envelope::{Configuration, Envelope, Frontier, Source},
    fold::{Fault, Fold, Inboxed, Step},
    ids::{FoldVersion, Offset, TaskId, Timestamp, TopicPartition},
    record::{Kind, Record, Subject, Timer, Trace},
    rejection::{Cause, Rejection},
    scan::Scan,
    stage::{Inbox, Limits, Stage, StageDefinition},
    store::{Expiring, KeyValue, StoreId},
    topology::{Cleanup, Codec, OutputDefinition, Topology},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Text(String);

impl Format for Text {
    const VERSION: u8 = 1;
}

const ITEMS: KeyValue<str, Text> = KeyValue::new("items");
const EXPIRING: Expiring<str, Text> = Expiring::new("expiring");

pub const ITEMS_ID: StoreId = StoreId(2);
pub const EXPIRING_ID: StoreId = StoreId(3);
pub const LIMITS: Limits = Limits {
    effects_max: 8,
    effects_bytes_max: 2_000,
    record_bytes_max: 500,
    value_bytes_max: 100,
    key_bytes_max: 400,
    writes_max: 16,
};

struct Script(&'static str);

impl Stage for Script {
    fn define(&self) -> StageDefinition {
        let inbox = if self.0 == "intake" { Inbox::External } else { Inbox::Internal };
        let stores = match inbox {
            Inbox::External => Vec::new(),
            Inbox::Internal => vec![ITEMS.definition(), EXPIRING.definition()],
        };
        StageDefinition {
            name: self.0,
            inbox,
            stores,
            outputs: vec!["out", "exceptions"],
            sends: vec!["actors", "cases"],
            limits: LIMITS,
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        run(ctx, std::str::from_utf8(record.body).unwrap(), "; ")
    }

    fn on_timer(&self, ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection> {
        run(ctx, std::str::from_utf8(timer.key).unwrap(), "; ")
    }

    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        let about = String::from_utf8_lossy(subject.actor.or(subject.key).unwrap_or_default());
        if rejection.rule == "unwritable" {
            return Err(Rejection::new("X", "x", "the exception fails too"));
        }
        let cause = match rejection.cause {
            Cause::Code(code) => code.to_owned(),
            ref other => format!("{other:?}"),
        };
        let text = format!("{cause} {} of {about}", rejection.rule);
        ctx.send("cases", b"case".to_vec(), text.as_bytes())?;
        ctx.emit("exceptions", text.into_bytes(), None, aplomb_state::effect::Headers::default())
    }
}

fn run(ctx: &mut Context<'_>, script: &str, separator: &str) -> Result<(), Rejection> {
    script.split(separator).filter(|line| !line.is_empty()).try_for_each(|line| command(ctx, line))
}

fn command(ctx: &mut Context<'_>, line: &str) -> Result<(), Rejection> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = || first.parse::<i64>().unwrap();
    match verb {
        "put" => ctx.put(&ITEMS, first, &Text(more.to_owned())),
        "delete" => ctx.delete(&ITEMS, first),
        "large" => ctx.put(&ITEMS, "large", &Text("x".repeat(first.parse().unwrap()))),
        "fill" => {
            (0..number()).try_for_each(|n| ctx.put(&ITEMS, &format!("f{n}"), &Text("x".into())))
        }
        "show" => {
            let found = ctx.get(&ITEMS, first)?.map_or("none".to_owned(), |text| text.0);
            command(ctx, &format!("emit {first} {found}"))
        }
        "emit" => ctx.emit(
            "out",
            first.into(),
            Some(more.into()),
            aplomb_state::effect::Headers::default(),
        ),
        "flood" => (0..number()).try_for_each(|_| command(ctx, &format!("emit flood {more}"))),
        "send" => ctx.send("cases", first.into(), more.as_bytes()),
        "undeclared" => ctx.send("nowhere", Vec::new(), b""),
        "now" => command(ctx, &format!("emit now {} at {}", ctx.now(), ctx.at())),
        "schedule" => {
            ctx.schedule(Timestamp(number()), more.as_bytes());
            Ok(())
        }
        "cancel" => {
            ctx.cancel(Timestamp(number()), more.as_bytes());
            Ok(())
        }
        "expire" => ctx.put_expiring(&EXPIRING, more, &Text(more.into()), Timestamp(number())),
        "unexpire" => ctx.delete_expiring(&EXPIRING, first),
        "continue" => ctx.continue_later(rest.as_bytes()),
        "ignore" => {
            let _ = command(ctx, rest);
            Ok(())
        }
        "try" => attempt(ctx, rest),
        "reject" => Err(Rejection::new("CODE", first.to_owned(), "because")),
        "panic" => panic!("{rest}"),
        _ => unreachable!("{line}"),
    }
}

fn attempt(ctx: &mut Context<'_>, script: &str) -> Result<(), Rejection> {
    let trace = ctx.trace().clone();
    let key = Some(&b"buffered"[..]);
    let subject = Subject { key, value: None, headers: &[], trace: &trace, actor: None };
    let at = ctx.at();
    let failed = ctx.attempt(&subject, at, |ctx| run(ctx, script, ", "))?;
    command(ctx, &format!("put attempt {}", if failed.is_some() { "failed" } else { "done" }))
}

// === driving it

pub struct Rig {
    pub fold: Fold,
    pub store: Box<dyn TaskStore>,
    offset: i64,
    pub appended: i64,
}

fn topology() -> Topology {
    let output = |topic, record_bytes_max| OutputDefinition {
        topic,
        cleanup: Cleanup::Compact,
        key: "anything",
        codec: Codec::Bytes,
        record_bytes_max,
    };
    let topology = Topology {
        name: "script",
        fold_version: FoldVersion(1),
        stages: ["intake", "actors", "cases"]
            .map(|name| Arc::new(Script(name)) as Arc<dyn Stage>)
            .into(),
        outputs: vec![output("out", 500), output("exceptions", 5_000)],
        views: Vec::new(),
        lists: Vec::new(),
        settings: |body| match body {
            b"bad" => Err("bad settings".to_owned()),
            _ => Ok(Arc::new(())),
        },
    };
    topology.validate().unwrap();
    topology
}

pub fn configuration(revision: u64, hash: &str) -> Configuration {
    let source = Source {
        flow: "flow".to_owned(),
        topic: "source".to_owned(),
        partitions: 1,
        allowed_disorder_ms: 0,
    };
    Configuration {
        revision,
        hash: hash.to_owned(),
        sources: vec![source],
        time_hold_ms: 600_000,
        body: Vec::new(),
    }
}

impl Rig {
    /// With its configuration in place.
    pub fn new() -> Self {
        let mut rig = Self::unconfigured();
        rig.step(&Envelope::Configuration(configuration(1, "one"))).unwrap();
        rig.commit();
        rig
    }

    pub fn unconfigured() -> Self {
        let topology = topology();
        let input = TopicPartition::new("inbox.actors", 0);
        let task = TaskId { stage: "actors".into(), input };
        let stage = Arc::clone(&topology.stages[1]);
        let database = MemoryDatabase::default();
        let store = database.open(&task, &stage.define().all_stores()).unwrap();
        let inner: Arc<[Upstream]> = Arc::new([]);
        let fold = Fold::open(&topology, stage, task, inner, store.as_ref()).unwrap();
        Self { fold, store, offset: 0, appended: 1_000_000 }
    }

    pub fn step(&mut self, envelope: &Envelope<'_>) -> Result<Step, Fault> {
        self.step_bytes(b"actor", &codec::encode(envelope))
    }

    pub fn step_bytes(&mut self, key: &[u8], value: &[u8]) -> Result<Step, Fault> {
        let (offset, appended) = (Offset(self.offset), Timestamp(self.appended));
        self.offset += 1;
        self.fold.step(self.store.as_ref(), Inboxed { offset, appended, key, value })
    }

    /// Applies the step, and answers what it sent, as text.
    pub fn commit(&mut self) -> Vec<String> {
        let base = self.store.position().map(|position| position.inbox);
        let to = super::places::position(self.offset);
        self.store.apply(base, &mut self.fold.overlay().writes(), &to).unwrap();
        let effects = self.fold.outbox().effects().iter().map(text_of).collect();
        self.fold.committed();
        effects
    }

    pub fn record(&mut self, at: i64, script: &str) -> Vec<String> {
        self.step(&message(at, 0, script)).unwrap();
        self.commit()
    }

    pub fn tick(&mut self, at: i64) -> Vec<String> {
        let input = TopicPartition::new("source", 0);
        let frontier = Frontier { stage: 0, input, at: Timestamp(at) };
        self.step(&Envelope::Tick(vec![frontier])).unwrap();
        self.commit()
    }

    /// Gives the task the message it sent itself.
    pub fn own(&mut self, key: &[u8], body: &str) -> Vec<String> {
        let value = codec::encode(&envelope(Kind::Continuation, 0, 0, body));
        self.step_bytes(key, &value).unwrap();
        self.commit()
    }

    pub fn frontier(&mut self) -> i64 {
        self.fold.frontier(self.store.as_ref()).unwrap().0
    }

    /// The committed entries of a store, as text.
    pub fn state(&self, store: StoreId) -> BTreeMap<String, String> {
        let entries = self.store.scan(store, Scan::rising(b"", None, usize::MAX)).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let value = |bytes: Vec<u8>| match store {
            ITEMS_ID => codec::decode::<Text>(&bytes).unwrap().0,
            EXPIRING_ID => codec::decode::<Text>(&bytes[8..]).unwrap().0,
            _ => String::new(),
        };
        entries.into_iter().map(|(key, bytes)| (text(key), value(bytes))).collect()
    }

    pub fn timers(&self) -> usize {
        self.store.scan(StoreId::TIMERS, Scan::rising(b"", None, usize::MAX)).unwrap().len()
    }
}

pub fn message(at: i64, hops: u8, body: &str) -> Envelope<'_> {
    envelope(Kind::Message, at, hops, body)
}

fn envelope(kind: Kind, at: i64, hops: u8, body: &str) -> Envelope<'_> {
    let (at, body) = (Timestamp(at), body.as_bytes());
    Envelope::Message { kind, at, hops, trace: Trace::default(), external: None, body }
}

fn text_of(effect: &Effect) -> String {
    let key = String::from_utf8_lossy(&effect.key);
    let value = effect.value.as_deref();
    match effect.target {
        Target::Output(0) => format!("{key}={}", String::from_utf8_lossy(value.unwrap_or(b"none"))),
        Target::Output(_) => format!("exception {key}"),
        Target::Stage(_) | Target::Broadcast(_) | Target::Own => {
            match codec::borrow(value.unwrap()).unwrap() {
                Envelope::Message { kind, at, hops, body, .. } => {
                    let body = String::from_utf8_lossy(body);
                    format!("{kind:?} at {at} hop {hops}: {body}")
                }
                Envelope::SelfTick => "self tick".to_owned(),
                other => format!("{other:?}"),
            }
        }
    }
}
