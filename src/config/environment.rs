//! Overrides from the environment: `APLOMB_<SECTION>__<KEY>`, and `APLOMB_START`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::Mistake;
use crate::names::ENVIRONMENT_PREFIX;

/// By key, the variable that set it. Its value is text, whatever the key wants.
pub(super) type Overrides = BTreeMap<String, String>;

/// Between a section and its key. Variables without it, but `APLOMB_START`, are not for us.
const SEPARATOR: &str = "__";

pub(super) fn apply(
    table: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
    mistakes: &mut Vec<Mistake>,
) -> Overrides {
    let mut overrides = Overrides::new();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let Some(path) = path_of(name) else { continue };
        if set(table, &path, Value::String(value)) {
            overrides.insert(path.join("."), variable);
        } else {
            let problem = format!("{variable} cannot set it: it is no section with single values");
            mistakes.push(Mistake::new(path.join("."), problem));
        }
    }
    overrides
}

/// The keys from the outside in. Dots of librdkafka's names are underscores here.
fn path_of(name: &str) -> Option<Vec<String>> {
    let name = name.to_ascii_lowercase();
    if name == "start" {
        return Some(vec![name]);
    }
    let parts: Vec<&str> = name.split(SEPARATOR).collect();
    match parts.as_slice() {
        ["kafka", "properties", property] => {
            Some(vec!["kafka".to_owned(), "properties".to_owned(), property.replace('_', ".")])
        }
        [_] => None,
        _ => Some(parts.into_iter().map(str::to_owned).collect()),
    }
}

fn set(table: &mut Table, path: &[String], value: Value) -> bool {
    match path {
        [] => false,
        [key] => {
            table.insert(key.clone(), value);
            true
        }
        [section, rest @ ..] => {
            let entry = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            entry.as_table_mut().is_some_and(|inner| set(inner, rest, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_keys() {
        let rows: [(&str, Option<&[&str]>); 6] = [
            ("START", Some(&["start"])),
            ("APPLICATION__ID", Some(&["application", "id"])),
            ("WORKER__COMMIT_RECORDS_MAX", Some(&["worker", "commit_records_max"])),
            ("KAFKA__PROPERTIES__SASL_PASSWORD", Some(&["kafka", "properties", "sasl.password"])),
            ("RULES__SETTLE__MS", Some(&["rules", "settle", "ms"])),
            ("REQUIRE_KAFKA", None),
        ];
        for (name, path) in rows {
            let expected = path.map(|keys| keys.iter().map(ToString::to_string).collect());
            assert_eq!(path_of(name), expected, "{name}");
        }
    }
}
