//! A full disk under the state folder.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    live::Outcome,
    round::{Round, Setup},
};

const PER_SECOND: u32 = 1_000;
const NOTICED: Duration = Duration::from_secs(60);

/// The disk of one process fills up under load: it says that it is not ready, writes nothing wrong,
/// and goes on by itself when there is room again.
pub fn full(round: &mut Round<'_>) -> Outcome {
    let setup = Setup::new(2)
        .with("WORKER__FLUSH_INTERVAL_MS_MAX", 500)
        .with("WORKER__FLUSH_BYTES_MAX", 1 << 20);
    let disk = Disk::mount(&round.folder.join("state-0"))?;
    round.begin(&setup)?;
    round.feed(PER_SECOND);
    round.wait_fed(2_000)?;
    for _ in 0..2 {
        disk.fill()?;
        round.say("the disk of process 0 is full");
        round.count("disk full", 1);
        let mut why = None;
        round.wait("not ready", NOTICED, |round| {
            round.service(0)?.check_alive()?;
            why = round.service(0)?.why_not_ready();
            Ok(why.is_some())
        })?;
        round.say(&format!("it says: {}", why.unwrap_or_default()));
        round.pass(Duration::from_secs(3));
        disk.make_room()?;
        round.say("there is room again");
        round.wait_ready()?;
        round.wait_fed(round.fed_so_far() + 1_000)?;
    }
    round.settle()
}

/// A small file system of its own. It needs the right to mount.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder)?;
        let kind = ["-t", "tmpfs", "-o", "size=96m", "tmpfs"];
        let output = Command::new("mount").args(kind).arg(folder).output()?;
        if output.status.success() { Ok(Self(folder.to_owned())) } else { Err(refusal(&output)) }
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn fill(&self) -> Outcome {
        let mut file = File::create(self.ballast())?;
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

    fn make_room(&self) -> Outcome {
        Ok(fs::remove_file(self.ballast())?)
    }
}

fn refusal(output: &std::process::Output) -> Box<dyn std::error::Error + Send + Sync> {
    format!("a small disk cannot be mounted: {}", String::from_utf8_lossy(&output.stderr)).into()
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that the scenario left behind may still have it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
