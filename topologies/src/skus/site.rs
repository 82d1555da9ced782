//! One location of a sku while one input is handled: opened, changed, and closed once. Closing
//! draws the consequences that every change has: waiting holds are served, comparators run, cases
//! are raised and cleared, and what is new is told.

use std::sync::Arc;

use aplomb_state::{
    codec::{self, Format},
    context::Context,
    ids::Timestamp,
    rejection::Rejection,
    scan::Scan,
    store::{KeyValue, StoreKey},
};
use serde::de::DeserializeOwned;

use crate::{
    exceptions,
    messages::{
        cases::{CaseKey, Clear, Raise},
        resources::ResourceMessage,
        skus::{Cause, HoldState},
    },
    outputs::{self, Emission},
    settings::{BootstrapEntries, Settings},
};

use super::{
    ledger::{Confidence, Figures, Ledger, Walk},
    place::{self, Event, Offer, Portion},
    reallocate,
    records::{self, Availability, InventoryEvent, Reservation},
    refill::{Pass, Resume},
    state::{
        HOLDS, Hold, HoldKey, LEDGER, LocationKey, PROJECTS, WAITING, Waiting, before_instant,
    },
};

/// What is being handled.
pub struct Occasion {
    pub at: LocationKey,
    pub cause: Cause,
    /// Its event time.
    pub when: Timestamp,
    /// Who tells of it. Every location counts its own revisions, so it is part of the name.
    sender: String,
}

pub struct Site<'c, 'x> {
    pub ctx: &'c mut Context<'x>,
    pub settings: Arc<Settings>,
    pub on: Occasion,
    pub ledger: Ledger,
    /// As it was read. Absent: the location is new.
    stored: Option<Ledger>,
    /// Promises may have changed, or holds wait to be placed: look at all of them.
    pub all_waiting: bool,
    /// A walk over holds that give units up goes on here.
    pub gives_up_from: Option<reallocate::Resume>,
    hold_broken: bool,
}

impl<'c, 'x> Site<'c, 'x> {
    pub fn open(
        ctx: &'c mut Context<'x>,
        settings: &Arc<Settings>,
        on: Occasion,
    ) -> Result<Self, Rejection> {
        let stored = ctx.get(&LEDGER, &on.at)?;
        Ok(Self {
            ctx,
            settings: Arc::clone(settings),
            on,
            ledger: stored.clone().unwrap_or_default(),
            stored,
            all_waiting: false,
            gives_up_from: None,
            hold_broken: false,
        })
    }

    /// Draws the consequences and writes the row.
    pub fn close(mut self) -> Result<(), Rejection> {
        self.serve_waiting()?;
        if self.reallocate()? {
            // All or nothing: a hold gives up more than is short.
            self.serve_waiting()?;
        }
        self.compare()?;
        self.check_entry()?;
        self.check_releases()?;
        self.check_invariants()?;
        self.tell_availability()?;
        if self.stored.as_ref() != Some(&self.ledger) {
            self.ctx.put(&LEDGER, &self.on.at, &self.ledger)?;
        }
        Ok(())
    }

    /// Looks at the location's rows from an instant on, in the order of their instants.
    pub fn each_from<K: StoreKey + ?Sized, V: Format + DeserializeOwned>(
        &mut self,
        store: &KeyValue<K, V>,
        instant: Timestamp,
        mut look: impl FnMut(&[u8], &V),
    ) -> Result<(), Rejection> {
        const PAGE: usize = 500;
        let prefix = self.on.at.bytes();
        let mut after = before_instant(&self.on.at, instant);
        loop {
            let page = self.ctx.scan(store, Scan::rising(&prefix, Some(&after), PAGE))?;
            for (key, row) in &page {
                look(key, row);
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after.clone_from(key),
                _ => return Ok(()),
            }
        }
    }

    /// Stock came free, or a reading told of promises: waiting holds are served, oldest first.
    fn serve_waiting(&mut self) -> Result<(), Rejection> {
        let waits = self.ledger.totals.backordered > 0;
        let first_reading = self.ledger.totals.waiting > 0;
        let all = self.all_waiting || first_reading;
        let Some(free) = self.ledger.free().filter(|_| waits) else { return Ok(()) };
        match self.ledger.refill {
            Walk::Idle if all => self.serve(Resume { pass: Pass::All, after: None, short: false }),
            Walk::Idle if free > 0 => {
                self.serve(Resume { pass: Pass::Free, after: None, short: false })
            }
            Walk::Running if self.all_waiting => {
                self.ledger.refill = Walk::Again;
                Ok(())
            }
            Walk::Idle | Walk::Running | Walk::Again => Ok(()),
        }
    }

