//! What the binary adds to the runtime for commerce: made-up traffic and the demo.

pub mod traffic;
