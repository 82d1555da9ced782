//! One process, with its configuration, and the commands about it.

use std::{
    fs::{self, File, OpenOptions},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Outcome,
    broker::{Broker, NOTIFICATIONS},
};

pub const GROUP: &str = "operations";
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub struct Service {
    config: PathBuf,
    port: u16,
    log: PathBuf,
    child: Option<Child>,
}

/// How a command ended.
pub struct Ended(Output);

impl Service {
    /// A static member whose place would outlive it by a minute.
    pub fn configure(broker: &Broker, folder: &Path, ordinal: u32) -> Outcome<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let state = folder.join(format!("state-{ordinal}"));
        let config = folder.join(format!("aplomb-{ordinal}.toml"));
        let bootstrap = &broker.bootstrap;
        let text = format!(
            r#"
            [application]
            id = "{GROUP}"
            ordinal = {ordinal}
            state_dir = {state:?}
            [kafka]
            bootstrap = "{bootstrap}"
            session_timeout_ms = 60000
            [topics]
            partitions = 8
            [worker]
            threads = 2
            [http]
            listen = "127.0.0.1:{port}"
            [bootstrap]
            entries = "none"
            [[flows]]
            name = "commercetools"
            topic = "{NOTIFICATIONS}"
            "#
        );
        fs::write(&config, text)?;
        let log = folder.join(format!("aplomb-{ordinal}.log"));
        Ok(Self { config, port, log, child: None })
    }

    pub fn start(&mut self) -> Outcome {
        let log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = Command::new(env!("CARGO_BIN_EXE_aplomb"))
            .args(["run", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// The process was told to end, and has.
    pub fn ended_well(&mut self) -> Outcome {
        let mut child = self.child.take().ok_or("not running")?;
        let status = child.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{status}\n{}", fs::read_to_string(&self.log)?).into())
    }

    pub fn aplomb(&self, command: &[&str]) -> Outcome<Ended> {
        let mut aplomb = Command::new(env!("CARGO_BIN_EXE_aplomb"));
        let output = aplomb.args(command).arg("--config").arg(&self.config).output()?;
        println!("aplomb {}: {}", command.join(" "), output.status);
        Ok(Ended(output))
    }

    pub fn tasks(&self) -> Outcome<Vec<Value>> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .into();
        let mut answer = agent.get(format!("http://127.0.0.1:{}/tasks", self.port)).call()?;
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        let tasks = answer.as_array().or_else(|| answer["tasks"].as_array());
        Ok(tasks.cloned().unwrap_or_default())
    }

    pub fn until_tasks(&self, limit: Duration, holds: impl Fn(&[Value]) -> bool) -> Outcome {
        let deadline = Instant::now() + limit;
        loop {
            // Until it listens, there is no answer.
            let tasks = self.tasks().unwrap_or_default();
            if holds(&tasks) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = fs::read_to_string(&self.log)?;
                return Err(format!("not so within {limit:?}: {tasks:?}\n{log}").into());
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
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
