//! What a running process says about itself, and what the kernel says about it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::live::{Outcome, http, process::Service, resident};

impl Service {
    /// Why it is not ready, if it answers and says so.
    pub fn why_not_ready(&self) -> Option<String> {
        let (status, text) = http::get(self.port, "health/ready")?;
        (status == 503).then_some(text)
    }

    /// The tasks it owns: stage and partition.
    pub fn tasks(&self) -> BTreeSet<String> {
        let Some((200, text)) = http::get(self.port, "tasks") else { return BTreeSet::new() };
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let tasks = answer.get("tasks").and_then(Value::as_array).into_iter().flatten();
        let name = |task: &Value| {
            let stage = task.get("stage")?.as_str()?;
            Some(format!("{stage}/{}", task.get("partition")?))
        };
        tasks.filter_map(name).collect()
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let Some((200, text)) = http::get(self.port, "metrics") else { return 0.0 };
        let is_it =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        text.lines().filter(is_it).filter_map(value).sum()
    }

    pub fn rss_mib(&self) -> Outcome<u64> {
        Ok(resident::read(self.process_id()?).ok_or("no VmRSS")?.now)
    }

    /// An error if it has ended by itself.
    pub fn check_alive(&mut self) -> Outcome {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("a process ended by itself: {status}").into()),
        }
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }
}
