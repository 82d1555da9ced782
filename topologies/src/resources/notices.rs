//! What any resource's actor tells the outside: cases and refetch requests.

use aplomb_state::{context::Context, ids::Timestamp, rejection::Rejection};
use serde::Serialize;

use super::delivered::Delivered;
use crate::{
    exceptions,
    messages::{
        cases::{CaseKey, Clear, Raise},
        skus::Cause,
    },
    outputs::{self, CauseShape, Emission},
    time::Iso,
};

/// The parts of an actor's key, `project:type:id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    pub project: &'a str,
    pub type_id: &'a str,
    pub id: &'a str,
}

/// Whose records these are, and why.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub who: Who<'a>,
    pub cause: &'a Cause,
    /// When commercetools generated what caused it.
    pub at: Timestamp,
}

impl<'a> Subject<'a> {
    pub fn of(message: &Delivered<'a>, cause: &'a Cause) -> Result<Self, Rejection> {
        Ok(Self { who: Who::of(message.key)?, cause, at: message.head.created_at })
    }
}

impl<'a> Who<'a> {
    pub fn of(key: &'a [u8]) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(key).unwrap_or_default();
        let mut parts = text.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(project), Some(type_id), Some(id)) => Ok(Self { project, type_id, id }),
            _ => Err(Rejection::new("CONTRACT_VIOLATION", "key", format!("{text} is no actor"))),
        }
    }

    pub fn actor(&self) -> String {
        format!("{}:{}:{}", self.project, self.type_id, self.id)
    }

    pub fn case(&self, code: &str, discriminator: &str) -> CaseKey {
        CaseKey {
            project: self.project.to_owned(),
            code: code.to_owned(),
            entity_type: self.type_id.to_owned(),
            entity_id: self.id.to_owned(),
            discriminator: discriminator.to_owned(),
        }
    }

    /// For codes that are about a flow: one case with a count.
    pub fn flow_case(&self, code: &str, flow: &str, discriminator: &str) -> CaseKey {
        CaseKey {
            entity_type: "flow".to_owned(),
            entity_id: flow.to_owned(),
            ..self.case(code, discriminator)
        }
    }
}

pub fn raise(
    ctx: &mut Context<'_>,
    key: CaseKey,
    detail: impl Into<String>,
    at: Timestamp,
    cause: &Cause,
) -> Result<(), Rejection> {
    let flow = ctx.trace().flow.clone();
    let cause = cause.clone();
    let raise = Raise { key, flow, detail: detail.into(), at, cause, ..Raise::default() };
    exceptions::raise(ctx, &raise)
}

pub fn clear(
    ctx: &mut Context<'_>,
    key: CaseKey,
    at: Timestamp,
    cause: &Cause,
) -> Result<(), Rejection> {
    exceptions::clear(ctx, &Clear { key, at, cause: cause.clone() })
}

/// Why a resource has to be fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    HistoryMissing,
    SequenceGap,
    PayloadMissing,
    ViewDiverged,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::HistoryMissing => "HISTORY_MISSING",
            Self::SequenceGap => "SEQUENCE_GAP",
            Self::PayloadMissing => "PAYLOAD_MISSING",
            Self::ViewDiverged => "ORDER_VIEW_DIVERGED",
        }
    }
}

/// A request to fetch a commercetools resource, because what is known of it is not whole.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Refetch<'a> {
    /// Key of the commercetools project.
    project_key: &'a str,
    /// What to fetch.
    resource: Resource<'a>,
    /// `HISTORY_MISSING`, `SEQUENCE_GAP`, `PAYLOAD_MISSING` or `ORDER_VIEW_DIVERGED`.
    reason: &'static str,
    /// At least this version is wanted; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted_version: Option<u64>,
    /// What brought it about.
    cause: CauseShape<'a>,
    /// When the need arose, ISO 8601 UTC.
    at: Iso,
}

/// A commercetools resource.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    /// `typeId`, such as `order`.
    type_id: &'a str,
    /// Its id.
    id: &'a str,
}

pub fn refetch(
    ctx: &mut Context<'_>,
    who: Who<'_>,
    reason: Reason,
    at: Timestamp,
    cause: &Cause,
) -> Result<(), Rejection> {
    let actor = who.actor();
    let emission = Emission {
        output: outputs::REFETCH_REQUESTS,
        key: &actor,
        effect: "RefetchRequested",
        sender: &actor,
        // Each reason is given at most once for a cause.
        revision: reason as u64,
        cause,
        subject: who.id,
        at,
    };
    let request = Refetch {
        project_key: who.project,
        resource: Resource { type_id: who.type_id, id: who.id },
        reason: reason.name(),
        wanted_version: cause.version,
        cause: CauseShape::from(cause),
        at: Iso(at),
    };
    outputs::emit(ctx, &emission, &request)
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![crate::schemas::of::<Refetch<'_>>(outputs::REFETCH_REQUESTS)]
}
