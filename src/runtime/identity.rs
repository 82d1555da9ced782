//! Who this process is: its lock on the state folder and the ids of its workers.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::Error;
use crate::{config::Application, names};

/// Held for as long as the process runs.
pub struct Identity {
    application_id: String,
    ordinal: Option<u32>,
    workers: usize,
    /// Of this start. Names the transactional ids where there is no ordinal.
    random: u64,
    ids_file: PathBuf,
    remembered: Vec<String>,
    /// Empty, or the process that runs the service.
    lock: File,
}

impl Identity {
    /// Locks the state folder, which is made if need be, and reads whom it remembers.
    pub fn take(application: &Application, workers: usize) -> Result<Self, Error> {
        let folder = &application.state_dir;
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Error::State(format!("{}: {what}: {error}", folder.display()))
        };
        fs::create_dir_all(folder).map_err(|error| failed("cannot be made", &error))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(names::lock_file(folder))
            .map_err(|error| failed("cannot be written", &error))?;
        lock.try_lock().map_err(|_| {
            let hint = "another process has it; give each its own application.state_dir";
            failed("locked", &hint)
        })?;
        lock.set_len(0).map_err(|error| failed("cannot be written", &error))?;
        let ids_file = names::transactional_ids_file(folder);
        let remembered = match fs::read_to_string(&ids_file) {
            Ok(text) => text.lines().map(str::to_owned).filter(|id| !id.is_empty()).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed("cannot be read", &error)),
        };
        Ok(Self {
            application_id: application.id.clone(),
            ordinal: application.ordinal,
            workers,
            random: SmallRng::from_os_rng().random(),
            ids_file,
            remembered,
            lock,
        })
    }

    /// Says that this process runs the service, for `aplomb drain`.
    pub fn sign(&mut self) -> Result<(), Error> {
        writeln!(self.lock, "{}", std::process::id())
            .map_err(|error| Error::State(format!("the lock cannot be written: {error}")))
    }

    /// Ids that may have left a transaction open.
    pub fn remembered(&self) -> &[String] {
        &self.remembered
    }

    /// Writes down the ids of this start, and forgets the earlier ones, which are settled.
    pub fn remember(&mut self) -> Result<(), Error> {
        let ids: Vec<_> = (0..self.workers).map(|worker| self.transactional_id(worker)).collect();
        let failed = |error| Error::State(format!("{}: {error}", self.ids_file.display()));
        let beside = self.ids_file.with_extension("new");
        let mut file = File::create(&beside).map_err(failed)?;
        file.write_all(ids.join("\n").as_bytes()).map_err(failed)?;
        // IMPORTANT: on the disk before any of these ids opens a transaction.
        file.sync_all().map_err(failed)?;
        fs::rename(&beside, &self.ids_file).map_err(failed)?;
        self.remembered = ids;
        Ok(())
    }

    pub fn transactional_id(&self, worker: usize) -> String {
        match self.ordinal {
            Some(ordinal) => names::transactional_id(&self.application_id, ordinal, worker),
            None => names::random_transactional_id(&self.application_id, self.random, worker),
        }
    }

    /// `None`: dynamic membership.
    pub fn instance_id(&self, worker: usize) -> Option<String> {
        let ordinal = self.ordinal?;
        Some(names::instance_id(&self.application_id, ordinal, worker))
    }

    pub fn seed(&self, worker: usize) -> u64 {
        self.random.wrapping_add(u64::try_from(worker).unwrap_or(0))
    }
}
