//! Where a test makes calls of a producer fail.

use std::fmt;

use crate::log::Error;

/// Consulted before every call of a producer whose log was made with
/// [`super::EmbeddedLog::with_faults`]. Deciding by counting calls is the implementer's business.
pub trait Faults: Send + Sync {
    fn decide(&self, transactional_id: &str, call: Call) -> Option<Fault>;
}

/// The calls of a producer that talk to the broker, in the order of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Init,
    Begin,
    Send,
    SendOffsets,
    Drain,
    Commit,
    Abort,
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
        })
    }
}