    /// What can be given to a hold ordered at `ordered_at`.
    pub fn offer(&self, free: Option<i64>, hold: &Hold, ordered_at: Timestamp) -> Offer {
        let rules = &self.settings.rules;
        let promise = place::promise(hold.mode, ordered_at, &self.ledger.restock, rules.track_only);
        let portion = if rules.all_or_nothing { Portion::AllOrNothing } else { Portion::Any };
        Offer { free, promise, portion }
    }

    /// Writes a changed hold, answers its order, and tells what happened.
    pub fn keep_hold(
        &mut self,
        key: &HoldKey,
        before: Option<&Hold>,
        hold: &mut Hold,
        events: &[Event],
    ) -> Result<(), Rejection> {
        hold.revision += 1;
        self.hold_broken |= !place::is_whole(hold);
        self.ctx.put(&HOLDS, key, hold)?;
        let waited = before.is_some_and(|before| before.backordered > 0);
        match (waited, hold.backordered > 0) {
            (false, true) => self.ctx.put(&WAITING, key, &Waiting)?,
            (true, false) => self.ctx.delete(&WAITING, key)?,
            (false, false) | (true, true) => {}
        }
        for event in events {
            let record = InventoryEvent::of(*event, key, &self.on.cause, self.on.when);
            let output = outputs::INVENTORY_EVENTS;
            self.ledger.revision += 1;
            let revision = self.ledger.revision;
            let line = self.on.line(output, &self.on.at.actor, record.kind, revision);
            outputs::emit(self.ctx, &line, &record)?;
        }
        if is_told(before, hold) {
            let row = records::reservation_key(key);
            let output = outputs::INVENTORY_RESERVATIONS;
            self.ledger.revision += 1;
            let line = self.on.line(output, &row, "Reservation", self.ledger.revision);
            outputs::emit(self.ctx, &line, &Reservation::of(key, hold))?;
        }
        self.answer(key, hold)
    }

    fn answer(&mut self, key: &HoldKey, hold: &Hold) -> Result<(), Rejection> {
        let (project, sku) = self.on.at.parts();
        let state = HoldState {
            project: project.to_owned(),
            order_id: key.order_id.clone(),
            line_id: key.line_id.clone(),
            sku: sku.to_owned(),
            location: self.on.at.location.clone(),
            of_target: hold.target,
            revision: hold.revision,
            reserved: hold.reserved,
            backordered: hold.backordered,
            promise: hold.promise.date(),
            expires_at: None,
        };
        let actor = format!("{project}:order:{}", key.order_id);
        let body = codec::encode(&ResourceMessage::HoldState(state));
        self.ctx.send("resources", actor.into_bytes(), &body)
    }

    fn tell_availability(&mut self) -> Result<(), Rejection> {
        let figures = self.ledger.figures();
        let unknown = self.ledger.shown.is_none() && figures == Figures::default();
        if unknown || self.ledger.shown == Some(figures) {
            return Ok(());
        }
        self.ledger.shown = Some(figures);
        self.ledger.revision += 1;
        let (project, sku) = self.on.at.parts();
        let key = format!("{project}:{sku}:{}", self.on.at.location);
        let record = Availability::of(&self.on.at, &figures, self.ledger.as_of);
        for output in [outputs::INVENTORY_AVAILABILITY, outputs::INVENTORY_HISTORY] {
            let line = self.on.line(output, &key, "AvailabilityChanged", self.ledger.revision);
            outputs::emit(self.ctx, &line, &record)?;
        }
        Ok(())
    }

    // --- conditions

