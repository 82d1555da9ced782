//! A shop around the stage `skus`: a source that forwards its messages, and two stages that write
//! down what they are sent. Everything it tells becomes one short line, so that a scenario is a
//! table of steps and lines.

use std::sync::Arc;

use aplomb_state::{
    codec,
    context::Context,
    ids::{FoldVersion, Timestamp},
    record::{Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Settings, Stage, StageDefinition},
    tester::{Emitted, Tester},
    topology::{Cleanup, Codec, OutputDefinition, Topology},
};
use aplomb_topologies::{
    messages::{cases::CaseMessage, resources::ResourceMessage, skus::*},
    outputs, settings,
    skus::{Skus, view},
};
use serde_json::Value;

pub const TOPIC: &str = "feed";
const HEARD: &str = "test.heard";

/// 2026-08-04T12:00:00Z
pub const NOON: i64 = 1_785_844_800_000;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp(NOON + seconds * 1_000)
}

pub struct Shop {
    pub tester: Tester,
    heard: usize,
    revision: u64,
    now: Timestamp,
}

/// One thing that happens. Times are seconds after noon.
#[derive(Clone, Debug)]
pub enum Step {
    Target(HoldTarget),
    Read(EntryReading),
    Delete(EntryDeleted),
    Stock(WarehouseStock),
    EntriesComplete,
    /// Time passes until the second.
    Until(i64),
}

pub struct Scenario {
    pub name: &'static str,
    pub settings: &'static str,
    pub steps: Vec<(Step, Vec<&'static str>)>,
}

impl Shop {
    pub fn open(settings: &str) -> Self {
        let flows = [("ct", TOPIC)];
        let tester = Tester::new(topology(), &flows, settings.as_bytes(), at(0)).unwrap();
        Self { tester, heard: 0, revision: 0, now: at(0) }
    }

    /// Takes a step and answers what was told, without reservations and history.
    pub fn take(&mut self, step: &Step) -> Vec<String> {
        self.take_together(std::slice::from_ref(step))
    }

    /// As [`Shop::take`], of steps that stand in the inbox one behind the other before the first
    /// of them is handled.
    pub fn take_together(&mut self, steps: &[Step]) -> Vec<String> {
        let mut bodies = Vec::new();
        let (mut key, mut at) = (String::new(), self.now);
        for step in steps {
            self.revision += 1;
            if let Step::Until(seconds) = step {
                self.tester.advance(self::at(*seconds)).unwrap();
                continue;
            }
            let message = self.message(step);
            key = message.0;
            at = message.2.unwrap_or(self.now);
            self.now = self.now.max(at);
            bodies.push(codec::encode(&message.1));
        }
        if let Some((first, more)) = bodies.split_first() {
            let more: Vec<_> = more.iter().map(|body| ("more", body.as_slice())).collect();
            self.tester.deliver(TOPIC, Some(key.as_bytes()), Some(first), &more, at).unwrap();
        }
        self.listen()
    }

    /// Key, message and event time of a step that is a message.
    fn message(&self, step: &Step) -> (String, SkuMessage, Option<Timestamp>) {
        match step {
            Step::Until(_) => unreachable!("no message"),
            Step::EntriesComplete => {
                let complete = EntriesComplete { project: "acme".into(), cause: cause("done") };
                (String::new(), SkuMessage::EntriesComplete(complete), None)
            }
            Step::Target(target) => {
                let mut target = target.clone();
                target.revision = self.number(target.revision);
                let as_of = target.as_of;
                (actor(&target.sku), SkuMessage::HoldTarget(target), Some(as_of))
            }
            Step::Read(reading) => {
                let mut reading = reading.clone();
                reading.revision = self.number(reading.revision);
                let as_of = reading.as_of;
                (actor(&reading.sku), SkuMessage::Reading(reading), Some(as_of))
            }
            Step::Delete(deleted) => {
                let mut deleted = deleted.clone();
                deleted.revision = self.number(deleted.revision);
                let as_of = deleted.as_of;
                (actor(&deleted.sku), SkuMessage::EntryDeleted(deleted), Some(as_of))
            }
            Step::Stock(stock) => {
                let as_of = stock.as_of;
                (actor(&stock.sku), SkuMessage::Warehouse(stock.clone()), Some(as_of))
            }
        }
    }

