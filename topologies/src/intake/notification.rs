//! commercetools notifications in every form they are delivered in, down to their envelope.

use std::fmt;

use aplomb_state::rejection::Rejection;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{NO_PROJECT, Text, unreadable, violation};
use crate::{
    messages::resources::{Notification, NotificationBody, PayloadPlace},
    settings::Flow,
    time,
};

const UNKNOWN_NOTIFICATION_TYPE: &str = "UNKNOWN_NOTIFICATION_TYPE";

/// Reads one notification. `None`: the test notification of a new subscription.
pub(super) fn read(bytes: &[u8], flow: Option<&Flow>) -> Result<Option<Notification>, Rejection> {
    let mut head: Head<'_> = serde_json::from_slice(bytes).map_err(|error| unreadable(&error))?;
    let mut place = PayloadPlace::Root;
    if let Some(version) = head.spec_version.take() {
        if !version.trimmed().starts_with("1.") {
            return Err(violation("specversion", format!("CloudEvents {}", version.0)));
        }
        let Some(data) = head.data else {
            return Err(violation("data", "a CloudEvents event without data"));
        };
        head = serde_json::from_str(data.get()).map_err(|error| unreadable(&error))?;
        place = PayloadPlace::CloudEventData;
    }
    head.notification(place, flow)
}

#[derive(Debug, Deserialize)]
struct Reference<'a> {
    #[serde(rename = "typeId", borrow)]
    type_id: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct NotIncluded<'a> {
    #[serde(default, borrow)]
    reason: Option<Text<'a>>,
    #[serde(rename = "payloadType", borrow)]
    payload_type: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct EventData<'a> {
    #[serde(rename = "projectKey", default, borrow)]
    project_key: Option<Text<'a>>,
}

/// The fields of all envelopes together; bodies are flat beside them and skipped.
#[derive(Default)]
struct Head<'a> {
    spec_version: Option<Text<'a>>,
    data: Option<&'a RawValue>,
    notification_type: Option<Text<'a>>,
    project_key: Option<Text<'a>>,
    id: Option<Text<'a>>,
    message_type: Option<Text<'a>>,
    sequence: Option<u64>,
    resource: Option<Reference<'a>>,
    resource_version: Option<u64>,
    resource_type: Option<Text<'a>>,
    identifiers: Option<&'a RawValue>,
    not_included: Option<NotIncluded<'a>>,
    created_at: Option<Text<'a>>,
    modified_at: Option<Text<'a>>,
    version: Option<u64>,
    old_version: Option<u64>,
    data_erasure: Option<bool>,
}

impl<'de> Deserialize<'de> for Head<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadVisitor)
    }
}

struct HeadVisitor;

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = Head<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a notification")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
        let mut head = Head::default();
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            match name.as_ref() {
                "specversion" => head.spec_version = map.next_value()?,
                "data" => head.data = Some(map.next_value()?),
                "notificationType" => head.notification_type = map.next_value()?,
                "projectKey" => head.project_key = map.next_value()?,
                // NOTE: the body of VariantCreated has an `id` too, behind the message's own.
                "id" if head.id.is_none() => head.id = map.next_value()?,
                "type" => head.message_type = map.next_value()?,
                "sequenceNumber" => head.sequence = map.next_value()?,
                "resource" => head.resource = map.next_value()?,
                "resourceVersion" => head.resource_version = map.next_value()?,
                "resourceType" => head.resource_type = map.next_value()?,
                "resourceUserProvidedIdentifiers" => head.identifiers = Some(map.next_value()?),
                "payloadNotIncluded" => head.not_included = map.next_value()?,
                "createdAt" => head.created_at = map.next_value()?,
                "modifiedAt" => head.modified_at = map.next_value()?,
                "version" => head.version = map.next_value()?,
                "oldVersion" => head.old_version = map.next_value()?,
                "dataErasure" => head.data_erasure = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(head)
    }
}

