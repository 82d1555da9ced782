//! What an operator does to an application that does not run: its offsets shown and restored, and
//! a new generation begun.
//!
//! Invariants:
//! - `OPERATOR-ALONE` nothing is written unless the broker finds, within the transaction that
//!   writes it, that the group has no member.
//! - `OPERATOR-KNOWS` what the log does not say for certain is refused, never guessed.

mod evidence;
mod offsets;
mod reset;
mod restore;

use std::{sync::Arc, time::Duration};

use aplomb_state::ids::{NextOffset, TopicPartition};

pub use self::{
    offsets::{Entry, OffsetsFile, show},
    reset::{Inputs, Reset, Step, parse_start},
    restore::{Change, Restoration, plan_restore, restore},
};
use crate::{
    application::Application,
    log::{self, Class, Log, Producer, ToSend},
    names, scan,
};

/// A predecessor's transaction is settled within so long.
const SETTLE_WAIT: Duration = Duration::from_secs(30);
/// One step of a transaction, or its end.
const STEP_WAIT: Duration = Duration::from_secs(8);

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("kafka: {0}")]
    Log(#[from] log::Error),
    /// Something has to be done or decided first.
    #[error("{0}")]
    Refused(String),
    /// The log does not say it, or no longer.
    #[error("{0}")]
    CannotKnow(String),
}

impl From<scan::Error> for Error {
    fn from(error: scan::Error) -> Self {
        match error {
            scan::Error::Log(error) => Self::Log(error),
            other => Self::CannotKnow(other.to_string()),
        }
    }
}

/// Writes in the name of an application's group while nobody else does.
pub struct Operator<'a, L: Log> {
    log: &'a L,
    application: &'a Application,
    producer: L::Producer,
    group: L::Group,
}

/// A changelog record to be written.
struct ChangelogRecord {
    partition: TopicPartition,
    key: &'static [u8],
    value: Vec<u8>,
}

type Offset = (TopicPartition, NextOffset, String);

impl<'a, L: Log> Operator<'a, L> {
    /// Fences another operator, and settles what one left behind.
    pub fn open(log: &'a L, application: &'a Application) -> Result<Self, Error> {
        let mut producer = log.producer(&names::operator_id(&application.id))?;
        producer.init_transactions(SETTLE_WAIT)?;
        let group = log.outsider(&application.id)?;
        Ok(Self { log, application, producer, group })
    }

    /// Asks the broker whether it would take offsets, and takes them back. A probe and no promise:
    /// [`Operator::write`] is checked again.
    pub fn check_alone(&mut self) -> Result<(), Error> {
        let all = self.application.inbox_partitions();
        let Some(probe) = all.first().cloned() else { return Ok(()) };
        self.producer.begin()?;
        let offsets = [(probe, NextOffset(0), String::new())];
        let sent = self.producer.send_offsets(&offsets, &self.group, STEP_WAIT);
        self.producer.abort(STEP_WAIT)?;
        sent.map_err(|error| self.explain(error))
    }

    /// All of it, or nothing.
    fn write(&mut self, records: &[ChangelogRecord], offsets: &[Offset]) -> Result<(), Error> {
        self.producer.begin()?;
        if let Err(error) = self.try_write(records, offsets) {
            if !error.in_doubt
                && let Err(abort) = self.producer.abort(STEP_WAIT)
            {
                tracing::warn!(error = %abort, "the transaction will be aborted by its time-out");
            }
            return Err(self.explain(error));
        }
        Ok(())
    }

    fn try_write(
        &mut self,
        records: &[ChangelogRecord],
        offsets: &[Offset],
    ) -> Result<(), log::Error> {
        let producer = &mut self.producer;
        producer.send_offsets(offsets, &self.group, STEP_WAIT)?;
        for record in records {
            let to_send = ToSend {
                topic: &record.partition.topic,
                partition: record.partition.partition,
                timestamp: None,
                key: Some(record.key),
                value: Some(&record.value),
                headers: &[],
                receipt: 0,
            };
            while !producer.send(&to_send)? {
                producer.drain(STEP_WAIT)?;
            }
        }
        producer.drain(STEP_WAIT)?;
        producer.commit(STEP_WAIT)
    }

    fn explain(&self, error: log::Error) -> Error {
        if error.in_doubt {
            return Error::Refused(format!(
                "{error}: whether it was written is not known; run this again"
            ));
        }
        if error.class != Class::Abort {
            return Error::Log(error);
        }
        let group = &self.application.id;
        Error::Refused(format!(
            "the group {group} has members ({error}). Stop every process of the application, then \
             run this again; a static member that was stopped and not drained keeps its place \
             until kafka.session_timeout_ms is over"
        ))
    }
}

/// The changelog partition of an inbox partition.
fn changelog_of(application: &Application, inbox: &TopicPartition) -> Option<TopicPartition> {
    let stage = application.stages.iter().find(|s| s.inbox.as_ref() == Some(&inbox.topic))?;
    let topic = Arc::clone(stage.changelog.as_ref()?);
    Some(TopicPartition { topic, partition: inbox.partition })
}
