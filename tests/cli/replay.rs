//! What goes in as files, and what comes out as files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use crate::{CORPUS, NOTIFICATIONS, Outcome, Replayed, aplomb, aplomb_fed, config, files, replay};

fn corpus() -> Outcome<Vec<u8>> {
    Ok(fs::read(CORPUS)?)
}

#[test]
fn the_corpus_gives_every_output_topic_with_whole_records() -> Outcome {
    let replayed = replay(&corpus()?, &[])?;
    let topology: Value = serde_json::from_str(&aplomb(["topology", "--format", "json"])?.out)?;
    let outputs = topology["outputs"].as_array().cloned().unwrap_or_default();
    let expected: BTreeSet<&str> =
        outputs.iter().filter_map(|output| output["topic"].as_str()).collect();
    let found: BTreeSet<&str> = replayed.files.keys().map(String::as_str).collect();
    assert_eq!(found, expected);
    assert!(found.is_superset(&["order.view.v1", "exceptions.v1", "dlq.v1"].into()));
    let fields = ["headers", "key", "offset", "partition", "timestamp", "topic", "value"];
    for (topic, text) in &replayed.files {
        for line in text.lines() {
            let record: serde_json::Map<String, Value> = serde_json::from_str(line)?;
            let mut names: Vec<&str> = record.keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, fields, "{line}");
            assert_eq!(record["topic"], format!("aplomb.{topic}"));
            assert_eq!(record["partition"], 0);
            assert!(record["headers"]["aplomb_cause"].is_string(), "{line}");
        }
    }
    assert!(!replayed.records("order.view.v1")?.is_empty());
    assert_eq!(replayed.files["dlq.v1"], "", "the corpus has no bad record");
    Ok(())
}

#[test]
fn the_same_input_gives_the_same_bytes_from_a_file_and_from_standard_input() -> Outcome {
    let first = replay(&corpus()?, &[])?;
    assert!(first == replay(&corpus()?, &[])?, "a second replay differs");
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let out = out.to_string_lossy();
    aplomb_fed(["replay", "-", "--out", &*out], &corpus()?)?.well()?;
    assert!(first.files == files(out.as_ref().as_ref())?, "standard input differs");
    Ok(())
}

#[test]
fn several_files_are_read_one_after_the_other() -> Outcome {
    let corpus = String::from_utf8(corpus()?)?;
    let lines: Vec<&str> = corpus.lines().collect();
    let (first, second) = lines.split_at(100);
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    // The first ends without a line end.
    fs::write(path("a.jsonl"), first.join("\n"))?;
    fs::write(path("b.jsonl"), second.join("\n"))?;
    let arguments =
        ["replay", &path("a.jsonl"), &path("b.jsonl"), "--out", &path("out")].map(str::to_owned);
    aplomb(arguments)?.well()?;
    assert!(files(path("out").as_ref())? == replay(corpus.as_bytes(), &[])?.files);
    Ok(())
}

/// Where a record lies, and what is made from places: its trace, its id, its cause, and the hash of
/// a configuration that names the partitions.
fn without_places(record: &Value) -> Value {
    match record {
        Value::Object(fields) => {
            let places = ["partition", "offset", "trace", "ce_id", "aplomb_cause", "ruleHash"];
            let kept = fields.iter().filter(|(name, _)| !places.contains(&name.as_str()));
            Value::Object(kept.map(|(name, of)| (name.clone(), without_places(of))).collect())
        }
        Value::Array(all) => Value::Array(all.iter().map(without_places).collect()),
        other => other.clone(),
    }
}

/// All records of a topic, or the last of each key.
fn record_set(replayed: &Replayed, topic: &str) -> Outcome<Vec<String>> {
    let records = replayed.records(topic)?;
    let mut all: Vec<String> = if topic == ORDER_VIEW {
        let by_key = records.iter().map(|record| (record["key"].to_string(), record));
        let last: BTreeMap<String, &Value> = by_key.collect();
        last.into_values().map(|record| without_places(record).to_string()).collect()
    } else {
        records.iter().map(|record| without_places(record).to_string()).collect()
    };
    all.sort();
    Ok(all)
}

/// An order of two skus in two partitions hears of their holds at the same instant, in either
/// order: the views between may differ, the last does not.
const ORDER_VIEW: &str = "order.view.v1";

