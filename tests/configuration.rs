//! The example configuration against the real parsers: the commerce topology's and librdkafka's.
#![cfg(feature = "commerce")]

use std::{error::Error, sync::Arc};

use aplomb::{config::Checks, config::Config, kafka};
use aplomb_topologies::settings;

const EXAMPLE: &str = include_str!("../aplomb.example.toml");

fn parse(text: &str) -> Result<Config, aplomb::config::Error> {
    let checks = Checks {
        settings: |body| settings::parse(body).map(|settings| Arc::new(settings) as _),
        properties: &kafka::check_properties,
        defaults: toml::Table::new(),
    };
    Config::parse(text, [], &checks)
}

/// The example with every key that stands in a comment.
fn uncommented() -> String {
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        let key = line.strip_prefix("# ").unwrap_or(line);
        let name = key.split(" = ").next().unwrap_or_default().trim_matches('"');
        let is_key = key.contains(" = ")
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
        let is_header = key.starts_with('[') && key.ends_with(']');
        text.push_str(if is_key || is_header { key } else { line });
        text.push('\n');
    }
    text
}

#[test]
fn the_example_as_it_stands_and_with_every_key_is_taken() -> Result<(), Box<dyn Error>> {
    parse(EXAMPLE)?;
    let all = parse(&uncommented())?;
    assert_eq!(all.application.ordinal, Some(0));
    assert_eq!(all.flows.len(), 3);
    Ok(())
}

#[test]
fn the_example_shows_every_rule_with_its_default() -> Result<(), Box<dyn Error>> {
    let all = parse(&uncommented())?;
    let mut rules = all.rules.clone();
    rules["bootstrap_entries"] = all.bootstrap["entries"].clone();
    assert_eq!(rules, serde_json::to_value(settings::Rules::default())?);
    Ok(())
}

#[test]
fn mistakes_in_rules_flows_and_properties_come_all_at_once() {
    let text = r#"
        [kafka.properties]
        "group.id" = "mine"
        "no.such.thing" = 1
        [bootstrap]
        entries = "some"
        [rules]
        gap_timeout = 1
        settle_ms = -1
        [[flows]]
        name = "a"
        topic = "t"
        project = "acme"
    "#;
    let error = parse(text).expect_err("it has mistakes");
    let keys: Vec<&str> = error.mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
    let expected = [
        "kafka.properties.group.id",
        "kafka.properties.no.such.thing",
        "flows[0]",
        "bootstrap.entries",
        "rules.gap_timeout",
        "rules.settle_ms",
    ];
    assert_eq!(keys, expected, "{error}");
    assert!(error.to_string().contains("unknown field `project`"), "{error}");
}
