use serde_json::json;

use crate::{
    outputs,
    testing::{
        CT, WMS, cases, deliver, deliver_bytes, document, message, order_created, shown, state,
        tester, view,
    },
};

const CORPUS: &str = include_str!("../../corpus/messages.jsonl");

#[test]
fn every_line_of_the_corpus_is_taken() {
    let mut tester = tester(&document());
    for (line, at_ms) in CORPUS.lines().zip((0..).step_by(1_000)) {
        deliver_bytes(&mut tester, CT, line.as_bytes(), at_ms + 3_600_000);
    }
    tester.finish().expect("no fault");
    assert_eq!(shown(&tester, outputs::DLQ), Vec::<String>::new());
    let refused = ["MALFORMED", "CONTRACT_VIOLATION", "UNKNOWN_NOTIFICATION", "UNKNOWN_MESSAGE"];
    for case in cases(&tester) {
        assert!(refused.iter().all(|code| !case.starts_with(code)), "{case}");
    }
    let value =
        tester.latest(outputs::ORDER_VIEW, "acme-eu-prod:04c6618d-ee8b-5330-ad05-9bb20e1f05bf");
    assert!(value.is_some(), "the long order has a view");
    let personal = ["example.com", "Anna", "Schmidt", "Kastanienallee", "10435"];
    // Dead letters alone are as received; there are none.
    for output in &tester.outputs {
        let text = String::from_utf8_lossy(output.value.as_deref().unwrap_or_default());
        assert!(personal.iter().all(|word| !text.contains(word)), "{text}");
    }
}

#[test]
fn refusals_name_their_code_and_keep_the_bytes() {
    let message = message(("order", "o1"), 1, "OrderStateChanged", json!({}));
    let without = |field: &str| {
        let mut message = message.clone();
        message.as_object_mut().expect("an object").remove(field);
        message.to_string()
    };
    let with = |field: &str, value: serde_json::Value| {
        let mut message = message.clone();
        message[field] = value;
        message.to_string()
    };
    let rows = [
        (String::new(), "MALFORMED_JSON"),
        ("{".to_owned(), "MALFORMED_JSON"),
        ("{\"a\":1} x".to_owned(), "MALFORMED_JSON"),
        ("[]".to_owned(), "CONTRACT_VIOLATION"),
        ("{}".to_owned(), "CONTRACT_VIOLATION"),
        (without("id"), "CONTRACT_VIOLATION"),
        (without("type"), "CONTRACT_VIOLATION"),
        (without("sequenceNumber"), "CONTRACT_VIOLATION"),
        (without("resource"), "CONTRACT_VIOLATION"),
        (without("projectKey"), "CONTRACT_VIOLATION"),
        (without("createdAt"), "CONTRACT_VIOLATION"),
        (with("createdAt", json!("soon")), "CONTRACT_VIOLATION"),
        (with("sequenceNumber", json!("1")), "CONTRACT_VIOLATION"),
        (with("sequenceNumber", json!(0)), "CONTRACT_VIOLATION"),
        (with("projectKey", json!("a:b")), "CONTRACT_VIOLATION"),
        (with("projectKey", json!(" ")), "CONTRACT_VIOLATION"),
        (with("notificationType", json!("Rumour")), "UNKNOWN_NOTIFICATION_TYPE"),
        ("{\"specversion\":\"1.0\"}".to_owned(), "CONTRACT_VIOLATION"),
        ("{\"specversion\":\"2.0\",\"data\":{}}".to_owned(), "CONTRACT_VIOLATION"),
    ];
    for (bytes, code) in rows {
        let mut tester = tester(&document());
        deliver_bytes(&mut tester, CT, bytes.as_bytes(), 0);
        let letters: Vec<_> = tester.of_topic(outputs::DLQ).collect();
        assert_eq!(letters.len(), 1, "{bytes}");
        assert_eq!(letters[0].value.as_deref(), Some(bytes.as_bytes()));
        let cases = cases(&tester);
        assert_eq!(cases.len(), 1, "{bytes}");
        assert!(cases[0].starts_with(code), "{bytes}: {cases:?}");
    }
}

#[test]
fn another_project_than_the_contract_names_is_refused() {
    let mut document = document();
    document["flows"][0]["project_key"] = json!("acme-prod");
    let mut tester = tester(&document);
    deliver(&mut tester, &order_created(1), 0);
    assert_eq!(cases(&tester), ["ENV_MISMATCH/flow/projectKey raise"]);
    assert_eq!(tester.of_topic(outputs::DLQ).count(), 1);
    assert_eq!(tester.of_topic(outputs::ORDER_VIEW).count(), 0);
}