    /// Revisions rise by themselves, unless a step has one of its own.
    fn number(&self, own: u64) -> u64 {
        if own == 0 { self.revision } else { own }
    }

    fn listen(&mut self) -> Vec<String> {
        let lines = self.tester.outputs.iter().skip(self.heard).filter_map(line).collect();
        self.heard = self.tester.outputs.len();
        lines
    }
}

impl Scenario {
    pub fn play(&self) {
        let mut shop = Shop::open(self.settings);
        for (number, (step, expected)) in self.steps.iter().enumerate() {
            let told = shop.take(step);
            assert_eq!(&told, expected, "{}, step {}: {step:?}", self.name, number + 1);
        }
    }
}

fn actor(sku: &str) -> String {
    format!("acme:{sku}")
}

pub fn cause(id: &str) -> Cause {
    Cause {
        id: format!("m:acme:{id}"),
        message_id: Some(id.to_owned()),
        resource: Some("order:o".into()),
        sequence: Some(3),
        version: None,
    }
}

// --- steps

/// A line of order `id` placed at the second, of mode ReserveOnOrder.
pub fn order(id: &str, seconds: i64, ordered: i64) -> HoldTarget {
    HoldTarget {
        project: "acme".into(),
        order_id: id.into(),
        order_number: None,
        line_id: "l".into(),
        sku: "A".into(),
        location: NO_CHANNEL.into(),
        revision: 0,
        ordered_at: at(seconds),
        ordered,
        cancelled: 0,
        shipped: 0,
        returned: 0,
        restocked: 0,
        unusable: 0,
        mode: InventoryMode::ReserveOnOrder,
        as_of: at(seconds),
        cause: cause(id),
    }
}

/// What carts hold, as told at the second.
pub fn carts(seconds: i64, units: i64) -> Option<CartHolds> {
    Some(CartHolds { units, as_of: at(seconds) })
}

pub fn reading(seconds: i64, on_stock: i64) -> EntryReading {
    EntryReading {
        project: "acme".into(),
        sku: "A".into(),
        location: NO_CHANNEL.into(),
        entry_id: "e".into(),
        revision: 0,
        sequence: 1,
        as_of: at(seconds),
        on_stock,
        old_on_stock: None,
        carts: carts(seconds, 0),
        restockable_in_days: None,
        expected_delivery: None,
        safety_stock: None,
        batch_id: None,
        cause: cause("reading"),
    }
}

pub fn deletion(seconds: i64) -> EntryDeleted {
    EntryDeleted {
        project: "acme".into(),
        sku: "A".into(),
        location: NO_CHANNEL.into(),
        entry_id: "e".into(),
        revision: 0,
        as_of: at(seconds),
        cause: cause("deletion"),
    }
}

pub fn snapshot(seconds: i64, quantity: i64) -> WarehouseStock {
    WarehouseStock {
        project: "acme".into(),
        system: "wms".into(),
        flow: "wms".into(),
        sku: "A".into(),
        location: NO_CHANNEL.into(),
        kind: StockKind::Snapshot,
        event_id: None,
        batch_id: Some("b".into()),
        as_of: at(seconds),
        quantity,
        reason: None,
        order_number: None,
        line_id: None,
        cause: cause("snapshot"),
    }
}

pub fn delta(seconds: i64, quantity: i64, id: &str) -> WarehouseStock {
    WarehouseStock {
        kind: StockKind::Delta,
        event_id: Some(id.into()),
        reason: Some("receipt".into()),
        ..snapshot(seconds, quantity)
    }
}

// --- lines

fn line(record: &Emitted) -> Option<String> {
    let value = record.value.as_deref().unwrap_or(b"null");
    match record.topic {
        HEARD => Some(String::from_utf8_lossy(value).into_owned()),
        outputs::INVENTORY_EVENTS => Some(event_line(&json(value))),
        outputs::INVENTORY_AVAILABILITY => Some(availability_line(&json(value))),
        outputs::DRIFT_EVENTS => {
            let json = json(value);
            let [ours, theirs] = [0, 1].map(|side| json["sides"][side]["value"].to_string());
            Some(format!("{} {} {ours}:{theirs}", text(&json["type"]), text(&json["kind"])))
        }
        outputs::DRIFT_OPEN if record.value.is_none() => Some("closed".into()),
        outputs::DLQ => Some("rejected".into()),
        _ => None,
    }
}

fn event_line(json: &Value) -> String {
    let kind = text(&json["type"]);
    let mut line = format!(
        "{} {} {}",
        kind.trim_start_matches("Inventory"),
        text(&json["orderId"]),
        json["quantity"]
    );
    if json["location"] != NO_CHANNEL {
        line.push_str(&format!(" in {}", text(&json["location"])));
    }
    for detail in ["reason", "promise"] {
        if let Some(detail) = json[detail].as_str().filter(|detail| *detail != "ordered") {
            line.push_str(&format!(" {detail}"));
        }
    }
    line
}

fn availability_line(json: &Value) -> String {
    let parts = ["onHand", "reserved", "backordered", "cartHolds", "safetyStock"];
    let parts = parts.map(|part| json[part].to_string()).join("/");
    let place = match text(&json["location"]) {
        NO_CHANNEL => String::new(),
        location => format!(" in {location}"),
    };
    let (atp, raw) = (json["atp"].to_string(), json["atpRaw"].to_string());
    let raw = if atp == raw { String::new() } else { format!(" raw {raw}") };
    format!("{parts} atp {atp}{raw} {}{place}", text(&json["confidence"]))
}

pub fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

// --- the topology

pub fn topology() -> Topology {
    let parse: fn(&[u8]) -> Result<Settings, String> =
        |bytes| settings::parse(bytes).map(|settings| Arc::new(settings) as Settings);
    let mut defined = outputs::definitions();
    defined.push(OutputDefinition {
        topic: HEARD,
        cleanup: Cleanup::Compact,
        key: "any",
        codec: Codec::Json,
        record_bytes_max: 1 << 20,
    });
    Topology {
        name: "skus-test",
        fold_version: FoldVersion(1),
        stages: vec![
            Arc::new(Feed),
            Arc::new(Listener("resources")),
            Arc::new(Skus),
            Arc::new(Listener("cases")),
        ],
        outputs: defined,
        views: vec![view::view()],
        lists: Vec::new(),
        settings: parse,
    }
}

fn definition(name: &'static str, inbox: Inbox) -> StageDefinition {
    let (outputs, sends) = (vec![HEARD], vec!["skus"]);
    StageDefinition { name, inbox, stores: vec![], outputs, sends, limits: Limits::default() }
}

/// Forwards messages as they are, first the value, then those in headers. Without a key they go to
/// every partition.
struct Feed;

impl Stage for Feed {
    fn define(&self) -> StageDefinition {
        definition("feed", Inbox::External)
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let Some(external) = record.external else { return Ok(()) };
        let more = external.headers.iter().map(|header| header.value);
        for body in [external.value].into_iter().chain(more).flatten() {
            if record.key.is_empty() {
                ctx.broadcast("skus", Vec::new(), body)?;
            } else {
                ctx.send("skus", record.key.to_vec(), body)?;
            }
        }
        Ok(())
    }

