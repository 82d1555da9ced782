//! How every stage tells of exceptions: conditions that begin and end, and inputs it rejects.

use std::borrow::Cow;

use aplomb_state::{
    codec,
    context::Context,
    effect::Headers,
    record::{Subject, Trace},
    rejection::{self, Rejection},
};

use crate::{
    codes::{self, Code},
    messages::{
        cases::{CaseKey, CaseMessage, Clear, Raise, Sent},
        skus::Cause,
    },
    outputs::{self, digest},
};

/// The stage that keeps the cases.
pub const CASES: &str = "cases";

/// The project of a case whose project is not known.
pub const NO_PROJECT: &str = "~";

/// The code of a rejection that names none, or none of the table: something broke the contract
/// between sender and handler; the rule says what.
const UNNAMED: &str = "CONTRACT_VIOLATION";

/// A dead letter that names one of these carries only its hash: the token opens an account.
const TOKEN_MESSAGES: [&[u8]; 2] = [b"CustomerPasswordTokenCreated", b"CustomerEmailTokenCreated"];

/// A condition became true, or was caused once more.
pub fn raise(ctx: &mut Context<'_>, raise: &Raise) -> Result<(), Rejection> {
    let message = CaseMessage::Raise(Sent { sender: sender(ctx), message: raise.clone() });
    ctx.send(CASES, inbox_key(&raise.key), &codec::encode(&message))
}

/// The condition ended.
pub fn clear(ctx: &mut Context<'_>, clear: &Clear) -> Result<(), Rejection> {
    let message = CaseMessage::Clear(Sent { sender: sender(ctx), message: clear.clone() });
    ctx.send(CASES, inbox_key(&clear.key), &codec::encode(&message))
}

fn sender(ctx: &Context<'_>) -> String {
    ctx.task().to_string()
}

/// The id of the case about that, for all time; of a drift, the drift's id as well.
pub fn case_id(key: &CaseKey) -> String {
    digest(&[
        key.project.as_bytes(),
        key.code.as_bytes(),
        key.entity_type.as_bytes(),
        key.entity_id.as_bytes(),
        key.discriminator.as_bytes(),
    ])
}

/// The case's actor: `project:caseId`.
pub fn inbox_key(key: &CaseKey) -> Vec<u8> {
    format!("{}:{}", key.project, case_id(key)).into_bytes()
}

/// What `on_rejection` of every stage but `cases` does: the bytes go to the dead letters, the trace
/// to the case.
pub fn reject(
    ctx: &mut Context<'_>,
    subject: &Subject<'_>,
    rejection: &Rejection,
) -> Result<(), Rejection> {
    dead_letter(ctx, subject, rejection)?;
    let told = rejection_raise(ctx, subject, rejection);
    raise(ctx, &told)
}

/// The case of a rejection, with the rule as discriminator.
pub fn rejection_raise(ctx: &Context<'_>, subject: &Subject<'_>, rejection: &Rejection) -> Raise {
    let trace = subject.trace;
    Raise {
        key: rejection_key(subject, rejection),
        flow: trace.flow.clone(),
        severity: None,
        detail: detail_of(subject, rejection).into_owned(),
        amount_at_risk: None,
        due_at: None,
        at: ctx.at(),
        cause: Cause { id: rejection_cause(ctx, subject), ..Cause::default() },
    }
}

/// By the place of the external record; a timer that failed, by its key and deadline.
fn rejection_cause(ctx: &Context<'_>, subject: &Subject<'_>) -> String {
    let external = *ctx.task().input.topic == *subject.trace.topic;
    match subject.key {
        Some(key) if subject.value.is_none() && !external => {
            format!("t:{}:{}", String::from_utf8_lossy(key), ctx.at())
        }
        _ => position_cause(subject.trace),
    }
}

/// A code about a record has the flow as entity, so that one broken contract is one case with a
/// count. Any other is about the actor that the record had reached.
fn rejection_key(subject: &Subject<'_>, rejection: &Rejection) -> CaseKey {
    let code = code_of(rejection);
    let actor = subject.actor.filter(|_| !about_the_record(code));
    let actor = actor.and_then(|key| std::str::from_utf8(key).ok());
    let mut parts = actor.unwrap_or_default().splitn(3, ':');
    let (project, entity_type, entity_id) = match (parts.next(), parts.next(), parts.next()) {
        (Some(project), Some(entity_type), Some(id)) => (project, entity_type, id),
        (Some(project), Some(sku), None) => (project, "sku", sku),
        _ => (NO_PROJECT, "flow", subject.trace.flow.as_str()),
    };
    CaseKey {
        project: project.to_owned(),
        code: code.to_owned(),
        entity_type: entity_type.to_owned(),
        entity_id: entity_id.to_owned(),
        discriminator: rejection.rule.to_string(),
    }
}

fn about_the_record(code: &str) -> bool {
    matches!(code, "MALFORMED_JSON" | "CONTRACT_VIOLATION" | "SCHEMA_INCOMPATIBLE")
        || code.starts_with("UNKNOWN_")
}

