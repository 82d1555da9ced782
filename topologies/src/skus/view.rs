//! What an operator sees of a sku, from committed rows.

use aplomb_state::{
    codec,
    topology::{StateView, View},
};
use serde::Serialize;

use crate::time::Iso;

use super::{
    SKUS,
    drift::Watch,
    ledger::Ledger,
    records::Availability,
    state::{self, Drifts, Hold, HoldKey, LocationKey, actor_prefix},
};

const LOCATIONS_MAX: usize = 1_000;
const WAITING_MAX: usize = 20;

/// `skus/{project}/{sku}` or `skus/{project}:{sku}`.
pub fn view() -> View {
    View { name: "skus", stage: SKUS, key, render }
}

fn key(path: &str) -> Result<Vec<u8>, String> {
    let place = path.find(['/', ':']);
    let parts = place.and_then(|place| path.split_at_checked(place));
    match parts.map(|(project, rest)| (project, rest.get(1..).unwrap_or_default())) {
        Some((project, sku)) if !project.is_empty() && !sku.is_empty() => {
            Ok(format!("{project}:{sku}").into_bytes())
        }
        _ => Err("expected project/sku or project:sku".to_owned()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    project_key: &'a str,
    sku: &'a str,
    locations: Vec<Location<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    location: &'a str,
    availability: Availability<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    physical: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commercetools: Option<Reading>,
    holds: Holds,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drifts: Vec<DriftLine>,
    /// Units that commercetools has not put back after their release.
    release_pending: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    quantity: i64,
    moved_since: i64,
    as_of: Iso,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reading {
    quantity_on_stock: i64,
    available_quantity: i64,
    ordered_since: i64,
    sequence: u64,
    as_of: Iso,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Holds {
    open: i64,
    reserved: i64,
    backordered: i64,
    without_promise: i64,
    waiting_for_entry: i64,
    /// The oldest holds that lack stock.
    oldest_short: Vec<Short>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Short {
    order_id: String,
    line_item_id: String,
    ordered_at: Iso,
    reserved: i64,
    backordered: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    promise: Option<Iso>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DriftLine {
    kind: &'static str,
    status: &'static str,
    first_seen: Iso,
}

fn render(view: &dyn StateView, actor: &[u8]) -> Result<Option<String>, String> {
    let actor = std::str::from_utf8(actor).map_err(|error| error.to_string())?;
    let rows = view.scan(state::LEDGER.name, &actor_prefix(actor), LOCATIONS_MAX)?;
    let mut read = Vec::with_capacity(rows.len());
    for (key, bytes) in &rows {
        let (at, _) = LocationKey::read(key).ok_or("a ledger key cannot be read")?;
        let ledger: Ledger = codec::decode(bytes).map_err(|error| error.to_string())?;
        read.push((at, ledger));
    }
    let Some((first, _)) = read.first() else { return Ok(None) };
    let (project_key, sku) = first.parts();
    let locations = read.iter().map(|(at, ledger)| location(view, at, ledger));
    let locations = locations.collect::<Result<_, _>>()?;
    let page = Page { project_key, sku, locations };
    serde_json::to_string(&page).map(Some).map_err(|error| error.to_string())
}

fn location<'a>(
    view: &dyn StateView,
    at: &'a LocationKey,
    ledger: &Ledger,
) -> Result<Location<'a>, String> {
    let drifts = view.get(state::DRIFTS.name, &at.bytes())?;
    let drifts = drifts.map(|bytes| codec::decode::<Drifts>(&bytes)).transpose();
    let drifts = drifts.map_err(|error| error.to_string())?.unwrap_or_default();
    let lines = [("INV_ONHAND", drifts.on_hand), ("OVERSOLD", drifts.oversold)];
    let totals = &ledger.totals;
    Ok(Location {
        location: &at.location,
        availability: Availability::of(at, &ledger.figures(), ledger.as_of),
        physical: ledger.physical.as_ref().map(|physical| Count {
            quantity: physical.quantity,
            moved_since: physical.moved,
            as_of: Iso(physical.as_of),
        }),
        commercetools: ledger.platform.map(|platform| Reading {
            quantity_on_stock: platform.on_stock,
            available_quantity: platform.available,
            ordered_since: platform.since.after,
            sequence: platform.sequence,
            as_of: Iso(platform.as_of),
        }),
        holds: Holds {
            open: totals.open,
            reserved: totals.reserved,
            backordered: totals.backordered,
            without_promise: totals.unpromised,
            waiting_for_entry: totals.waiting,
            oldest_short: oldest_short(view, at)?,
        },
        drifts: lines.into_iter().filter_map(|(kind, watch)| drift_line(kind, watch)).collect(),
        release_pending: ledger.releases.pending(),
    })
}

fn oldest_short(view: &dyn StateView, at: &LocationKey) -> Result<Vec<Short>, String> {
    let mut short = Vec::new();
    for (key, _) in view.scan(state::WAITING.name, &at.bytes(), WAITING_MAX)? {
        let Some(bytes) = view.get(state::HOLDS.name, &key)? else { continue };
        let hold: Hold = codec::decode(&bytes).map_err(|error| error.to_string())?;
        let key = HoldKey::read(&key).ok_or("a hold key cannot be read")?;
        short.push(Short {
            order_id: key.order_id,
            line_item_id: key.line_id,
            ordered_at: Iso(key.ordered_at),
            reserved: hold.reserved,
            backordered: hold.backordered,
            promise: hold.promise.date().map(Iso),
        });
    }
    Ok(short)
}

fn drift_line(kind: &'static str, watch: Watch) -> Option<DriftLine> {
    let (status, first_seen) = match watch {
        Watch::Rest(_) => return None,
        Watch::Suspect { first_seen, .. } => ("suspect", first_seen),
        Watch::Open { first_seen, .. } => ("open", first_seen),
    };
    Some(DriftLine { kind, status, first_seen: Iso(first_seen) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_named_with_its_project() {
        let rows = [
            ("acme/A-1", Ok("acme:A-1")),
            ("acme:A-1", Ok("acme:A-1")),
            ("acme/A:1/x", Ok("acme:A:1/x")),
            ("acme", Err(())),
            ("acme/", Err(())),
            (":A-1", Err(())),
        ];
        for (path, expected) in rows {
            let key = key(path).map_err(|_| ());
            assert_eq!(key, expected.map(|key: &str| key.as_bytes().to_vec()), "{path}");
        }
    }
}
