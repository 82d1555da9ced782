//! What a command says, on standard output and standard error.
//!
//! A reader that has gone away, as `head` does, wants no more: the command goes on in silence,
//! since what it does must not stop halfway. Lines that are lost for any other reason, such as a
//! full disk, make the command fail in the end: what it wrote is not whole.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    sync::{Mutex, PoisonError},
};

/// Says it on standard output, as `println!` does; see the module for what it does not do.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::output::line(format_args!($($text)*)) };
}
pub(super) use say;

/// Why standard output is not whole.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Standard output under the module's rule.
pub(super) struct Out;

/// A line of standard output.
pub(super) fn line(text: fmt::Arguments<'_>) {
    // What is lost is told by `lost`.
    let _ = writeln!(Out, "{text}");
}

/// Text as it stands.
pub(super) fn text(text: &str) {
    let _ = Out.write_all(text.as_bytes());
}

/// A line of standard error. Nobody is left to be told that it cannot be written.
pub(super) fn complain(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Why some of standard output was lost, if it was.
pub(super) fn lost() -> Option<String> {
    let _ = Out.flush();
    LOST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn judge<T>(outcome: io::Result<T>, instead: T) -> io::Result<T> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(instead),
        Err(error) if error.kind() != ErrorKind::Interrupted => {
            let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
            lost.get_or_insert_with(|| error.to_string());
            Err(error)
        }
        outcome => outcome,
    }
}

// === impl Out ===

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        judge(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        judge(io::stdout().flush(), ())
    }
}
