//! `GET /{view}/{id…}`: one thing, from the committed state of the task that owns it.

use aplomb_state::{
    ids::TaskId,
    topology::{List, StageState, View},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{json, value::RawValue};

use super::{Shared, iso, known, list, problem};
use crate::status::{Status, TaskState, TaskStatus};

pub(super) async fn show(
    State(shared): State<Shared>,
    Path((name, id)): Path<(String, String)>,
) -> Response {
    let view = shared.status.topology().views.iter().find(|view| view.name == name).cloned();
    let Some(view) = view else {
        let sentence = format!("there is no view {name}; {}", known(&shared));
        return problem(StatusCode::NOT_FOUND, &sentence);
    };
    let key = match (view.key)(&id) {
        Ok(key) => key,
        Err(expected) => return by_id(&shared, &name, id, expected).await,
    };
    let task = shared.status.task_of(view.stage, &key);
    let Some(owned) = shared.status.task_status(&task) else {
        let sentence = format!(
            "this process does not own {task}, which holds it; ask the process whose /tasks \
             lists that partition"
        );
        return problem(StatusCode::MISDIRECTED_REQUEST, &sentence);
    };
    // The database may read from disk: not on a thread that serves others.
    let status = shared.status.clone();
    let read_task = task.clone();
    let read = tokio::task::spawn_blocking(move || read(&status, &view, &read_task, &key)).await;
    match read {
        Ok(Ok(Some(found))) => answer(&shared, &task, &owned, found),
        Ok(Ok(None)) => {
            let restoring = match owned.state {
                TaskState::Running => "",
                _ => "; the task is not running yet, so it may come",
            };
            let sentence = format!("{name} has no {id}{restoring}");
            problem(StatusCode::NOT_FOUND, &sentence)
        }
        Ok(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// An id that names no actor: a list of the same name may have an item with it.
async fn by_id(shared: &Shared, name: &str, id: String, expected: String) -> Response {
    let has_id = |list: &List| list.filters.iter().any(|filter| filter.name == "id");
    let Some(list) = list::find(&shared.status, name).filter(has_id) else {
        return problem(StatusCode::BAD_REQUEST, &expected);
    };
    let status = shared.status.clone();
    let wanted = id.clone();
    let found =
        tokio::task::spawn_blocking(move || list::item(&status, &list, "id", &wanted)).await;
    match found {
        Ok(Ok(Some(item))) => Json(json!({ "value": item })).into_response(),
        Ok(Ok(None)) => {
            let sentence = format!(
                "{name} has no {id} in the partitions of this process; {expected}, or ask the others"
            );
            problem(StatusCode::NOT_FOUND, &sentence)
        }
        Ok(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What one snapshot says: value and position belong together.
struct Found {
    value: Box<RawValue>,
    next: Option<i64>,
}

fn read(status: &Status, view: &View, task: &TaskId, key: &[u8]) -> Result<Option<Found>, String> {
    let snapshot = status.database().snapshot(task).map_err(|error| error.to_string())?;
    let Some(snapshot) = snapshot else { return Ok(None) };
    let mut definitions = status.topology().definitions().into_iter();
    let definition = definitions
        .find(|definition| definition.name == view.stage)
        .ok_or_else(|| format!("no stage {}", view.stage))?;
    let state = StageState { definition: &definition, snapshot: snapshot.as_ref() };
    let Some(text) = (view.render)(&state, key)? else { return Ok(None) };
    let value = RawValue::from_string(text)
        .map_err(|error| format!("the view {} rendered no JSON: {error}", view.name))?;
    Ok(Some(Found { value, next: snapshot.position().map(|position| position.inbox.0) }))
}

fn answer(shared: &Shared, task: &TaskId, owned: &TaskStatus, found: Found) -> Response {
    let lag = match (owned.end, found.next) {
        (Some(end), Some(next)) => Some((end.0 - next).max(0)),
        _ => None,
    };
    let age_ms = owned.as_of.map(|at| (shared.clock.now().0 - at.0).max(0));
    let body = json!({
        "position": {
            "stage": &*task.stage,
            "topic": &*task.input.topic,
            "partition": task.input.partition,
            "next": found.next,
        },
        "asOf": owned.as_of.and_then(iso),
        "ageMs": age_ms,
        "lag": lag,
        "state": owned.state.name(),
    });
    // The value goes out as the view wrote it, digit for digit.
    let rest = body.to_string();
    let rest = rest.strip_prefix('{').unwrap_or(&rest);
    let text = format!("{{\"value\":{},{rest}", found.value.get());
    match RawValue::from_string(text) {
        Ok(body) => Json(body).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
