//! The binary: an allocator for Rust, librdkafka and RocksDB alike, and the command line.

use std::process::ExitCode;

use aplomb::cli::Cli;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
