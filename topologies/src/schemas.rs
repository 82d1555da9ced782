//! JSON Schemas of the output topics, generated from the types that are written.

use std::{collections::BTreeMap, fs, path::PathBuf};

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value};

use crate::{cases, drifts, outputs, resources, skus};

/// Rewrites the files instead of comparing them.
const REWRITE: &str = "UPDATE_SCHEMAS";

#[derive(Clone)]
pub struct Topic {
    name: &'static str,
    schema: Value,
}

/// The schema of a topic's values. What is left out when absent is never null, and there is
/// nothing beyond what is listed.
pub fn of<T: JsonSchema>(name: &'static str) -> Topic {
    let settings =
        SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(strict));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), outputs::schema_id(name).into());
    schema.insert("title".to_owned(), name.into());
    Topic { name, schema: schema.to_value() }
}

fn strict(schema: &mut Schema) {
    let Some(fields) = schema.as_object_mut() else { return };
    // Where a comment breaks its lines means nothing.
    if let Some(Value::String(text)) = fields.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if let Some(Value::Array(kinds)) = fields.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(any)) = fields.get_mut("anyOf") {
        any.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(only)] = any.as_slice() {
            let only: Map<String, Value> = only.clone();
            fields.remove("anyOf");
            fields.extend(only);
        }
    }
    if fields.contains_key("properties") {
        fields.insert("additionalProperties".to_owned(), false.into());
    }
    // Rust's names for the widths of integers are nobody else's.
    if fields.get("type").is_some_and(|kind| kind == "integer") {
        fields.remove("format");
    }
}

fn all() -> BTreeMap<&'static str, Value> {
    let topics =
        [resources::schemas(), skus::records::schemas(), drifts::schemas(), cases::schemas()];
    topics.concat().into_iter().map(|topic| (topic.name, topic.schema)).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas")
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it compares files with what they are made from")]
fn the_files_say_what_the_types_say() {
    let rewrite = std::env::var_os(REWRITE).is_some();
    let generated = all();
    for (name, schema) in &generated {
        let path = folder().join(format!("{name}.json"));
        let text = format!("{schema:#}\n");
        if rewrite {
            fs::create_dir_all(folder()).expect("the folder");
            fs::write(&path, &text).expect("the file");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} is not what the types say: run `{REWRITE}=1 cargo test --release -p \
             aplomb-topologies --lib schemas`",
            path.display()
        );
    }
    let files = fs::read_dir(folder()).expect("the folder");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    for name in names.filter(|name| name.ends_with(".json")) {
        let topic = name.trim_end_matches(".json");
        assert!(generated.contains_key(topic), "docs/schemas/{name} is of no topic");
    }
}

#[test]
fn every_topic_of_json_has_a_schema() {
    let generated = all();
    for output in outputs::definitions() {
        let is_json = output.codec == aplomb_state::topology::Codec::Json;
        assert_eq!(generated.contains_key(output.topic), is_json, "{}", output.topic);
    }
}

#[test]
fn everything_is_described() {
    let mut silent = Vec::new();
    for (name, schema) in &all() {
        silent.extend((!is_described(schema)).then(|| name.to_string()));
        note_silent(name, schema, &mut silent);
    }
    assert!(silent.is_empty(), "without a description: {silent:#?}");
}

#[test]
fn what_is_not_described_is_found() {
    let schema = serde_json::json!({
        "description": "whole",
        "properties": {
            "told": {"description": "said", "properties": {"within": {"type": "string"}}},
            "blank": {"description": " "},
            "properties": {"type": "string"},
        },
        "$defs": {"Kind": {"description": "said", "oneOf": [{"const": "a"}]}, "Bare": {}},
    });
    let mut silent = Vec::new();
    note_silent("it", &schema, &mut silent);
    silent.sort();
    let expected = [
        "it/$defs/Bare",
        "it/$defs/Kind/oneOf/0",
        "it/properties/blank",
        "it/properties/properties",
        "it/properties/told/properties/within",
    ];
    assert_eq!(silent, expected);
}

/// Properties, definitions and values of enums, at any depth.
fn note_silent(place: &str, schema: &Value, silent: &mut Vec<String>) {
    for list in ["properties", "$defs"] {
        for (name, part) in schema.get(list).and_then(Value::as_object).into_iter().flatten() {
            note_part(format!("{place}/{list}/{name}"), part, silent);
        }
    }
    for list in ["oneOf", "anyOf"] {
        let parts = schema.get(list).and_then(Value::as_array).into_iter().flatten();
        for (index, part) in parts.enumerate() {
            note_part(format!("{place}/{list}/{index}"), part, silent);
        }
    }
    if let Some(items) = schema.get("items") {
        note_silent(&format!("{place}/items"), items, silent);
    }
}

fn note_part(place: String, part: &Value, silent: &mut Vec<String>) {
    note_silent(&place, part, silent);
    if !is_described(part) {
        silent.push(place);
    }
}

fn is_described(schema: &Value) -> bool {
    let text = schema.get("description").and_then(Value::as_str);
    text.is_some_and(|text| !text.trim().is_empty())
}
