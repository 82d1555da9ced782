//! Threads whose work can wait: where cores are scarce, a checkpoint must not hold records up.

/// So much lower than the process's own: a tenth of a busy worker's share.
#[cfg(target_os = "linux")]
const LOWER: i32 = 10;

/// Lets the present thread come after all others.
#[cfg(target_os = "linux")]
pub(super) fn come_last() {
    if let Err(error) = rustix::process::nice(LOWER) {
        tracing::debug!(%error, "a thread in the background keeps its priority");
    }
}

/// Elsewhere a priority is the whole process's.
#[cfg(not(target_os = "linux"))]
pub(super) fn come_last() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn the_thread_alone_comes_last() {
        let before = getpriority_process(None).expect("a priority");
        let there = thread::spawn(|| {
            come_last();
            getpriority_process(None)
        });
        assert_eq!(there.join().expect("no panic").expect("a priority"), (before + LOWER).min(19));
        assert_eq!(getpriority_process(None).expect("a priority"), before);
    }
}
