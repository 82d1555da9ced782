//! The first stage: external topics in, canonical messages out, by entity. No state.
//!
//! It reads envelopes only, with borrowed strings, and passes the external bytes on as they came.
//! What has no rule yet is passed on all the same: the resource's actor must count its sequence
//! number. Bad records end in one exception and one dead letter each.

mod envelope;
mod notification;
mod order;
mod stock;
mod tokens;

use std::{borrow::Cow, sync::Arc};

use aplomb_state::{
    codec,
    context::Context,
    ids::Timestamp,
    record::{External, Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Stage, StageDefinition},
};
use serde::Deserialize;

use crate::{
    exceptions,
    messages::{
        cases::{CaseKey, Raise},
        resources::{Notification, NotificationBody, ResourceMessage},
        skus::{BatchBroken, Cause, SkuMessage},
    },
    settings::{Flow, FlowKind, Settings},
};

use self::stock::Says;

pub const NAME: &str = "intake";

const MALFORMED_JSON: &str = "MALFORMED_JSON";
const CONTRACT_VIOLATION: &str = "CONTRACT_VIOLATION";
const ENV_MISMATCH: &str = "ENV_MISMATCH";
const CLOCK_SKEW: &str = "CLOCK_SKEW";

/// The project of a record that names none.
const NO_PROJECT: &str = "~";

/// A string that borrows where it can: `Option<Cow>` would always copy.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn trimmed(&self) -> &str {
        self.0.trim()
    }
}

pub struct Intake;

impl Stage for Intake {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: NAME,
            inbox: Inbox::External,
            stores: Vec::new(),
            outputs: vec!["dlq.v1"],
            sends: vec!["resources", "skus", "cases"],
            limits: Limits::default(),
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let settings: Arc<Settings> = ctx.settings()?;
        let flow = settings.flow(&record.trace.flow);
        let Some(external) = record.external else {
            return Err(violation("record", "no record came with its bytes"));
        };
        match flow.map(|flow| flow.kind).unwrap_or_default() {
            FlowKind::Commercetools => notification(ctx, &settings, flow, external),
            FlowKind::Stock => warehouse(ctx, &settings, flow, external),
            FlowKind::Order => system_order(ctx, &settings, flow, external),
        }
    }

    fn on_timer(&self, _: &mut Context<'_>, _: &Timer<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        exceptions::reject(ctx, subject, rejection)?;
        break_batch(ctx, subject)
    }
}

/// A batch with a refused record proves no absence.
fn break_batch(ctx: &mut Context<'_>, subject: &Subject<'_>) -> Result<(), Rejection> {
    let Ok(settings) = ctx.settings::<Settings>() else { return Ok(()) };
    let flow = settings.flow(&subject.trace.flow).filter(|flow| flow.kind == FlowKind::Stock);
    let Some(flow) = flow else { return Ok(()) };
    let Some(project) = &flow.project_key else { return Ok(()) };
    let batch_id = subject.value.and_then(envelope::batch_of);
    let (project, system) = (project.clone(), flow.system.clone());
    let key = format!("{project}:{system}").into_bytes();
    let broken = SkuMessage::BatchBroken(BatchBroken { project, system, batch_id });
    ctx.broadcast("skus", key, &codec::encode(&broken))
}

fn notification(
    ctx: &mut Context<'_>,
    settings: &Settings,
    flow: Option<&Flow>,
    external: &External<'_>,
) -> Result<(), Rejection> {
    let Some(notification) = notification::read(value_of(external)?, flow)? else {
        return Ok(());
    };
    check_project(flow, &notification.project)?;
    check_clock(ctx, settings, &notification.project, instant_of(&notification.body), external)?;
    let Notification { project, type_id, resource_id, .. } = &notification;
    let key = format!("{project}:{type_id}:{resource_id}").into_bytes();
    let secret = tokens::carries_one(&notification);
    let body = codec::encode(&ResourceMessage::Notification(notification));
    if !secret {
        return ctx.forward("resources", key, &body, external.clone());
    }
    let stripped = tokens::strip(value_of(external)?).map_err(|error| unreadable(&error))?;
    let external = External { value: Some(stripped.as_bytes()), ..external.clone() };
    ctx.forward("resources", key, &body, external)
}

