//! Leaving the group and joining it again, where only that gives every partition an owner.

use std::sync::PoisonError;

use super::Worker;
use crate::log::{self, Consumer, Log};

/// ```text
/// Member ──(told to)──> Leaving ──(no member any more, nothing owned)──> Member
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rejoin {
    #[default]
    Member,
    /// The revocation that follows is answered like any other.
    Leaving,
}

impl<L: Log> Worker<L> {
    pub(super) fn rejoin_if_told(&mut self) -> Result<(), log::Error> {
        match self.rejoin {
            Rejoin::Member if self.is_told_to_rejoin() => {
                tracing::warn!(
                    member = %self.member_id,
                    "partitions have no owner: leaving the group and joining it again"
                );
                self.rejoin = Rejoin::Leaving;
                self.consumer.subscribe(&[])
            }
            Rejoin::Member => Ok(()),
            Rejoin::Leaving => {
                let (_, member) = self.consumer.group()?;
                if member.is_empty() && self.tasks.is_empty() {
                    self.rejoin = Rejoin::Member;
                    self.member_id.clear();
                    return self.consumer.subscribe(&self.application.subscription());
                }
                Ok(())
            }
        }
    }

    fn is_told_to_rejoin(&self) -> bool {
        let mut told = self.shared.rejoin.lock().unwrap_or_else(PoisonError::into_inner);
        let is_mine = told.as_ref().is_some_and(|member| *member == self.member_id);
        is_mine && told.take().is_some()
    }
}
