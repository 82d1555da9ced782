//! The stage `skus` against the numbered cases of the domain: what comes in, and every event,
//! availability, answer, drift and case that goes out.

mod holds;
mod records;
#[expect(clippy::panic, clippy::unwrap_used, reason = "whatever is unexpected ends the test")]
#[path = "../skus_support/mod.rs"]
mod skus_support;
mod stock;

/// A warehouse feeds stock.
const WAREHOUSE: &str = r#"{"flows": [
    {"name": "wms", "topic": "sor.wms.stock.v1", "system": "wms", "kind": "stock"}]}"#;
