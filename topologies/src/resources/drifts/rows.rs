//! The open drifts of orders and payments, for operators to look through.

use aplomb_state::{
    codec::{self, Format},
    ids::Timestamp,
    store::KeyValue,
    topology::{Item, Rows, StateView},
};
use serde::{Deserialize, Serialize};

use super::{Compared, Open, Value};
use crate::{
    drifts::SideValue,
    exceptions,
    resources::{NAME, notices::Who},
    time::Iso,
};

/// By the actor, the code and the discriminator, with a zero between.
pub const OPEN: KeyValue<[u8], Row> = KeyValue::new("resource-drifts");

pub const ROWS: Rows = Rows { stage: NAME, store: OPEN.name, render };

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    code: String,
    discriminator: String,
    /// Of the second side.
    system: String,
    field: String,
    first_seen: Timestamp,
    opened_at: Timestamp,
    values: [Value; 2],
    flaps: u32,
}

impl Format for Row {
    const VERSION: u8 = 1;
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    drift_id: &'a str,
    kind: &'a str,
    status: &'static str,
    project_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<&'a str>,
    system: &'a str,
    field: &'a str,
    first_seen: Iso,
    opened_at: Iso,
    /// In the order of the drift's sides.
    values: [SideValue<'a>; 2],
    flaps: u32,
}

pub fn key(actor: &str, compared: &Compared) -> Vec<u8> {
    [actor, compared.code, &compared.discriminator].join("\0").into_bytes()
}

impl Row {
    pub(super) fn of(compared: &Compared, open: &Open) -> Self {
        let [_, theirs] = &compared.sides;
        Self {
            code: compared.code.to_owned(),
            discriminator: compared.discriminator.clone(),
            system: theirs.source.system.clone(),
            field: compared.field.to_owned(),
            first_seen: open.first_seen,
            opened_at: open.opened_at,
            values: open.values.clone(),
            flaps: open.flaps,
        }
    }
}

fn render(_: &dyn StateView, key: &[u8], value: &[u8]) -> Result<Vec<Item>, String> {
    let row: Row = codec::decode(value).map_err(|error| error.to_string())?;
    let actor = key.split(|byte| *byte == 0).next().unwrap_or_default();
    let who = Who::of(actor).map_err(|rejection| rejection.detail.clone())?;
    let of_type = |type_id| (who.type_id == type_id).then_some(who.id);
    let (order_id, payment_id) = (of_type("order"), of_type("payment"));
    let line = Line {
        drift_id: &exceptions::case_id(&who.case(&row.code, &row.discriminator)),
        kind: &row.code,
        status: "open",
        project_key: who.project,
        order_id,
        payment_id,
        system: &row.system,
        field: &row.field,
        first_seen: Iso(row.first_seen),
        opened_at: Iso(row.opened_at),
        values: row.values.each_ref().map(Value::shown),
        flaps: row.flaps,
    };
    let json = serde_json::to_string(&line).map_err(|error| error.to_string())?;
    let of = |id: Option<&str>| id.unwrap_or_default().to_owned();
    // By the list's filters: no sku.
    let fields = ["open".to_owned(), row.code.clone(), String::new(), of(order_id), of(payment_id)];
    Ok(vec![Item { json, fields: fields.to_vec() }])
}
