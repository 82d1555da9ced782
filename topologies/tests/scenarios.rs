//! Scenario files: inputs, and the records they must lead to, one file per row of the domain's
//! tables, numbered in reading order. They are written from the domain, not from the program.
//!
//! A file has
//! - `name` and `shows`, the row of the domain;
//! - `rules`, over the defaults; `oms`, over the contract of the order management's flow;
//! - `inputs` ([`support::build`] says in which forms), and `until`, how far time goes on;
//! - `expect`: per topic, all of its records in order, by the fields that matter. `effect` is the
//!   end of the CloudEvents type;
//! - `latest`: per topic and key, the last value; `null` for a tombstone or nothing;
//! - `last`: per topic, its last record;
//! - `absent`: per topic, patterns that no record may match;
//! - `headers`: per topic, headers that its first record must carry.
//!
//! Topics of exceptions and dead letters that a file does not speak of must stay empty.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a scenario that cannot be read ends here")]

#[expect(clippy::disallowed_methods, reason = "a test reads its schemas")]
mod schemas;
mod support;

use std::{collections::BTreeSet, fs, path::Path};

use aplomb_state::tester::{Emitted, Tester};
use serde_json::{Value, json};

use support::{
    build::{self, ENTRIES, NOTIFICATIONS, ORDERS, PROJECT, START, STOCK},
    compare,
};

/// What a second delivery of every record must not add to.
const UNTOUCHED_BY_DUPLICATES: [&str; 5] = [
    "inventory.events.v1",
    "order.events.v1",
    "order.verdicts.v1",
    "payment.events.v1",
    "drift.events.v1",
];

/// How often every input is delivered.
#[derive(Clone, Copy)]
enum Times {
    Once = 1,
    Twice = 2,
}

/// Silence is a statement about these.
const EMPTY_UNLESS_EXPECTED: [&str; 2] = ["exceptions.v1", "dlq.v1"];

#[test]
fn every_scenario_ends_as_the_domain_says() {
    for_each(run);
}

#[test]
fn every_scenario_ends_the_same_if_all_is_delivered_twice() {
    for_each(|scenario, faults| match play(scenario, Times::Twice) {
        Ok(tester) => {
            let expected = fields(&scenario["expect"]);
            for (topic, expected) in
                expected.filter(|(topic, _)| UNTOUCHED_BY_DUPLICATES.contains(&topic.as_str()))
            {
                compare_topic(topic, expected, &tester, faults);
            }
            check_latest(scenario, &tester, faults);
        }
        Err(fault) => faults.push(fault),
    });
}

fn for_each(check: impl Fn(&Value, &mut Vec<String>)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut failed = Vec::new();
    let count = files.len();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let scenario = read(&file);
        let mut faults = Vec::new();
        check(&scenario, &mut faults);
        if !faults.is_empty() {
            let title = scenario["name"].as_str().unwrap_or_default();
            failed.push(format!("{name}: {title}\n    {}", faults.join("\n    ")));
        }
    }
    assert!(count > 0, "no scenario files");
    assert!(failed.is_empty(), "{} of {count} failed\n{}", failed.len(), failed.join("\n"));
}

#[expect(clippy::disallowed_methods, reason = "a test reads its scenarios")]
fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn run(scenario: &Value, faults: &mut Vec<String>) {
    let first = play(scenario, Times::Once);
    let again = play(scenario, Times::Once);
    match (first, again) {
        (Ok(first), Ok(again)) => {
            if first.outputs != again.outputs {
                faults.push("a second run gave other records".to_owned());
            }
            check_ids(&first.outputs, faults);
            schemas::check(&first.outputs, faults);
            check_expected(scenario, &first, faults);
            check_latest(scenario, &first, faults);
            check_last(scenario, &first, faults);
            check_absent(scenario, &first, faults);
            check_headers(scenario, &first, faults);
        }
        (Err(fault), _) | (_, Err(fault)) => faults.push(fault),
    }
}