#[test]
fn the_test_notification_of_a_subscription_is_ignored() {
    let mut tester = tester(&document());
    let test = json!({"notificationType": "ResourceCreated", "projectKey": "acme",
        "resource": {"typeId": "subscription", "id": "s1"}, "version": 1,
        "modifiedAt": "2026-03-02T08:00:00.000Z"});
    deliver(&mut tester, &test, 0);
    assert!(tester.outputs.is_empty());
}

#[test]
fn an_unknown_type_consumes_its_sequence_number_and_is_told_about_once() {
    let mut tester = tester(&document());
    deliver(&mut tester, &order_created(1), 0);
    let unknown = message(("order", "o1"), 2, "OrderTeleported", json!({"to": "moon"}));
    deliver(&mut tester, &unknown, 1);
    deliver(&mut tester, &unknown, 2);
    deliver(&mut tester, &state(3, "orderState", "Open", "Confirmed"), 3);
    assert_eq!(cases(&tester), ["UNKNOWN_MESSAGE_TYPE/flow/OrderTeleported raise"]);
    assert_eq!(view(&tester)["sequence"], 3);
}

#[test]
fn a_clock_ahead_of_the_log_is_told_about_and_nothing_else_happens() {
    // (ahead of the record, told)
    for (ahead_ms, told) in [(300_000, 0), (300_001, 1)] {
        let mut tester = tester(&document());
        let mut created = order_created(1);
        created["createdAt"] = json!(crate::time::format(crate::testing::START.plus_ms(ahead_ms)));
        deliver(&mut tester, &created, 0);
        let skews = cases(&tester).iter().filter(|case| case.starts_with("CLOCK_SKEW")).count();
        assert_eq!(skews, told, "{ahead_ms}");
        assert_eq!(view(&tester)["orderNumber"], "N-1");
    }
}

#[test]
fn stock_records_reach_their_sku_or_are_refused() {
    let record = |kind: &str, extra: serde_json::Value| {
        let mut record = json!({"eventId": "e1", "system": "wms", "entity": "stock",
            "ids": {"sku": " A-1 "}, "asOf": "2026-03-02T08:00:00Z", "kind": kind,
            "value": {"location": "B1", "quantity": 7}});
        record.as_object_mut().expect("an object").extend(extra.as_object().cloned().expect("one"));
        record.to_string()
    };
    let snapshot = r#"acme:A-1 {"kind":"Snapshot","location":"ch-1","stock":7}"#;
    let delta = r#"acme:A-1 {"kind":"Delta","location":"~","stock":-2}"#;
    let ended = r#"acme:wms {"ended":"b","partitions":2}"#;
    let rows = [
        (record("snapshot", json!({})), Ok(snapshot)),
        (record("delta", json!({"value": {"quantity": -2}})), Ok(delta)),
        (
            record("complete", json!({"batchId": "b", "value": {"partitions": 2, "count": 3}})),
            Ok(ended),
        ),
        (
            record("complete", json!({"batchId": "b"})),
            Err("CONTRACT_VIOLATION/flow/value.partitions"),
        ),
        (
            record("complete", json!({"value": {"partitions": 2, "count": 3}})),
            Err("CONTRACT_VIOLATION/flow/batchId"),
        ),
        (record("heartbeat", json!({})), Err("")),
        (record("ack", json!({})), Err("")),
        (record("delta", json!({"eventId": ""})), Err("CONTRACT_VIOLATION/flow/eventId")),
        (record("gossip", json!({})), Err("CONTRACT_VIOLATION/flow/kind")),
        (record("snapshot", json!({"ids": {}})), Err("CONTRACT_VIOLATION/flow/ids.sku")),
        (record("snapshot", json!({"system": "erp"})), Err("CONTRACT_VIOLATION/flow/system")),
        (record("snapshot", json!({"entity": "order"})), Err("CONTRACT_VIOLATION/flow/entity")),
        (record("snapshot", json!({"projectKey": "b"})), Err("ENV_MISMATCH/flow/projectKey")),
        (
            record("snapshot", json!({"value": {"quantity": 1.5}})),
            Err("CONTRACT_VIOLATION/flow/schema"),
        ),
    ];
    for (bytes, expected) in rows {
        let mut tester = tester(&document());
        deliver_bytes(&mut tester, WMS, bytes.as_bytes(), 0);
        let (sent, cases) = (shown(&tester, outputs::INVENTORY_EVENTS), cases(&tester));
        match expected {
            Ok(expected) => assert_eq!(sent, [expected], "{bytes}"),
            Err("") => assert!(sent.is_empty() && cases.is_empty(), "{bytes}"),
            Err(case) => assert_eq!(cases, [format!("{case} raise")], "{bytes}"),
        }
    }
}
