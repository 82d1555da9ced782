//! `GET /{list}?filter=…`: rows of stores over all tasks of their stages that this process owns.
//!
//! An answer is bounded twice, by the items it holds and by the rows it looks at; a cursor goes on
//! where it ended. It names the partitions it cannot know, so that a part is never taken for all.

use std::collections::{BTreeMap, BTreeSet};

use aplomb_state::{
    backend::Snapshot,
    ids::TaskId,
    scan::Scan,
    stage::StageDefinition,
    topology::{Filter, Item, List, Rows, StageState},
};
use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{json, value::RawValue};

use super::{Shared, known, problem};
use crate::status::Status;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Rows looked at for one answer.
const ROWS_MAX: usize = 20_000;
const PAGE: usize = 500;

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// By the list's filters, in their order.
    pub fields: Vec<Option<String>>,
    pub limit: usize,
    pub after: Option<Cursor>,
}

/// Where an answer ended: the place of the rows in the list, the partition and the key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    rows: u8,
    partition: i32,
    key: Vec<u8>,
}

pub(super) struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<Cursor>,
    /// Partitions of which all was looked at that there is in this process.
    shown: BTreeSet<i32>,
}

pub(super) async fn show(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(list) = find(&shared.status, &name) else {
        let sentence = format!("there is no such page; {}", known(&shared));
        return problem(StatusCode::NOT_FOUND, &sentence);
    };
    let wanted = match read(list.filters, query) {
        Ok(wanted) => wanted,
        Err(sentence) => return problem(StatusCode::BAD_REQUEST, &sentence),
    };
    // The database may read from disk: not on a thread that serves others.
    let status = shared.status.clone();
    let page = tokio::task::spawn_blocking(move || look(&status, &list, &wanted)).await;
    match page {
        Ok(Ok(page)) => answer(&shared, page),
        Ok(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(super) fn find(status: &Status, name: &str) -> Option<List> {
    status.topology().lists.iter().find(|list| list.name == name).cloned()
}

/// The one item whose field of that name has that value, wherever this process has it.
pub(super) fn item(
    status: &Status,
    list: &List,
    field: &str,
    value: &str,
) -> Result<Option<Box<RawValue>>, String> {
    let Some(place) = list.filters.iter().position(|filter| filter.name == field) else {
        return Ok(None);
    };
    let mut fields = vec![None; list.filters.len()];
    if let Some(wanted) = fields.get_mut(place) {
        *wanted = Some(value.to_owned());
    }
    let mut wanted = Wanted { fields, limit: 1, after: None };
    loop {
        let page = look(status, list, &wanted)?;
        if let Some(found) = page.items.into_iter().next() {
            return Ok(Some(found));
        }
        match page.next {
            Some(next) => wanted.after = Some(next),
            None => return Ok(None),
        }
    }
}

fn read(filters: &[Filter], mut query: BTreeMap<String, String>) -> Result<Wanted, String> {
    let limit = match query.remove("limit") {
        None => LIMIT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| format!("limit is {text:?}: expected 1 to {LIMIT_MAX}"))?,
    };
    let after = query.remove("after").map(|text| {
        Cursor::read(&text).ok_or_else(|| format!("after is {text:?}: give `next` of an answer"))
    });
    let mut fields = Vec::with_capacity(filters.len());
    for filter in filters {
        let value = query.remove(filter.name);
        if let Some(value) = &value
            && !filter.values.is_empty()
            && !filter.values.contains(&value.as_str())
        {
            let allowed = filter.values.join(", ");
            return Err(format!("{} is {value:?}: allowed are {allowed}", filter.name));
        }
        fields.push(value);
    }
    if let Some(unknown) = query.keys().next() {
        let names: Vec<_> = filters.iter().map(|filter| filter.name).collect();
        let names = names.join(", ");
        return Err(format!("{unknown} is no filter: there are {names}, limit, after"));
    }
    Ok(Wanted { fields, limit, after: after.transpose()? })
}

fn look(status: &Status, list: &List, wanted: &Wanted) -> Result<Page, String> {
    let definitions = status.topology().definitions();
    let mut page = Page { items: Vec::new(), next: None, shown: BTreeSet::new() };
    let mut seen = 0;
    for (place, rows) in (0..).zip(list.rows) {
        let definition = definitions.iter().find(|definition| definition.name == rows.stage);
        let definition = definition.ok_or_else(|| format!("no stage {}", rows.stage))?;
        let mut here = BTreeSet::new();
        for task in tasks(status, rows) {
            let partition = task.input.partition;
            let snapshot = status.database().snapshot(&task).map_err(|error| error.to_string())?;
            let Some(snapshot) = snapshot else { continue };
            here.insert(partition);
            let from = match &wanted.after {
                Some(after) if (place, partition) < (after.rows, after.partition) => continue,
                Some(after) if (place, partition) == (after.rows, after.partition) => {
                    Some(after.key.clone())
                }
                _ => None,
            };
            if page.next.is_none() {
                let looking = Looking { rows, wanted, definition, place, partition };
                looking.through(snapshot.as_ref(), from, &mut page, &mut seen)?;
            }
        }
        page.shown = if place == 0 { here } else { &page.shown & &here };
    }
    Ok(page)
}

struct Looking<'a> {
    rows: &'a Rows,
    wanted: &'a Wanted,
    definition: &'a StageDefinition,
    place: u8,
    partition: i32,
}

impl Looking<'_> {
    fn through(
        &self,
        snapshot: &dyn Snapshot,
        mut after: Option<Vec<u8>>,
        page: &mut Page,
        seen: &mut usize,
    ) -> Result<(), String> {
        let Looking { rows, wanted, definition, place, partition } = *self;
        let store = definition.store(rows.store).ok_or_else(|| format!("no {}", rows.store))?;
        let state = StageState { definition, snapshot };
        loop {
            let found = snapshot.scan(store, Scan::rising(&[], after.as_deref(), PAGE));
            let found = found.map_err(|error| error.to_string())?;
            for (key, value) in &found {
                for item in (rows.render)(&state, key, value)? {
                    if matches(wanted, &item) {
                        let json = RawValue::from_string(item.json);
                        page.items.push(json.map_err(|error| error.to_string())?);
                    }
                }
                *seen += 1;
                if page.items.len() >= wanted.limit || *seen >= ROWS_MAX {
                    page.next = Some(Cursor { rows: place, partition, key: key.clone() });
                    return Ok(());
                }
            }
            match found.last() {
                Some((key, _)) if found.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
        }
    }
}

fn matches(wanted: &Wanted, item: &Item) -> bool {
    let mut pairs = wanted.fields.iter().zip(&item.fields);
    pairs.all(|(wanted, field)| wanted.as_ref().is_none_or(|wanted| wanted == field))
}

/// The stage's tasks that this process owns, by partition.
fn tasks(status: &Status, rows: &Rows) -> Vec<TaskId> {
    let owned = status.tasks().into_keys().filter(|task| *task.stage == *rows.stage);
    let mut owned: Vec<TaskId> = owned.collect();
    owned.sort_by_key(|task| task.input.partition);
    owned
}

fn answer(shared: &Shared, page: Page) -> Response {
    let all = 0..shared.status.inbox_partitions();
    let elsewhere: Vec<i32> = all.filter(|one| !page.shown.contains(one)).collect();
    let body = json!({
        "next": page.next.as_ref().map(Cursor::write),
        "partitions": { "shown": page.shown, "elsewhere": elsewhere },
    });
    let rest = body.to_string();
    let rest = rest.strip_prefix('{').unwrap_or(&rest);
    let items: Vec<&str> = page.items.iter().map(|item| item.get()).collect();
    let text = format!("{{\"items\":[{}],{rest}", items.join(","));
    match RawValue::from_string(text) {
        Ok(body) => Json(body).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

// === impl Cursor ===

impl Cursor {
    fn write(&self) -> String {
        let mut bytes = vec![self.rows];
        bytes.extend_from_slice(&self.partition.to_be_bytes());
        bytes.extend_from_slice(&self.key);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (rows, rest) = bytes.split_first()?;
        let (partition, key) = rest.split_first_chunk::<4>()?;
        Some(Self { rows: *rows, partition: i32::from_be_bytes(*partition), key: key.to_vec() })
    }
}
