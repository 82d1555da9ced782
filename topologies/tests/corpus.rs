//! The corpus: an example of everything commercetools delivers. All of it must be understood.

#![expect(clippy::unwrap_used, reason = "the corpus is there, and the tester has no faults")]

use std::{fs, path::Path};

use aplomb_state::{ids::Timestamp, tester::Tester};
use serde_json::{Value, json};

const TOPIC: &str = "commercetools.notifications.v1";
/// 2026-03-03T00:00:00Z, after every timestamp in the corpus.
const START: Timestamp = Timestamp(1_772_496_000_000);
const STEP_MS: i64 = 250;

#[expect(clippy::disallowed_methods, reason = "a test reads its example data")]
fn lines() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/messages.jsonl");
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

fn replay(lines: &[String]) -> Tester {
    let settings = json!({"flows": [{"name": "commercetools", "topic": TOPIC}]}).to_string();
    let topology = aplomb_topologies::topology();
    let flows = [("commercetools", TOPIC)];
    let mut tester = Tester::new(topology, &flows, settings.as_bytes(), START).unwrap();
    let mut at = START;
    for line in lines {
        at = at.plus_ms(STEP_MS);
        tester.deliver(TOPIC, None, Some(line.as_bytes()), &[], at).unwrap();
    }
    // Past every deadline: gaps given up, graces over.
    tester.advance(at.plus_ms(40 * 86_400_000)).unwrap();
    tester.finish().unwrap();
    tester
}

/// Dead letters, and cases that say a record was not understood.
fn not_understood(tester: &Tester) -> Vec<String> {
    let letters = tester.of_topic("dlq.v1").map(|letter| {
        let headers: Vec<_> = letter
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
            .collect();
        headers.join(" ")
    });
    let cases = tester.of_topic("exceptions.v1").filter_map(|record| {
        let case: Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
        let code = case["code"].as_str()?;
        // As information it says that the API forbids what the message tells.
        let bad = code == "MALFORMED_JSON"
            || (code == "CONTRACT_VIOLATION" && case["severity"] != "info")
            || code == "UNKNOWN_MESSAGE_TYPE"
            || code == "UNKNOWN_NOTIFICATION_TYPE";
        bad.then(|| case.to_string())
    });
    letters.chain(cases).collect()
}

#[test]
fn all_of_it_is_understood() {
    let lines = lines();
    assert_eq!(lines.len(), 351);
    let tester = replay(&lines);
    let found = not_understood(&tester);
    assert!(found.is_empty(), "{} not understood:\n{}", found.len(), found.join("\n"));
    assert!(tester.of_topic("order.view.v1").count() > 0);
}

#[test]
fn it_is_understood_twice_and_backwards() {
    let mut twice: Vec<String> = lines();
    twice.extend(lines());
    let mut backwards = lines();
    backwards.reverse();
    for order in [twice, backwards] {
        let found = not_understood(&replay(&order));
        assert!(found.is_empty(), "{} not understood:\n{}", found.len(), found.join("\n"));
    }
}
