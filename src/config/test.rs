use std::{collections::BTreeMap, sync::Arc};

use super::*;

const EXAMPLE: &str = include_str!("../../aplomb.example.toml");
const LEAST: &str = "[[flows]]\nname = \"notifications\"\ntopic = \"in\"\n";

fn refuse(properties: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let owned = properties.contains_key("group.id");
    let reason = "is the engine's: application.id names the group";
    owned.then(|| ("group.id".to_owned(), reason.to_owned())).into_iter().collect()
}

fn checks() -> Checks<'static> {
    Checks {
        settings: |body| {
            let document: serde_json::Value = serde_json::from_slice(body).expect("it is JSON");
            if document["rules"]["bad"].is_null() {
                Ok(Arc::new(()))
            } else {
                Err("it is not known at line 1 column 9".to_owned())
            }
        },
        properties: &refuse,
        defaults: toml::Table::new(),
    }
}

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::parse(text, variables, &checks())
}

fn mistakes(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let error = parse(text, variables).expect_err("it has mistakes");
    let mut lines: Vec<String> = error.mistakes.iter().map(ToString::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn a_flow_is_all_that_is_needed() {
    let config = parse(LEAST, &[]).expect("no mistake");
    assert_eq!(config.application.id, "aplomb");
    assert_eq!(config.start, Start::Earliest);
    assert_eq!(config.worker.commit_interval_ms_max, 500);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.flows[0].allowed_disorder_ms, 10_000);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text = r#"
        start = "tomorrow"
        colour = 1
        [application]
        id = "a b"
        ordinal = -1
        [kafka]
        bootstrap = "localhost"
        group_protocol = "raft"
        [kafka.properties]
        "group.id" = "mine"
        "bootstrap.servers" = "b:1"
        sasl.password = "x"
        [worker]
        thread = 2
        commit_interval_ms_max = "fast"
        commit_records_max = 0
        drain_ms_max = 20000
        [http]
        listen = 8080
        [log]
        filter = "aplomb=loud"
        [rules]
        bad = 1
        [[flows]]
        name = "a"
        [[flows]]
        name = "a"
        topic = "t"
        allowed_disorder_ms = 1.5
    "#;
    let expected = [
        "application.id: must be 1 to 100 letters",
        "application.ordinal: -1 is out of range: 0 to 9999",
        "colour: is not known; allowed here: application, bootstrap, configuration, flows",
        "flows[0].topic: is missing: the full name of the topic to read",
        "flows[1].allowed_disorder_ms: must be a whole number, 0 to 86400000, not a fraction",
        "flows[1].name: \"a\" stands twice",
        "http.listen: must be text in quotes, not a whole number",
        "kafka.bootstrap: \"localhost\" is not HOST:PORT",
        "kafka.group_protocol: \"raft\" is not one of \"classic\", \"consumer\"",
        "kafka.properties.bootstrap.servers: has a key of its own: set kafka.bootstrap instead",
        "kafka.properties.group.id: is the engine's: application.id names the group",
        "kafka.properties.sasl: must be text, a number or true or false; put a name with dots in",
        "log.filter: \"aplomb=loud\"",
        "rules.bad: it is not known",
        "start: \"tomorrow\" is not one of \"earliest\", \"latest\" or a time",
        "worker.commit_interval_ms_max: must be a whole number, 1 to 60000, not text",
        "worker.commit_records_max: 0 is out of range: 1 to 1000000",
        "worker.drain_ms_max: 20000 is more than kafka.transaction_timeout_ms, which is 10000",
        "worker.thread: is not known; did you mean threads?",
    ];
    let found = mistakes(text, &[]);
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n  expected {expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn the_environment_overrides_the_file() {
    let text = format!("start = \"latest\"\n[application]\nid = \"file\"\n{LEAST}");
    let variables = [
        ("APLOMB_APPLICATION__ID", "7"),
        ("APLOMB_APPLICATION__ORDINAL", "3"),
        ("APLOMB_START", "2026-05-01T00:00:00Z"),
        ("APLOMB_KAFKA__PROPERTIES__SASL_PASSWORD", "secret"),
        ("APLOMB_RULES__SETTLE_MS", "5"),
        ("APLOMB_REQUIRE_KAFKA", "1"),
        ("HOME", "/"),
    ];
    let config = parse(&text, &variables).expect("no mistake");
    assert_eq!(config.application.id, "7");
    assert_eq!(config.application.ordinal, Some(3));
    assert_eq!(config.start, Start::At(aplomb_state::ids::Timestamp(1_777_593_600_000)));
    assert_eq!(config.kafka.properties["sasl.password"], "secret");
    assert_eq!(config.rules, serde_json::json!({ "settle_ms": 5 }));
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let variables = [
        ("APLOMB_WORKER__THREADS", "many"),
        ("APLOMB_WORKER__TREADS", "2"),
        ("APLOMB_START__HERE", "x"),
        ("APLOMB_FLOWS__TOPIC", "x"),
    ];
    let text = format!("start = \"latest\"\n{LEAST}");
    let found = mistakes(&text, &variables);
    assert_eq!(
        found,
        [
            "flows.topic: APLOMB_FLOWS__TOPIC cannot set it: it is no section with single values",
            "start.here: APLOMB_START__HERE cannot set it: it is no section with single values",
            "worker.threads: (APLOMB_WORKER__THREADS) must be a whole number, 1 to 256, not \"many\"",
            "worker.treads: (APLOMB_WORKER__TREADS) is not known; did you mean threads?",
        ]
    );
}

#[test]
fn what_is_not_toml_is_one_mistake_with_its_place() {
    let found = mistakes("[worker\n", &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("line 1"), "{found:?}");
}

#[test]
fn the_hash_covers_all_but_the_revision_and_no_formatting() {
    let document = |text: &str, partitions: i32| {
        let config = parse(text, &[]).expect("no mistake");
        config.document(&BTreeMap::from([("in".into(), partitions)])).expect("counts are there")
    };
    let base = document(&format!("{LEAST}b = 1\na = 2\n"), 4);
    let reordered = format!("[configuration]\nrevision = 9\n{LEAST}\n a = 2\n # why\n b = 1\n");
    let reordered = document(&reordered, 4);
    assert_eq!((base.hash.len(), base.revision, reordered.revision), (64, 1, 9));
    assert_eq!(base.hash, reordered.hash);
    let others = [
        (format!("{LEAST}b = 1\na = 3\n"), 4),
        (format!("{LEAST}b = 1\na = 2\n"), 5),
        (format!("[time]\nhold_ms = 5000\n{LEAST}b = 1\na = 2\n"), 4),
        (format!("[rules]\nx = 1\n{LEAST}b = 1\na = 2\n"), 4),
    ];
    for (text, partitions) in others {
        assert_ne!(document(&text, partitions).hash, base.hash, "{text}");
    }
}

#[test]
fn a_document_needs_the_partition_count_of_every_input() {
    let config = parse(LEAST, &[]).expect("no mistake");
    assert_eq!(config.document(&BTreeMap::new()), Err(vec!["in".to_owned()]));
}

#[test]
fn defaults_lie_beneath_the_file() {
    let checks = Checks {
        settings: |_| Ok(Arc::new(())),
        properties: &|_| Vec::new(),
        defaults: "[bootstrap]\nentries = \"none\"\n[rules]\nx = 1\n".parse().expect("TOML"),
    };
    let text = format!("[rules]\nx = 2\n{LEAST}");
    let config = Config::parse(&text, [], &checks).expect("no mistake");
    assert_eq!(config.bootstrap, serde_json::json!({ "entries": "none" }));
    assert_eq!(config.rules, serde_json::json!({ "x": 2 }));
}

#[test]
fn the_example_parses_and_shows_every_key_with_its_default() {
    let example = parse(EXAMPLE, &[]).expect("the example has no mistake");
    let least = parse(LEAST, &[]).expect("no mistake");
    let same = Config {
        flows: least.flows.clone(),
        rules: least.rules.clone(),
        bootstrap: least.bootstrap.clone(),
        ..example
    };
    assert_eq!(same, least, "the example differs from the defaults");
    let table: toml::Table = EXAMPLE.parse().expect("TOML");
    let overrides = BTreeMap::new();
    let reader = reader::Reader::new(&table, &overrides);
    sections::read(&reader, &checks());
    let shown = shown_keys();
    for key in reader.asked() {
        let key = key.replace("[0]", "").replace("[1]", "");
        assert!(shown.contains(&key), "aplomb.example.toml does not show {key}");
    }
}

/// Keys and sections of the example, those in comments too.
fn shown_keys() -> std::collections::BTreeSet<String> {
    let mut section = String::new();
    let mut shown = std::collections::BTreeSet::new();
    for line in EXAMPLE.lines() {
        let line = line.trim_start_matches("# ").trim();
        if line.starts_with('[') && line.ends_with(']') {
            section = format!("{}.", line.trim_matches(['[', ']']));
            shown.insert(section.trim_end_matches('.').to_owned());
        } else if let Some((key, _)) = line.split_once(" = ") {
            shown.insert(format!("{section}{key}"));
        }
    }
    shown
}
