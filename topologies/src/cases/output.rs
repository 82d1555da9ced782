//! The record of `exceptions.v1`, which is the case's view as well.

use serde::Serialize;

use super::case::{Case, Status};
use crate::{
    codes::{Action, Code, Severity, Sla},
    exceptions::NO_PROJECT,
    outputs::{Money, fraction_digits},
    time::Iso,
};

/// A case: something that is or was wrong, who answers for it, and how soon.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Exception<'a> {
    /// Of this case for all time: a hash of project, code, entity and what tells two of it apart.
    case_id: &'a str,
    /// A code of the exception taxonomy.
    code: &'a str,
    /// How much it harms.
    severity: Severity,
    /// Whether it still holds.
    status: Status,
    /// How often it opened: 1, and 1 more each time it came back.
    episode: u32,
    /// What it is about.
    entity: Entity<'a>,
    /// Key of the commercetools project; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_key: Option<&'a str>,
    /// Name of the input by which the record behind it came.
    flow: &'a str,
    /// What it means for the business, in words.
    business_effect: &'a str,
    /// The role that answers for it.
    owner: &'a str,
    /// What a person may do about it.
    actions: &'a [Action],
    /// How soon someone must have looked.
    sla: Deadline,
    /// Earliest time it was seen, ISO 8601 UTC.
    first_seen: Iso,
    /// Latest time it was seen, ISO 8601 UTC.
    last_seen: Iso,
    /// How often it was caused; each cause counts once.
    count: u64,
    /// Money that may be lost; absent: none, or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_at_risk: Option<Money>,
    /// What was found, in words, with the values.
    detail: &'a str,
    /// Where the record behind the last raise stands.
    trace: Origin<'a>,
    /// Hash of the rules in force; empty before any were read.
    rule_hash: &'a str,
}

/// What a case is about.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Entity<'a> {
    /// Type of the thing: `order`, `payment`, `sku`, `flow`, `orderNumber`, …
    #[serde(rename = "type")]
    kind: &'a str,
    /// Its id; of a sku, a flow or an order number that itself.
    id: &'a str,
}

/// How soon someone must have looked.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Deadline {
    /// Class of the code.
    class: Sla,
    /// By when, ISO 8601 UTC: the class's time from when this episode began, or a code's own.
    due_at: Iso,
}

/// Where the record behind the last raise stands.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Origin<'a> {
    /// Its topic.
    topic: &'a str,
    /// Its partition.
    partition: i32,
    /// Its offset in the partition.
    offset: i64,
    /// `id` of the commercetools message; absent where no message is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    /// `typeId:id` of the commercetools resource; absent where none is behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    /// Version of the resource after the change; absent where not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// W3C trace context of the record; absent: it carried none.
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
