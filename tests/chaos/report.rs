//! The table: what was done to the runtime, and what `verify` said afterwards.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use crate::live::Outcome;

pub struct Row {
    pub scenario: String,
    pub faults: Vec<(String, u64)>,
    pub fed: usize,
    /// Folded again by `verify`.
    pub inputs: Option<usize>,
    pub failure: Option<String>,
    pub seconds: u64,
}

impl Row {
    /// It did not come to its start.
    pub fn failed(scenario: &str, why: &str) -> Self {
        println!("FAILED: {why}");
        let (scenario, failure) = (scenario.to_owned(), Some(why.to_owned()));
        Self { scenario, faults: Vec::new(), fed: 0, inputs: None, failure, seconds: 0 }
    }

    fn result(&self) -> &str {
        match (&self.failure, self.inputs) {
            (None, Some(_)) => "0 missing, 0 doubled, 0 different, 0 unexpected",
            (None, None) => "not judged",
            (Some(_), _) => "FAILED",
        }
    }

    fn faults(&self) -> String {
        let fault = |(name, times): &(String, u64)| format!("{name} × {times}");
        self.faults.iter().map(fault).collect::<Vec<_>>().join("; ")
    }
}

pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| Scenario | Faults, as often as they happened | Notifications | Inputs folded again | \
         `verify` | Seconds |\n|---|---|---:|---:|---|---:|\n",
    );
    for row in rows {
        let Row { scenario, fed, seconds, .. } = row;
        let inputs = row.inputs.map_or_else(|| "–".to_owned(), |count| count.to_string());
        let (faults, result) = (row.faults(), row.result());
        let _ =
            writeln!(text, "| {scenario} | {faults} | {fed} | {inputs} | {result} | {seconds} |");
    }
    text
}

/// The page under `docs/evidence`.
pub fn write_evidence(rows: &[Row], of: usize, seed: u64, commit: &str) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evidence");
    fs::create_dir_all(&folder)?;
    let seconds: u64 = rows.iter().map(|row| row.seconds).sum();
    let failed = rows.iter().filter(|row| row.failure.is_some()).count();
    let text = format!(
        "# Faults on a real Kafka\n\n\
         Written by `make chaos`; [chaos.md](../chaos.md) says how to read it. Seed {seed}, commit \
         {commit}, {machine}.\n\n\
         {count} of {of} scenarios, {failed} failed, {seconds} s.\n\n{table}",
        machine = machine(),
        count = rows.len(),
        table = table(rows),
    );
    Ok(fs::write(folder.join("chaos.md"), text)?)
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = kib.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    let gib = kib.unwrap_or(0) / (1 << 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let arch = std::env::consts::ARCH;
    format!(
        "{cores} cores ({arch}), {gib} GiB of memory, Linux {kernel}, Apache Kafka 4.3.1 beside"
    )
}

/// What is tested. Asked for before the scenarios, which take a while.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let root = env!("CARGO_MANIFEST_DIR");
        let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_some_and(|changed| !changed.is_empty()) {
        format!("{commit} with changes")
    } else {
        commit
    }
}
