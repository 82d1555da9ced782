//! Expected against found: only the fields that are stated count.

use serde_json::Value;

/// What differs, as `path: expected, found`. `null` expects that the field is absent.
pub fn differences(expected: &Value, found: Option<&Value>, path: &str, out: &mut Vec<String>) {
    match (expected, found) {
        (Value::Null, None) => {}
        (Value::Object(expected), Some(Value::Object(found))) => {
            for (name, value) in expected {
                differences(value, found.get(name), &format!("{path}.{name}"), out);
            }
        }
        (Value::Array(expected), Some(Value::Array(items))) => {
            if expected.len() != items.len() {
                let (want, have) = (expected.len(), items.len());
                out.push(format!("{path}: expected {want} items, found {have}: {items:?}"));
                return;
            }
            for (index, (value, item)) in expected.iter().zip(items).enumerate() {
                differences(value, Some(item), &format!("{path}[{index}]"), out);
            }
        }
        (expected, Some(found)) if expected == found => {}
        (expected, Some(found)) => out.push(format!("{path}: expected {expected}, found {found}")),
        (expected, None) => out.push(format!("{path}: expected {expected}, found nothing")),
    }
}

pub fn matches(expected: &Value, found: &Value) -> bool {
    let mut out = Vec::new();
    differences(expected, Some(found), "", &mut out);
    out.is_empty()
}
