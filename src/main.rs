//! The binary: an allocator for Rust, librdkafka and RocksDB alike, and the command line.

use std::process::ExitCode;

use aplomb::cli::Cli;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc reads at its start; the environment's `MALLOC_CONF` overrides it. What is freed
/// goes back to the system within a second, not ten: buffers come and go all the time, and what is
/// kept of them counts beside the budget (`docs/decisions/jemalloc.md`).
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "jemalloc looks for a C string under this name")]
// SAFETY: nothing else in the program is of this name. It is a pointer to a C string, as declared.
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &u8 = &b"narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0\0"[0];

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