    fn on_timer(&self, _: &mut Context<'_>, _: &Timer<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_rejection(
        &self,
        _: &mut Context<'_>,
        _: &Subject<'_>,
        _: &Rejection,
    ) -> Result<(), Rejection> {
        Ok(())
    }
}

/// Writes down what it is sent.
struct Listener(&'static str);

impl Stage for Listener {
    fn define(&self) -> StageDefinition {
        definition(self.0, Inbox::Internal)
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let line = if self.0 == "cases" {
            match codec::decode(record.body).unwrap() {
                CaseMessage::Raise(raise) => format!("raise {}", raise.message.key.code),
                CaseMessage::Clear(clear) => format!("clear {}", clear.message.key.code),
            }
        } else {
            let Ok(ResourceMessage::HoldState(state)) = codec::decode(record.body) else {
                panic!("not a hold state")
            };
            assert_eq!(record.key, format!("acme:order:{}", state.order_id).as_bytes());
            let HoldState { order_id, revision, reserved, backordered, .. } = state;
            format!("{order_id} #{revision} {reserved}+{backordered}")
        };
        ctx.emit(
            HEARD,
            record.key.to_vec(),
            Some(line.into_bytes()),
            aplomb_state::effect::Headers::default(),
        )
    }

    fn on_timer(&self, _: &mut Context<'_>, _: &Timer<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_rejection(
        &self,
        _: &mut Context<'_>,
        _: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        panic!("{rejection:?}")
    }
}
