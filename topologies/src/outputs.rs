//! Output records: topics, CloudEvents headers (binary mode), deterministic ids, shared shapes.
//!
//! Values are JSON in commercetools' own style: camelCase, absent left out, amounts as integer
//! minor units, times ISO 8601 UTC ([`crate::time::Iso`]).

use aplomb_state::{
    context::Context, effect::Headers, ids::Timestamp, rejection::Rejection, scratch,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{messages::skus::Cause, time};

mod topics;

pub use topics::*;

const SCHEMAS: &str = "urn:aplomb:schema:";
/// What a record's headers take, most often.
const HEADERS: usize = 9;
const HEADER_BYTES: usize = 320;

/// One record about to be written to an output topic of JSON.
#[derive(Clone, Copy, Debug)]
pub struct Emission<'a> {
    pub output: &'static str,
    pub key: &'a str,
    /// `OrderPlaced`, `OrderView`, …: what kind of fact the record states.
    pub effect: &'a str,
    /// The actor that writes: its key in its inbox.
    pub sender: &'a str,
    /// A counter of the sender. It must rise between two records that share cause, effect and
    /// key, or both get the same id.
    pub revision: u64,
    pub cause: &'a Cause,
    /// What the record is about: an order id, a sku, a case id.
    pub subject: &'a str,
    pub at: Timestamp,
}

/// An amount, as commercetools writes it.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// In minor units of the currency.
    pub cent_amount: i64,
    /// ISO 4217, such as `EUR`.
    pub currency_code: String,
    /// Digits behind the point: a unit has ten to this power minor units.
    pub fraction_digits: u8,
}

/// The `cause` of an event, for readers of outputs.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CauseShape<'a> {
    /// Of the input, by kind: `m:` message, `c:` change, `e:` event, `s:` record of a system,
    /// `t:` timer, `b:` place in a topic.
    pub id: &'a str,
    /// `id` of the commercetools message; absent where no message is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<&'a str>,
    /// `typeId:id` of the commercetools resource; absent where none is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<&'a str>,
    /// `sequenceNumber` of the message; absent where no message is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Version of the resource after the change (`resourceVersion`); absent where not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

pub fn emit<T: Serialize + ?Sized>(
    ctx: &mut Context<'_>,
    emission: &Emission<'_>,
    value: &T,
) -> Result<(), Rejection> {
    let json = rendered(emission, value)?;
    emit_rendered(ctx, emission, json)
}

/// As [`emit`], with one header more.
pub fn emit_with<T: Serialize + ?Sized>(
    ctx: &mut Context<'_>,
    emission: &Emission<'_>,
    value: &T,
    (name, told): (&'static str, &str),
) -> Result<(), Rejection> {
    let value = rendered(emission, value)?;
    let mut headers = headers(ctx, emission);
    headers.push(name, told.as_bytes());
    ctx.emit(emission.output, emission.key.as_bytes().to_vec(), Some(value), headers)
}

fn rendered<T: Serialize + ?Sized>(
    emission: &Emission<'_>,
    value: &T,
) -> Result<Vec<u8>, Rejection> {
    json(value).map_err(|error| {
        Rejection::new("CONTRACT_VIOLATION", "output-json", format!("{}: {error}", emission.output))
    })
}

/// As [`emit`], of JSON that is rendered already.
pub fn emit_rendered(
    ctx: &mut Context<'_>,
    emission: &Emission<'_>,
    json: Vec<u8>,
) -> Result<(), Rejection> {
    let headers = headers(ctx, emission);
    ctx.emit(emission.output, emission.key.as_bytes().to_vec(), Some(json), headers)
}

/// The value as JSON.
pub fn json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    scratch::written(|out| serde_json::to_writer(out, value))
}

/// Says that there is nothing under this key any more.
pub fn tombstone(ctx: &mut Context<'_>, emission: &Emission<'_>) -> Result<(), Rejection> {
    let headers = headers(ctx, emission);
    ctx.emit(emission.output, emission.key.as_bytes().to_vec(), None, headers)
}

