//! The comparators of a location, with their drifts and cases: INV_ONHAND, OVERSOLD,
//! INV_CT_OVERSTATED and INV_UNEXPLAINED_DELTA.

use aplomb_state::{ids::Timestamp, rejection::Rejection};

use crate::{
    drifts::{Drift, Entity, Side, SideTrace, SideValue, Source, flapping},
    exceptions,
    messages::cases::CaseKey,
    outputs,
    time::Iso,
};

use super::{
    COMMERCETOOLS, DriftKind,
    drift::{self, Action, Input, Values, Watch},
    ledger::Watched,
    site::Site,
    state::{DRIFTS, Drifts, LocationKey, SOURCES, Sources},
    timer_key,
};

/// A comparator and what it sees.
#[derive(Clone, Copy)]
struct Finding {
    kind: DriftKind,
    values: Values,
    tolerance: i64,
    differs: bool,
}

/// What a drift record says besides its sides.
struct Told {
    event: &'static str,
    status: &'static str,
    first_seen: Timestamp,
    opened_at: Timestamp,
    resolved_at: Option<Timestamp>,
    flaps: u32,
}

// === impl Site ===

impl Site<'_, '_> {
    /// Both sides may have moved.
    pub fn compare(&mut self) -> Result<(), Rejection> {
        let findings = DriftKind::ALL.map(|kind| self.find(kind));
        if !self.ledger.watched.any() && findings.iter().all(|finding| !finding.differs) {
            return Ok(());
        }
        let mut drifts = self.ctx.get(&DRIFTS, &self.on.at)?.unwrap_or_default();
        let before = drifts.clone();
        for finding in findings {
            let at = self.on.when;
            let watch = *drifts.of(finding.kind);
            let input = if finding.differs {
                let grace_ms = if watch.is_at_rest() { self.grace_ms(finding.kind)? } else { 0 };
                Input::Differ { at, values: finding.values, grace_ms }
            } else {
                Input::Agree { at }
            };
            self.step(&mut drifts, finding, input)?;
        }
        if drifts != before {
            self.keep_drifts(&drifts)?;
        }
        Ok(())
    }

    /// The grace of a suspicion is over. It still stands: a record that ended it would have
    /// ended the watch.
    pub fn drift_deadline(
        &mut self,
        kind: DriftKind,
        deadline: Timestamp,
    ) -> Result<(), Rejection> {
        let finding = self.find(kind);
        let mut drifts = self.ctx.get(&DRIFTS, &self.on.at)?.unwrap_or_default();
        let cool_down_ms = self.settings.rules.cool_down_ms;
        let input = Input::Deadline { deadline, values: finding.values, cool_down_ms };
        self.step(&mut drifts, finding, input)?;
        self.keep_drifts(&drifts)
    }

    fn keep_drifts(&mut self, drifts: &Drifts) -> Result<(), Rejection> {
        self.ledger.watched = Watched {
            on_hand: !drifts.on_hand.is_at_rest(),
            oversold: !drifts.oversold.is_at_rest(),
            overstated: !drifts.overstated.is_at_rest(),
            unexplained: !drifts.unexplained.is_at_rest(),
        };
        if *drifts == Drifts::default() {
            self.ctx.delete(&DRIFTS, &self.on.at)
        } else {
            self.ctx.put(&DRIFTS, &self.on.at, drifts)
        }
    }

    fn find(&self, kind: DriftKind) -> Finding {
        match kind {
            DriftKind::OnHand => self.find_on_hand(),
            DriftKind::Oversold => self.find_oversold(),
            DriftKind::Overstated => self.find_overstated(),
            DriftKind::Unexplained => {
                let unexplained = self.ledger.unexplained;
                let values = Values { ours: unexplained.read, theirs: unexplained.expected };
                Finding { kind, values, tolerance: 0, differs: unexplained.units != 0 }
            }
        }
    }

    fn find_overstated(&self) -> Finding {
        let kind = DriftKind::Overstated;
        let semantics = self.settings.rules.ct_stock_semantics;
        let sides = self.ledger.on_stock(semantics);
        let values = sides
            .map_or(Values::default(), |sides| Values { ours: sides.read, theirs: sides.expected });
        Finding { kind, values, tolerance: 0, differs: self.ledger.is_overstated(semantics) }
    }

