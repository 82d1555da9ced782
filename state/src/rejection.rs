//! Why an input had no effect. A bad record is data: it ends in one exception, in the same
//! transaction, with everything else it had done rolled back.

use std::borrow::Cow;

/// What a handler answers instead of effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub cause: Cause,
    /// The rule that was broken: part of the identity of the case.
    pub rule: Cow<'static, str>,
    /// For people: what was wrong, with the values.
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A rule of the topology, by its code.
    Code(&'static str),
    /// The handler panicked.
    Panic,
    /// A size or count over the topology's limits.
    Limit,
    /// The message had gone through too many actors.
    Hops,
    /// The context met a fault that no record is to blame for. The worker looks at the fault, not
    /// at this; see [`crate::context::Context`].
    Fault,
}

impl Rejection {
    pub fn new(
        code: &'static str,
        rule: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self { cause: Cause::Code(code), rule: rule.into(), detail: detail.into() }
    }

    pub(crate) fn of(cause: Cause, rule: &'static str, detail: impl Into<String>) -> Self {
        Self { cause, rule: Cow::Borrowed(rule), detail: detail.into() }
    }

    /// For an effect beyond a limit.
    pub(crate) fn limit(rule: &'static str, found: usize, allowed: usize) -> Self {
        Self::of(Cause::Limit, rule, format!("{found} is over the limit of {allowed}"))
    }
}
