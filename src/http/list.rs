//! `GET /{list}?filter=…`: rows of a store over all tasks of its stage that this process owns.
//!
//! An answer is bounded twice, by the items it holds and by the rows it looks at; a cursor goes on
//! where it ended. It names the partitions it cannot know, so that a part is never taken for all.

use std::collections::BTreeMap;

use aplomb_state::{
    backend::Snapshot,
    ids::TaskId,
    stage::StageDefinition,
    topology::{Filter, Item, List, StageState},
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
    pub after: Option<(i32, Vec<u8>)>,
}

pub(super) struct Page {
    items: Vec<Box<RawValue>>,
    /// The partition and the key to go on behind.
    next: Option<(i32, Vec<u8>)>,
    shown: Vec<i32>,
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
        cursor_of(&text).ok_or_else(|| format!("after is {text:?}: give `next` of an answer"))
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
    let mut definitions = status.topology().definitions().into_iter();
    let definition = definitions.find(|definition| definition.name == list.stage);
    let definition = definition.ok_or_else(|| format!("no stage {}", list.stage))?;
    let mut page = Page { items: Vec::new(), next: None, shown: Vec::new() };
    let mut rows = 0;
    for task in tasks(status, list) {
        let partition = task.input.partition;
        let snapshot = status.database().snapshot(&task).map_err(|error| error.to_string())?;
        let Some(snapshot) = snapshot else { continue };
        page.shown.push(partition);
        let from = match &wanted.after {
            Some((at, _)) if partition < *at => continue,
            Some((at, key)) if partition == *at => Some(key.clone()),
            _ => None,
        };
        if page.next.is_none() {
            let task = Looking { list, wanted, definition: &definition, partition };
            task.through(snapshot.as_ref(), from, &mut page, &mut rows)?;
        }
    }
    Ok(page)
}

struct Looking<'a> {
    list: &'a List,
    wanted: &'a Wanted,
    definition: &'a StageDefinition,
    partition: i32,
}

impl Looking<'_> {
    fn through(
        &self,
        snapshot: &dyn Snapshot,
        mut after: Option<Vec<u8>>,
        page: &mut Page,
        rows: &mut usize,
    ) -> Result<(), String> {
        let Looking { list, wanted, definition, partition } = *self;
        let store = definition.store(list.store).ok_or_else(|| format!("no {}", list.store))?;
        let state = StageState { definition, snapshot };
        loop {
            let found = snapshot.scan(store, &[], after.as_deref(), PAGE);
            let found = found.map_err(|error| error.to_string())?;
            for (key, value) in &found {
                for item in (list.render)(&state, key, value)? {
                    if matches(wanted, &item) {
                        let json = RawValue::from_string(item.json);
                        page.items.push(json.map_err(|error| error.to_string())?);
                    }
                }
                *rows += 1;
                if page.items.len() >= wanted.limit || *rows >= ROWS_MAX {
                    page.next = Some((partition, key.clone()));
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
fn tasks(status: &Status, list: &List) -> Vec<TaskId> {
    let owned = status.tasks().into_keys().filter(|task| *task.stage == *list.stage);
    let mut owned: Vec<TaskId> = owned.collect();
    owned.sort_by_key(|task| task.input.partition);
    owned
}

fn answer(shared: &Shared, page: Page) -> Response {
    let all = 0..shared.status.inbox_partitions();
    let elsewhere: Vec<i32> = all.filter(|one| !page.shown.contains(one)).collect();
    let body = json!({
        "next": page.next.as_ref().map(cursor),
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

fn cursor((partition, key): &(i32, Vec<u8>)) -> String {
    let mut bytes = partition.to_be_bytes().to_vec();
    bytes.extend_from_slice(key);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn cursor_of(text: &str) -> Option<(i32, Vec<u8>)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (partition, key) = bytes.split_first_chunk::<4>()?;
    Some((i32::from_be_bytes(*partition), key.to_vec()))
}
