//! The contract between the runtime of Aplomb and its stages.
//!
//! What it is: the handler's traits ([`stage::Stage`], [`context::Context`]), the fold that runs
//! them record by record ([`fold::Fold`]), store definitions, the overlay, the codec and the state
//! backends. What it is not: it knows no Kafka, no thread and no clock but the log's.
//!
//! # Layout
//! - [`ids`], [`record`], [`envelope`], [`effect`]: the nouns.
//! - [`stage`], [`topology`], [`rejection`]: what a topology declares.
//! - [`context`], [`fold`], [`overlay`], [`clock`]: how one input becomes effects.
//! - [`store`], [`scan`], [`codec`], [`backend`]: state and its stored form.
//! - [`mutation`]: deliberate breaks of the protocol, in test builds.
//! - [`tester`]: a whole topology in one thread, for tests without a broker.

pub mod backend;
pub mod clock;
pub mod codec;
pub mod context;
pub mod effect;
pub mod envelope;
pub mod fold;
pub mod headers;
pub mod ids;
pub mod mutation;
pub mod overlay;
pub mod partitioner;
pub mod record;
pub mod rejection;
pub mod scan;
pub mod scratch;
pub mod stage;
pub mod store;
pub mod tester;
pub mod timers;
pub mod topology;
mod work;
