//! The process's clock. Handlers never see it: their time comes from the log.

pub use crate::embedded::{Clock, SystemClock, VirtualClock};
