//! The bearer token, where one is configured.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use subtle::ConstantTimeEq;

use super::{Shared, problem};

/// Whoever watches over the process must reach these without a secret.
const OPEN: &str = "/health/";

pub(super) async fn check(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let Some(token) = &shared.token else { return next.run(request).await };
    let told = request.headers().get(header::AUTHORIZATION);
    let told = told.and_then(|told| told.as_bytes().strip_prefix(b"Bearer "));
    // In constant time, so that nobody learns the token byte by byte.
    let bears = told.is_some_and(|told| bool::from(told.ct_eq(token.as_bytes())));
    if bears || request.uri().path().starts_with(OPEN) {
        return next.run(request).await;
    }
    let sentence = "send `Authorization: Bearer TOKEN` with the token of http.token_file";
    let mut answer = problem(StatusCode::UNAUTHORIZED, sentence);
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}
