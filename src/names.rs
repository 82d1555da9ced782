//! Every name the runtime gives: topics, headers, ids, directories. Other names are the topology's.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// On every record Aplomb writes: `stage/topic/partition/offset/n`, the input that caused it and
/// its place among the effects of that input. `aplomb verify` compares by it.
pub const CAUSE_HEADER: &str = "aplomb_cause";

/// On some ticks: how far an external partition was handled, as [`crate::position::Note`] has it.
pub const NOTE_HEADER: &str = "aplomb_note";

/// The W3C trace context of an external record.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// In the state folder: whose it is. Held locked while the process runs.
pub const LOCK_FILE: &str = "lock";
/// In the state folder: the transactional ids that may have left a transaction open.
pub const TRANSACTIONAL_IDS_FILE: &str = "transactional-ids";
/// In the state folder: the database of all tasks.
pub const DATABASE_DIR: &str = "database";
/// In the state folder: what tasks' states were at earlier offsets.
pub const CHECKPOINTS_DIR: &str = "checkpoints";
pub const CHECKPOINT_SUFFIX: &str = ".checkpoint";
/// Behind the folder of a database that did not open and was moved aside.
pub const ASIDE_SUFFIX: &str = ".aside";

/// Before the name of every environment variable that overrides a key of the configuration.
pub const ENVIRONMENT_PREFIX: &str = "APLOMB_";

/// The internal topic that a stage consumes.
pub fn inbox(application_id: &str, stage: &str) -> Arc<str> {
    format!("{application_id}.inbox.{stage}").into()
}

/// The internal topic that a stage's state is kept in.
pub fn changelog(application_id: &str, stage: &str) -> Arc<str> {
    format!("{application_id}.{stage}.changelog").into()
}

/// The full name of an output topic.
pub fn output(prefix: &str, topic: &str) -> Arc<str> {
    format!("{prefix}{topic}").into()
}

/// Of a worker with a stable identity: a successor settles the transaction of its predecessor.
pub fn transactional_id(application_id: &str, ordinal: u32, worker: usize) -> String {
    format!("{application_id}-{ordinal}-{worker}")
}

/// Of a worker without one. `random` differs for every start.
pub fn random_transactional_id(application_id: &str, random: u64, worker: usize) -> String {
    format!("{application_id}-r{random:016x}-{worker}")
}

/// Of the commands that write offsets. One at a time: each fences the one before it.
pub fn operator_id(application_id: &str) -> String {
    format!("{application_id}-operator")
}

/// Whose offsets say how far dead letters were sent again: of one code, or of all.
pub fn replay_group(application_id: &str, code: Option<&str>) -> String {
    match code {
        Some(code) => format!("{application_id}-dlq-replay-{code}"),
        None => format!("{application_id}-dlq-replay"),
    }
}

/// Of the command that sends dead letters again. One at a time, as above.
pub fn replay_id(application_id: &str) -> String {
    format!("{application_id}-dlq-replay")
}

/// `group.instance.id` of a worker with a stable identity.
pub fn instance_id(application_id: &str, ordinal: u32, worker: usize) -> String {
    format!("{application_id}-{ordinal}-{worker}")
}

pub fn lock_file(state_dir: &Path) -> PathBuf {
    state_dir.join(LOCK_FILE)
}

pub fn transactional_ids_file(state_dir: &Path) -> PathBuf {
    state_dir.join(TRANSACTIONAL_IDS_FILE)
}

pub fn database_dir(state_dir: &Path) -> PathBuf {
    state_dir.join(DATABASE_DIR)
}

pub fn checkpoints_dir(state_dir: &Path) -> PathBuf {
    state_dir.join(CHECKPOINTS_DIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_is_stored_in_kafka_and_must_not_change() {
        assert_eq!(&*inbox("aplomb", "skus"), "aplomb.inbox.skus");
        assert_eq!(&*changelog("aplomb", "skus"), "aplomb.skus.changelog");
        assert_eq!(&*output("aplomb.", "order.view.v1"), "aplomb.order.view.v1");
        assert_eq!(transactional_id("aplomb", 2, 0), "aplomb-2-0");
        assert_eq!(instance_id("aplomb", 2, 0), "aplomb-2-0");
        assert_eq!(random_transactional_id("a", 255, 1), "a-r00000000000000ff-1");
    }
}
