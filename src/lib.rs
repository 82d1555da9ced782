//! stub
pub mod application;
pub mod config;
#[cfg(test)]
mod example;
pub mod log;
pub mod logging;
pub mod names;
pub mod topics;
