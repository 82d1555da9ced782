//! Where a test makes calls fail.

use std::fmt;

use crate::log::Error;

/// Consulted before every call to the broker by the ends of a log that was made with
/// [`super::EmbeddedLog::with_faults`]. Deciding by counting calls is the implementer's business.
/// It is asked with no lock held: it may look at the log, let time pass, or never come back.
pub trait Faults: Send + Sync {
    fn decide(&self, transactional_id: &str, call: Call) -> Option<Fault>;
}

/// The calls of a producer that talk to the broker, in the order of the protocol, and then the
/// questions that an opening task asks. A question has no transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Init,
    Begin,
    Send,
    SendOffsets,
    Drain,
    Commit,
    Abort,
    Committed,
    Watermarks,
    Read,
}

/// How a call fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It was not carried out. With [`Error::in_doubt`], the caller cannot know that.
    Before(Error),
    /// It was carried out, but the answer got lost: the caller sees an error in doubt.
    After,
    /// There is no room in the queue. Only [`Call::Send`] can meet it; others are carried out.
    QueueFull,
    /// The request got lost for now, which fails the transaction. It arrives with the session's
    /// next record, in whatever transaction that is. Only [`Call::Send`] can meet it.
    Late,
}

/// A question has no outcome in doubt: it was answered or not.
pub(super) fn ask(faults: Option<&dyn Faults>, call: Call) -> Result<(), Error> {
    match faults.and_then(|faults| faults.decide("", call)) {
        Some(Fault::Before(error)) => Err(error),
        Some(Fault::After | Fault::QueueFull | Fault::Late) | None => Ok(()),
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Init => "init_transactions",
            Self::Begin => "begin",
            Self::Send => "send",
            Self::SendOffsets => "send_offsets",
            Self::Drain => "drain",
            Self::Commit => "commit",
            Self::Abort => "abort",
            Self::Committed => "committed",
            Self::Watermarks => "watermarks",
            Self::Read => "read",
        })
    }
}
