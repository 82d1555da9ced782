//! The stage `skus`: one actor per sku of a project. It places what orders want held on what the
//! warehouse and commercetools say is there, and tells where the two part.
//!
//! What it is not: it knows no order beyond its holds, and it never decides what an order is.
//!
//! # Layout
//! - [`ledger`], [`place`], [`drift`]: the decisions, pure.
//! - [`state`]: rows and keys. [`records`]: the shapes of outputs. [`view`]: what operators see.
//! - `site`: a location while one input is handled. `target`, `stock`: what comes in.
//!   `refill`: holds that wait. `returns`: units that come back. `reallocate`: holds that give
//!   units up. [`batches`]: what a whole count does not name. `compare`: the comparators.

use aplomb_state::{
    context::Context,
    ids::Timestamp,
    record::{Kind, Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Stage, StageDefinition},
};

use crate::{
    drifts::COMMERCETOOLS,
    exceptions,
    messages::skus::{Cause, SkuMessage},
    outputs,
    settings::Settings,
};

pub mod batches;
mod compare;
pub mod drift;
pub mod drifts;
pub mod ledger;
pub mod place;
mod reallocate;
pub mod records;
mod refill;
mod returns;
mod site;
pub mod state;
mod stock;
mod target;
pub mod view;

use self::{
    refill::Continuation,
    site::{Occasion, Site},
    state::LocationKey,
};

/// The stage's name: its inbox is `inbox.skus`.
pub const SKUS: &str = "skus";

/// No shop counts more units than this; sums of such quantities stay far from overflow.
const QUANTITY_MAX: i64 = 1_000_000_000_000;

const ON_HAND_TIMER: u8 = 1;
const OVERSOLD_TIMER: u8 = 2;
const RELEASE_TIMER: u8 = 3;
const OVERSTATED_TIMER: u8 = 4;
const UNEXPLAINED_TIMER: u8 = 5;
const RESTOCK_TIMER: u8 = 6;
const BATCH_TIMER: u8 = 7;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Skus;

/// What is compared at a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DriftKind {
    OnHand,
    Oversold,
    Overstated,
    Unexplained,
}

// === impl Skus ===

impl Stage for Skus {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: SKUS,
            inbox: Inbox::Internal,
            stores: vec![
                state::LEDGER.definition(),
                state::HOLDS.definition(),
                state::WAITING.definition(),
                state::MOVES.definition(),
                state::SOURCES.definition(),
                state::TOLD.definition(),
                state::RETURNS.definition(),
                state::DRIFTS.definition(),
                state::PROJECTS.definition(),
                batches::BATCHES.definition(),
                batches::SUMS.definition(),
                batches::REFUSALS.definition(),
            ],
            outputs: vec![
                outputs::INVENTORY_EVENTS,
                outputs::INVENTORY_RESERVATIONS,
                outputs::INVENTORY_AVAILABILITY,
                outputs::INVENTORY_HISTORY,
                outputs::DRIFT_EVENTS,
                outputs::DRIFT_OPEN,
                outputs::DLQ,
            ],
            sends: vec!["resources", SKUS, exceptions::CASES],
            limits: Limits::default(),
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let settings = ctx.settings::<Settings>()?;
        if record.kind == Kind::Continuation {
            let continuation: Continuation = ctx.decode(record.body)?;
            return refill::go_on(ctx, &settings, continuation);
        }
        let actor = std::str::from_utf8(record.key).map_err(|_| {
            Rejection::new("CONTRACT_VIOLATION", "inbox_key", "the key is not text")
        })?;
        match ctx.decode(record.body)? {
            SkuMessage::HoldTarget(target) => target::handle(ctx, &settings, actor, target),
            SkuMessage::Reading(reading) => stock::read_entry(ctx, &settings, actor, reading),
            SkuMessage::EntryDeleted(gone) => stock::delete_entry(ctx, &settings, actor, gone),
            SkuMessage::Warehouse(stock) => stock::read_warehouse(ctx, &settings, actor, stock),
            SkuMessage::BatchEnded(ended) => batches::ended(ctx, ended),
            SkuMessage::BatchCounted(counted) => batches::counted(ctx, &settings, counted),
            SkuMessage::BatchComplete(complete) => batches::complete(ctx, &settings, complete),
            SkuMessage::BatchBroken(broken) => batches::broken(ctx, &broken),
            SkuMessage::EntriesComplete(complete) => {
                refill::entries_complete(ctx, &settings, &complete.project, complete.cause)
            }
        }
    }

    fn on_timer(&self, ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection> {
        if let Some((&BATCH_TIMER, key)) = timer.key.split_first() {
            return batches::overdue(ctx, key, timer.deadline);
        }
        let settings = ctx.settings::<Settings>()?;
        let Some((kind, at)) = read_timer_key(timer.key) else {
            return Err(Rejection::new("CONTRACT_VIOLATION", "timer_key", "not a timer of skus"));
        };
        let cause = timer_cause(kind, &at, timer.deadline);
        let on = Occasion::new(at, cause, timer.deadline);
        let mut site = Site::open(ctx, &settings, on)?;
        match kind {
            ON_HAND_TIMER => site.drift_deadline(DriftKind::OnHand, timer.deadline)?,
            OVERSOLD_TIMER => site.drift_deadline(DriftKind::Oversold, timer.deadline)?,
            OVERSTATED_TIMER => site.drift_deadline(DriftKind::Overstated, timer.deadline)?,
            UNEXPLAINED_TIMER => site.drift_deadline(DriftKind::Unexplained, timer.deadline)?,
            RESTOCK_TIMER => site.restock_deadline(timer.deadline)?,
            _ => release_deadline(&mut site, timer.deadline)?,
        }
        site.close()
    }

    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        exceptions::reject(ctx, subject, rejection)
    }
}

