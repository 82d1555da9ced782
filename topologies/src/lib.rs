//! The commerce topology of Aplomb: what commerce events mean, as pure folds.
//!
//! What it is: four stages, each an actor per key, that turn commercetools notifications and stock
//! feeds into order views, reservations, availability, drift and cases. What it is not: it does no
//! I/O, reads no clock and knows no Kafka; the runtime that drives it is another crate.
//!
//! ```
//! let topology = aplomb_topologies::topology();
//! assert_eq!(topology.validate(), Ok(()));
//! let stages: Vec<_> = topology.definitions().iter().map(|stage| stage.name).collect();
//! assert_eq!(stages, ["intake", "resources", "skus", "cases"]);
//! ```
//!
//! # Layout
//! - [`intake`]: external records in, canonical messages out; bad ones to the dead letters.
//! - [`resources`]: one actor per resource: duplicates, sequence, order state, inventory entries.
//! - [`skus`]: one actor per sku: holds, stock, availability, drift.
//! - [`cases`]: one actor per exception: opened, counted, cleared, reopened.
//! - [`messages`]: what the actors tell each other. [`settings`]: flow contracts and rules.
//! - [`drifts`]: the records of drifts. [`codes`]: the exception taxonomy. [`exceptions`]: how
//!   stages raise, clear and reject.
//! - [`outputs`]: topics, headers and ids of what is written. [`time`]: ISO 8601.

use std::sync::Arc;

use aplomb_state::{ids::FoldVersion, stage::Settings, topology::Topology};

pub mod cases;
pub mod codes;
pub mod drifts;
pub mod exceptions;
pub mod intake;
pub mod message_types;
pub mod messages;
pub mod outputs;
pub mod resources;
pub mod settings;
pub mod skus;
pub mod time;

#[cfg(test)]
mod schemas;
#[cfg(test)]
mod testing;

/// Raised with every change of the handlers by which they could fold the same inbox differently.
const FOLD_VERSION: FoldVersion = FoldVersion(4);

/// The whole topology, for the runtime to run.
pub fn topology() -> Topology {
    Topology {
        name: "commerce",
        fold_version: FOLD_VERSION,
        stages: vec![
            Arc::new(intake::Intake),
            Arc::new(resources::Resources),
            Arc::new(skus::Skus),
            Arc::new(cases::Cases),
        ],
        outputs: outputs::definitions(),
        views: vec![
            resources::orders_view(),
            resources::payments_view(),
            skus::view::view(),
            cases::view(),
        ],
        lists: vec![cases::list(), drifts::list()],
        settings: parse_settings,
    }
}

fn parse_settings(body: &[u8]) -> Result<Settings, String> {
    settings::parse(body).map(|settings| Arc::new(settings) as Settings)
}
