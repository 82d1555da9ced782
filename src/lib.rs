//! stub

pub mod embedded;
pub mod log;