    fn find_on_hand(&self) -> Finding {
        let rules = &self.settings.rules;
        let kind = DriftKind::OnHand;
        let Some(sides) = self.ledger.on_stock(rules.ct_stock_semantics) else {
            return Finding { kind, values: Values::default(), tolerance: 0, differs: false };
        };
        let values = Values { ours: sides.read, theirs: sides.expected };
        let tolerance =
            drift::on_hand_tolerance(values, rules.inv_onhand_units, rules.inv_onhand_per_mille);
        // What INV_CT_OVERSTATED explains is told by that.
        let explained = self.ledger.is_overstated(rules.ct_stock_semantics);
        Finding { kind, values, tolerance, differs: sides.gap > tolerance && !explained }
    }

    fn find_oversold(&self) -> Finding {
        let totals = &self.ledger.totals;
        let values = Values {
            ours: totals.reserved + totals.unpromised,
            theirs: self.ledger.on_hand().unwrap_or(0),
        };
        let differs = self.ledger.oversold();
        Finding { kind: DriftKind::Oversold, values, tolerance: 0, differs }
    }

    /// OVERSOLD compares holds with what is on hand, both kept here: there is no other feed to
    /// wait for, only commercetools' settling.
    fn grace_ms(&mut self, kind: DriftKind) -> Result<i64, Rejection> {
        let settle_ms = self.settings.rules.settle_ms;
        match kind {
            DriftKind::Oversold | DriftKind::Unexplained => return Ok(settle_ms),
            DriftKind::Overstated => return Ok(0),
            DriftKind::OnHand => {}
        }
        let sources = self.ctx.get(&SOURCES, &self.on.at)?.unwrap_or_default();
        let flow = self.settings.flow(&sources.warehouse.flow);
        Ok(drift::grace_ms(settle_ms, flow.and_then(|flow| flow.feed_interval_ms)))
    }

    fn step(
        &mut self,
        drifts: &mut Drifts,
        finding: Finding,
        input: Input,
    ) -> Result<(), Rejection> {
        let kind = finding.kind;
        let watch = drifts.of(kind);
        let (next, action) = watch.next(input);
        *watch = next;
        match action {
            Action::Nothing => Ok(()),
            Action::Schedule(deadline) => {
                self.ctx.schedule(deadline, &timer_key(kind.timer(), &self.on.at));
                Ok(())
            }
            Action::Cancel(deadline) => {
                self.ctx.cancel(deadline, &timer_key(kind.timer(), &self.on.at));
                Ok(())
            }
            Action::Opened => {
                let detail = detail(&finding, next);
                let key = self.drift_key(kind)?;
                self.tell_drift(&key, &finding, told("DriftOpened", next))?;
                self.raise_case(key, detail)
            }
            Action::Updated => {
                let key = self.drift_key(kind)?;
                self.tell_drift(&key, &finding, told("DriftUpdated", next))
            }
            Action::Resolved { first_seen, opened_at } => {
                let (event, status) = ("DriftResolved", "resolved");
                let resolved_at = Some(self.on.when);
                let told = Told { event, status, first_seen, opened_at, resolved_at, flaps: 0 };
                let key = self.drift_key(kind)?;
                self.tell_drift(&key, &finding, told)?;
                self.clear_case(key)
            }
        }
    }

    /// The drift's identity names systems and field, never values; the warehouse's name stays
    /// what it was when the first snapshot came.
    fn drift_key(&mut self, kind: DriftKind) -> Result<CaseKey, Rejection> {
        let sources = match kind {
            DriftKind::Oversold | DriftKind::Unexplained => Sources::default(),
            DriftKind::OnHand | DriftKind::Overstated => {
                self.ctx.get(&SOURCES, &self.on.at)?.unwrap_or_default()
            }
        };
        Ok(drift_key(&self.on.at, kind, &sources))
    }

