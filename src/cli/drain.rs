//! `aplomb drain`: finds the process by the lock of its state folder and signals it. Whoever may
//! signal the process may drain it; no port is open for it.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{Failure, WithConfig, output::say};
use crate::names;

/// What the end of a process takes beside its workers.
const BESIDE_WORKERS: Duration = Duration::from_secs(15);
/// A process writes its number right after it has locked the folder.
const SIGNED_WITHIN: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

pub(super) const HELP: &str = "\
Run it where the process runs, with the same configuration. The process commits, gives its tasks up,
leaves the group and ends; its tasks go to the other processes at once. A process with
application.ordinal that is only stopped (SIGTERM) keeps its tasks for its return, until
kafka.session_timeout_ms is over. Use it before you take a process away for good.

Exit codes: 0 the process has ended; 1 there is none, or it did not end in time.

Example:
  aplomb drain --config aplomb.toml";

pub(super) fn run(options: &WithConfig) -> Result<(), Failure> {
    let config = options.load()?;
    let folder = &config.application.state_dir;
    let lock = names::lock_file(folder);
    let failed = |reason: String| Failure::Failed(format!("{}: {reason}", folder.display()));
    let Some(process) = running(&lock).map_err(failed)? else {
        return Err(failed("no process runs on this state folder".to_owned()));
    };
    send(process, libc::SIGUSR1)
        .map_err(|error| failed(format!("cannot signal process {process}: {error}")))?;
    say!("process {process} gives up its tasks");
    let limit = Duration::from_millis(config.worker.shutdown_ms_max) + BESIDE_WORKERS;
    let deadline = Instant::now() + limit;
    // IMPORTANT: the lock is not tried here, or a successor might find it taken.
    while is_alive(process) && has_open(process, &lock) {
        if Instant::now() > deadline {
            return Err(failed(format!(
                "process {process} was told, but runs still after {limit:?}; its log says why"
            )));
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    say!("it has ended");
    Ok(())
}

/// The process that runs the service on this folder. `None`: there is none.
fn running(lock: &Path) -> Result<Option<i32>, String> {
    let deadline = Instant::now() + SIGNED_WITHIN;
    while is_locked(lock).map_err(|error| error.to_string())? {
        let mut text = String::new();
        let read = File::open(lock).and_then(|mut file| file.read_to_string(&mut text));
        read.map_err(|error| error.to_string())?;
        match text.trim().parse() {
            Ok(process) if has_open(process, lock) => return Ok(Some(process)),
            // A number from before the folder changed hands, or none yet.
            _ if Instant::now() < deadline => thread::sleep(BETWEEN_LOOKS),
            Ok(process) => {
                return Err(format!(
                    "process {process} has it, as it says, but not here: run this in its \
                     container, as its user"
                ));
            }
            Err(_) => {
                return Err("another command is at work on it; try again when it ended".to_owned());
            }
        }
    }
    Ok(None)
}

fn is_locked(lock: &Path) -> io::Result<bool> {
    match File::open(lock) {
        Ok(file) => match file.try_lock() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            Err(fs::TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A number that was left behind may be anybody's by now: only a process with the lock file open
/// is signalled.
fn has_open(process: i32, lock: &Path) -> bool {
    let Ok(lock) = fs::canonicalize(lock) else { return false };
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else {
        // Where there is no /proc, the lock and the number are all there is.
        return !Path::new("/proc/self").exists();
    };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|open| open == lock))
}

fn is_alive(process: i32) -> bool {
    send(process, 0).is_ok()
}

/// Number 0 only asks whether the process is there.
fn send(process: i32, signal: i32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "kill(2) has no safe wrapper in the standard library")]
    // SAFETY: no memory is involved.
    let outcome = unsafe { libc::kill(process, signal) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
