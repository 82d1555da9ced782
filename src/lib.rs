//! stub
pub mod config;
pub mod log;
pub mod logging;
pub mod names;
