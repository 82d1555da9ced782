//! Readings of stock: from the inventory entry, and from a warehouse.

use std::sync::Arc;

use aplomb_state::{context::Context, ids::Timestamp, rejection::Rejection};

use crate::{
    drifts::Source,
    messages::skus::{CartHolds, EntryDeleted, EntryReading, StockKind, WarehouseStock},
    settings::Settings,
};

use super::{
    COMMERCETOOLS, batches, checked,
    ledger::{Checkpoint, Physical, Restock, Since},
    returns::Restocked,
    site::{Occasion, Site},
    state::{Entry, HOLDS, HoldKey, LocationKey, SOURCES, Sources, TOLD, Told},
};

/// As long as the feed keeps its records, one may come again.
const TOLD_KEEP_MS: i64 = 30 * 86_400_000;
/// The warehouse's word for a movement that belongs to a delivery.
const SHIPMENT: &str = "shipment";
/// The warehouse's word for returned units on the shelf again.
const RESTOCK: &str = "restock";

pub fn read_entry(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    actor: &str,
    reading: EntryReading,
) -> Result<(), Rejection> {
    let carts = reading.carts.unwrap_or(CartHolds { units: 0, as_of: reading.as_of });
    let told = [Some(carts.units), reading.safety_stock, reading.restockable_in_days];
    let told = told.map(Option::unwrap_or_default);
    checked(&[&[reading.on_stock], &told[..]].concat())?;
    let at = LocationKey::new(actor, reading.location.as_str());
    let mut sources = ctx.get(&SOURCES, &at)?.unwrap_or_default();
    let entry = Entry { id: reading.entry_id, revision: reading.revision, as_of: reading.as_of };
    let again = sources.entry.as_ref() == Some(&entry);
    if let Some(batch_id) = reading.batch_id.as_ref().filter(|_| !again) {
        batches::told(ctx, at.project(), COMMERCETOOLS, batch_id)?;
    }
    if sources.entry.as_ref().is_some_and(|known| !entry.follows(known)) {
        return Ok(());
    }
    let same_entry = sources.entry.as_ref().is_some_and(|known| known.id == entry.id);
    sources.entry = Some(entry);
    sources.platform = Source::at_hand(ctx, COMMERCETOOLS, &reading.cause);
    ctx.put(&SOURCES, &at, &sources)?;
    let on = Occasion::new(at, reading.cause, reading.as_of);
    let mut site = Site::open(ctx, settings, on)?;
    let restock =
        Restock { in_days: reading.restockable_in_days, expected: reading.expected_delivery };
    site.all_waiting = restock != site.ledger.restock;
    site.ledger.restock = restock;
    site.ledger.safety = reading.safety_stock.unwrap_or(0);
    site.ledger.as_of = site.ledger.as_of.max(reading.as_of);
    let before = site.ledger.platform;
    let mut checkpoint = Checkpoint {
        on_stock: reading.on_stock,
        available: reading.on_stock - carts.units,
        as_of: reading.as_of,
        sequence: reading.sequence,
        carts_as_of: carts.as_of,
        since: Since::default(),
    };
    site.count_ordered(&mut checkpoint)?;
    if let (Some(before), Some(old)) = (&before, reading.old_on_stock.filter(|_| same_entry)) {
        site.ledger.unexplained.read(old, before, &checkpoint);
    }
    site.ledger.platform = Some(checkpoint);
    site.ledger.judge_overstated(settings.rules.ct_stock_semantics);
    let risen = before.map_or(0, |before| checkpoint.on_stock_now() - before.on_stock_now());
    if risen > 0 {
        site.ledger.releases.put_back(reading.as_of, risen);
    }
    site.close()
}

