//! The commerce topology of Aplomb: intake, resources, skus, cases.

pub mod cases;
pub mod codes;
pub mod exceptions;
pub mod intake;
pub mod message_types;
pub mod messages;
pub mod outputs;
pub mod resources;
pub mod settings;
pub mod skus;
pub mod time;

#[cfg(test)]
mod testing;
