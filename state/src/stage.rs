//! The contract between a stage and the runtime.

use std::{any::Any, sync::Arc};

use crate::{
    context::Context,
    record::{Record, Subject, Timer},
    rejection::Rejection,
    store::StoreDefinition,
};

/// A handler of one inbox. Pure: no I/O, no clock, no random number; everything it reads comes
/// through the [`Context`], so that a fold of the inbox gives the same state and outputs again.
pub trait Stage: Send + Sync {
    fn define(&self) -> StageDefinition;

    /// One record. `Err` rolls back everything the record did and calls [`Stage::on_rejection`].
    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection>;

    /// One deadline, in (deadline, key) order. The timer is gone whether this succeeds or not.
    fn on_timer(&self, ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection>;

    /// Writes the one exception that a rejected input leaves. Called with all effects of the
    /// input rolled back; a failure in here parks the task.
    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection>;
}

#[derive(Clone, Debug)]
pub struct StageDefinition {
    pub name: &'static str,
    pub inbox: Inbox,
    pub stores: Vec<StoreDefinition>,
    /// Output topics it emits to, by their name without prefix.
    pub outputs: Vec<&'static str>,
    /// Stages it sends to, itself included where it does.
    pub sends: Vec<&'static str>,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbox {
    /// The external topics, as configured. Such a stage has no state and no timers.
    External,
    /// Its own internal topic.
    Internal,
}

/// What one input may cause. Checked inside the savepoint: more is a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub effects_max: usize,
    pub effects_bytes_max: usize,
    /// Of one record sent or emitted, key and value.
    pub record_bytes_max: usize,
    /// Of one stored value.
    pub value_bytes_max: usize,
    /// Of one key, stored, sent or scheduled.
    pub key_bytes_max: usize,
    /// Values stored, deletions, timers set and cancelled.
    pub writes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            effects_max: 10_000,
            effects_bytes_max: 32 << 20,
            record_bytes_max: 2 << 20,
            value_bytes_max: 1 << 20,
            key_bytes_max: 16 << 10,
            writes_max: 20_000,
        }
    }
}

/// The topology's configuration, parsed once per document.
pub type Settings = Arc<dyn Any + Send + Sync>;