pub fn delete_entry(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    actor: &str,
    deleted: EntryDeleted,
) -> Result<(), Rejection> {
    let at = LocationKey::new(actor, deleted.location.as_str());
    let mut sources = ctx.get(&SOURCES, &at)?.unwrap_or_default();
    // The deletion of another entry than the one in use says nothing about this one.
    let Some(known) = sources.entry.as_mut().filter(|known| known.id == deleted.entry_id) else {
        return Ok(());
    };
    if deleted.revision <= known.revision {
        return Ok(());
    }
    known.revision = deleted.revision;
    known.as_of = known.as_of.max(deleted.as_of);
    sources.platform = Source::at_hand(ctx, COMMERCETOOLS, &deleted.cause);
    ctx.put(&SOURCES, &at, &sources)?;
    let on = Occasion::new(at, deleted.cause, deleted.as_of);
    let mut site = Site::open(ctx, settings, on)?;
    site.ledger.platform = None;
    site.ledger.as_of = site.ledger.as_of.max(deleted.as_of);
    let totals = site.ledger.totals;
    if totals.open > 0 && !site.ledger.entry_deleted {
        site.ledger.entry_deleted = true;
        let detail = format!(
            "entry {} is gone; {} holds with {} reserved units are kept",
            deleted.entry_id, totals.open, totals.reserved
        );
        site.raise("RESERVE_ENTRY_DELETED", detail)?;
    }
    site.close()
}

pub fn read_warehouse(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    actor: &str,
    stock: WarehouseStock,
) -> Result<(), Rejection> {
    checked(&[stock.quantity])?;
    match stock.kind {
        StockKind::Snapshot => read_snapshot(ctx, settings, actor, stock),
        StockKind::Delta => read_delta(ctx, settings, actor, stock),
    }
}

fn read_snapshot(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    actor: &str,
    stock: WarehouseStock,
) -> Result<(), Rejection> {
    let at = LocationKey::new(actor, stock.location.as_str());
    let WarehouseStock { system, flow, batch_id, quantity, as_of, cause, .. } = stock;
    let batch_id = batch_id.as_deref();
    let site = Site::open(ctx, settings, Occasion::new(at, cause, as_of))?;
    let known = site.ledger.physical.as_ref();
    let again = known.is_some_and(|known| known.is_of(as_of, &system, batch_id));
    if let Some(batch_id) = batch_id.filter(|_| !again) {
        batches::told(site.ctx, site.on.at.project(), &system, batch_id)?;
    }
    count(site, Count { system: &system, flow: &flow, batch_id, quantity, as_of })
}

/// What a system counted at a location.
pub struct Count<'a> {
    pub system: &'a str,
    pub flow: &'a str,
    pub batch_id: Option<&'a str>,
    pub quantity: i64,
    pub as_of: Timestamp,
}

/// What was counted, with the movements after the count on top (case 42).
pub fn count(mut site: Site<'_, '_>, counted: Count<'_>) -> Result<(), Rejection> {
    let Count { system, flow, batch_id, quantity, as_of } = counted;
    let last = site.ledger.physical.clone();
    if let Some(last) = last.as_ref().filter(|last| as_of < last.as_of) {
        if last.system != system {
            // Another system counts here, and did so later.
            return Ok(());
        }
        site.ledger.stale = true;
        let detail = format!(
            "a snapshot of {system} as of {} came after the one as of {}",
            crate::time::format(as_of),
            crate::time::format(last.as_of)
        );
        site.raise("STALE_SNAPSHOT", detail)?;
        return site.close();
    }
    if site.ledger.stale {
        site.ledger.stale = false;
        site.clear("STALE_SNAPSHOT")?;
    }
    if last.is_some_and(|last| last.is_of(as_of, system, batch_id)) {
        // The same count again, be it with another quantity: the first is kept.
        return site.close();
    }
    let moved = site.moved_after(as_of)?;
    let (system, batch_id) = (system.to_owned(), batch_id.map(str::to_owned));
    let warehouse = Source::at_hand(site.ctx, &system, &site.on.cause);
    site.ledger.physical = Some(Physical { system, batch_id, quantity, as_of, moved });
    site.ledger.as_of = site.ledger.as_of.max(as_of);
    let semantics = site.settings.rules.ct_stock_semantics;
    site.ledger.judge_overstated(semantics);
    site.keep_warehouse(Source { flow: flow.to_owned(), ..warehouse })?;
    site.close()
}

