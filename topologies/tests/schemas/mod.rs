//! Every record of an output topic is as its JSON Schema says, which it names.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use aplomb_state::tester::Emitted;
use jsonschema::Validator;
use serde_json::Value;

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
        let Some(named) = named else { continue };
        let Some((id, validator)) = validators().get(record.topic) else {
            faults.push(format!("{}: there is no schema", record.topic));
            continue;
        };
        if named != id.as_bytes() {
            faults.push(format!("{}: names another schema than {id}", record.topic));
        }
        let Some(value) = &record.value else { continue };
        let value: Value = serde_json::from_slice(value).unwrap();
        if let Err(error) = validator.validate(&value) {
            let place = error.instance_path.to_string();
            faults.push(format!("{} {place}: {error} in {value}", record.topic));
        }
    }
}
