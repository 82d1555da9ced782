//! `GET /dlq?code=&limit=`: the latest dead letters, read from their topic.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Shared, problem};
use crate::letters::{LIMIT_MAX, Wanted};

pub(super) async fn latest(
    State(shared): State<Shared>,
    Query(mut query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(letters) = shared.letters.as_ref().map(Arc::clone) else {
        return problem(StatusCode::NOT_FOUND, "this process has no topic of dead letters");
    };
    let limit = match query.remove("limit").map(|text| (text.parse::<usize>().ok(), text)) {
        None => 100,
        Some((Some(limit), _)) if (1..=LIMIT_MAX).contains(&limit) => limit,
        Some((_, text)) => {
            let sentence = format!("limit is {text:?}: expected 1 to {LIMIT_MAX}");
            return problem(StatusCode::BAD_REQUEST, &sentence);
        }
    };
    let wanted = Wanted { code: query.remove("code"), limit };
    if let Some(unknown) = query.keys().next() {
        let sentence = format!("{unknown} is no filter: there are code, limit");
        return problem(StatusCode::BAD_REQUEST, &sentence);
    }
    let read = tokio::task::spawn_blocking(move || letters.latest(&wanted)).await;
    match read {
        Ok(Ok(found)) => Json(json!({ "items": found })).into_response(),
        Ok(Err(error)) => problem(StatusCode::BAD_GATEWAY, &error),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
