//! Reading a log from outside the group: what is committed, and the records between two offsets.

use std::time::Duration;

use aplomb_state::ids::{NextOffset, TopicPartition};

use crate::log::{Committed, Fetched, Isolation, Log, Reader};

const COMMITTED_WAIT: Duration = Duration::from_secs(2);
const COMMITTED_TRIES: usize = 15;
const READ_WAIT: Duration = Duration::from_secs(10);
const RECORDS_PER_READ: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    #[error("a transaction that does not end holds committed offsets; try again in a minute")]
    Unstable,
    #[error("{partition} could not be read from {from} to {to}")]
    Unread { partition: TopicPartition, from: NextOffset, to: NextOffset },
}

/// What a group has committed, once no transaction holds any of it.
pub fn committed(
    log: &impl Log,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<Vec<Committed>, Error> {
    for _ in 0..COMMITTED_TRIES {
        let committed = log.committed(group, partitions, COMMITTED_WAIT)?;
        if !committed.contains(&Committed::Unstable) {
            return Ok(committed);
        }
    }
    Err(Error::Unstable)
}

/// Whether to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    On,
    Stop,
}

/// Hands out the committed records from `from` on, up to `to`, until `each` stops it.
pub fn range<L: Log>(
    log: &L,
    partition: &TopicPartition,
    from: NextOffset,
    to: NextOffset,
    each: &mut dyn FnMut(&Fetched<'_>) -> Next,
) -> Result<(), Error> {
    if from >= to {
        return Ok(());
    }
    let mut reader = log.reader(&[(partition.clone(), from)], Isolation::ReadCommitted)?;
    while reader.position(partition) < to {
        let mut next = Next::On;
        let read = reader.read(RECORDS_PER_READ, READ_WAIT, &mut |_, record| {
            if next == Next::On && record.offset.next() <= to {
                next = each(record);
            }
        })?;
        let reached = reader.position(partition);
        if next == Next::Stop {
            return Ok(());
        }
        if read == 0 && reached < to {
            return Err(Error::Unread { partition: partition.clone(), from: reached, to });
        }
    }
    Ok(())
}
