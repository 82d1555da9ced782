//! What happened, step by step: kept only where somebody wants to read it.

use std::sync::{Arc, Mutex, PoisonError};

/// Clones write into one trace.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Mutex<Lines>>>);

#[derive(Default)]
struct Lines {
    prefix: String,
    lines: Vec<String>,
    is_printed: bool,
}

impl Trace {
    /// Kept, to be compared.
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// Printed as it goes.
    pub fn printed() -> Self {
        Self(Some(Arc::new(Mutex::new(Lines { is_printed: true, ..Lines::default() }))))
    }

    /// What stands before each line from now on: the step and the time.
    pub fn step(&self, prefix: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            lines.lock().unwrap_or_else(PoisonError::into_inner).prefix = prefix();
        }
    }

    pub fn say(&self, line: impl FnOnce() -> String) {
        let Some(lines) = &self.0 else { return };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{} {}", lines.prefix, line());
        if lines.is_printed {
            println!("{line}");
        } else {
            lines.lines.push(line);
        }
    }

    pub fn lines(&self) -> Vec<String> {
        let Some(lines) = &self.0 else { return Vec::new() };
        lines.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }
}
