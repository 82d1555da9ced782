//! A full disk under the state folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    live::{Outcome, process::Service},
    round::{Round, Setup},
};

const PER_SECOND: u32 = 1_000;
const NOTICED: Duration = Duration::from_secs(60);

/// The disk of one process fills up under load: it says that it is not ready, writes nothing wrong,
/// and goes on by itself when there is room again. Where nothing may be mounted, a limit on the
/// size of files takes the place of the disk.
pub fn full(round: &mut Round<'_>) -> Outcome {
    let disk = match Disk::mount(&round.folder.join("state-0")) {
        Ok(disk) => disk,
        Err(error) => {
            round.say(&format!("{error}"));
            Disk::Limit
        }
    };
    fill_twice(round, &disk)
}

/// No file of one process may grow any more.
pub fn file_size_limit(round: &mut Round<'_>) -> Outcome {
    fill_twice(round, &Disk::Limit)
}

fn fill_twice(round: &mut Round<'_>, disk: &Disk) -> Outcome {
    let setup = Setup::new(2)
        .with("WORKER__FLUSH_INTERVAL_MS_MAX", 500)
        .with("WORKER__FLUSH_BYTES_MAX", 1 << 20);
    let setup = match disk {
        Disk::Mounted(_) => setup,
        Disk::Limit => setup.launched(launch_limited),
    };
    round.begin(&setup)?;
    round.feed(PER_SECOND);
    round.wait_fed(2_000)?;
    for _ in 0..2 {
        disk.fill(round.service(0)?)?;
        round.say("process 0 has no room");
        round.count("no room for the state of a process", 1);
        let mut why = None;
        round.wait("not ready", NOTICED, |round| {
            round.service(0)?.check_alive()?;
            why = round.service(0)?.why_not_ready();
            Ok(why.is_some())
        })?;
        round.say(&format!("it says: {}", why.unwrap_or_default()));
        disk.keep_full(round)?;
        disk.make_room(round.service(0)?)?;
        round.say("there is room again");
        round.wait_ready()?;
        round.wait_fed(round.fed_so_far() + 1_000)?;
    }
    round.settle()
}

enum Disk {
    /// A small file system of its own, and where.
    Mounted(PathBuf),
    /// `RLIMIT_FSIZE`.
    Limit,
}

/// Of a file: the process's log goes through a pipe, so that only its state meets with it.
const LIMIT_BYTES: u64 = 4_096;

impl Disk {
    fn mount(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder)?;
        let kind = ["-t", "tmpfs", "-o", "size=96m", "tmpfs"];
        let output = Command::new("mount").args(kind).arg(folder).output()?;
        if output.status.success() {
            return Ok(Self::Mounted(folder.to_owned()));
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("nothing can be mounted here: {}", why.trim()).into())
    }

    fn fill(&self, service: &Service) -> Outcome {
        let Self::Mounted(folder) = self else { return limit(service, LIMIT_BYTES) };
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(folder.join("ballast"))?;
        // The last pages one by one.
        for piece in [vec![0_u8; 1 << 20], vec![0_u8; 4_096]] {
            loop {
                match file.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// A process that gives up a database deletes files of it: that is room, and with it the
    /// process may go on for a while. Without any it must say so again.
    fn keep_full(&self, round: &mut Round<'_>) -> Outcome {
        let until = Instant::now() + Duration::from_secs(3);
        round.wait("still not ready, without room", NOTICED, |round| {
            self.fill(round.service(0)?)?;
            Ok(Instant::now() > until && !round.service(0)?.is_ready())
        })
    }

    fn make_room(&self, service: &Service) -> Outcome {
        match self {
            Self::Mounted(folder) => Ok(fs::remove_file(folder.join("ballast"))?),
            Self::Limit => limit(service, libc::RLIM_INFINITY),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(folder) = self {
            // Lazily: a process that the scenario left behind may still have it.
            let _ = Command::new("umount").arg("-l").arg(folder).output();
        }
    }
}

/// A write beyond the limit is an error, not the end of the process.
fn launch_limited(service: &Service) -> Outcome<Child> {
    let mut command = service.command(&["run"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[expect(unsafe_code, reason = "what happens between fork and exec")]
    // SAFETY: signal(2) may be called there; an ignored signal stays ignored over exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    let outputs: [Option<Box<dyn io::Read + Send>>; 2] = [
        child.stdout.take().map(|output| Box::new(output) as _),
        child.stderr.take().map(|output| Box::new(output) as _),
    ];
    for mut output in outputs.into_iter().flatten() {
        let mut log = service.open_log()?;
        thread::spawn(move || io::copy(&mut output, &mut log));
    }
    Ok(child)
}

fn limit(service: &Service, bytes: u64) -> Outcome {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    let process = i32::try_from(service.process_id()?)?;
    #[expect(unsafe_code, reason = "prlimit(2) on a child of ours")]
    // SAFETY: the limit is read, and no old one is written.
    let outcome = unsafe {
        libc::prlimit(process, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut())
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}
