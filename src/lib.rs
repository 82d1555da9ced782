//! Aplomb: an exactly-once, stateful stream processor on Apache Kafka and RocksDB.
//!
//! What it is: a runtime as one knows it from Kafka Streams (tasks, changelogs, restore,
//! rebalance, timers, views), and the commerce topology that runs on it by default. What it is
//! not: it knows no commerce by itself. Without the feature `commerce` any
//! [`aplomb_state::topology::Topology`] can be run with [`worker`] or, in memory, with [`driver`].
//!
//! # Layout
//! - [`log`]: the seam to the broker; [`kafka`] and [`embedded`] are its two sides.
//! - [`application`], [`config`], [`names`], [`topics`]: what runs, and what it is called.
//! - [`worker`]: the loop; [`task`], [`open`], [`restore`], [`changelog`], [`position`]: its parts.
//! - [`runtime`]: a process with its threads; [`driver`]: one worker in virtual time.
//! - [`replay`], [`verify`]: what would it give, and is it right?
//! - [`checkpoint`]: inboxes trimmed, and what `verify` folds from then.
//! - [`operator`], [`generation`], [`scan`]: offsets restored, a new generation begun.
//! - [`letters`]: dead letters looked at and sent again.
//! - [`http`], [`status`], [`metrics`], [`logging`], [`describe`]: for people.
//! - `cli`, `commerce`: the binary.

// These panic where nothing can be written; `cli/output.rs` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod application;
pub mod changelog;
pub mod checkpoint;
#[cfg(feature = "commerce")]
pub mod cli;
pub mod clock;
#[cfg(feature = "commerce")]
pub mod commerce;
pub mod config;
pub mod describe;
pub mod driver;
pub mod embedded;
#[cfg(test)]
mod example;
pub mod generation;
pub mod http;
pub mod kafka;
pub mod letters;
pub mod log;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod open;
pub mod operator;
pub mod position;
pub mod replay;
pub mod restore;
pub mod runtime;
pub mod scan;
pub mod status;
pub mod task;
pub mod topics;
pub mod verify;
pub mod worker;
