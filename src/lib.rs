//! stub

pub mod clock;
pub mod embedded;
pub mod log;
