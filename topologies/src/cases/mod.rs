//! Stage `cases`: one actor per case. It opens, counts, is cleared by the facts, and opens again.
//!
//! Layout: [`case`] is the state and its transitions, [`output`] the record of `exceptions.v1`.

use aplomb_state::{
    codec,
    context::Context,
    record::{Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Stage, StageDefinition},
    store::{Expiring, KeyValue},
    topology::{Filter, Item, List, Rows, StateView, View},
};

use crate::{
    codes::{self, Code},
    exceptions,
    messages::{
        cases::{CaseMessage, Clear, Raise, Sent},
        skus::Cause,
    },
    outputs::{self, Emission},
};

pub mod case;
mod output;
#[cfg(test)]
mod tests;

use case::{Case, Cleared, Place, Step};

/// By the actor's key, `project:caseId`.
const CASES: KeyValue<[u8], Case> = KeyValue::new("cases");
/// Clears of cases that were never opened. Another task's raise may be on its way, older than the
/// clear: it must not open a case that nobody would clear.
const CLEARED: Expiring<[u8], Cleared> = Expiring::new("cleared");
const CLEARED_KEPT_MS: i64 = 3_600_000;

/// As long as `exceptions.v1` keeps its last record. Raised again in that time, it is the same case
/// with the next episode.
const RESOLVED_KEPT_MS: i64 = 365 * 86_400_000;

/// See the module.
pub struct Cases;

impl Stage for Cases {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: exceptions::CASES,
            inbox: Inbox::Internal,
            stores: vec![CASES.definition(), CLEARED.definition()],
            outputs: vec![outputs::EXCEPTIONS, outputs::DLQ],
            sends: Vec::new(),
            limits: Limits::default(),
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        match ctx.decode(record.body)? {
            CaseMessage::Raise(sent) => raised(ctx, record.key, &sent),
            CaseMessage::Clear(sent) => cleared(ctx, record.key, &sent),
        }
    }

    /// A case that stayed resolved is forgotten, as its records are.
    fn on_timer(&self, ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection> {
        let Some(case) = ctx.get(&CASES, timer.key)? else { return Ok(()) };
        let due = case.resolved_at().map(|at| at.plus_ms(RESOLVED_KEPT_MS));
        if due == Some(timer.deadline) { ctx.delete(&CASES, timer.key) } else { Ok(()) }
    }

    /// There is no further stage to tell: the record of the case is written here. Its actor may
    /// live in another partition, so it is told once, not counted.
    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        exceptions::dead_letter(ctx, subject, rejection)?;
        let raise = exceptions::rejection_raise(ctx, subject, rejection);
        let code = known(&raise.key.code)?;
        let case = Case::open(&raise, ctx.task().to_string(), place(ctx), code);
        let key = exceptions::inbox_key(&raise.key);
        write(ctx, &key, &case, code, Step::Opened, &raise.cause)
    }
}

fn raised(ctx: &mut Context<'_>, key: &[u8], sent: &Sent<Raise>) -> Result<(), Rejection> {
    let raise = &sent.message;
    let code = known(&raise.key.code)?;
    let sender = sent.sender.clone();
    let (case, step) = match ctx.get(&CASES, key)? {
        Some(mut case) => {
            let step = case.raise(raise, sender, place(ctx), code);
            (case, step)
        }
        None => {
            let over = ctx.get_expiring(&CLEARED, key)?;
            if over.is_some_and(|cleared| cleared.outranks(&sent.sender, raise.at)) {
                return Ok(());
            }
            (Case::open(raise, sender, place(ctx), code), Some(Step::Opened))
        }
    };
    let Some(step) = step else { return Ok(()) };
    write(ctx, key, &case, code, step, &raise.cause)?;
    ctx.put(&CASES, key, &case)
}