    /// RESERVE_NO_ENTRY: holds wait for a reading, and it is known that there is no entry.
    fn check_entry(&mut self) -> Result<(), Rejection> {
        let waiting = self.ledger.totals.waiting;
        let holds = waiting > 0 && self.ledger.confidence() == Confidence::None;
        if holds && !self.ledger.no_entry && self.entries_are_known()? {
            self.ledger.no_entry = true;
            let detail = format!(
                "no inventory entry of {} at {}; {waiting} units wait",
                self.on.at.sku(),
                self.on.at.location
            );
            self.raise("RESERVE_NO_ENTRY", detail)?;
        } else if !holds && self.ledger.no_entry {
            self.ledger.no_entry = false;
            self.clear("RESERVE_NO_ENTRY")?;
        }
        if self.ledger.entry_deleted
            && (self.ledger.platform.is_some() || self.ledger.totals.open == 0)
        {
            self.ledger.entry_deleted = false;
            self.clear("RESERVE_ENTRY_DELETED")?;
        }
        Ok(())
    }

    fn entries_are_known(&mut self) -> Result<bool, Rejection> {
        if self.settings.rules.bootstrap_entries == BootstrapEntries::None {
            return Ok(true);
        }
        let project = self.ctx.get(&PROJECTS, self.on.at.project())?;
        Ok(project.is_some_and(|project| project.entries_complete))
    }

    /// CT_RELEASE_PENDING ends when the platform has put back what was released. It begins in
    /// the timer.
    fn check_releases(&mut self) -> Result<(), Rejection> {
        let overdue = self.stored.as_ref().map_or(0, |stored| stored.releases.overdue);
        if overdue > 0 && self.ledger.releases.overdue == 0 {
            self.clear("CT_RELEASE_PENDING")?;
        }
        Ok(())
    }

    fn check_invariants(&mut self) -> Result<(), Rejection> {
        let broken = self.hold_broken || self.ledger.is_broken();
        if broken && !self.ledger.broken {
            let totals = self.ledger.totals;
            let platform = self.ledger.platform;
            self.raise("INV_INVARIANT", format!("totals {totals:?}, reading {platform:?}"))?;
        } else if !broken && self.ledger.broken {
            self.clear("INV_INVARIANT")?;
        }
        self.ledger.broken = broken;
        Ok(())
    }

    // --- cases

    pub fn case(&self, code: &str, discriminator: &str) -> CaseKey {
        self.on.at.case(code, discriminator)
    }

    /// Raises a case about this location.
    pub fn raise(&mut self, code: &str, detail: String) -> Result<(), Rejection> {
        self.raise_case(self.case(code, &self.on.at.location), detail)
    }

    pub fn clear(&mut self, code: &str) -> Result<(), Rejection> {
        self.clear_case(self.case(code, &self.on.at.location))
    }

    pub fn raise_case(&mut self, key: CaseKey, detail: String) -> Result<(), Rejection> {
        let raise = Raise {
            key,
            flow: self.ctx.trace().flow.clone(),
            severity: None,
            detail,
            amount_at_risk: None,
            due_at: None,
            at: self.on.when,
            cause: self.on.cause.clone(),
        };
        exceptions::raise(self.ctx, &raise)
    }

    pub fn clear_case(&mut self, key: CaseKey) -> Result<(), Rejection> {
        let clear = Clear { key, at: self.on.when, cause: self.on.cause.clone() };
        exceptions::clear(self.ctx, &clear)
    }
}

// === impl Occasion ===

impl Occasion {
    pub fn new(at: LocationKey, cause: Cause, when: Timestamp) -> Self {
        let sender = format!("{}:{}", at.actor, at.location);
        Self { at, cause, when, sender }
    }

    pub fn line<'a>(
        &'a self,
        output: &'static str,
        key: &'a str,
        effect: &'a str,
        revision: u64,
    ) -> Emission<'a> {
        Emission {
            output,
            key,
            effect,
            sender: &self.sender,
            revision,
            cause: &self.cause,
            subject: self.at.sku(),
            at: self.when,
        }
    }
}

/// Whether the reservations topic must hear of the change. A line that was over before it was
/// known never held anything (case 53).
fn is_told(before: Option<&Hold>, hold: &Hold) -> bool {
    let buckets = |hold: &Hold| {
        let Hold { ordered, reserved, backordered, shipped, cancelled, returned, .. } = *hold;
        [ordered, reserved, backordered, shipped, cancelled, returned]
    };
    match before {
        None => hold.reserved + hold.backordered > 0,
        Some(before) => buckets(before) != buckets(hold),
    }
}
