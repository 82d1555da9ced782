//! What the kernel says of a process's memory.

use std::fs;

/// In MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resident {
    pub now: u64,
    /// The highest mark since the start of the process.
    pub highest: u64,
}

/// `None`: it is no more.
pub fn read(process: u32) -> Option<Resident> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mib = |field: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib.div_ceil(1_024))
    };
    Some(Resident { now: mib("VmRSS:")?, highest: mib("VmHWM:")? })
}
