//! The commerce topology of Aplomb: intake, resources, skus, cases.

pub mod cases;
pub mod codes;
pub mod exceptions;
pub mod messages;
pub mod outputs;
pub mod settings;
pub mod skus;
pub mod time;
