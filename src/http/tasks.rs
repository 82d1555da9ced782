//! The tasks this process owns.

use aplomb_state::ids::{TaskId, Timestamp};
use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{Shared, iso};
use crate::status::TaskStatus;

pub(super) async fn list(State(shared): State<Shared>) -> Json<Value> {
    let now = shared.clock.now();
    let tasks = shared.status.tasks();
    let tasks: Vec<Value> = tasks.iter().map(|(id, status)| task(id, status, now)).collect();
    Json(json!({ "tasks": tasks }))
}

fn task(id: &TaskId, status: &TaskStatus, now: Timestamp) -> Value {
    json!({
        "stage": &*id.stage,
        "topic": &*id.input.topic,
        "partition": id.input.partition,
        "worker": status.worker,
        "state": status.state.name(),
        "detail": status.state,
        "next": status.position.map(|next| next.0),
        "end": status.end.map(|end| end.0),
        "lag": status.lag(),
        "asOf": status.as_of.and_then(iso),
        "ageMs": status.as_of.map(|at| (now.0 - at.0).max(0)),
        "stillMs": (now.0 - status.progressed.0).max(0),
        "pendingMs": status.pending_ms,
    })
}
