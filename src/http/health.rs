//! Whether the process lives, and whether it does its work.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Shared;

/// Live unless the process stops for a cause that a restart may help with. Kubernetes restarts the
/// pod for it, so a parked task is no reason.
pub(super) async fn live(State(shared): State<Shared>) -> Response {
    match shared.status.fatal_reason() {
        None => Json(json!({ "live": true })).into_response(),
        Some(reason) => {
            let body = Json(json!({ "live": false, "reason": reason }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// Ready: every worker is a member, all owned tasks are restored and make progress.
pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    let reasons = shared.status.unready(shared.clock.now());
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    (status, Json(body)).into_response()
}
