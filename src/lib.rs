//! stub

pub mod application;
pub mod changelog;
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
pub mod http;
pub mod kafka;
pub mod log;
pub mod logging;
pub mod metrics;
pub mod names;
pub mod open;
pub mod position;
pub mod replay;
pub mod restore;
pub mod runtime;
pub mod status;
pub mod task;
pub mod topics;
pub mod verify;
pub mod worker;
