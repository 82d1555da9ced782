//! Threads whose work can wait: where cores are scarce, a checkpoint must not hold records up.

use rustix::process::setpriority_process;

/// A tenth of a busy worker's share.
const NICE: i32 = 10;

/// Lets the present thread come after all others. Where the system keeps one priority for all of a
/// process, nothing changes.
pub(super) fn come_last() {
    #[cfg(target_os = "linux")]
    if let Err(error) = setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread in the background keeps its priority");
    }
}

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
        assert_eq!(there.join().expect("no panic").expect("a priority"), NICE.max(before));
        assert_eq!(getpriority_process(None).expect("a priority"), before);
    }
}
