//! Every record of an output topic is as its JSON Schema says, which it names.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use aplomb_state::{effect::Headers, tester::Emitted};
use jsonschema::Validator;
use serde_json::Value;

/// Dead letters: bytes of somebody else's, of no schema.
const AS_RECEIVED: &str = "dlq.v1";

type Validators = BTreeMap<String, (String, Validator)>;

/// By topic: the schema's id and itself.
fn validators() -> &'static Validators {
    static ALL: OnceLock<Validators> = OnceLock::new();
    ALL.get_or_init(|| {
        // Of this package, or of the one around it.
        let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let folder = folders.map(|folder| folder.join("docs/schemas")).find(|it| it.is_dir());
        let folder = folder.unwrap();
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let schemas = files.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
        let schema = |path: std::path::PathBuf| {
            let topic = path.file_name().unwrap().to_string_lossy();
            let topic = topic.trim_end_matches(".json").to_owned();
            let schema: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let id = schema["$id"].as_str().unwrap().to_owned();
            (topic, (id, jsonschema::validator_for(&schema).unwrap()))
        };
        schemas.map(schema).collect()
    })
}

pub fn check(outputs: &[Emitted], faults: &mut Vec<String>) {
    for record in outputs {
        let named = record.headers.get("ce_dataschema");
        if record.topic == AS_RECEIVED && named.is_none() {
            continue;
        }
        let Some((id, validator)) = validators().get(record.topic) else {
            faults.push(format!("{}: there is no schema", record.topic));
            continue;
        };
        if named.is_some_and(|named| named != id.as_bytes()) {
            faults.push(format!("{}: names another schema than {id}", record.topic));
        }
        let Some(value) = &record.value else { continue };
        if named.is_none() {
            faults.push(format!("{}: does not name its schema {id}", record.topic));
        }
        let value: Value = serde_json::from_slice(value).unwrap();
        if let Err(error) = validator.validate(&value) {
            let place = error.instance_path.to_string();
            faults.push(format!("{} {place}: {error} in {value}", record.topic));
        }
    }
}

#[test]
fn every_record_names_its_schema_and_is_like_it() {
    const TOPIC: &str = "identifiers.v1";
    let own = Some("urn:aplomb:schema:identifiers.v1");
    let other = Some("urn:aplomb:schema:order.view.v1");
    let fits =
        Some(r#"{"projectKey": "acme", "idType": "orderNumber", "canonical": "7", "ids": []}"#);
    let stray = Some(r#"{"projectKey": "acme"}"#);
    // (topic, schema named, value, what is wrong)
    let rows = [
        (TOPIC, own, fits, None),
        (TOPIC, None, fits, Some("does not name its schema")),
        (TOPIC, other, fits, Some("names another schema")),
        (TOPIC, own, stray, Some("required property")),
        (TOPIC, own, None, None),
        (TOPIC, None, None, None),
        (TOPIC, other, None, Some("names another schema")),
        (AS_RECEIVED, None, Some("not JSON"), None),
        ("unheard.of.v1", None, fits, Some("there is no schema")),
    ];
    for (topic, named, value, wrong) in rows {
        let mut headers = Headers::default();
        if let Some(named) = named {
            headers.push("ce_dataschema", named.as_bytes());
        }
        let value = value.map(|value| value.as_bytes().to_vec());
        let mut faults = Vec::new();
        check(&[Emitted { topic, key: Vec::new(), value, headers }], &mut faults);
        let found = match (wrong, faults.as_slice()) {
            (None, []) => true,
            (Some(wrong), [fault]) => fault.contains(wrong),
            _ => false,
        };
        assert!(found, "{topic} naming {named:?}: {faults:?}, not {wrong:?}");
    }
}