/// Released units were not put back in time.
fn release_deadline(site: &mut Site<'_, '_>, deadline: Timestamp) -> Result<(), Rejection> {
    let units = site.ledger.releases.expire(deadline);
    if units == 0 {
        return Ok(());
    }
    let overdue = site.ledger.releases.overdue;
    let detail = format!("{overdue} released units are not back on commercetools' stock");
    site.raise("CT_RELEASE_PENDING", detail)
}

fn timer_key(kind: u8, at: &LocationKey) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(at.bytes());
    key
}

fn read_timer_key(key: &[u8]) -> Option<(u8, LocationKey)> {
    let (kind, rest) = key.split_first()?;
    let (at, _) = LocationKey::read(rest)?;
    Some((*kind, at))
}

fn timer_cause(kind: u8, at: &LocationKey, deadline: Timestamp) -> Cause {
    let name = match kind {
        ON_HAND_TIMER => DriftKind::OnHand.code(),
        OVERSOLD_TIMER => DriftKind::Oversold.code(),
        OVERSTATED_TIMER => DriftKind::Overstated.code(),
        UNEXPLAINED_TIMER => DriftKind::Unexplained.code(),
        RESTOCK_TIMER => returns::CODE,
        _ => "CT_RELEASE_PENDING",
    };
    let id = format!("t:{name}:{}:{}:{deadline}", at.actor, at.location);
    Cause { id, ..Cause::default() }
}

/// Quantities that arithmetic can trust.
fn checked(quantities: &[i64]) -> Result<(), Rejection> {
    match quantities.iter().find(|quantity| quantity.unsigned_abs() > QUANTITY_MAX as u64) {
        None => Ok(()),
        Some(quantity) => Err(Rejection::new(
            "CONTRACT_VIOLATION",
            "quantity_range",
            format!("{quantity} is beyond {QUANTITY_MAX} units"),
        )),
    }
}

// === impl DriftKind ===

impl DriftKind {
    const ALL: [Self; 4] = [Self::OnHand, Self::Oversold, Self::Overstated, Self::Unexplained];

    fn code(self) -> &'static str {
        match self {
            Self::OnHand => "INV_ONHAND",
            Self::Oversold => "OVERSOLD",
            Self::Overstated => "INV_CT_OVERSTATED",
            Self::Unexplained => "INV_UNEXPLAINED_DELTA",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::OnHand => "quantityOnStock",
            Self::Oversold => "onHand",
            Self::Overstated => "quantityOnStock",
            Self::Unexplained => "oldQuantityOnStock",
        }
    }

    fn timer(self) -> u8 {
        match self {
            Self::OnHand => ON_HAND_TIMER,
            Self::Oversold => OVERSOLD_TIMER,
            Self::Overstated => OVERSTATED_TIMER,
            Self::Unexplained => UNEXPLAINED_TIMER,
        }
    }
}
