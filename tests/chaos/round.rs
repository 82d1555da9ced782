//! One scenario at work: its application on the shared broker, its processes, its traffic, the
//! faults it has seen, and the judgement at the end.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    live::{
        Application, Outcome,
        feed::{Feed, Pace},
        process::Service,
        verify::{Verified, verify},
        views,
    },
    proxy::{Laid, Rule},
    world::World,
};

/// A condition is looked at so often.
const STEP: Duration = Duration::from_millis(50);
/// Joining a group over a connection that is dead takes a minute to fail.
pub const READY: Duration = Duration::from_secs(90);
/// From the last fault until all is handled.
pub const SETTLED: Duration = Duration::from_secs(120);

/// Until a broker that came back has caught up.
const IN_SYNC: Duration = Duration::from_secs(60);

/// How the processes of a scenario are set up.
pub struct Setup {
    pub processes: usize,
    /// Each has an ordinal: a restart moves no task.
    pub is_static: bool,
    /// Keys of the configuration for all of them, as their environment has them.
    pub environment: Vec<(&'static str, String)>,
    /// How they are started, if not in the usual way.
    pub launch: Option<fn(&Service) -> Outcome<Child>>,
}

impl Setup {
    pub fn new(processes: usize) -> Self {
        Self { processes, is_static: false, environment: Vec::new(), launch: None }
    }

    pub fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.environment.push((key, value.to_string()));
        self
    }

    pub fn launched(self, launch: fn(&Service) -> Outcome<Child>) -> Self {
        Self { launch: Some(launch), ..self }
    }

    pub fn fixed(self) -> Self {
        Self { is_static: true, ..self }
    }
}

pub struct Round<'a> {
    pub world: &'a World,
    pub application: Application,
    pub folder: PathBuf,
    pub services: Vec<Service>,
    pub random: SmallRng,
    pub seed: u64,
    pub fed: usize,
    pub verified: Option<Verified>,
    feed: Option<Feed>,
    laid: Vec<Arc<Laid>>,
    faults: BTreeMap<String, u64>,
    started: Instant,
}

impl<'a> Round<'a> {
    pub fn new(world: &'a World, name: &str, seed: u64) -> Outcome<Self> {
        let id = format!("{name}-{seed}");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos").join(&id);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let (input, prefix) = (format!("{id}.notifications"), format!("{id}.out."));
        Ok(Self {
            world,
            application: Application { input, prefix, ..Application::alone(&id, 4) },
            folder,
            services: Vec::new(),
            random: SmallRng::seed_from_u64(seed),
            seed,
            fed: 0,
            verified: None,
            feed: None,
            laid: Vec::new(),
            faults: BTreeMap::new(),
            started: Instant::now(),
        })
    }

    // === set-up

    /// Topics are there, and all processes run and are ready.
    pub fn begin(&mut self, setup: &Setup) -> Outcome {
        self.world.broker.create_input(&self.application)?;
        for _ in 0..setup.processes {
            self.add_service(setup)?;
        }
        let first = self.services.first().ok_or("no process")?;
        first.topics_create()?;
        for service in &mut self.services {
            service.start()?;
        }
        self.wait_ready()
    }

    /// Configures one more, without starting it.
    pub fn add_service(&mut self, setup: &Setup) -> Outcome<usize> {
        let number = self.services.len();
        let bootstrap = crate::world::bootstrap(self.world);
        let mut service = Service::configure(&bootstrap, &self.application, &self.folder, number)?;
        let mut set = |key: &str, value: String| {
            service.environment.push((format!("APLOMB_{key}"), value));
        };
        // The proxy tells processes apart by it.
        set("KAFKA__PROPERTIES__CLIENT_ID", client(number));
        set("KAFKA__SESSION_TIMEOUT_MS", "6000".to_owned());
        if setup.is_static {
            set("APPLICATION__ORDINAL", number.to_string());
        }
        for (key, value) in &setup.environment {
            set(key, value.clone());
        }
        if let Some(launch) = setup.launch {
            service.launch = launch;
        }
        self.services.push(service);
        Ok(number)
    }

