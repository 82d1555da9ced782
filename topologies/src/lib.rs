//! The commerce topology of Aplomb: intake, resources, skus, cases.

pub mod messages;
pub mod settings;
pub mod skus;
