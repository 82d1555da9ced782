//! The two message types whose `value` would let its reader take over an account.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Text;
use crate::messages::resources::{Notification, NotificationBody};

const TOKEN_TYPES: [&str; 2] = ["CustomerEmailTokenCreated", "CustomerPasswordTokenCreated"];

pub(super) fn carries_one(notification: &Notification) -> bool {
    match &notification.body {
        NotificationBody::Message { message_type, .. } => {
            TOKEN_TYPES.contains(&message_type.as_str())
        }
        _ => false,
    }
}

/// The same JSON without the field `value`, also inside a CloudEvents envelope.
pub(super) fn strip(bytes: &[u8]) -> Result<String, serde_json::Error> {
    let Fields(fields) = serde_json::from_slice(bytes)?;
    let mut out = String::with_capacity(bytes.len());
    let is_event = fields.iter().any(|(name, _)| name == "specversion");
    for (name, raw) in fields {
        let value = match name.as_ref() {
            "value" => continue,
            "data" if is_event => Cow::Owned(strip(raw.get().as_bytes())?),
            _ => Cow::Borrowed(raw.get()),
        };
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(&serde_json::to_string(&name)?);
        out.push(':');
        out.push_str(&value);
    }
    if out.is_empty() {
        out.push('{');
    }
    out.push('}');
    Ok(out)
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((Text(name), raw)) = map.next_entry()? {
            fields.push((name, raw));
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_goes() {
        let rows = [
            (r#"{"a":1,"value":"s","b":{"value":2}}"#, r#"{"a":1,"b":{"value":2}}"#),
            (r#"{"value":"s"}"#, "{}"),
            (
                r#"{"specversion":"1.0","data":{"id":"x","value":"s"}}"#,
                r#"{"specversion":"1.0","data":{"id":"x"}}"#,
            ),
            (r#"{"v\u0061lue":"s","data":{"value":1}}"#, r#"{"data":{"value":1}}"#),
        ];
        for (given, expected) in rows {
            assert_eq!(strip(given.as_bytes()).expect(given), expected);
        }
    }
}