    pub fn feed(&mut self, per_second: u32) {
        self.feed_with(Pace { most: usize::MAX, per_second, skus: 200, seed: self.seed });
    }

    pub fn feed_with(&mut self, pace: Pace) {
        self.feed = Some(Feed::start(&self.world.broker, &self.application, pace));
    }

    pub fn fed_so_far(&self) -> usize {
        self.feed.as_ref().map_or(self.fed, |feed| feed.progress().fed())
    }

    /// Ends the traffic before its count is reached.
    pub fn end_feed(&mut self) -> Outcome {
        if let Some(feed) = self.feed.take() {
            feed.progress().stop();
            self.fed += feed.join()?;
        }
        Ok(())
    }

    /// Waits for the end of traffic that has one.
    pub fn join_feed(&mut self) -> Outcome {
        if let Some(feed) = self.feed.take() {
            self.fed += feed.join()?;
        }
        Ok(())
    }

    // === faults

    pub fn lay(&mut self, rule: Rule) -> Arc<Laid> {
        let laid = self.world.proxy.lay(rule);
        self.laid.push(Arc::clone(&laid));
        laid
    }

    pub fn lift(&mut self) {
        self.world.proxy.lift_all();
        for laid in std::mem::take(&mut self.laid) {
            self.count(&laid.rule.to_string(), laid.fired());
        }
    }

    pub fn count(&mut self, fault: &str, times: u64) {
        *self.faults.entry(fault.to_owned()).or_default() += times;
    }

    pub fn kill(&mut self, number: usize) -> Outcome {
        self.say(&format!("kill -9 of process {number}"));
        self.count("kill -9", 1);
        self.service(number)?.kill()
    }

    pub fn signal(&mut self, number: usize, signal: i32) -> Outcome {
        if signal == libc::SIGSTOP {
            self.say(&format!("SIGSTOP of process {number}"));
            self.count("SIGSTOP", 1);
        } else {
            self.say(&format!("signal {signal} to process {number}"));
        }
        self.service(number)?.signal(signal)
    }

    pub fn start(&mut self, number: usize) -> Outcome {
        self.say(&format!("start of process {number}"));
        self.service(number)?.start()
    }

    /// SIGTERM, and a clean end.
    pub fn stop(&mut self, number: usize) -> Outcome {
        self.say(&format!("SIGTERM to process {number}"));
        self.service(number)?.stop()
    }

    /// Of the only broker: it goes and comes while no transaction waits for its markers.
    pub fn broker(&mut self, command: &str, more: &[&str]) -> Outcome {
        let text = format!("broker {command} {}", more.join(" "));
        self.say(text.trim());
        self.count(text.trim(), 1);
        match command {
            "restart" | "halt" => {
                let broker = &self.world.broker;
                broker.command_between_transactions(&self.services, command, more)
            }
            _ => self.world.broker.command(0, command, more),
        }
    }

    /// Of one of several brokers, whatever is under way, once the other has all its data.
    /// Answers which.
    pub fn broker_of_two(&mut self, command: &str, more: &[&str]) -> Outcome<usize> {
        self.in_sync()?;
        let victim = self.random.random_range(0..self.world.broker.count());
        let text = format!("{command} {}", more.join(" "));
        self.say(&format!("broker {} of two: {}", victim + 1, text.trim()));
        self.count(&format!("one of two brokers: {}", text.trim()), 1);
        self.world.broker.command(victim, command, more)?;
        Ok(victim)
    }

    pub fn in_sync(&mut self) -> Outcome {
        let begun = Instant::now();
        self.world.broker.wait_in_sync(IN_SYNC)?;
        self.say(&format!("all replicas in sync after {:.1} s", begun.elapsed().as_secs_f32()));
        Ok(())
    }