fn cleared(ctx: &mut Context<'_>, key: &[u8], sent: &Sent<Clear>) -> Result<(), Rejection> {
    let clear = &sent.message;
    let code = known(&clear.key.code)?;
    let Some(mut case) = ctx.get(&CASES, key)? else {
        let cleared = Cleared { sender: sent.sender.clone(), at: clear.at };
        let kept_until = ctx.now().plus_ms(CLEARED_KEPT_MS);
        return ctx.put_expiring(&CLEARED, key, &cleared, kept_until);
    };
    let Some(step) = case.clear(clear, sent.sender.clone(), place(ctx).rule_hash) else {
        return Ok(());
    };
    write(ctx, key, &case, code, step, &clear.cause)?;
    ctx.schedule(clear.at.plus_ms(RESOLVED_KEPT_MS), key);
    ctx.put(&CASES, key, &case)
}

fn known(code: &str) -> Result<&'static Code, Rejection> {
    codes::of(code).ok_or_else(|| {
        Rejection::new("CONTRACT_VIOLATION", "known-code", format!("{code} is not in the table"))
    })
}

/// Where the raise stands, and under which rules.
fn place(ctx: &Context<'_>) -> Place {
    let rule_hash = ctx.configuration().map(|configuration| configuration.hash.clone());
    Place { trace: ctx.trace().clone(), rule_hash: rule_hash.unwrap_or_default() }
}

fn write(
    ctx: &mut Context<'_>,
    key: &[u8],
    case: &Case,
    code: &Code,
    step: Step,
    cause: &Cause,
) -> Result<(), Rejection> {
    let case_id = exceptions::case_id(&case.key);
    let emission = Emission {
        output: outputs::EXCEPTIONS,
        key: &case_id,
        effect: step.as_str(),
        sender: &String::from_utf8_lossy(key),
        revision: case.revision,
        cause,
        subject: &case_id,
        at: ctx.at(),
    };
    let told: (&'static str, &str) = ("code", code.name);
    outputs::emit_with(ctx, &emission, &output::Exception::of(case, &case_id, code), told)
}

/// `/cases/{project}/{caseId}`
pub fn view() -> View {
    View { name: "cases", stage: exceptions::CASES, key: view_key, render }
}

fn view_key(path: &str) -> Result<Vec<u8>, String> {
    match path.split_once('/') {
        Some((project, id)) if !project.is_empty() && !id.is_empty() => {
            Ok(format!("{project}:{id}").into_bytes())
        }
        _ => Err("expected project/caseId (project ~ where none is known)".to_owned()),
    }
}

fn render(state: &dyn StateView, key: &[u8]) -> Result<Option<String>, String> {
    let Some(bytes) = state.get(CASES.name, key)? else { return Ok(None) };
    let case: Case = codec::decode(&bytes).map_err(|error| error.to_string())?;
    let code = codes::of(&case.key.code).ok_or("a code that is not in the table")?;
    let case_id = exceptions::case_id(&case.key);
    let exception = output::Exception::of(&case, &case_id, code);
    serde_json::to_string(&exception).map(Some).map_err(|error| error.to_string())
}

/// `/cases?status=&owner=&code=`, and by its id alone.
pub fn list() -> List {
    const FILTERS: &[Filter] = &[
        Filter { name: "status", values: &["open", "resolved"] },
        Filter { name: "owner", values: &[] },
        Filter { name: "code", values: &[] },
        Filter { name: "id", values: &[] },
    ];
    const ROWS: Rows = Rows { stage: exceptions::CASES, store: CASES.name, render: render_row };
    List { name: "cases", filters: FILTERS, rows: &[ROWS] }
}

fn render_row(_: &dyn StateView, _: &[u8], value: &[u8]) -> Result<Vec<Item>, String> {
    let case: Case = codec::decode(value).map_err(|error| error.to_string())?;
    let code = codes::of(&case.key.code).ok_or("a code that is not in the table")?;
    let case_id = exceptions::case_id(&case.key);
    let status = if case.resolved_at().is_some() { "resolved" } else { "open" };
    let fields = vec![status.to_owned(), code.owner.to_owned(), case.key.code.clone(), case_id];
    let case_id = fields.last().map(String::as_str).unwrap_or_default();
    let exception = output::Exception::of(&case, case_id, code);
    let json = serde_json::to_string(&exception).map_err(|error| error.to_string())?;
    Ok(vec![Item { json, fields }])
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    output::schemas()
}
