//! The record of `exceptions.v1`, which is the case's view as well.

use serde::Serialize;

use super::case::{Case, Status};
use crate::{
    codes::{Action, Code, Severity, Sla},
    exceptions::NO_PROJECT,
    outputs::{Money, fraction_digits},
    time::Iso,
};

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Exception<'a> {
    case_id: &'a str,
    code: &'a str,
    severity: Severity,
    status: Status,
    episode: u32,
    entity: Entity<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_key: Option<&'a str>,
    flow: &'a str,
    business_effect: &'a str,
    owner: &'a str,
    actions: &'a [Action],
    sla: Deadline,
    first_seen: Iso,
    last_seen: Iso,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_at_risk: Option<Money>,
    detail: &'a str,
    trace: Origin<'a>,
    rule_hash: &'a str,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Entity<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Deadline {
    class: Sla,
    due_at: Iso,
}

/// Where the record behind the last raise stands.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Origin<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

// === impl Exception ===

impl<'a> Exception<'a> {
    pub(super) fn of(case: &'a Case, case_id: &'a str, code: &'a Code) -> Self {
        let key = &case.key;
        let trace = &case.place.trace;
        let amount = case.amount_at_risk.as_ref().map(|(cent_amount, currency)| Money {
            cent_amount: *cent_amount,
            currency_code: currency.clone(),
            fraction_digits: fraction_digits(currency),
        });
        Self {
            case_id,
            code: &key.code,
            severity: case.severity,
            status: case.status,
            episode: case.episode,
            entity: Entity { kind: &key.entity_type, id: &key.entity_id },
            project_key: Some(key.project.as_str()).filter(|project| *project != NO_PROJECT),
            flow: &case.flow,
            business_effect: code.effect,
            owner: code.owner,
            actions: code.actions,
            sla: Deadline {
                class: code.sla,
                due_at: Iso(case.due_at.unwrap_or(case.opened_at.plus_ms(code.sla.due_after_ms()))),
            },
            first_seen: Iso(case.first_seen),
            last_seen: Iso(case.last_seen),
            count: case.count,
            amount_at_risk: amount,
            detail: &case.detail,
            trace: Origin {
                topic: &trace.topic,
                partition: trace.partition,
                offset: trace.offset.0,
                message_id: case.cause.message_id.as_deref(),
                resource: case.cause.resource.as_deref(),
                version: case.cause.version,
                traceparent: trace.traceparent.as_deref(),
            },
            rule_hash: &case.place.rule_hash,
        }
    }
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![crate::schemas::of::<Exception<'_>>(crate::outputs::EXCEPTIONS)]
}
