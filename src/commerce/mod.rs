//! What the binary adds to the runtime for commerce: the topology, made-up traffic, the demo.

pub mod demo;
pub mod inputs;
pub mod traffic;

pub use aplomb_topologies::topology;
