//! What an operator can look through: suspected and open drifts of stock, from committed rows.

use aplomb_state::{
    codec,
    store::StoreKey,
    topology::{Item, Rows, StateView},
};
use serde::Serialize;

use crate::{exceptions, time::Iso};

use super::{
    DriftKind, SKUS,
    compare::drift_key,
    drift::{Values, Watch},
    state::{DRIFTS, Drifts, LocationKey, SOURCES, Sources},
};

pub const ROWS: Rows = Rows { stage: SKUS, store: DRIFTS.name, render };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    drift_id: &'a str,
    kind: &'static str,
    status: &'static str,
    project_key: &'a str,
    sku: &'a str,
    location: &'a str,
    field: &'static str,
    first_seen: Iso,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_at: Option<Iso>,
    /// commercetools' side, and the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<[i64; 2]>,
    flaps: u32,
}

fn render(state: &dyn StateView, key: &[u8], value: &[u8]) -> Result<Vec<Item>, String> {
    let Some((at, _)) = LocationKey::read(key) else {
        return Err("a row of drifts without a location".to_owned());
    };
    let drifts: Drifts = codec::decode(value).map_err(|error| error.to_string())?;
    let mut row = Vec::new();
    at.write(&mut row);
    let sources = state.get(SOURCES.name, &row)?;
    let sources = sources.map(|bytes| codec::decode::<Sources>(&bytes)).transpose();
    let sources = sources.map_err(|error| error.to_string())?.unwrap_or_default();
    let mut items = Vec::new();
    for kind in DriftKind::ALL {
        let (status, first_seen, opened_at, values, past) = match drifts.get(kind) {
            Watch::Rest(_) => continue,
            Watch::Suspect { first_seen, past, .. } => ("suspect", first_seen, None, None, past),
            Watch::Open { first_seen, opened_at, values, past } => {
                ("open", first_seen, Some(opened_at), Some(values), past)
            }
        };
        let drift_id = exceptions::case_id(&drift_key(&at, kind, &sources));
        let line = Line {
            drift_id: &drift_id,
            kind: kind.code(),
            status,
            project_key: at.project(),
            sku: at.sku(),
            location: &at.location,
            field: kind.field(),
            first_seen: Iso(first_seen),
            opened_at: opened_at.map(Iso),
            values: values.map(|Values { ours, theirs }| [ours, theirs]),
            flaps: past.flaps,
        };
        let json = serde_json::to_string(&line).map_err(|error| error.to_string())?;
        // By the list's filters: no order, no payment.
        let fields = [status, kind.code(), at.sku(), "", ""].map(str::to_owned).to_vec();
        items.push(Item { json, fields });
    }
    Ok(items)
}

impl Drifts {
    fn get(&self, kind: DriftKind) -> Watch {
        match kind {
            DriftKind::OnHand => self.on_hand,
            DriftKind::Oversold => self.oversold,
            DriftKind::Overstated => self.overstated,
            DriftKind::Unexplained => self.unexplained,
        }
    }
}
