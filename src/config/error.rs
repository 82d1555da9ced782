//! What is wrong with a configuration, all of it.

use std::{fmt, path::Path};

/// Every mistake there is. Exit with [`super::EXIT_CODE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub mistakes: Vec<Mistake>,
}

/// One key and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// `worker.threads`; empty if the file as a whole is at fault.
    pub key: String,
    pub problem: String,
}

// === impl Mistake ===

impl Mistake {
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            formatter.write_str(&self.problem)
        } else {
            write!(formatter, "{}: {}", self.key, self.problem)
        }
    }
}

// === impl Error ===

impl Error {
    pub(super) fn file(path: &Path, error: &std::io::Error) -> Self {
        let problem = format!("{} cannot be read: {error}", path.display());
        Self { mistakes: vec![Mistake::new("", problem)] }
    }

    pub(super) fn syntax(error: &toml::de::Error) -> Self {
        Self { mistakes: vec![Mistake::new("", format!("not TOML: {error}").trim_end())] }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.as_slice() {
            [only] => write!(formatter, "the configuration has a mistake\n  {only}"),
            many => {
                write!(formatter, "the configuration has {} mistakes", many.len())?;
                for mistake in many {
                    write!(formatter, "\n  {mistake}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Error {}
