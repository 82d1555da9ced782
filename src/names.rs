//! Every topic suffix, header name and id prefix, in one place.

use std::sync::Arc;

/// On every record Aplomb writes: `stage/topic/partition/offset/n`, the input that caused it and
/// its place among the effects of that input. `aplomb verify` compares by it.
pub const CAUSE_HEADER: &str = "aplomb_cause";

/// The W3C trace context of an external record.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// The inbox of a stage.
pub fn inbox(application_id: &str, stage: &str) -> Arc<str> {
    format!("{application_id}.inbox.{stage}").into()
}

/// The changelog of a stage.
pub fn changelog(application_id: &str, stage: &str) -> Arc<str> {
    format!("{application_id}.{stage}.changelog").into()
}

/// An output topic.
pub fn output(prefix: &str, topic: &str) -> Arc<str> {
    format!("{prefix}{topic}").into()
}
