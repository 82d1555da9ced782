//! One `aplomb run` process, to be started, killed, stopped and asked.

use std::{
    fs::{self, File, OpenOptions},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use super::{Application, Outcome, http};

/// A clean end takes at most so long.
const END: Duration = Duration::from_secs(30);

pub struct Service {
    pub config: PathBuf,
    pub port: u16,
    /// Keys of the configuration that are this process's own, as its environment.
    pub environment: Vec<(String, String)>,
    pub log: PathBuf,
    /// How it is started.
    pub launch: fn(&Self) -> Outcome<Child>,
    pub child: Option<Child>,
}

impl Service {
    pub fn configure(
        bootstrap: &str,
        application: &Application,
        folder: &Path,
        number: usize,
    ) -> Outcome<Self> {
        let port = free_port()?;
        let state = folder.join(format!("state-{number}"));
        let config = folder.join(format!("aplomb-{number}.toml"));
        let Application { id, input, prefix, inboxes, outputs, workers, .. } = application;
        fs::write(
            &config,
            format!(
                r#"
                [application]
                id = "{id}"
                state_dir = {state:?}
                [kafka]
                bootstrap = "{bootstrap}"
                transaction_timeout_ms = 10000
                session_timeout_ms = 10000
                [topics]
                prefix = "{prefix}"
                partitions = {inboxes}
                output_partitions = {outputs}
                [worker]
                threads = {workers}
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
                topic = "{input}"
                system = "commercetools"
                kind = "commercetools"
                owner = "integration-ops"
                "#,
            ),
        )?;
        let log = folder.join(format!("aplomb-{number}.log"));
        let environment = Vec::new();
        Ok(Self { config, port, environment, log, launch: Self::launch, child: None })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aplomb"));
        command.args(arguments).arg("--config").arg(&self.config);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    pub fn topics_create(&self) -> Outcome {
        let output = self.command(&["topics", "create"]).output()?;
        if output.status.success() { Ok(()) } else { Err(format!("{output:?}").into()) }
    }

    pub fn start(&mut self) -> Outcome {
        self.child = Some((self.launch)(self)?);
        Ok(())
    }

    fn launch(&self) -> Outcome<Child> {
        let log = self.open_log()?;
        let mut command = self.command(&["run"]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command.spawn()?)
    }

    pub fn open_log(&self) -> Outcome<File> {
        Ok(OpenOptions::new().create(true).append(true).open(&self.log)?)
    }

    pub fn signal(&self, signal: i32) -> Outcome {
        let child = self.child.as_ref().ok_or("not running")?;
        let id = i32::try_from(child.id())?;
        #[expect(unsafe_code, reason = "kill(2) on a child of ours that was not waited for")]
        // SAFETY: no memory is involved.
        let outcome = unsafe { libc::kill(id, signal) };
        if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
    }

    pub fn process_id(&self) -> Outcome<u32> {
        Ok(self.child.as_ref().ok_or("not running")?.id())
    }

    pub fn is_ready(&self) -> bool {
        http::get(self.port, "health/ready").is_some_and(|(status, _)| status == 200)
    }

    /// It runs, and no SIGSTOP holds it.
    pub fn is_awake(&self) -> bool {
        let Some(child) = &self.child else { return false };
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:") && !line.contains("T (stopped)"))
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
        let status = self.wait_for_end(END)?;
        let failed = format!("{status}\n{}", self.last_lines());
        if status.success() { Ok(()) } else { Err(failed.into()) }
    }

    /// Killed if it has not ended by then.
    pub fn wait_for_end(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let mut child = self.child.take().ok_or("not running")?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                return Err(format!("no end within {limit:?}\n{}", self.last_lines()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(60).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Below the ports that outgoing connections get: a killed process finds its own free again.
fn free_port() -> Outcome<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 4_000)?;
    loop {
        let tried = NEXT.fetch_add(1, Ordering::Relaxed);
        if tried == 4_000 {
            return Err("no free port".into());
        }
        let port = 12_000 + (start + tried) % 8_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
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
