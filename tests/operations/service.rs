//! One process, and the commands about it.

use std::{
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::live::{Application, Outcome, broker::Broker, http, process};

const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// A drained process has ended when the command says so.
const END: Duration = Duration::from_secs(10);

pub struct Service(process::Service);

/// How a command ended.
pub struct Ended(Output);

impl Service {
    /// A static member whose place would outlive it by a minute.
    pub fn configure(
        broker: &Broker,
        application: &Application,
        folder: &Path,
        ordinal: usize,
    ) -> Outcome<Self> {
        let bootstrap = &broker.bootstrap;
        let mut service = process::Service::configure(bootstrap, application, folder, ordinal)?;
        let own = [
            ("APLOMB_APPLICATION__ORDINAL", ordinal.to_string()),
            ("APLOMB_KAFKA__SESSION_TIMEOUT_MS", "60000".to_owned()),
        ];
        service.environment.extend(own.map(|(key, value)| (key.to_owned(), value)));
        Ok(Self(service))
    }

    /// From its next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.0.environment.push((key.to_owned(), value.to_owned()));
    }

    pub fn start(&mut self) -> Outcome {
        self.0.start()
    }

    /// The process was told to end, and has.
    pub fn ended_well(&mut self) -> Outcome {
        let status = self.0.wait_for_end(END)?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{status}\n{}", self.0.last_lines()).into())
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    pub fn aplomb(&self, command: &[&str]) -> Outcome<Ended> {
        let output = self.0.command(command).output()?;
        println!("aplomb {}: {}", command.join(" "), output.status);
        Ok(Ended(output))
    }

    /// Until it listens, there is no answer.
    pub fn tasks(&self) -> Outcome<Vec<Value>> {
        let (_, text) = http::get(self.0.port, "tasks").ok_or("nobody answers")?;
        let answer: Value = serde_json::from_str(&text)?;
        Ok(answer["tasks"].as_array().cloned().unwrap_or_default())
    }

    pub fn until_tasks(&self, limit: Duration, holds: impl Fn(&[Value]) -> bool) -> Outcome {
        let deadline = Instant::now() + limit;
        loop {
            let tasks = self.tasks().unwrap_or_default();
            if holds(&tasks) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = self.0.last_lines();
                return Err(format!("not so within {limit:?}: {tasks:?}\n{log}").into());
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

impl Ended {
    /// With this code, and this said on either output.
    pub fn ends(&self, code: i32, said: &str) -> Outcome {
        let text = self.text();
        if self.0.status.code() == Some(code) && text.contains(said) {
            return Ok(());
        }
        Err(format!("not {code} with {said:?}, but {}: {text}", self.0.status).into())
    }

    pub fn json(&self) -> Outcome<Value> {
        self.ends(0, "")?;
        Ok(serde_json::from_slice(&self.0.stdout)?)
    }

    /// Of `verify`.
    pub fn folded(&self) -> Outcome<usize> {
        let text = self.text();
        let count = text.lines().find_map(|line| line.strip_suffix(" inputs folded again"));
        Ok(count.ok_or("nothing was folded")?.parse()?)
    }

    fn text(&self) -> String {
        let [out, err] =
            [&self.0.stdout, &self.0.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        format!("{out}{err}")
    }
}