fn play(scenario: &Value, times: Times) -> Result<Tester, String> {
    let flows = [
        ("commercetools", NOTIFICATIONS),
        ("wms-stock", STOCK),
        ("oms-orders", ORDERS),
        ("entries", ENTRIES),
    ];
    let rules = scenario.get("rules").cloned().unwrap_or_else(|| json!({}));
    let mut settings = json!({
        "flows": [
            {"name": "commercetools", "topic": NOTIFICATIONS, "project_key": PROJECT},
            {"name": "wms-stock", "topic": STOCK, "system": "wms", "kind": "stock",
             "project_key": PROJECT, "locations": {"BERLIN": "channel-berlin"},
             "feed_interval_ms": 60_000},
            {"name": "oms-orders", "topic": ORDERS, "system": "oms", "kind": "order",
             "project_key": PROJECT, "order_number_prefix": "OMS-",
             "statuses": {
                "NEW": {"order_states": ["Open", "Confirmed"]},
                "SHIPPED": {"order_states": ["Confirmed", "Complete"],
                            "shipment_states": ["Shipped", "Delivered"]}}},
            {"name": "entries", "topic": ENTRIES, "system": "commercetools", "kind": "stock",
             "project_key": PROJECT},
        ],
        "rules": rules,
    });
    for (name, value) in fields(&scenario["oms"]) {
        settings["flows"][2][name] = value.clone();
    }
    let settings = settings.to_string();
    let topology = aplomb_topologies::topology();
    let mut tester = Tester::new(topology, &flows, settings.as_bytes(), START)
        .map_err(|fault| fault.to_string())?;
    for input in scenario["inputs"].as_array().expect("a scenario has inputs") {
        let delivery = build::delivery(input);
        for _ in 0..times as u8 {
            tester
                .deliver(delivery.topic, None, Some(&delivery.value), &[], delivery.at)
                .map_err(|fault| fault.to_string())?;
        }
    }
    if let Some(until) = scenario["until"].as_str() {
        tester.advance(build::instant(until)).map_err(|fault| fault.to_string())?;
    }
    tester.finish().map_err(|fault| fault.to_string())?;
    Ok(tester)
}

/// An id says cause, sender, revision, effect and key: two records never share one.
fn check_ids(outputs: &[Emitted], faults: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for record in outputs {
        let Some(id) = header(record, "ce_id") else { continue };
        if !seen.insert(id.clone()) {
            faults.push(format!("{}: two records have the id {id}", record.topic));
        }
    }
}

fn check_expected(scenario: &Value, tester: &Tester, faults: &mut Vec<String>) {
    let nothing = json!([]);
    for topic in EMPTY_UNLESS_EXPECTED {
        let said = ["expect", "latest", "last", "absent"]
            .iter()
            .any(|part| scenario[part][topic] != Value::Null);
        if !said {
            compare_topic(topic, &nothing, tester, faults);
        }
    }
    for (topic, expected) in fields(&scenario["expect"]) {
        compare_topic(topic, expected, tester, faults);
    }
}

fn compare_topic(topic: &str, expected: &Value, tester: &Tester, faults: &mut Vec<String>) {
    let found: Vec<Value> = tester.of_topic(topic).map(shown).collect();
    let expected = expected.as_array().expect("expected records are a list");
    if found.len() != expected.len() {
        faults.push(format!("{topic}: expected {} records, found {}", expected.len(), found.len()));
        faults.extend(found.iter().map(|record| format!("{topic}: found {record}")));
        return;
    }
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        compare::differences(expected, Some(found), &format!("{topic} #{index}"), faults);
    }
}

fn check_latest(scenario: &Value, tester: &Tester, faults: &mut Vec<String>) {
    for (topic, keys) in fields(&scenario["latest"]) {
        for (key, expected) in fields(keys) {
            let found = tester.latest(topic, key).map(parsed);
            compare::differences(expected, found.as_ref(), &format!("{topic} {key}"), faults);
        }
    }
}

fn check_last(scenario: &Value, tester: &Tester, faults: &mut Vec<String>) {
    for (topic, expected) in fields(&scenario["last"]) {
        let found = tester.of_topic(topic).last().map(shown);
        compare::differences(expected, found.as_ref(), &format!("{topic} last"), faults);
    }
}

fn check_absent(scenario: &Value, tester: &Tester, faults: &mut Vec<String>) {
    for (topic, patterns) in fields(&scenario["absent"]) {
        for pattern in patterns.as_array().expect("patterns are a list") {
            for record in tester.of_topic(topic).map(shown) {
                if compare::matches(pattern, &record) {
                    faults.push(format!("{topic}: must not be there: {record}"));
                }
            }
        }
    }
}

fn check_headers(scenario: &Value, tester: &Tester, faults: &mut Vec<String>) {
    for (topic, expected) in fields(&scenario["headers"]) {
        let Some(record) = tester.of_topic(topic).next() else {
            faults.push(format!("{topic}: no record whose headers could be looked at"));
            continue;
        };
        for (name, value) in fields(expected) {
            let found = header(record, name);
            if found.as_deref() != value.as_str() {
                faults.push(format!("{topic} header {name}: expected {value}, found {found:?}"));
            }
        }
    }
}

/// A record as expectations speak of it: the value's fields, and `key` and `effect`.
fn shown(record: &Emitted) -> Value {
    let mut value = record.value.as_deref().map_or(json!({"tombstone": true}), parsed);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("key".into(), String::from_utf8_lossy(&record.key).into());
        if let Some(kind) = header(record, "ce_type") {
            fields.insert("effect".into(), kind.rsplit('.').next().into());
        }
    }
    value
}

/// Dead letters are as received: what is no JSON object is shown as `text`.
fn parsed(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => value,
        _ => json!({"text": String::from_utf8_lossy(bytes)}),
    }
}

fn header(record: &Emitted, name: &str) -> Option<String> {
    let found = record.headers.get(name);
    found.map(|value| String::from_utf8_lossy(value).into_owned())
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
