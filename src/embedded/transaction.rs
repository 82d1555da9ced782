//! The transaction coordinator: who may write under a transactional id, and what is open.

use std::{collections::HashMap, sync::Arc};

use aplomb_state::ids::{Timestamp, TopicPartition};

use super::record::TransactionNumber;
use crate::log::{Class, Error};

/// Owns the epochs of all transactional ids. An id is kept for ever, by its place.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    places: HashMap<Arc<str>, usize>,
    ids: Vec<TransactionalId>,
    begun: u64,
}

/// What `init_transactions` gave a producer. A newer session of the same id fences it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    place: usize,
    epoch: u32,
}

/// An open transaction. It opens at the coordinator with its first record or offset.
#[derive(Clone, Debug)]
pub(super) struct Ongoing {
    pub number: TransactionNumber,
    pub until: Timestamp,
    pub partitions: Vec<TopicPartition>,
    pub groups: Vec<Arc<str>>,
}

#[derive(Debug)]
struct TransactionalId {
    id: Arc<str>,
    epoch: u32,
    ongoing: Option<Ongoing>,
}

impl Coordinator {
    /// A new session, and the transaction of the one before it, to be aborted by the caller.
    pub fn init(&mut self, id: &Arc<str>) -> (Session, Option<Ongoing>) {
        let place = *self.places.entry(Arc::clone(id)).or_insert_with(|| {
            self.ids.push(TransactionalId { id: Arc::clone(id), epoch: 0, ongoing: None });
            self.ids.len() - 1
        });
        let Some(known) = self.ids.get_mut(place) else {
            return (Session { place, epoch: 0 }, None);
        };
        known.epoch += 1;
        (Session { place, epoch: known.epoch }, known.ongoing.take())
    }

    pub fn check(&self, session: Session) -> Result<(), Error> {
        match self.ids.get(session.place) {
            Some(known) if known.epoch == session.epoch => Ok(()),
            Some(known) => Err(fenced(known, session)),
            None => Err(unknown()),
        }
    }

    /// The session's transaction, opened if need be.
    pub fn ongoing(&mut self, session: Session, until: Timestamp) -> Result<&mut Ongoing, Error> {
        let known = self.ids.get_mut(session.place).ok_or_else(unknown)?;
        if known.epoch != session.epoch {
            return Err(fenced(known, session));
        }
        Ok(known.ongoing.get_or_insert_with(|| {
            self.begun += 1;
            let number = TransactionNumber(self.begun);
            Ongoing { number, until, partitions: Vec::new(), groups: Vec::new() }
        }))
    }

    /// Takes the session's transaction, to be ended by the caller.
    pub fn take(&mut self, session: Session) -> Result<Option<Ongoing>, Error> {
        self.check(session)?;
        Ok(self.ids.get_mut(session.place).and_then(|known| known.ongoing.take()))
    }

    /// Takes the transactions that were open for too long, and fences their producers.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Ongoing> {
        let mut expired = Vec::new();
        for known in &mut self.ids {
            if known.ongoing.as_ref().is_some_and(|ongoing| ongoing.until <= now) {
                known.epoch += 1;
                expired.extend(known.ongoing.take());
            }
        }
        expired
    }

    /// When the next transaction will have been open for too long.
    pub fn next_expiry(&self) -> Timestamp {
        let ongoing = self.ids.iter().filter_map(|known| known.ongoing.as_ref());
        ongoing.map(|ongoing| ongoing.until).min().unwrap_or(Timestamp::MAX)
    }
}

fn fenced(known: &TransactionalId, session: Session) -> Error {
    let TransactionalId { id, epoch, .. } = known;
    let message =
        format!("fenced: transactional id {id} is at epoch {epoch}, not {}", session.epoch);
    Error::new(Class::Migrated, message)
}

fn unknown() -> Error {
    Error::new(Class::Fatal, "no such producer session")
}