/// Minor units per unit of a currency, as a power of ten (ISO 4217).
pub fn fraction_digits(currency: &str) -> u8 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// The same cause, sender, revision, effect and key give the same id in every replay. The effect
/// counts with its topic: one step of a drift is an event and a change of what is open.
pub fn event_id(emission: &Emission<'_>) -> String {
    id_of(emission, &kind(emission))
}

fn id_of(emission: &Emission<'_>, kind: &str) -> String {
    digest(&[
        emission.cause.id.as_bytes(),
        emission.sender.as_bytes(),
        &emission.revision.to_be_bytes(),
        kind.as_bytes(),
        emission.key.as_bytes(),
    ])
}

fn kind(emission: &Emission<'_>) -> String {
    ["aplomb", emission.output, emission.effect].join(".")
}

/// Hex of the first 16 bytes of SHA-256 over the parts. Each is preceded by its length, so that no
/// two lists of parts run into the same bytes.
pub fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    hex::encode(hash.first_chunk::<16>().map_or(&hash[..], |first| &first[..]))
}

/// The `$id` of the JSON Schema of a topic's values, in `docs/schemas`.
pub fn schema_id(output: &str) -> String {
    format!("{SCHEMAS}{output}")
}

fn headers(ctx: &Context<'_>, emission: &Emission<'_>) -> Headers {
    let kind = kind(emission);
    let mut headers = Headers::with_capacity(HEADERS, HEADER_BYTES);
    headers.push("ce_specversion", b"1.0");
    headers.push("ce_id", id_of(emission, &kind).as_bytes());
    headers.push("ce_type", kind.as_bytes());
    headers.write("ce_source", |value| {
        value.extend_from_slice(b"/aplomb/");
        value.extend_from_slice(ctx.task().stage.as_bytes());
    });
    headers.push("ce_subject", emission.subject.as_bytes());
    headers.push("ce_time", time::format(emission.at).as_bytes());
    headers.write("ce_dataschema", |value| {
        value.extend_from_slice(SCHEMAS.as_bytes());
        value.extend_from_slice(emission.output.as_bytes());
    });
    headers.push("content-type", b"application/json");
    if let Some(traceparent) = &ctx.trace().traceparent {
        headers.push("traceparent", traceparent.as_bytes());
    }
    headers
}

// === impl CauseShape ===

impl<'a> From<&'a Cause> for CauseShape<'a> {
    fn from(cause: &'a Cause) -> Self {
        Self {
            id: &cause.id,
            message_id: cause.message_id.as_deref(),
            resource: cause.resource.as_deref(),
            sequence: cause.sequence,
            version: cause.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_every_part_and_on_nothing_else() {
        let cause = Cause { id: "m:acme:1".into(), ..Cause::default() };
        let other = Cause { id: "m:acme:2".into(), ..Cause::default() };
        let base = Emission {
            output: ORDER_EVENTS,
            key: "acme:o1",
            effect: "OrderPlaced",
            sender: "acme:order:o1",
            revision: 1,
            cause: &cause,
            subject: "o1",
            at: Timestamp(0),
        };
        let id = event_id(&base);
        assert_eq!(id.len(), 32);
        let same = [Emission { at: Timestamp(9), ..base }, Emission { subject: "x", ..base }];
        assert!(same.iter().all(|emission| event_id(emission) == id));
        let different = [
            Emission { cause: &other, ..base },
            Emission { sender: "acme:order:o2", ..base },
            Emission { revision: 2, ..base },
            Emission { effect: "OrderCompleted", ..base },
            Emission { output: ORDER_VERDICTS, ..base },
            Emission { key: "acme:o2", ..base },
        ];
        assert!(different.iter().all(|emission| event_id(emission) != id));
    }

    #[test]
    fn every_topic_has_a_writer() {
        let topology = crate::topology();
        let stages = topology.definitions();
        for output in &topology.outputs {
            let written = stages.iter().any(|stage| stage.outputs.contains(&output.topic));
            assert!(written, "{}", output.topic);
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"", b"a"]), digest(&[b"a", b""]));
        assert_ne!(digest(&[b"a"]), digest(&[b"a", b""]));
    }
}
