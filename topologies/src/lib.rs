//! The commerce topology of Aplomb: intake, resources, skus, cases.

pub mod intake;
pub mod message_types;
pub mod messages;
pub mod resources;
pub mod settings;
