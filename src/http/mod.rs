//! The HTTP API: health, metrics, tasks, the topology's views and lists from committed state, and
//! dead letters.
//!
//! Invariants:
//! - `HTTP-COMMITTED` an answer shows committed state only, with its position and age.
//! - `HTTP-OWNER` a view is answered by the process that owns the key; others say so.

mod health;
mod letters;
mod list;
mod tasks;
#[cfg(test)]
mod test;
mod token;
mod view;

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use aplomb_state::ids::Timestamp;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{clock::Clock, letters::Letters, metrics, status::Status};

/// Bound to its address, and not serving yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Shared,
}

/// What every handler may use.
#[derive(Clone)]
struct Shared {
    status: Status,
    metrics: Option<PrometheusHandle>,
    clock: Arc<dyn Clock>,
    letters: Option<Arc<dyn Letters>>,
    token: Option<Arc<str>>,
}

impl Server {
    /// `metrics`: what [`metrics::install`] gave.
    pub async fn bind(
        listen: SocketAddr,
        status: Status,
        metrics: Option<PrometheusHandle>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let shared = Shared { status, metrics, clock, letters: None, token: None };
        Ok(Self { listener, address, shared })
    }

    /// Callers must bear it, but for health.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.shared.token = Some(token.into());
        self
    }

    /// Where `/dlq` reads.
    #[must_use]
    pub fn with_letters(mut self, letters: Arc<dyn Letters>) -> Self {
        self.shared.letters = Some(letters);
        self
    }

    /// Where it listens: the port is known even if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` ends; requests under way are answered.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        axum::serve(self.listener, router(self.shared)).with_graceful_shutdown(stop).await
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(render_metrics))
        .route("/tasks", get(tasks::list))
        .route("/dlq", get(letters::latest))
        .route("/{list}", get(list::show))
        .route("/{view}/{*id}", get(view::show))
        .fallback(unknown)
        .method_not_allowed_fallback(only_get)
        .layer(middleware::from_fn_with_state(shared.clone(), token::check))
        .with_state(shared)
}

/// What there is to ask for.
async fn index(State(shared): State<Shared>) -> Response {
    let views = shared.status.topology().views.iter();
    let views: Vec<String> = views.map(|view| format!("/{}/{{id}}", view.name)).collect();
    let lists = shared.status.topology().lists.iter().map(|list| {
        let filters = list.filters.iter().map(|filter| format!("{}=", filter.name));
        format!("/{}?{}", list.name, filters.collect::<Vec<_>>().join("&"))
    });
    let lists: Vec<String> = lists.collect();
    let fixed = ["/health/live", "/health/ready", "/metrics", "/tasks", "/dlq"];
    Json(json!({ "views": views, "lists": lists, "also": fixed })).into_response()
}

async fn render_metrics(State(shared): State<Shared>) -> Response {
    let Some(handle) = &shared.metrics else {
        return problem(StatusCode::NOT_FOUND, "metrics are not collected in this process");
    };
    metrics::record_status(&shared.status, shared.clock.now());
    handle.run_upkeep();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, handle.render()).into_response()
}

async fn unknown(State(shared): State<Shared>) -> Response {
    problem(StatusCode::NOT_FOUND, &format!("there is no such page; {}", known(&shared)))
}

async fn only_get() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "everything here is asked for with GET")
}

fn known(shared: &Shared) -> String {
    let views = shared.status.topology().views.iter().map(|view| format!("/{}/ID", view.name));
    let all: Vec<String> = views
        .chain(shared.status.topology().lists.iter().map(|list| format!("/{}", list.name)))
        .chain(["/dlq", "/tasks", "/metrics", "/health/live", "/health/ready"].map(str::to_owned))
        .collect();
    format!("known are {}", all.join(", "))
}

/// Every error is JSON with one sentence.
fn problem(status: StatusCode, sentence: &str) -> Response {
    (status, Json(json!({ "error": sentence }))).into_response()
}

/// ISO 8601 in UTC with milliseconds.
fn iso(at: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(at.0).ok()?;
    Some(format!("{time:.3}"))
}