fn warehouse(
    ctx: &mut Context<'_>,
    settings: &Settings,
    flow: Option<&Flow>,
    external: &External<'_>,
) -> Result<(), Rejection> {
    let Some(flow) = flow else { return Ok(()) };
    let stock = stock::read(value_of(external)?, flow, ctx.trace(), external.timestamp)?;
    check_project(Some(flow), &stock.project)?;
    check_clock(ctx, settings, &stock.project, Some(stock.as_of), external)?;
    match stock.says {
        Says::Sku(sku, message) => {
            let key = format!("{}:{sku}", stock.project).into_bytes();
            ctx.send("skus", key, &codec::encode(&message))
        }
        Says::Ended(ended) => {
            let key = format!("{}:{}", ended.project, ended.system).into_bytes();
            ctx.broadcast("skus", key, &codec::encode(&SkuMessage::BatchEnded(ended)))
        }
        Says::Nothing => Ok(()),
    }
}

fn system_order(
    ctx: &mut Context<'_>,
    settings: &Settings,
    flow: Option<&Flow>,
    external: &External<'_>,
) -> Result<(), Rejection> {
    let Some(flow) = flow else { return Ok(()) };
    let value = value_of(external)?;
    let order = order::read(value, flow, &settings.rules, ctx.trace(), external.timestamp)?;
    check_project(Some(flow), &order.project)?;
    check_clock(ctx, settings, &order.project, Some(order.as_of), external)?;
    let Some((actor, message)) = order.message else { return Ok(()) };
    let body = codec::encode(&ResourceMessage::SystemOrder(message));
    ctx.send("resources", actor.into_bytes(), &body)
}

fn value_of<'a>(external: &External<'a>) -> Result<&'a [u8], Rejection> {
    external.value.ok_or_else(|| Rejection::new(MALFORMED_JSON, "empty", "the record has no value"))
}

fn check_project(flow: Option<&Flow>, project: &str) -> Result<(), Rejection> {
    match flow.and_then(|flow| flow.project_key.as_deref()) {
        Some(expected) if project != NO_PROJECT && project != expected => Err(Rejection::new(
            ENV_MISMATCH,
            "projectKey",
            format!("a record of project {project}; the flow's contract says {expected}"),
        )),
        _ => Ok(()),
    }
}

fn instant_of(body: &NotificationBody) -> Option<Timestamp> {
    match body {
        NotificationBody::Message { created_at, .. }
        | NotificationBody::Event { created_at, .. } => Some(*created_at),
        NotificationBody::Created { modified_at, .. }
        | NotificationBody::Updated { modified_at, .. }
        | NotificationBody::Deleted { modified_at, .. } => Some(*modified_at),
    }
}

/// A clock ahead of the log poisons nothing, for time comes from the log; but someone should know.
fn check_clock(
    ctx: &mut Context<'_>,
    settings: &Settings,
    project: &str,
    instant: Option<Timestamp>,
    external: &External<'_>,
) -> Result<(), Rejection> {
    let Some(instant) = instant else { return Ok(()) };
    if instant <= external.timestamp.plus_ms(settings.rules.clock_skew_ms) {
        return Ok(());
    }
    let ahead_ms = instant.0.saturating_sub(external.timestamp.0);
    let trace = ctx.trace();
    let cause = format!("b:{}:{}:{}", trace.topic, trace.partition, trace.offset);
    let flow = trace.flow.clone();
    let raise = Raise {
        key: CaseKey {
            project: project.to_owned(),
            code: CLOCK_SKEW.to_owned(),
            entity_type: "flow".to_owned(),
            entity_id: flow.clone(),
            discriminator: String::new(),
        },
        flow,
        detail: format!("a timestamp is {ahead_ms} ms ahead of the record's own"),
        at: external.timestamp,
        cause: Cause { id: cause, ..Cause::default() },
        ..Raise::default()
    };
    exceptions::raise(ctx, &raise)
}

fn violation(rule: &'static str, detail: impl Into<String>) -> Rejection {
    Rejection::new(CONTRACT_VIOLATION, rule, detail)
}

/// Broken JSON, or JSON whose fields have another type than the contract says.
fn unreadable(error: &serde_json::Error) -> Rejection {
    if error.is_data() {
        violation("schema", error.to_string())
    } else {
        Rejection::new(MALFORMED_JSON, "json", error.to_string())
    }
}

#[cfg(test)]
mod tests;