    fn tell_drift(
        &mut self,
        key: &CaseKey,
        finding: &Finding,
        told: Told,
    ) -> Result<(), Rejection> {
        let sources = self.ctx.get(&SOURCES, &self.on.at)?.unwrap_or_default();
        // Orders as a side: the record at hand stands for them.
        let orders = Source::at_hand(self.ctx, COMMERCETOOLS, &self.on.cause);
        let id = exceptions::case_id(key);
        self.ledger.revision += 1;
        let revision = self.ledger.revision;
        let record = Drift {
            event: told.event,
            drift_id: &id,
            project_key: self.on.at.project(),
            kind: finding.kind.code(),
            code: finding.kind.code(),
            status: told.status,
            entity: Entity { kind: "sku", id: self.on.at.sku() },
            location: Some(&self.on.at.location),
            field: finding.kind.field(),
            sides: self.sides(finding, &sources, &orders),
            tolerance: finding.tolerance,
            flaps: told.flaps,
            first_seen: Iso(told.first_seen),
            opened_at: Iso(told.opened_at),
            resolved_at: told.resolved_at.map(Iso),
        };
        let line = self.on.line(outputs::DRIFT_EVENTS, &id, told.event, revision);
        outputs::emit(self.ctx, &line, &record)?;
        let line = self.on.line(outputs::DRIFT_OPEN, &id, told.event, revision);
        if told.resolved_at.is_some() {
            outputs::tombstone(self.ctx, &line)
        } else {
            outputs::emit(self.ctx, &line, &record)
        }
    }

    fn sides<'a>(
        &self,
        finding: &Finding,
        sources: &'a Sources,
        orders: &'a Source,
    ) -> [Side<'a>; 2] {
        let platform_at = self.ledger.platform.map(|platform| platform.as_of);
        let counted_at = self.ledger.physical.as_ref().map(|physical| physical.as_of);
        let counted_at = counted_at.filter(|_| finding.kind != DriftKind::Unexplained);
        let (ours, ours_at) = match finding.kind {
            DriftKind::OnHand | DriftKind::Overstated | DriftKind::Unexplained => {
                (&sources.platform, platform_at)
            }
            DriftKind::Oversold => (orders, Some(self.ledger.as_of)),
        };
        let (theirs, theirs_at) = match counted_at {
            Some(at) => (&sources.warehouse, Some(at)),
            None => (&sources.platform, platform_at),
        };
        let Values { ours: our_value, theirs: their_value } = finding.values;
        [(ours, our_value, ours_at), (theirs, their_value, theirs_at)].map(
            |(source, value, as_of)| Side {
                system: &source.system,
                value: SideValue::Units(value),
                as_of: Iso(as_of.unwrap_or(self.ledger.as_of)),
                trace: SideTrace::of(source),
            },
        )
    }
}

/// What the drift is known by; its id is the case's.
pub(super) fn drift_key(at: &LocationKey, kind: DriftKind, sources: &Sources) -> CaseKey {
    let (field, system) = (kind.field(), &sources.warehouse.system);
    let discriminator = match kind {
        DriftKind::Oversold => at.location.clone(),
        DriftKind::Unexplained => format!("{}:{COMMERCETOOLS}:{field}", at.location),
        DriftKind::OnHand | DriftKind::Overstated => {
            format!("{}:{COMMERCETOOLS}:{system}:{field}", at.location)
        }
    };
    at.case(kind.code(), &discriminator)
}

fn told(event: &'static str, watch: Watch) -> Told {
    let (first_seen, opened_at) = match watch {
        Watch::Open { first_seen, opened_at, .. } => (first_seen, opened_at),
        Watch::Suspect { first_seen, .. } => (first_seen, first_seen),
        Watch::Rest(_) => (Timestamp::default(), Timestamp::default()),
    };
    let flaps = watch.flaps();
    Told { event, status: "open", first_seen, opened_at, resolved_at: None, flaps }
}

fn detail(finding: &Finding, watch: Watch) -> String {
    let Values { ours, theirs } = finding.values;
    let detail = match finding.kind {
        DriftKind::OnHand => format!("commercetools shows {ours} on stock, {theirs} expected"),
        DriftKind::Oversold => format!("{ours} units are due, {theirs} on hand"),
        DriftKind::Overstated => format!(
            "commercetools was set to {ours}, {theirs} are left beside what orders hold: units \
             already sold are for sale"
        ),
        DriftKind::Unexplained => {
            format!("commercetools' stock was {ours} before the change, {theirs} are explained")
        }
    };
    flapping(detail, watch.flaps())
}

// === impl Drifts ===

impl Drifts {
    fn of(&mut self, kind: DriftKind) -> &mut Watch {
        match kind {
            DriftKind::OnHand => &mut self.on_hand,
            DriftKind::Oversold => &mut self.oversold,
            DriftKind::Overstated => &mut self.overstated,
            DriftKind::Unexplained => &mut self.unexplained,
        }
    }
}
