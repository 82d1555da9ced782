//! One `aplomb run` process, to be started, killed, stopped and asked.

use std::{
    fs::{self, File, OpenOptions},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Outcome,
    broker::{Broker, NOTIFICATIONS},
};

pub struct Service {
    pub config: PathBuf,
    pub port: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Service {
    pub fn configure(broker: &Broker, folder: &Path, ordinal: u32) -> Outcome<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let state = folder.join(format!("state-{ordinal}"));
        let config = folder.join(format!("aplomb-{ordinal}.toml"));
        fs::write(
            &config,
            format!(
                r#"
                [application]
                id = "faults"
                state_dir = {state:?}
                [kafka]
                bootstrap = "{bootstrap}"
                transaction_timeout_ms = 10000
                session_timeout_ms = 10000
                [topics]
                partitions = 8
                [worker]
                threads = 2
                [log]
                filter = "info,aplomb=debug,librdkafka=error"
                [http]
                listen = "127.0.0.1:{port}"
                [bootstrap]
                entries = "none"
                [configuration]
                revision = 1
                [[flows]]
                name = "commercetools"
                topic = "{NOTIFICATIONS}"
                system = "commercetools"
                kind = "commercetools"
                owner = "integration-ops"
                "#,
                bootstrap = broker.bootstrap,
            ),
        )?;
        let log = folder.join(format!("aplomb-{ordinal}.log"));
        Ok(Self { config, port, log, child: None })
    }

    pub fn group(&self) -> String {
        "faults".to_owned()
    }

    pub fn topics_create(&self) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_aplomb"))
            .args(["topics", "create", "--config"])
            .arg(&self.config)
            .output()?;
        if output.status.success() { Ok(()) } else { Err(format!("{output:?}").into()) }
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

    pub fn signal(&self, signal: i32) -> Outcome {
        let child = self.child.as_ref().ok_or("not running")?;
        let id = i32::try_from(child.id())?;
        #[expect(unsafe_code, reason = "kill(2) on a child of ours that was not waited for")]
        // SAFETY: no memory is involved.
        let outcome = unsafe { libc::kill(id, signal) };
        if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
    }

    pub fn kill(&mut self) -> Outcome {
        let mut child = self.child.take().ok_or("not running")?;
        if let Some(status) = child.try_wait()? {
            return Err(format!("it had ended by itself: {status}\n{}", self.last_lines()).into());
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM, and a clean end within the deadline.
    pub fn stop(&mut self) -> Outcome {
        self.signal(libc::SIGTERM)?;
        let mut child = self.child.take().ok_or("not running")?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = child.try_wait()? {
                let failed = format!("{status}\n{}", self.last_lines());
                return if status.success() { Ok(()) } else { Err(failed.into()) };
            }
            if Instant::now() > deadline {
                child.kill()?;
                return Err(format!("no clean end in 30 s\n{}", self.last_lines()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(400).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            // Still running at the end of the test: it has failed.
            println!("{}", self.last_lines());
        }
    }
}