impl Head<'_> {
    fn notification(
        &self,
        payload: PayloadPlace,
        flow: Option<&Flow>,
    ) -> Result<Option<Notification>, Rejection> {
        let kind = text(self.notification_type.as_ref(), "notificationType")?;
        let body = match kind {
            "Message" => self.message()?,
            "ResourceCreated" => NotificationBody::Created {
                version: number(self.version, "version")?,
                modified_at: instant(self.modified_at.as_ref(), "modifiedAt")?,
            },
            "ResourceUpdated" => NotificationBody::Updated {
                version: number(self.version, "version")?,
                old_version: number(self.old_version, "oldVersion")?,
                modified_at: instant(self.modified_at.as_ref(), "modifiedAt")?,
            },
            "ResourceDeleted" => NotificationBody::Deleted {
                version: number(self.version, "version")?,
                modified_at: instant(self.modified_at.as_ref(), "modifiedAt")?,
                data_erasure: self.data_erasure.unwrap_or(false),
            },
            "Event" => return self.event(payload, flow).map(Some),
            other => {
                let detail = format!("notificationType {other}");
                return Err(Rejection::new(UNKNOWN_NOTIFICATION_TYPE, other.to_owned(), detail));
            }
        };
        let Some(resource) = &self.resource else {
            return Err(violation("resource", "a notification without its resource"));
        };
        let type_id = name(&resource.type_id, "resource.typeId")?;
        if type_id == "subscription" {
            return Ok(None);
        }
        let Some(project) = &self.project_key else {
            return Err(violation("projectKey", "a notification without its project"));
        };
        Ok(Some(Notification {
            project: name(project, "projectKey")?.to_owned(),
            type_id: type_id.to_owned(),
            resource_id: text(Some(&resource.id), "resource.id")?.to_owned(),
            body,
            payload,
            identifiers: identifiers(self.identifiers)?,
        }))
    }

    fn message(&self) -> Result<NotificationBody, Rejection> {
        // Where the payload was left out, so was the type; it stands beside the reason instead.
        let not_included = self.not_included.as_ref();
        let message_type =
            self.message_type.as_ref().or(not_included.map(|missing| &missing.payload_type));
        let sequence = number(self.sequence, "sequenceNumber")?;
        if sequence == 0 {
            return Err(violation("sequenceNumber", "sequence numbers begin at 1"));
        }
        Ok(NotificationBody::Message {
            id: text(self.id.as_ref(), "id")?.to_owned(),
            sequence,
            resource_version: number(self.resource_version, "resourceVersion")?,
            message_type: text(message_type, "type")?.to_owned(),
            created_at: instant(self.created_at.as_ref(), "createdAt")?,
            payload_missing: not_included.map(|missing| {
                missing.reason.as_ref().map_or("no reason given", Text::trimmed).to_owned()
            }),
        })
    }

    /// Events belong to no resource: each is an actor of its own, which drops its duplicates.
    fn event(&self, payload: PayloadPlace, flow: Option<&Flow>) -> Result<Notification, Rejection> {
        let data = match self.data {
            Some(data) => serde_json::from_str::<EventData<'_>>(data.get()),
            None => Ok(EventData { project_key: None }),
        };
        let data = data.map_err(|error| unreadable(&error))?;
        let project = match (&data.project_key, &self.project_key) {
            (Some(project), _) | (None, Some(project)) => name(project, "projectKey")?,
            (None, None) => flow.and_then(|flow| flow.project_key.as_deref()).unwrap_or(NO_PROJECT),
        };
        let id = text(self.id.as_ref(), "id")?.to_owned();
        let Some(resource_type) = &self.resource_type else {
            return Err(violation("resourceType", "an event without its resource type"));
        };
        Ok(Notification {
            project: project.to_owned(),
            type_id: name(resource_type, "resourceType")?.to_owned(),
            resource_id: id.clone(),
            body: NotificationBody::Event {
                id,
                event_type: text(self.message_type.as_ref(), "type")?.to_owned(),
                created_at: instant(self.created_at.as_ref(), "createdAt")?,
            },
            payload,
            identifiers: Vec::new(),
        })
    }
}

fn text<'a>(field: Option<&'a Text<'_>>, rule: &'static str) -> Result<&'a str, Rejection> {
    let value = field.map(Text::trimmed).unwrap_or_default();
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err(violation(rule, format!("{rule} is missing or not a name")));
    }
    Ok(value)
}

/// A part of a key: the separator cannot be in it.
fn name<'a>(field: &'a Text<'_>, rule: &'static str) -> Result<&'a str, Rejection> {
    let value = text(Some(field), rule)?;
    if value.contains(':') {
        return Err(violation(rule, format!("{rule} {value} contains a colon")));
    }
    Ok(value)
}

fn number(field: Option<u64>, rule: &'static str) -> Result<u64, Rejection> {
    field.ok_or_else(|| violation(rule, format!("{rule} is missing")))
}

fn instant(
    field: Option<&Text<'_>>,
    rule: &'static str,
) -> Result<aplomb_state::ids::Timestamp, Rejection> {
    let value = text(field, rule)?;
    time::parse(value).ok_or_else(|| violation(rule, format!("{rule} {value} is no instant")))
}

/// Plain identifiers as they are; localised ones (slugs) one by one, by `kind.locale`.
fn identifiers(raw: Option<&RawValue>) -> Result<Vec<(String, String)>, Rejection> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let found: Option<Identifiers> =
        serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))?;
    let mut pairs = found.map(|found| found.0).unwrap_or_default();
    pairs.sort_unstable();
    Ok(pairs)
}

struct Identifiers(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Identifiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(IdentifiersVisitor)
    }
}

struct IdentifiersVisitor;

impl<'de> Visitor<'de> for IdentifiersVisitor {
    type Value = Identifiers;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("user-provided identifiers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Identifiers, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Text(kind), raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            if let Ok(Text(value)) = serde_json::from_str(raw.get()) {
                pairs.push((kind.into_owned(), value.trim().to_owned()));
            } else if let Ok(Identifiers(inner)) = serde_json::from_str(raw.get()) {
                let inner = inner.into_iter();
                pairs.extend(inner.map(|(locale, value)| (format!("{kind}.{locale}"), value)));
            }
        }
        Ok(Identifiers(pairs))
    }
}
