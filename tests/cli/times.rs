//! Virtual time: where it comes from, and how far it goes.

use serde_json::{Value, json};

use crate::{Outcome, STOCK, replay};

fn message(sequence: u64, created_at: &str) -> String {
    json!({
        "notificationType": "Message",
        "projectKey": "shop",
        "id": format!("message-{sequence}"),
        "version": 1,
        "sequenceNumber": sequence,
        "resource": {"typeId": "customer", "id": "c1"},
        "resourceVersion": sequence,
        "type": "CustomerEmailVerified",
        "createdAt": created_at,
        "lastModifiedAt": created_at,
    })
    .to_string()
}

#[test]
fn a_line_has_its_timestamp_or_its_own_time_or_that_of_the_line_before() -> Outcome {
    let lines = [
        format!(r#"{{"topic":"{STOCK}","value":"x","timestamp":5000}}"#),
        r#"{"notificationType":"Unheard","createdAt":"1970-01-01T00:00:07Z"}"#.to_owned(),
        format!(r#"{{"topic":"{STOCK}","value":"x"}}"#),
        "no JSON".to_owned(),
        // Its own time is told, but the timestamp counts.
        format!(
            r#"{{"topic":"{STOCK}","value":{{"asOf":"1970-01-01T00:01:00Z"}},"timestamp":8000}}"#
        ),
        // Time never falls.
        format!(r#"{{"topic":"{STOCK}","value":"x","timestamp":6000}}"#),
        format!(r#"{{"topic":"{STOCK}","value":"x","timestamp":9000}}"#),
    ];
    let letters = replay(lines.join("\n").as_bytes(), &[])?.records("dlq.v1")?;
    let times: Vec<&Value> = letters.iter().map(|letter| &letter["timestamp"]).collect();
    assert_eq!(times, [5_000, 7_000, 7_000, 7_000, 8_000, 8_000, 9_000]);
    Ok(())
}

#[test]
fn time_never_falls_in_any_output() -> Outcome {
    let corpus = std::fs::read_to_string(crate::CORPUS)?;
    let mut lines: Vec<&str> = corpus.lines().collect();
    lines.reverse();
    let replayed = replay(lines.join("\n").as_bytes(), &[])?;
    for topic in replayed.files.keys() {
        let records = replayed.records(topic)?;
        let times: Vec<i64> =
            records.iter().filter_map(|record| record["timestamp"].as_i64()).collect();
        assert!(times.is_sorted(), "{topic}: {times:?}");
    }
    Ok(())
}

/// A missing message is waited for 60 s.
#[test]
fn a_deadline_fires_at_until_and_not_a_millisecond_before() -> Outcome {
    let at = "2026-08-01T00:02:00.000Z";
    let input = [message(1, at), message(3, at)].join("\n");
    let rows: [(&[&str], bool); 4] = [
        (&[], false),
        (&["--until", "2026-08-01T00:02:59.999Z"], false),
        (&["--until", "2026-08-01T00:03:00Z"], true),
        // The same instant in another zone.
        (&["--until", "2026-08-01T02:03:00+02:00"], true),
    ];
    for (more, fires) in rows {
        let codes = replay(input.as_bytes(), more)?.codes()?;
        assert_eq!(codes.contains(&"SEQUENCE_GAP".to_owned()), fires, "{more:?}: {codes:?}");
    }
    Ok(())
}

#[test]
fn an_until_before_the_last_line_changes_nothing() -> Outcome {
    let at = "2026-08-01T00:02:00.000Z";
    // The third line comes at the very instant at which the wait ends.
    let input = [message(1, at), message(3, at), message(4, "2026-08-01T00:03:00.000Z")].join("\n");
    let without = replay(input.as_bytes(), &[])?;
    assert!(!without.codes()?.contains(&"SEQUENCE_GAP".to_owned()));
    assert!(without == replay(input.as_bytes(), &["--until", "2026-08-01T00:00:00Z"])?);
    Ok(())
}

#[test]
fn an_until_that_is_no_instant_says_what_one_looks_like() -> Outcome {
    let ended = crate::aplomb(["replay", "-", "--out", "out", "--until", "tomorrow"])?;
    ended.fails(2, &["an instant such as 2026-03-03T00:00:00Z"]);
    Ok(())
}
