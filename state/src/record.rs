//! What stages are handed: records, timers, and the trace to the external record behind them.

use serde::{Deserialize, Serialize};

use crate::{
    codec::Format,
    ids::{Offset, Timestamp},
};

/// Where the external record behind a message stands. It rides on every message and timer that
/// the record caused, and on every exception.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The source by which the record came in.
    pub flow: String,
    pub topic: String,
    pub partition: i32,
    pub offset: Offset,
    /// The W3C trace context the record carried.
    pub traceparent: Option<String>,
}

impl Format for Trace {
    const VERSION: u8 = 1;
}

/// One header of an external record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header<'a> {
    pub name: &'a str,
    #[serde(with = "serde_bytes")]
    pub value: Option<&'a [u8]>,
}

/// An external record, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct External<'a> {
    #[serde(borrow, with = "serde_bytes")]
    pub key: Option<&'a [u8]>,
    #[serde(borrow, with = "serde_bytes")]
    pub value: Option<&'a [u8]>,
    #[serde(borrow)]
    pub headers: Vec<Header<'a>>,
    /// The record's own timestamp.
    pub timestamp: Timestamp,
}

/// One record of a stage's input.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    pub kind: Kind,
    /// The actor the record is for: its key in the inbox. For the first stage, the external key.
    pub key: &'a [u8],
    /// The message. Empty for the first stage, which reads [`Record::external`].
    pub body: &'a [u8],
    /// The timestamp of the external record that caused this one, never later than the time at
    /// which this one was appended.
    pub at: Timestamp,
    pub offset: Offset,
    /// The external record, where this record came straight from the first stage (or is one).
    pub external: Option<&'a External<'a>>,
    pub trace: &'a Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// From one actor to another, or straight from outside.
    Message,
    /// Appended to every partition of the inbox.
    Broadcast,
    /// A task's note to itself: work over many keys goes on here.
    Continuation,
}

/// A deadline that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer<'a> {
    pub deadline: Timestamp,
    pub key: &'a [u8],
    /// Of the record that scheduled it.
    pub trace: &'a Trace,
}

/// What an exception is about: the bytes for the dead letter, and where they came from.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
    pub trace: &'a Trace,
    /// The actor, where the record had reached one.
    pub actor: Option<&'a [u8]>,
}
