//! One suite of behaviour for both logs: what the worker may rely on, whichever it runs on.

mod embedded;
mod kafka;
mod suite;
