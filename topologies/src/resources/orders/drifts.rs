//! The drifts of orders that are open, for operators to look through.

use aplomb_state::{
    codec::{self, Format},
    context::Context,
    rejection::Rejection,
    store::KeyValue,
    topology::{Item, Rows, StateView},
};
use serde::{Deserialize, Serialize};

use crate::{exceptions, resources::NAME, resources::notices::Who, time::Iso};

use super::{ORDERS, OrderRow, outcomes::Code, systems::FIELD};

/// By the order's actor and the system, with a zero between.
pub const OPEN: KeyValue<[u8], Open> = KeyValue::new("order-drifts");

/// What there is to say of it stands in the order's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open;

impl Format for Open {
    const VERSION: u8 = 1;
}

pub const ROWS: Rows = Rows { stage: NAME, store: OPEN.name, render };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    drift_id: &'a str,
    kind: &'static str,
    status: &'static str,
    project_key: &'a str,
    order_id: &'a str,
    system: &'a str,
    field: &'static str,
    first_seen: Iso,
    opened_at: Iso,
    /// commercetools' side, and the other.
    values: [&'a str; 2],
}

pub fn key(actor: &[u8], system: &str) -> Vec<u8> {
    [actor, b"\0", system.as_bytes()].concat()
}

/// Absent: the drift has ended.
pub fn note(ctx: &mut Context<'_>, key: &[u8], open: Option<Open>) -> Result<(), Rejection> {
    match open {
        Some(open) => ctx.put(&OPEN, key, &open),
        None => ctx.delete(&OPEN, key),
    }
}

/// A drift that ended meanwhile has no item.
fn render(state: &dyn StateView, key: &[u8], _: &[u8]) -> Result<Vec<Item>, String> {
    let place = key.iter().rposition(|byte| *byte == 0).ok_or("a row without a system")?;
    let (actor, system) = key.split_at(place);
    let system = std::str::from_utf8(system).map_err(|error| error.to_string())?;
    let system = system.trim_start_matches('\0');
    let Some(bytes) = state.get(ORDERS.name, actor)? else { return Ok(Vec::new()) };
    let row: OrderRow = codec::decode(&bytes).map_err(|error| error.to_string())?;
    let Some((status, opened_at, first_seen)) = row.open_drift(system) else {
        return Ok(Vec::new());
    };
    let who = Who::of(actor).map_err(|rejection| rejection.detail.clone())?;
    let kind = Code::StateDesync.name();
    let own = row.own_states();
    let line = Line {
        drift_id: &exceptions::case_id(&who.case(kind, system)),
        kind,
        status: "open",
        project_key: who.project,
        order_id: who.id,
        system,
        field: FIELD,
        first_seen: Iso(first_seen),
        opened_at: Iso(opened_at),
        values: [&own, status],
    };
    let json = serde_json::to_string(&line).map_err(|error| error.to_string())?;
    // By the list's filters: no sku.
    let fields = ["open", kind, "", who.id].map(str::to_owned).to_vec();
    Ok(vec![Item { json, fields }])
}
