//! The forms of a line, good and bad.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{CORPUS, NOTIFICATIONS, Outcome, STOCK, replay};

/// The dead letters of an input, in its order.
fn dead_letters(input: &[u8]) -> Outcome<Vec<Value>> {
    replay(input, &[])?.records("dlq.v1")
}

#[test]
fn the_same_notification_in_every_form_gives_the_same_bytes() -> Outcome {
    let corpus = std::fs::read_to_string(CORPUS)?;
    let bare = replay(corpus.as_bytes(), &[])?;
    for topic in [NOTIFICATIONS.to_owned(), format!("aplomb.{NOTIFICATIONS}")] {
        let mut as_json = String::new();
        let mut as_text = String::new();
        for line in corpus.lines() {
            as_json += &format!("{{\"topic\":\"{topic}\",\"value\":{line}}}\n");
            as_text += &format!("{}\n", json!({"topic": topic, "value": line}));
        }
        assert!(bare == replay(as_json.as_bytes(), &[])?, "{topic}: a JSON value differs");
        assert!(bare == replay(as_text.as_bytes(), &[])?, "{topic}: raw bytes differ");
    }
    Ok(())
}

/// Values that no handler takes come back as dead letters, byte for byte.
#[test]
fn values_keys_and_headers_reach_the_topic_as_they_are() -> Outcome {
    let rows = [
        (r#"{ "a" : 1.50 }"#, json!(r#"{ "a" : 1.50 }"#)),
        (r#""a \"text\" \u00e9""#, json!("a \"text\" é")),
        ("null", Value::Null),
        ("[1,  2]", json!("[1,  2]")),
        ("17", json!("17")),
    ];
    for (value, expected) in rows {
        let line = format!(
            r#"{{"topic":"{STOCK}","key":"k-1","headers":{{"trace":"t-1"}},"value":{value}}}"#
        );
        let letters = dead_letters(line.as_bytes())?;
        let [letter] = letters.as_slice() else { panic!("{value}: {letters:?}") };
        assert_eq!(letter["value"], expected);
        assert_eq!((&letter["key"], &letter["headers"]["trace"]), (&json!("k-1"), &json!("t-1")));
        assert_eq!(letter["headers"]["__streams.errors.topic"], STOCK);
    }
    Ok(())
}

#[test]
fn a_bad_line_ends_as_an_exception_and_a_dead_letter_and_is_named() -> Outcome {
    let good = r#"{"topic":"sor.wms.stock.v1","value":"good"}"#;
    let rows = [
        ("no JSON", "not a JSON object"),
        ("  {\"broken\": ", "broken JSON"),
        ("[1]", "not a JSON object"),
        (
            r#"{"topic":"no.such.topic","value":{}}"#,
            "no flow reads the topic no.such.topic; known are",
        ),
        (r#"{"topic":"aplomb.order.view.v1","value":{}}"#, "no flow reads the topic"),
        (r#"{"topic":7,"value":{}}"#, "expected a string"),
        (r#"{"topic":"sor.wms.stock.v1"}"#, "missing field `value`"),
        (r#"{"topic":"sor.wms.stock.v1","value":1,"key":7}"#, "expected a string"),
        (r#"{"topic":"sor.wms.stock.v1","value":1,"headers":[]}"#, "expected a map"),
        (r#"{"topic":"sor.wms.stock.v1","value":1,"offset":1}"#, "unknown field `offset`"),
        (r#"{"topic":"sor.wms.stock.v1","value":1,"timestamp":"noon"}"#, "expected i64"),
        (r#"{"topic":"sor.wms.stock.v1","value":1,"timestamp":-1}"#, "no epoch milliseconds"),
        (
            r#"{"topic":"sor.wms.stock.v1","value":1,"timestamp":9223372036854775807}"#,
            "no epoch milliseconds",
        ),
    ];
    for (line, reason) in rows {
        let replayed = replay(format!("{line}\r\n{good}\n").as_bytes(), &[])?;
        let letters = replayed.records("dlq.v1")?;
        let values: Vec<&Value> = letters.iter().map(|letter| &letter["value"]).collect();
        assert_eq!(values, [&json!(line), &json!("good")], "the rest of the input is read too");
        assert_eq!(replayed.codes()?.len(), 2, "{line}");
        let told = replayed.err.lines().next().unwrap_or_default();
        assert!(told.contains("in.jsonl:1: ") && told.contains(reason), "{line}: {told}");
    }
    Ok(())
}

#[test]
fn many_bad_lines_are_counted_and_the_first_are_named() -> Outcome {
    let replayed = replay("x\n".repeat(30).as_bytes(), &[])?;
    assert_eq!(replayed.records("dlq.v1")?.len(), 30);
    assert_eq!(replayed.err.matches("in.jsonl:").count(), 10, "{}", replayed.err);
    assert!(replayed.err.contains("and 20 more"), "{}", replayed.err);
    Ok(())
}

#[test]
fn bytes_that_are_not_utf_8_come_out_as_base64() -> Outcome {
    let line = b"\xff\xfe{\x80";
    let letters = dead_letters(line)?;
    assert_eq!(letters[0]["value"], json!({"base64": STANDARD.encode(line)}));
    Ok(())
}

#[test]
fn a_name_with_escapes_is_the_same_name() -> Outcome {
    let line = format!(r#"{{"top\u0069c":"{STOCK}","value":"raw"}}"#);
    assert_eq!(dead_letters(line.as_bytes())?[0]["value"], "raw");
    Ok(())
}
