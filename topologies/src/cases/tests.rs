//! Sequences of raises and clears, through the whole fold.

use std::sync::Arc;

use aplomb_state::{
    codec,
    context::Context,
    ids::{FoldVersion, Timestamp},
    record::{Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Settings, Stage, StageDefinition},
    tester::Tester,
    topology::Topology,
};

use super::{Cases, view};
use crate::{
    codes::Severity,
    exceptions,
    messages::{
        cases::{CaseKey, CaseMessage, Clear, Raise, Sent},
        skus::Cause,
    },
    outputs,
};

/// Passes messages from its topic on; what cannot be decoded is rejected.
struct Feed;

impl Stage for Feed {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: "feed",
            inbox: Inbox::External,
            stores: Vec::new(),
            outputs: vec![outputs::DLQ],
            sends: vec![exceptions::CASES],
            limits: Limits::default(),
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let body = record.external.and_then(|external| external.value).unwrap_or_default();
        let message: CaseMessage = codec::decode(body)
            .map_err(|error| Rejection::new("MALFORMED_JSON", "json", error.to_string()))?;
        let key = match &message {
            CaseMessage::Raise(sent) => &sent.message.key,
            CaseMessage::Clear(sent) => &sent.message.key,
        };
        ctx.send(exceptions::CASES, exceptions::inbox_key(key), body)
    }

    fn on_timer(&self, _: &mut Context<'_>, _: &Timer<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        exceptions::reject(ctx, subject, rejection)
    }
}

fn tester() -> Tester {
    let no_settings: fn(&[u8]) -> Result<Settings, String> = |_| Ok(Arc::new(()));
    let topology = Topology {
        name: "cases-only",
        fold_version: FoldVersion(1),
        stages: vec![Arc::new(Feed), Arc::new(Cases)],
        outputs: outputs::definitions(),
        views: vec![view()],
        lists: Vec::new(),
        settings: no_settings,
    };
    Tester::new(topology, &[("feed", "feed")], b"", Timestamp(0)).unwrap()
}

fn key(code: &str) -> CaseKey {
    CaseKey {
        project: "acme".into(),
        code: code.into(),
        entity_type: "sku".into(),
        entity_id: "A-1".into(),
        discriminator: "~".into(),
    }
}

fn raise(sender: &str, cause: &str, at: i64) -> CaseMessage {
    let message = Raise {
        key: key("OVERSOLD"),
        flow: "feed".into(),
        due_at: None,
        severity: None,
        detail: format!("because of {cause}"),
        amount_at_risk: Some((1_999, "EUR".into())),
        at: Timestamp(at),
        cause: Cause {
            id: cause.into(),
            message_id: Some("m1".into()),
            resource: Some("order:o1".into()),
            sequence: Some(3),
            version: Some(7),
        },
    };
    CaseMessage::Raise(Sent { sender: sender.into(), message })
}

fn clear(sender: &str, at: i64) -> CaseMessage {
    let cause = Cause { id: "m:acme:clear".into(), ..Cause::default() };
    let message = Clear { key: key("OVERSOLD"), at: Timestamp(at), cause };
    CaseMessage::Clear(Sent { sender: sender.into(), message })
}

