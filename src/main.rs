//! The binary: an allocator for Rust, librdkafka and RocksDB alike, and the command line.

use std::process::ExitCode;

use aplomb::cli::Cli;
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    without_huge_pages();
    give_memory_back();
    Cli::parse().run()
}

/// What is freed goes back to the system after 10 ms, not after a second: buffers come and go all
/// the time, and a second's worth of them is more than a quarter of the budget
/// (`docs/decisions/mimalloc-override.md`). `MIMALLOC_PURGE_DELAY` overrides it.
fn give_memory_back() {
    use std::ffi::{c_int, c_long};

    #[expect(unsafe_code, reason = "the crate has no safe form of it")]
    unsafe extern "C" {
        fn mi_option_set_default(option: c_int, value: c_long);
    }
    const PURGE_DELAY: c_int = 15;
    const MILLISECONDS: c_long = 10;
    #[expect(unsafe_code, reason = "the crate has no safe form of it")]
    // SAFETY: the allocator is linked in, and looks at its options anew whenever it needs them.
    unsafe {
        mi_option_set_default(PURGE_DELAY, MILLISECONDS);
    }
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
