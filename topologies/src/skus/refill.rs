//! Waiting holds are served, oldest first: in one step as far as it goes, and in later ones.

use std::sync::Arc;

use aplomb_state::{
    codec, codec::Format, context::Context, ids::Timestamp, rejection::Rejection, scan::Scan,
};
use serde::{Deserialize, Serialize};

use crate::{messages::skus::Cause, settings::Settings};

use super::{
    batches::{self, Absence},
    ledger::Walk,
    place, reallocate,
    site::{Occasion, Site},
    state::{HOLDS, HoldKey, LocationKey, PROJECTS, Project, WAITING},
};

/// So many holds are looked at in one step.
pub const HOLDS_PER_STEP_MAX: usize = 500;
pub const PAGE: usize = 50;

/// A task's note to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Continuation {
    Refill {
        visit: Visit,
        from: Resume,
    },
    /// A project's entries are all known: look at the holds that wait.
    Entries {
        project: String,
        after: Vec<u8>,
        cause: Cause,
    },
    /// What a batch does not name is not there: look at further ledgers.
    Absence(Absence),
    /// More is reserved than is there: further holds give units up.
    Reallocate {
        visit: Visit,
        from: reallocate::Resume,
    },
}

impl Format for Continuation {
    const VERSION: u8 = 3;
}

/// Where a walk over holds goes on, and what it was begun for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    at: LocationKey,
    when: Timestamp,
    cause: Cause,
}

/// How far a pass must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pass {
    /// Until nothing is free.
    Free,
    /// Through all: their promises may have changed, or they were never judged.
    All,
}

/// Where a pass goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    pub pass: Pass,
    pub after: Option<Vec<u8>>,
    /// An older hold did not get all it waits for: younger ones get nothing.
    pub short: bool,
}

pub fn go_on(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    continuation: Continuation,
) -> Result<(), Rejection> {
    match continuation {
        Continuation::Refill { visit, from } => {
            let mut site = Site::open(ctx, settings, visit.occasion())?;
            site.serve(from)?;
            site.close()
        }
        Continuation::Entries { project, after, cause } => {
            judge_entries(ctx, settings, &project, Some(after), cause)
        }
        Continuation::Absence(absence) => batches::go_on(ctx, settings, absence),
        Continuation::Reallocate { visit, from } => {
            let mut site = Site::open(ctx, settings, visit.occasion())?;
            site.gives_up_from = Some(from);
            site.close()
        }
    }
}

/// From now on an absent entry of the project is a fact: RESERVE_NO_ENTRY for holds that wait.
pub fn entries_complete(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    project: &str,
    cause: Cause,
) -> Result<(), Rejection> {
    ctx.put(&PROJECTS, project, &Project { entries_complete: true })?;
    judge_entries(ctx, settings, project, None, cause)
}

fn judge_entries(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    project: &str,
    after: Option<Vec<u8>>,
    cause: Cause,
) -> Result<(), Rejection> {
    let page = ctx.scan(&WAITING, Scan::rising(&[], after.as_deref(), HOLDS_PER_STEP_MAX))?;
    let mut judged: Option<LocationKey> = None;
    for (key, _) in &page {
        let Some((at, _)) = LocationKey::read(key) else { continue };
        if at.project() != project || judged.as_ref() == Some(&at) {
            continue;
        }
        judged = Some(at.clone());
        let on = Occasion::new(at, cause.clone(), ctx.at());
        Site::open(ctx, settings, on)?.close()?;
    }
    let Some((last, _)) = page.last().filter(|_| page.len() == HOLDS_PER_STEP_MAX) else {
        return Ok(());
    };
    let project = project.to_owned();
    let next = Continuation::Entries { project, after: last.clone(), cause };
    ctx.continue_later(&codec::encode(&next))
}

// === impl Visit ===

impl Visit {
    pub fn of(on: &Occasion) -> Self {
        Self { at: on.at.clone(), when: on.when, cause: on.cause.clone() }
    }

    fn occasion(self) -> Occasion {
        Occasion::new(self.at, self.cause, self.when)
    }
}

// === impl Site ===

impl Site<'_, '_> {
    /// One step of a pass.
    pub fn serve(&mut self, from: Resume) -> Result<(), Rejection> {
        let Resume { mut pass, mut after, mut short } = from;
        let prefix = self.on.at.bytes();
        let mut seen = 0;
        loop {
            if seen >= HOLDS_PER_STEP_MAX {
                return self.serve_later(Resume { pass, after, short });
            }
            let page = self.ctx.scan(&WAITING, Scan::rising(&prefix, after.as_deref(), PAGE))?;
            for (key, _) in &page {
                seen += 1;
                short |= !self.serve_one(key, short)?;
                if short && pass == Pass::Free {
                    self.ledger.refill = Walk::Idle;
                    return Ok(());
                }
            }
            if page.len() == PAGE {
                after = page.last().map(|(key, _)| key.clone());
            } else if self.ledger.refill.end() {
                (pass, after, short) = (Pass::All, None, false);
            } else {
                return Ok(());
            }
        }
    }

    fn serve_later(&mut self, from: Resume) -> Result<(), Rejection> {
        self.ledger.refill.go_on();
        let next = Continuation::Refill { visit: Visit::of(&self.on), from };
        self.ctx.continue_later(&codec::encode(&next))
    }

    /// Answers whether the hold now has all it waited for.
    fn serve_one(&mut self, key: &[u8], short: bool) -> Result<bool, Rejection> {
        let Some(key) = HoldKey::read(key) else { return Ok(true) };
        let Some(before) = self.ctx.get(&HOLDS, &key)? else { return Ok(true) };
        let free = self.ledger.free().map(|free| if short { 0 } else { free });
        let offer = self.offer(free, &before, key.ordered_at);
        let mut hold = before.clone();
        if let Some(events) = place::refill(&mut hold, &offer) {
            self.ledger.absorb(Some(&before), &hold);
            self.keep_hold(&key, Some(&before), &mut hold, &events)?;
        }
        Ok(hold.backordered == 0)
    }
}