/// Writes the subject's bytes as they came. What went wrong is in headers of Kafka Streams' names.
pub fn dead_letter(
    ctx: &mut Context<'_>,
    subject: &Subject<'_>,
    rejection: &Rejection,
) -> Result<(), Rejection> {
    let code = code_of(rejection);
    let owner = codes::of(code).map_or("", |code: &Code| code.owner);
    let trace = subject.trace;
    let mut headers = Headers::default();
    for header in subject.headers {
        headers.push(header.name.to_owned(), header.value.unwrap_or_default());
    }
    let told: [(&'static str, Cow<'_, str>); 8] = [
        ("__streams.errors.exception", Cow::Borrowed(exception_of(rejection))),
        ("__streams.errors.message", detail_of(subject, rejection)),
        ("__streams.errors.topic", Cow::Borrowed(&trace.topic)),
        ("__streams.errors.partition", Cow::Owned(trace.partition.to_string())),
        ("__streams.errors.offset", Cow::Owned(trace.offset.to_string())),
        ("code", Cow::Borrowed(code)),
        ("attempts", Cow::Borrowed("1")),
        ("owner", Cow::Borrowed(owner)),
    ];
    for (name, value) in told {
        headers.push(name, value.as_bytes());
    }
    let mut value = subject.value.map(<[u8]>::to_vec);
    if let Some(bytes) = value.as_mut().filter(|bytes| names_token(bytes)) {
        *bytes = format!("sha256-128:{}", digest(&[bytes])).into_bytes();
    }
    ctx.emit(outputs::DLQ, subject.key.unwrap_or_default().to_vec(), value, headers)
}

/// `b:topic:partition:offset`: a cause that is known by its place only.
pub fn position_cause(trace: &Trace) -> String {
    format!("b:{}:{}:{}", trace.topic, trace.partition, trace.offset)
}

fn code_of(rejection: &Rejection) -> &'static str {
    match rejection.cause {
        rejection::Cause::Code(name) => codes::of(name).map_or(UNNAMED, |code| code.name),
        _ => UNNAMED,
    }
}

fn exception_of(rejection: &Rejection) -> &'static str {
    match rejection.cause {
        rejection::Cause::Code(name) => name,
        rejection::Cause::Panic => "Panic",
        rejection::Cause::Limit => "Limit",
        rejection::Cause::Hops => "Hops",
        rejection::Cause::Fault => "Fault",
    }
}

/// A detail may quote the value, so a token's record gets none.
fn detail_of<'a>(subject: &Subject<'_>, rejection: &'a Rejection) -> Cow<'a, str> {
    if subject.value.is_some_and(names_token) {
        Cow::Borrowed(&rejection.rule)
    } else {
        Cow::Borrowed(&rejection.detail)
    }
}

fn names_token(bytes: &[u8]) -> bool {
    TOKEN_MESSAGES.iter().any(|name| bytes.windows(name.len()).any(|window| window == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_known_by_all_of_its_key() {
        let key = CaseKey {
            project: "acme".into(),
            code: "OVERSOLD".into(),
            entity_type: "sku".into(),
            entity_id: "A-1".into(),
            discriminator: "~".into(),
        };
        let others = [
            CaseKey { project: "~".into(), ..key.clone() },
            CaseKey { code: "INV_ONHAND".into(), ..key.clone() },
            CaseKey { entity_type: "order".into(), ..key.clone() },
            CaseKey { entity_id: "A-2".into(), ..key.clone() },
            CaseKey { discriminator: "c1".into(), ..key.clone() },
        ];
        assert_eq!(case_id(&key), case_id(&key.clone()));
        for other in others {
            assert_ne!(case_id(&key), case_id(&other), "{other:?}");
        }
        assert_eq!(inbox_key(&key), format!("acme:{}", case_id(&key)).into_bytes());
    }

    #[test]
    fn rejections_without_a_code_of_the_table_break_a_contract() {
        // (code of the rejection, code of the case)
        let rows = [
            ("MALFORMED_JSON", "MALFORMED_JSON"),
            ("ENV_MISMATCH", "ENV_MISMATCH"),
            ("NO_SUCH_CODE", "CONTRACT_VIOLATION"),
        ];
        for (given, expected) in rows {
            assert_eq!(code_of(&Rejection::new(given, "rule", "")), expected);
        }
    }

    #[test]
    fn a_rejection_is_about_the_flow_or_about_its_actor() {
        // (code, actor, project, entity type, entity id)
        let rows = [
            ("CONTRACT_VIOLATION", Some("acme:order:o1"), "~", "flow", "ct"),
            ("UNKNOWN_MESSAGE_TYPE", Some("acme:order:o1"), "~", "flow", "ct"),
            ("DUPLICATE_CONFLICT", Some("acme:order:o1"), "acme", "order", "o1"),
            ("INV_INVARIANT", Some("acme:A-1"), "acme", "sku", "A-1"),
            ("ENV_MISMATCH", None, "~", "flow", "ct"),
        ];
        let trace = Trace { flow: "ct".into(), ..Trace::default() };
        for (code, actor, project, entity_type, entity_id) in rows {
            let actor = actor.map(str::as_bytes);
            let subject = Subject { key: None, value: None, headers: &[], trace: &trace, actor };
            let key = rejection_key(&subject, &Rejection::new(code, "rule", ""));
            assert_eq!(key.project, project, "{code}");
            assert_eq!(
                (key.entity_type.as_str(), key.entity_id.as_str()),
                (entity_type, entity_id)
            );
            assert_eq!(key.discriminator, "rule");
        }
    }

    #[test]
    fn tokens_are_seen_wherever_they_stand() {
        assert!(names_token(br#"{"type":"CustomerPasswordTokenCreated","value":"s3cret"}"#));
        assert!(names_token(b"garbage CustomerEmailTokenCreated garbage"));
        assert!(!names_token(br#"{"type":"CustomerEmailChanged"}"#));
    }
}
