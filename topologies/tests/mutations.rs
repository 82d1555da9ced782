//! Whatever a record says, it ends in effects or in one exception: no record stops a task. Every
//! field of every message in the corpus is set to values that its contract does not expect.

#![expect(clippy::panic, reason = "a fault ends the test")]

use std::{collections::BTreeMap, fs, path::Path};

use aplomb_state::{ids::Timestamp, tester::Tester};
use serde_json::{Value, json};

const TOPIC: &str = "commercetools.notifications.v1";
const STOCK: &str = "sor.wms.stock.v1";
/// 2026-03-03T00:00:00Z, after every timestamp in the corpus.
const START: Timestamp = Timestamp(1_772_496_000_000);

/// Fields by which a message finds its actor and its place in the sequence.
const IDENTITY: [&str; 4] = ["/id", "/sequenceNumber", "/resource/id", "/projectKey"];

fn odd_values() -> [Value; 9] {
    [
        Value::Null,
        json!(i64::MAX),
        json!(i64::MIN),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("a:b/c\u{0}\u{1F4A3}"),
        json!([]),
        json!({}),
    ]
}

/// Paths of all fields, of objects and lists as well as of what they hold.
fn paths(value: &Value, path: &str, out: &mut Vec<String>) {
    if !path.is_empty() {
        out.push(path.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                paths(field, &format!("{path}/{name}"), out);
            }
        }
        // One item stands for all.
        Value::Array(items) => {
            if let Some(item) = items.first() {
                paths(item, &format!("{path}/0"), out);
            }
        }
        _ => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads its example data")]
fn messages() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/messages.jsonl");
    let text = fs::read_to_string(file).expect("the corpus is there");
    let messages = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    messages.filter(|message: &Value| message["notificationType"] == "Message").collect()
}

/// Creations begin a resource of their own; everything else follows what came for its resource.
fn place(message: &mut Value, number: usize, sequences: &mut BTreeMap<String, u64>) {
    let kind = message["type"].as_str().unwrap_or_default();
    if kind.ends_with("Created") || kind.ends_with("Imported") {
        message["resource"]["id"] = json!(format!("resource-{number}"));
    }
    let sequence = sequences.entry(message["resource"].to_string()).or_default();
    *sequence += 1;
    message["sequenceNumber"] = json!(*sequence);
    message["resourceVersion"] = json!(*sequence);
    message["id"] = json!(format!("message-{number}"));
}

/// A record of the warehouse's feed, whole.
fn stock(kind: &str, number: usize) -> Value {
    json!({
        "eventId": format!("event-{number}"), "batchId": format!("batch-{number}"),
        "system": "wms", "projectKey": "acme-eu-prod", "entity": "stock", "kind": kind,
        "ids": {"sku": "TRAIL-42"}, "asOf": "2026-03-03T00:00:00.000Z",
        "value": {"location": "BERLIN", "quantity": 5, "reason": "receipt",
                  "orderNumber": "N-1", "lineItemId": "l-1"},
    })
}

/// A tester, and how many records it was given.
struct Feed {
    tester: Tester,
    number: usize,
}

impl Feed {
    fn new() -> Self {
        let settings = json!({
            "flows": [{"name": "commercetools", "topic": TOPIC},
                      {"name": "wms-stock", "topic": STOCK, "system": "wms", "kind": "stock"}],
            "rules": {"bootstrap_entries": "none"},
        });
        let flows = [("commercetools", TOPIC), ("wms-stock", STOCK)];
        let topology = aplomb_topologies::topology();
        let tester = Tester::new(topology, &flows, settings.to_string().as_bytes(), START);
        Self { tester: tester.expect("a sound topology"), number: 0 }
    }

    /// `message`, once for each field and odd value, made ready by `prepare`.
    fn deliver(
        &mut self,
        topic: &str,
        message: &Value,
        odd_values: &[Value],
        mut prepare: impl FnMut(&mut Value, &str, usize),
    ) {
        let mut fields = Vec::new();
        paths(message, "", &mut fields);
        for field in fields {
            for odd in odd_values {
                self.number += 1;
                let mut mutant = message.clone();
                prepare(&mut mutant, &field, self.number);
                if let Some(slot) = mutant.pointer_mut(&field) {
                    slot.clone_from(odd);
                }
                let at = START.plus_ms(i64::try_from(self.number).expect("a small number"));
                let bytes = mutant.to_string();
                let outcome = self.tester.deliver(topic, None, Some(bytes.as_bytes()), &[], at);
                if let Err(fault) = outcome {
                    let odd: String = odd.to_string().chars().take(80).collect();
                    panic!("{fault}\n{field} set to {odd} in {}", message["type"]);
                }
                self.tester.outputs.retain(|record| record.topic == "dlq.v1");
            }
        }
    }

    /// Nothing panicked, and no deadline stops a task either.
    fn end(mut self) {
        let panics = self.tester.outputs.iter().filter(|letter| {
            let kind = letter.headers.get("__streams.errors.exception");
            kind.is_some_and(|kind| kind == b"Panic")
        });
        let panics: Vec<_> = panics
            .map(|letter| {
                let headers = letter.headers.iter();
                let headers = headers.map(|(_, value)| String::from_utf8_lossy(value));
                headers.collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert!(panics.is_empty(), "{} panics\n{}", panics.len(), panics.join("\n"));
        self.tester.advance(START.plus_ms(40 * 86_400_000)).expect("no fault");
    }
}

#[test]
fn no_value_in_a_message_stops_a_task() {
    let mut feed = Feed::new();
    let mut sequences = BTreeMap::new();
    for message in messages() {
        feed.deliver(TOPIC, &message, &odd_values(), |mutant, field, number| {
            if !IDENTITY.contains(&field) {
                place(mutant, number, &mut sequences);
            }
        });
    }
    feed.end();
}

#[test]
fn no_value_in_a_stock_record_stops_a_task() {
    let mut feed = Feed::new();
    for kind in ["snapshot", "delta", "complete", "heartbeat"] {
        let message = stock(kind, 0);
        feed.deliver(STOCK, &message, &odd_values(), |mutant, _, number| {
            *mutant = stock(kind, number)
        });
    }
    feed.end();
}

/// Longer than any key may be, and as long as a record may be.
#[test]
fn no_length_in_a_record_stops_a_task() {
    let long = [json!("x".repeat(20_000)), json!("x".repeat(1_000_000))];
    let mut feed = Feed::new();
    let mut sequences = BTreeMap::new();
    let created = messages().into_iter().find(|message| message["type"] == "OrderCreated");
    let created = created.expect("the corpus has one");
    feed.deliver(TOPIC, &created, &long, |mutant, field, number| {
        if !IDENTITY.contains(&field) {
            place(mutant, number, &mut sequences);
        }
    });
    for kind in ["snapshot", "delta"] {
        let message = stock(kind, 0);
        feed.deliver(STOCK, &message, &long, |mutant, _, number| *mutant = stock(kind, number));
    }
    let key = vec![b'k'; 900_000];
    let letter = feed.tester.deliver(TOPIC, Some(&key), Some(b"no JSON"), &[], START);
    assert_eq!(letter, Ok(()));
    feed.end();
}