    pub fn service(&mut self, number: usize) -> Outcome<&mut Service> {
        self.services.get_mut(number).ok_or_else(|| format!("no process {number}").into())
    }

    // === waiting

    /// The schedule of a scenario, not a wait for something to happen.
    pub fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    pub fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&mut Self) -> Outcome<bool>,
    ) -> Outcome {
        let deadline = Instant::now() + limit;
        while !is_so(self)? {
            if Instant::now() > deadline {
                return Err(format!("{what}: not within {limit:?}").into());
            }
            std::thread::sleep(STEP);
        }
        Ok(())
    }

    /// Every running process is ready.
    pub fn wait_ready(&mut self) -> Outcome {
        let begun = Instant::now();
        let outcome = self.wait("ready", READY, |round| {
            round.check_alive()?;
            Ok(round.running().all(Service::is_ready))
        });
        let reasons: Vec<_> = self.running().filter_map(Service::why_not_ready).collect();
        self.say(&format!("ready after {:.1} s", begun.elapsed().as_secs_f32()));
        outcome.map_err(|error| format!("{error}; {}", reasons.join("; ")).into())
    }

    /// A fault has happened so often.
    pub fn wait_fired(&mut self, laid: &Laid, times: u64, limit: Duration) -> Outcome {
        let what = format!("{} {times} times", laid.rule);
        let outcome = self.wait(&what, limit, |round| {
            round.check_alive()?;
            Ok(laid.fired() >= times)
        });
        outcome.map_err(|error| format!("{error}, but {} times", laid.fired()).into())
    }

    pub fn wait_fed(&mut self, count: usize) -> Outcome {
        let limit = Duration::from_secs(60);
        self.wait("fed", limit, |round| Ok(round.fed_so_far() >= count))
    }

    pub fn running(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| service.is_running())
    }

    fn check_alive(&mut self) -> Outcome {
        self.services.iter_mut().try_for_each(Service::check_alive)
    }

    // === the judgement

    /// Without faults from here on: all is handled, HTTP agrees with the topics, every process ends
    /// in order, and `verify` is clean.
    pub fn settle(&mut self) -> Outcome {
        self.settle_within(SETTLED)
    }

    pub fn settle_within(&mut self, limit: Duration) -> Outcome {
        self.lift();
        self.end_feed()?;
        self.say(&format!("{} notifications fed", self.fed));
        if self.world.broker.count() > 1 {
            self.in_sync()?;
        }
        self.wait_handled(limit)?;
        self.wait_ready()?;
        let views = Duration::from_secs(60);
        let same = views::compare(&self.world.broker, &self.application, &self.services, views)?;
        self.say(&format!("the same over HTTP: {same:?}"));
        for number in 0..self.services.len() {
            if self.service(number)?.is_running() {
                self.stop(number)?;
            }
        }
        self.verify()
    }

    /// What was fed has gone through all stages.
    pub fn wait_handled(&mut self, limit: Duration) -> Outcome {
        let handled = self.world.broker.wait_until_handled(&self.application, limit);
        self.check_alive()?;
        handled?;
        self.say("all handled");
        Ok(())
    }

    pub fn verify(&mut self) -> Outcome {
        let first = self.services.first().ok_or("no process")?;
        let verified = verify(&self.world.broker, first)?;
        for line in verified.text.lines() {
            self.say(line);
        }
        self.verified = Some(verified);
        Ok(())
    }

    /// Faults and how often each has happened.
    pub fn faults(&mut self) -> Vec<(String, u64)> {
        self.lift();
        std::mem::take(&mut self.faults).into_iter().collect()
    }

    pub fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    pub fn say(&self, text: &str) {
        println!("{:>7.1} s  {text}", self.started.elapsed().as_secs_f32());
    }
}

/// The `client.id` of a process.
pub fn client(number: usize) -> String {
    format!("p{number}")
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.world.proxy.lift_all();
    }
}