fn read_delta(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    actor: &str,
    stock: WarehouseStock,
) -> Result<(), Rejection> {
    // One source moves stock for shipments; from others they would count twice.
    let shipment = stock.reason.as_deref() == Some(SHIPMENT);
    if shipment && settings.rules.shipments_from != stock.system {
        return Ok(());
    }
    let Some(event_id) = &stock.event_id else {
        let rule = "delta_event_id";
        return Err(Rejection::new("CONTRACT_VIOLATION", rule, "a stock delta needs an eventId"));
    };
    let id = format!("{}/{event_id}", stock.system);
    let told = [actor.as_bytes(), b"\0", id.as_bytes()].concat();
    if ctx.get_expiring(&TOLD, told.as_slice())?.is_some() {
        return Ok(());
    }
    let until = ctx.now().plus_ms(TOLD_KEEP_MS);
    ctx.put_expiring(&TOLD, told.as_slice(), &Told, until)?;
    let restock = (stock.reason.as_deref() == Some(RESTOCK)).then(|| Restocked {
        at: stock.as_of,
        units: stock.quantity,
        order_number: stock.order_number.clone(),
        line_id: stock.line_id.clone(),
    });
    let at = LocationKey::new(actor, stock.location.as_str());
    let warehouse = source_of_feed(ctx, &stock);
    let on = Occasion::new(at, stock.cause, stock.as_of);
    let mut site = Site::open(ctx, settings, on)?;
    let before = site.ledger.on_hand();
    let is_new = site.move_stock(stock.as_of, &id, stock.quantity)?;
    if let Some(restock) = restock.filter(|restock| is_new && restock.units > 0) {
        site.restocked(restock)?;
    }
    if site.ledger.on_hand() != before {
        site.ledger.as_of = site.ledger.as_of.max(stock.as_of);
        site.keep_warehouse(warehouse)?;
    }
    site.close()
}

fn source_of_feed(ctx: &Context<'_>, stock: &WarehouseStock) -> Source {
    Source { flow: stock.flow.clone(), ..Source::at_hand(ctx, &stock.system, &stock.cause) }
}

// === impl Physical ===

impl Physical {
    fn is_of(&self, as_of: Timestamp, system: &str, batch_id: Option<&str>) -> bool {
        (self.as_of, self.system.as_str(), self.batch_id.as_deref()) == (as_of, system, batch_id)
    }
}

// === impl Entry ===

impl Entry {
    /// Whether this reading comes after the known one. An entry that was deleted and created
    /// again has a new id and counts its revisions anew (case 48).
    fn follows(&self, known: &Self) -> bool {
        if self.id == known.id { self.revision > known.revision } else { self.as_of >= known.as_of }
    }
}

// === impl Site ===

impl Site<'_, '_> {
    fn keep_warehouse(&mut self, warehouse: Source) -> Result<(), Rejection> {
        let known = self.ctx.get(&SOURCES, &self.on.at)?.unwrap_or_default();
        self.ctx.put(&SOURCES, &self.on.at, &Sources { warehouse, ..known })
    }

    /// Counts what orders have taken off the platform's figures around and after a reading. Holds
    /// lie in the order of their orders, so only those are looked at.
    fn count_ordered(&mut self, reading: &mut Checkpoint) -> Result<(), Rejection> {
        let settle_ms = self.settings.rules.settle_ms;
        let mut from = reading.as_of.minus_ms(settle_ms);
        if reading.cart_holds() > 0 {
            from = from.min(reading.carts_as_of);
        }
        self.each_from(&HOLDS, from, |key, hold| {
            if let Some(key) = HoldKey::read(key) {
                reading.count(key.ordered_at, hold.deducted, hold.mode, settle_ms);
            }
        })
    }
}