/// (status, episode, count) of the records written, in order.
fn history(messages: &[CaseMessage]) -> Vec<(String, u64, u64)> {
    let mut tester = tester();
    for (message, at) in messages.iter().zip(1i64..) {
        let bytes = codec::encode(message);
        tester.deliver("feed", None, Some(&bytes), &[], Timestamp(at)).unwrap();
    }
    let records = tester.of_topic(outputs::EXCEPTIONS);
    records
        .map(|record| {
            let value = record.value.as_deref().unwrap();
            let json: serde_json::Value = serde_json::from_slice(value).unwrap();
            let status = json["status"].as_str().unwrap().to_owned();
            (status, json["episode"].as_u64().unwrap(), json["count"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn a_case_lives() {
    // (messages, records: status, episode, count)
    type Row = (&'static str, Vec<CaseMessage>, &'static [(&'static str, u64, u64)]);
    let rows: Vec<Row> = vec![
        ("opened", vec![raise("a", "1", 10)], &[("open", 1, 1)]),
        (
            "a new cause counts",
            vec![raise("a", "1", 10), raise("a", "2", 20)],
            &[("open", 1, 1), ("open", 1, 2)],
        ),
        (
            "the same cause does not count twice",
            vec![raise("a", "1", 10), raise("a", "1", 10)],
            &[("open", 1, 1)],
        ),
        (
            "cleared, and cleared again",
            vec![raise("a", "1", 10), clear("a", 20), clear("a", 21)],
            &[("open", 1, 1), ("resolved", 1, 1)],
        ),
        (
            "reopened: the same case, the next episode",
            vec![raise("a", "1", 10), clear("a", 20), raise("a", "2", 30)],
            &[("open", 1, 1), ("resolved", 1, 1), ("open", 2, 2)],
        ),
        (
            "reopened by the same cause, which counts once",
            vec![raise("a", "1", 10), clear("a", 20), raise("a", "1", 30)],
            &[("open", 1, 1), ("resolved", 1, 1), ("open", 2, 1)],
        ),
        (
            "one task's messages count in the order of the log, whatever their times",
            vec![raise("a", "1", 10), clear("a", 5), raise("a", "2", 3)],
            &[("open", 1, 1), ("resolved", 1, 1), ("open", 2, 2)],
        ),
        (
            "another task's older clear says nothing",
            vec![raise("a", "1", 10), clear("b", 5)],
            &[("open", 1, 1)],
        ),
        (
            "another task's older raise counts, but does not open again",
            vec![raise("a", "1", 10), clear("a", 20), raise("b", "2", 15)],
            &[("open", 1, 1), ("resolved", 1, 1), ("resolved", 1, 2)],
        ),
        ("a clear without a case", vec![clear("a", 10)], &[]),
        (
            "a clear that overtook another task's raise",
            vec![clear("a", 10), raise("b", "1", 5)],
            &[],
        ),
        (
            "a raise after a clear without a case",
            vec![clear("a", 10), raise("a", "1", 5)],
            &[("open", 1, 1)],
        ),
    ];
    for (name, messages, expected) in rows {
        let found = history(&messages);
        let found: Vec<_> = found.iter().map(|(status, e, c)| (status.as_str(), *e, *c)).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_case_that_stays_resolved_is_forgotten() {
    const DAY_MS: i64 = 86_400_000;
    let id = exceptions::case_id(&key("OVERSOLD"));
    // (messages, day, still known)
    let closed = || vec![raise("a", "1", 1), clear("a", 2)];
    let again = [closed(), vec![raise("a", "2", 3)]].concat();
    let rows = [(closed(), 365, true), (closed(), 366, false), (again, 366, true)];
    for (messages, day, known) in rows {
        let mut tester = tester();
        for (message, at) in messages.iter().zip(1i64..) {
            let bytes = codec::encode(message);
            tester.deliver("feed", None, Some(&bytes), &[], Timestamp(at)).unwrap();
        }
        tester.advance(Timestamp(day * DAY_MS)).unwrap();
        let shown = tester.view("cases", &format!("acme/{id}")).unwrap();
        assert_eq!(shown.is_some(), known, "{} messages, day {day}", messages.len());
    }
}

#[test]
fn the_record_has_every_field_of_the_domain() {
    let mut tester = tester();
    let bytes = codec::encode(&raise("a", "m:acme:m1", 1_785_576_600_123));
    tester.deliver("feed", None, Some(&bytes), &[], Timestamp(1_785_576_600_500)).unwrap();
    let id = exceptions::case_id(&key("OVERSOLD"));
    let expected = serde_json::json!({
        "caseId": id,
        "code": "OVERSOLD",
        "severity": "critical",
        "status": "open",
        "episode": 1,
        "entity": {"type": "sku", "id": "A-1"},
        "projectKey": "acme",
        "flow": "feed",
        "businessEffect": "Customers bought units we do not have",
        "owner": "inventory planning",
        "actions": ["repair", "escalate"],
        "sla": {"class": "checkout-blocking", "dueAt": "2026-08-01T09:45:00.123Z"},
        "firstSeen": "2026-08-01T09:30:00.123Z",
        "lastSeen": "2026-08-01T09:30:00.123Z",
        "count": 1,
        "amountAtRisk": {"centAmount": 1999, "currencyCode": "EUR", "fractionDigits": 2},
        "detail": "because of m:acme:m1",
        "trace": {"topic": "feed", "partition": 0, "offset": 0, "messageId": "m1",
                  "resource": "order:o1", "version": 7},
        "ruleHash": "tester",
    });
    let record = tester.of_topic(outputs::EXCEPTIONS).next().unwrap();
    let json: serde_json::Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
    assert_eq!(json, expected);
    assert_eq!(record.key, id.as_bytes());
    let names: Vec<_> = record.headers.iter().map(|(name, _)| name).collect();
    let expected_names = [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_subject",
        "ce_time",
        "ce_dataschema",
        "content-type",
        "code",
    ];
    assert_eq!(names, expected_names);
    let shown = tester.view("cases", &format!("acme/{id}")).unwrap().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), expected);
    assert_eq!(tester.view("cases", "acme/none").unwrap(), None);
    assert!(tester.view("cases", "acme").is_err());
}

#[test]
fn a_rejection_is_one_dead_letter_each_and_one_case_with_a_count() {
    let mut tester = tester();
    let headers: &[(&str, &[u8])] = &[("theirs", b"kept")];
    let token = br#"{"type":"CustomerPasswordTokenCreated","value":"s3cret"}"#;
    for (value, at) in [(&b"garbage"[..], 1), (token, 2)] {
        tester.deliver("feed", Some(b"k"), Some(value), headers, Timestamp(at)).unwrap();
    }
    let letters: Vec<_> = tester.of_topic(outputs::DLQ).collect();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0].key, b"k");
    assert_eq!(letters[0].value.as_deref(), Some(&b"garbage"[..]));
    let header = |name: &str, letter: usize| {
        let found = letters[letter].headers.get(name);
        String::from_utf8_lossy(found.unwrap()).into_owned()
    };
    // (header, value of the second)
    let rows = [
        ("theirs", "kept"),
        ("__streams.errors.exception", "MALFORMED_JSON"),
        ("__streams.errors.message", "json"),
        ("__streams.errors.topic", "feed"),
        ("__streams.errors.partition", "0"),
        ("__streams.errors.offset", "1"),
        ("code", "MALFORMED_JSON"),
        ("attempts", "1"),
        ("owner", "integration-ops"),
    ];
    for (name, expected) in rows {
        assert_eq!(header(name, 1), expected, "{name}");
    }
    let hashed = String::from_utf8_lossy(letters[1].value.as_deref().unwrap()).into_owned();
    assert!(hashed.starts_with("sha256") && !hashed.contains("s3cret"), "{hashed}");
    let counts: Vec<_> = tester
        .of_topic(outputs::EXCEPTIONS)
        .map(|record| {
            let value = record.value.as_deref().unwrap();
            let json: serde_json::Value = serde_json::from_slice(value).unwrap();
            assert_eq!(json["entity"], serde_json::json!({"type": "flow", "id": "feed"}));
            assert_eq!(json.get("projectKey"), None);
            json["count"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(counts, [1, 2]);
}

#[test]
fn a_rejection_inside_cases_is_written_there() {
    let mut tester = tester();
    let message = Raise { key: key("NO_SUCH_CODE"), at: Timestamp(1), ..Raise::default() };
    let sent = CaseMessage::Raise(Sent { sender: "a".into(), message });
    tester.deliver("feed", None, Some(&codec::encode(&sent)), &[], Timestamp(1)).unwrap();
    assert_eq!(tester.of_topic(outputs::DLQ).count(), 1);
    let record = tester.of_topic(outputs::EXCEPTIONS).next().unwrap();
    let json: serde_json::Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
    assert_eq!(json["code"], "CONTRACT_VIOLATION");
    assert_eq!(json["severity"], Severity::High.as_str());
    assert!(json["detail"].as_str().unwrap().contains("NO_SUCH_CODE"));
}
