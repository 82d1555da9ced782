//! The binary: an allocator for Rust, librdkafka and RocksDB alike, and the command line.

use std::process::ExitCode;

use aplomb::cli::Cli;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    without_huge_pages();
    Cli::parse().run()
}

/// A page of 2 MiB stays resident for the sake of one live object in it: with buffers that come and
/// go all the time that is a quarter more memory, and nothing gets faster
/// (`docs/decisions/no-huge-pages.md`).
fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "prctl(2) has no safe form in the standard library")]
    // SAFETY: no memory is involved. Where the kernel refuses, pages are as large as it likes.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}
