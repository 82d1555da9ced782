//! A notification as an actor gets it: straight from intake, or out of the buffer.

use aplomb_state::{
    codec::Format,
    context::Context,
    ids::Timestamp,
    record::{External, Header, Record, Subject, Trace},
    rejection::Rejection,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::value::RawValue;

use super::sequencer::Identity;
use crate::messages::{
    resources::{Notification, NotificationBody, PayloadPlace, ResourceMessage},
    skus::Cause,
};

/// The facts of a message's envelope that every rule needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub project: String,
    pub type_id: String,
    pub resource_id: String,
    pub sequence: u64,
    pub resource_version: u64,
    pub message_type: String,
    pub message_id: String,
    pub created_at: Timestamp,
    pub payload_missing: Option<String>,
    pub identifiers: Vec<(String, String)>,
}

pub struct Delivered<'a> {
    /// The actor's key.
    pub key: &'a [u8],
    pub at: Timestamp,
    pub trace: &'a Trace,
    pub head: Head,
    payload: PayloadPlace,
    external: External<'a>,
    body: &'a [u8],
}

/// A delivered message in its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    at: Timestamp,
    trace: Trace,
    body: ByteBuf,
    key: Option<ByteBuf>,
    value: Option<ByteBuf>,
    headers: Vec<(String, Option<ByteBuf>)>,
    timestamp: Timestamp,
}

impl Format for Kept {
    const VERSION: u8 = 1;
}

/// Whether the bytes of a waiting message are needed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    Whole,
    /// Nothing will be read from them: personal data is not kept without need.
    Dropped,
}

impl Head {
    /// `None`: not a message with a sequence number.
    pub fn of(notification: Notification) -> Option<(Self, PayloadPlace)> {
        let Notification { project, type_id, resource_id, body, payload, identifiers } =
            notification;
        let NotificationBody::Message {
            id,
            sequence,
            resource_version,
            message_type,
            created_at,
            payload_missing,
        } = body
        else {
            return None;
        };
        let head = Self {
            project,
            type_id,
            resource_id,
            sequence,
            resource_version,
            message_type,
            message_id: id,
            created_at,
            payload_missing,
            identifiers,
        };
        Some((head, payload))
    }

    pub fn identity(&self) -> Identity {
        Identity::new(self.sequence, &self.message_id, &self.message_type, self.resource_version)
    }

    pub fn cause(&self) -> Cause {
        Cause {
            id: format!("m:{}:{}", self.project, self.message_id),
            message_id: Some(self.message_id.clone()),
            resource: Some(format!("{}:{}", self.type_id, self.resource_id)),
            sequence: Some(self.sequence),
            version: Some(self.resource_version),
        }
    }
}

impl<'a> Delivered<'a> {
    /// Out of a record of the inbox. `None`: not a message with a sequence number.
    pub fn of_record(record: &Record<'a>, notification: Notification) -> Option<Self> {
        let (head, payload) = Head::of(notification)?;
        Some(Self {
            key: record.key,
            at: record.at,
            trace: record.trace,
            head,
            payload,
            external: record.external.cloned().unwrap_or_default(),
            body: record.body,
        })
    }

    pub fn of_kept(
        ctx: &mut Context<'_>,
        key: &'a [u8],
        kept: &'a Kept,
    ) -> Result<Self, Rejection> {
        let head = match ctx.decode(&kept.body)? {
            ResourceMessage::Notification(notification) => Head::of(notification),
            _ => None,
        };
        let Some((head, payload)) = head else {
            let detail = "a kept message cannot be read";
            return Err(Rejection::new("CONTRACT_VIOLATION", "kept", detail));
        };
        let headers = kept.headers.iter().map(|(name, value)| Header {
            name: name.as_str(),
            value: value.as_ref().map(|value| value.as_slice()),
        });
        let external = External {
            key: kept.key.as_ref().map(|key| key.as_slice()),
            value: kept.value.as_ref().map(|value| value.as_slice()),
            headers: headers.collect(),
            timestamp: kept.timestamp,
        };
        let (at, trace, body) = (kept.at, &kept.trace, kept.body.as_slice());
        Ok(Self { key, at, trace, head, payload, external, body })
    }

    pub fn kept(&self, bytes: Bytes) -> Kept {
        let (key, value, headers) = match bytes {
            Bytes::Whole => {
                let headers = self.external.headers.iter();
                let headers = headers.map(|header| (header.name.to_owned(), buf(header.value)));
                (buf(self.external.key), buf(self.external.value), headers.collect())
            }
            Bytes::Dropped => (None, None, Vec::new()),
        };
        Kept {
            at: self.at,
            trace: self.trace.clone(),
            body: ByteBuf::from(self.body),
            key,
            value,
            headers,
            timestamp: self.external.timestamp,
        }
    }

    /// What a dead letter of this message is about.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            key: self.external.key,
            value: self.external.value,
            headers: &self.external.headers,
            trace: self.trace,
            actor: Some(self.key),
        }
    }

    /// The notification proper, as JSON.
    pub fn payload(&self) -> Result<&str, Rejection> {
        payload_in(self.external.value.unwrap_or_default(), self.payload)
    }
}

/// The notification proper out of a delivered value.
pub fn payload_in(value: &[u8], place: PayloadPlace) -> Result<&str, Rejection> {
    let text = std::str::from_utf8(value)
        .map_err(|error| Rejection::new("MALFORMED_JSON", "utf-8", error.to_string()))?;
    match place {
        PayloadPlace::Root => Ok(text),
        PayloadPlace::CloudEventData => {
            let event: CloudEvent<'_> = serde_json::from_str(text)
                .map_err(|error| Rejection::new("MALFORMED_JSON", "json", error.to_string()))?;
            Ok(event.data.get())
        }
    }
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

fn buf(bytes: Option<&[u8]>) -> Option<ByteBuf> {
    bytes.map(ByteBuf::from)
}
