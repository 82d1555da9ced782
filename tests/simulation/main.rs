//! The simulator: several processes on the embedded log and the memory backend, and one seed that
//! drives everything. `docs/simulation.md` says what it does and how a failure is replayed.

mod catalogue;
mod disk;
mod ending;
mod fate;
mod hooks;
mod judged;
mod load;
mod plan;
mod process;
mod refold;
mod running;
mod schedules;
mod switch;
#[cfg(feature = "mutations")]
mod table;
mod trace;
mod violation;
mod words;
mod world;
