//! Errors of the log, named by what the worker must do.

use std::fmt;

/// What the worker must do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing happened: do the same again, later.
    Retry,
    /// Abort the transaction, drop the overlays and rewind to the committed offsets.
    Abort,
    /// The outcome is not known, or we were fenced by a time-out of our own: drop the tasks'
    /// overlays, make a new producer, open the tasks again.
    Migrated,
    /// Another process uses this identity, or the request can never succeed: stop and say so.
    Fatal,
}

/// An error of the log.
#[derive(Clone, Debug)]
pub struct Error {
    pub class: Class,
    /// A time-out or transport error: the request may have been carried out.
    pub in_doubt: bool,
    /// A position that the log no longer (or not yet) holds.
    pub out_of_range: bool,
    /// The member id changed: every task has to be opened again.
    pub rejoined: bool,
    /// It says nothing about the records of the transaction: the group or the network had it so.
    pub blameless: bool,
    /// The group went on without this member's generation: its callback will follow.
    pub outdated: bool,
    pub message: String,
}

impl Error {
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            in_doubt: false,
            out_of_range: false,
            rejoined: false,
            blameless: false,
            outdated: false,
            message: message.into(),
        }
    }

    pub fn in_doubt(message: impl Into<String>) -> Self {
        Self { in_doubt: true, ..Self::new(Class::Migrated, message) }
    }

    pub fn out_of_range(message: impl Into<String>) -> Self {
        Self { out_of_range: true, ..Self::new(Class::Fatal, message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
