//! What `demo` and `replay` take for granted: flows, and the time that a delivery tells of itself.

use aplomb_state::ids::Timestamp;
use serde::Deserialize;

use crate::replay::Inputs;

/// Where notifications arrive unless a configuration says otherwise.
pub const NOTIFICATIONS: &str = "commercetools.notifications.v1";

/// Systems of record whose stock feeds are read without any configuration.
const STOCK_SYSTEMS: [&str; 3] = ["wms", "erp", "oms"];

/// For lines of a replay.
pub const REPLAY_INPUTS: Inputs = Inputs { default_topic: NOTIFICATIONS, own_time };

/// The configuration beneath the user's: no broker, no project refused, one inbox partition.
pub fn defaults(partitions: i32) -> toml::Table {
    let mut flows = vec![flow("commercetools", NOTIFICATIONS, "commercetools")];
    flows.extend(
        STOCK_SYSTEMS.map(|system| {
            flow(&format!("{system}-stock"), &format!("sor.{system}.stock.v1"), system)
        }),
    );
    let mut table = toml::Table::new();
    let mut section = |name: &str, entries: Vec<(&str, toml::Value)>| {
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
        table.insert(name.to_owned(), toml::Value::Table(entries.collect()));
    };
    let count = toml::Value::Integer(partitions.into());
    section("kafka", vec![("bootstrap", "embedded:0".into())]);
    section("topics", vec![("partitions", count.clone()), ("output_partitions", count)]);
    section("bootstrap", vec![("entries", "none".into())]);
    section("configuration", vec![("revision", 1.into())]);
    table.insert("flows".to_owned(), toml::Value::Array(flows));
    table
}

fn flow(name: &str, topic: &str, system: &str) -> toml::Value {
    let kind = if system == "commercetools" { "commercetools" } else { "stock" };
    let entries: [(&str, toml::Value); 6] = [
        ("name", name.into()),
        ("topic", topic.into()),
        ("system", system.into()),
        ("kind", kind.into()),
        ("owner", "integration-ops".into()),
        ("allowed_disorder_ms", 0.into()),
    ];
    let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
    toml::Value::Table(entries.collect())
}

/// When the delivery says it happened: a message's `createdAt`, a change's `modifiedAt`, an event's
/// `time`, a feed's `asOf`.
fn own_time(value: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Times<'a> {
        notification_type: Option<std::borrow::Cow<'a, str>>,
        created_at: Option<std::borrow::Cow<'a, str>>,
        modified_at: Option<std::borrow::Cow<'a, str>>,
        time: Option<std::borrow::Cow<'a, str>>,
        as_of: Option<std::borrow::Cow<'a, str>>,
    }
    let times: Times<'_> = serde_json::from_slice(value).ok()?;
    let change = times.notification_type.is_some_and(|kind| kind.starts_with("Resource"));
    let text =
        if change { times.modified_at } else { times.created_at }.or(times.time).or(times.as_of)?;
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_tell_their_time() {
        let rows: [(&str, Option<i64>); 6] = [
            (
                r#"{"notificationType":"Message","createdAt":"2026-03-02T08:00:07.274Z"}"#,
                Some(1_772_438_407_274),
            ),
            (
                r#"{"notificationType":"ResourceUpdated","modifiedAt":"1970-01-01T00:00:01Z"}"#,
                Some(1_000),
            ),
            (r#"{"specversion":"1.0","time":"1970-01-01T00:00:02.5Z"}"#, Some(2_500)),
            (r#"{"system":"wms","asOf":"1970-01-01T00:00:03Z"}"#, Some(3_000)),
            (r#"{"createdAt":"yesterday"}"#, None),
            ("{", None),
        ];
        for (text, expected) in rows {
            assert_eq!(own_time(text.as_bytes()), expected.map(Timestamp), "{text}");
        }
    }
}
