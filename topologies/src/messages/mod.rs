//! What the actors tell each other. Messages state absolute targets with a revision, never deltas:
//! doubled and late ones are harmless.

pub mod cases;
pub mod orders;
pub mod payments;
pub mod resources;
pub mod skus;
