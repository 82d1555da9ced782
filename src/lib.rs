//! stub
pub mod application;
pub mod config;
pub mod kafka;
pub mod log;
pub mod logging;
pub mod names;
pub mod topics;