#[test]
fn more_partitions_give_the_same_records() -> Outcome {
    let (one, four) = (replay(&corpus()?, &[])?, replay(&corpus()?, &["--partitions", "4"])?);
    for topic in one.files.keys() {
        assert_eq!(one.records(topic)?.len(), four.records(topic)?.len(), "{topic}");
        assert_eq!(record_set(&one, topic)?, record_set(&four, topic)?, "{topic}");
    }
    let partitions: BTreeSet<i64> =
        four.all()?.iter().filter_map(|record| record["partition"].as_i64()).collect();
    assert_eq!(partitions, [0, 1, 2, 3].into());
    Ok(())
}

#[test]
fn a_project_is_refused_only_where_one_is_configured() -> Outcome {
    let corpus = fs::read_to_string(CORPUS)?;
    let of_project = |line: &&str| line.contains("\"projectKey\":\"acme-eu-prod\"");
    let input = corpus.lines().filter(of_project).collect::<Vec<_>>().join("\n").into_bytes();
    let mismatch = |replayed: &Replayed| -> Outcome<bool> {
        Ok(replayed.codes()?.iter().any(|code| code == "ENV_MISMATCH"))
    };
    assert!(!mismatch(&replay(&input, &[])?)?);
    for (project, refused) in [("somebody-else", true), ("acme-eu-prod", false)] {
        let (_folder, path) = config(&format!(
            "[[flows]]\nname = \"shop\"\ntopic = \"{NOTIFICATIONS}\"\nproject_key = \"{project}\""
        ))?;
        let replayed = replay(&input, &["--config", &path.to_string_lossy()])?;
        assert_eq!(mismatch(&replayed)?, refused, "{project}");
        assert_eq!(replayed.files["order.view.v1"].is_empty(), refused, "{project}");
    }
    Ok(())
}

#[test]
fn a_bare_notification_goes_to_the_flow_that_reads_notifications() -> Outcome {
    let stock =
        "[[flows]]\nname = \"w\"\ntopic = \"sor.x.stock.v1\"\nkind = \"stock\"\nsystem = \"x\"\n";
    let own = "[[flows]]\nname = \"shop\"\ntopic = \"shop.notifications\"\n";
    let (_folder, path) = config(&format!("{stock}{own}"))?;
    let with_own = replay(&corpus()?, &["--config", &path.to_string_lossy()])?;
    assert!(!with_own.files["order.view.v1"].is_empty());
    assert_eq!(with_own.files["dlq.v1"], "");
    // Where there is none, it is a bad record, and not the end.
    let (_folder, path) = config(stock)?;
    let without = replay(&corpus()?, &["--config", &path.to_string_lossy()])?;
    assert!(!without.files["dlq.v1"].is_empty());
    Ok(())
}

#[test]
fn an_empty_input_gives_empty_files() -> Outcome {
    for (input, more) in [("", &[][..]), ("\n \n\r\n", &["--until", "2026-08-01T00:00:00Z"])] {
        let replayed = replay(input.as_bytes(), more)?;
        assert!(!replayed.files.is_empty() && replayed.files.values().all(String::is_empty));
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_or_written_is_told_before_anything_happens() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    fs::write(path("a-file"), "")?;
    let ended = aplomb(["replay", CORPUS, &path("nothing"), "--out", &path("out")])?;
    ended.fails(
        1,
        &["nothing", "No such file", "give a file of JSON Lines, or - for standard input"],
    );
    assert!(fs::metadata(path("out")).is_err(), "the folder was made all the same");
    let ended = aplomb(["replay", &folder.path().to_string_lossy(), "--out", &path("out")])?;
    ended.fails(1, &["is a folder", "give a file of JSON Lines"]);
    for out in [path("a-file"), path("a-file/below")] {
        let ended = aplomb(["replay", CORPUS, "--out", &out])?;
        ended.fails(1, &[&out, "give a folder that can be written"]);
    }
    Ok(())
}

#[test]
fn a_replay_does_not_overwrite_its_own_input() -> Outcome {
    let folder = tempfile::tempdir()?;
    let dlq = folder.path().join("dlq.v1.jsonl");
    fs::write(&dlq, "kept\n")?;
    let (file, out) = (dlq.to_string_lossy(), folder.path().to_string_lossy());
    let ended = aplomb(["replay", &*file, "--out", &*out])?;
    ended.fails(1, &["dlq.v1.jsonl would be overwritten", "another folder with --out"]);
    assert_eq!(fs::read_to_string(&dlq)?, "kept\n");
    Ok(())
}
