//! What two processes take of memory in an hour of all that happens to one.
//!
//! `make memory` starts a broker by `scripts/kafka` and two processes with the default budget, and
//! feeds them without a pause. On top of it come bursts at full speed, the end and the return of a
//! process, `kill -9`, and one that stands still and catches up. What is looked at is the kernel's
//! figure: resident memory, and its highest mark, of every process that ran. The goal: the
//! configured budget and 128 MiB. In the end `aplomb verify` must be clean.
//!
//! `MINUTES=60` says how long.

#[path = "../../tests/live/mod.rs"]
#[allow(dead_code, reason = "the tests on a real Kafka use the rest of it")]
mod live;
mod watch;

use std::{
    thread,
    time::{Duration, Instant},
};

use live::{
    Application, Outcome,
    broker::Broker,
    feed::{Feed, Pace},
    http,
    process::Service,
    resident::Resident,
    verify::verify,
};

use crate::watch::Watch;

const PARTITIONS: i32 = 8;
const SKUS: usize = 5_000;
const STEADY_PER_SECOND: u32 = 600;
const BURST: usize = 60_000;
/// As fast as the feed can.
const FULL_SPEED: u32 = 1_000_000;
const BUDGET_MIB: u64 = 256;
const BESIDE_MIB: u64 = 128;
/// A backlog is worked off far sooner.
const PATIENCE: Duration = Duration::from_secs(300);

struct Round {
    broker: Broker,
    application: Application,
    services: [Service; 2],
    watch: Watch,
    seed: u64,
    fed: usize,
}

/// What happens in a round, one after another, over the steady feed.
const PHASES: [(&str, fn(&mut Round) -> Outcome); 6] = [
    ("questions over HTTP", Round::questions),
    ("a burst", Round::burst),
    ("one ends and comes back", Round::leave_and_return),
    ("kill -9 in a burst", Round::kill_in_a_burst),
    ("one stands still", Round::stand_still),
    ("nothing but the feed", Round::quiet),
];

fn main() -> Outcome {
    let minutes = std::env::var("MINUTES").ok().filter(|text| !text.trim().is_empty());
    let minutes: u64 = minutes.as_deref().unwrap_or("60").trim().parse()?;
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let Some((broker, _)) = Broker::start("memory", &[])? else { return Ok(()) };
    let application = Application::alone("memory", PARTITIONS);
    broker.create_input(&application)?;
    let folder = tempfile::tempdir()?;
    let service = |number| {
        let mut service =
            Service::configure(&broker.bootstrap, &application, folder.path(), number)?;
        let environment = [
            ("APLOMB_APPLICATION__ORDINAL", number.to_string()),
            ("APLOMB_MEMORY__BUDGET_BYTES", (BUDGET_MIB << 20).to_string()),
            ("APLOMB_LOG__FILTER", "info".to_owned()),
        ];
        let environment = environment.map(|(key, value)| (key.to_owned(), value));
        service.environment.extend(environment);
        Outcome::Ok(service)
    };
    let services = [service(0)?, service(1)?];
    let [first, _] = &services;
    first.topics_create()?;
    let watch = Watch::start();
    let mut round = Round { broker, application, services, watch, seed: 1, fed: 0 };
    round.start(0)?;
    round.start(1)?;
    let steady = round.feed(usize::MAX, STEADY_PER_SECOND);
    round.until_both_are_ready()?;
    println!("{:>7}  {:<24} {:>10} {:>9} {:>9}", "minute", "", "fed", "resident", "highest");
    let started = Instant::now();
    while Instant::now() < until {
        for (name, phase) in PHASES {
            round.watch.begin();
            phase(&mut round)?;
            let Resident { now, highest } = round.watch.peak();
            let fed = round.fed + steady.progress().fed();
            let minute = started.elapsed().as_secs_f64() / 60.0;
            println!("{minute:>7.1}  {name:<24} {fed:>10} {now:>5} MiB {highest:>5} MiB");
        }
    }
    steady.progress().stop();
    round.fed += steady.join()?;
    round.end()
}

// === impl Round ===

impl Round {
    fn feed(&mut self, most: usize, per_second: u32) -> Feed {
        self.seed += 1;
        let pace = Pace { most, per_second, skus: SKUS, seed: self.seed };
        Feed::start(&self.broker, &self.application, pace)
    }

    fn start(&mut self, number: usize) -> Outcome {
        let service = self.services.get_mut(number).ok_or("no such process")?;
        service.start()?;
        self.watch.set(number, Some(service.process_id()?));
        Ok(())
    }

    fn with(&mut self, number: usize, end: fn(&mut Service) -> Outcome) -> Outcome {
        self.watch.set(number, None);
        end(self.services.get_mut(number).ok_or("no such process")?)
    }

    fn questions(&mut self) -> Outcome {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            for service in &self.services {
                let paths = ["orders/shop/none", "skus/shop/none", "tasks", "metrics"];
                let answers = paths.map(|path| http::get(service.port, path));
                if answers.iter().all(Option::is_none) {
                    return Err(format!("nobody answers\n{}", service.last_lines()).into());
                }
            }
        }
        Ok(())
    }

    fn burst(&mut self) -> Outcome {
        self.fed += self.feed(BURST, FULL_SPEED).join()?;
        self.caught_up()
    }

    fn leave_and_return(&mut self) -> Outcome {
        self.with(1, Service::stop)?;
        thread::sleep(Duration::from_secs(20));
        self.start(1)?;
        self.caught_up()
    }

    fn kill_in_a_burst(&mut self) -> Outcome {
        let burst = self.feed(BURST, FULL_SPEED);
        thread::sleep(Duration::from_secs(3));
        self.with(0, Service::kill)?;
        self.start(0)?;
        self.fed += burst.join()?;
        self.caught_up()
    }

    fn stand_still(&mut self) -> Outcome {
        let [_, second] = &self.services;
        second.signal(libc::SIGSTOP)?;
        thread::sleep(Duration::from_secs(25));
        second.signal(libc::SIGCONT)?;
        self.caught_up()
    }

    fn quiet(&mut self) -> Outcome {
        thread::sleep(Duration::from_secs(60));
        self.caught_up()
    }

    fn until_both_are_ready(&self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        for service in &self.services {
            while !service.is_ready() {
                if Instant::now() > deadline {
                    return Err(format!("not ready\n{}", service.last_lines()).into());
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Until no more waits than what is under way all the time: of each record some messages, and
    /// the markers of transactions.
    fn caught_up(&self) -> Outcome {
        self.until_both_are_ready()?;
        self.broker.wait_until_behind_by(&self.application, 10 * STEADY_PER_SECOND, PATIENCE)
    }

    fn end(mut self) -> Outcome {
        self.broker.wait_until_handled(&self.application, PATIENCE)?;
        let highest = self.watch.highest_of_all();
        self.with(0, Service::stop)?;
        self.with(1, Service::stop)?;
        let [first, _] = &self.services;
        let verified = verify(&self.broker, first)?;
        println!("\n{} notifications, {} inputs folded again: clean", self.fed, verified.inputs);
        println!("{highest} MiB at the most; the goal: {BUDGET_MIB} + {BESIDE_MIB} MiB");
        match highest <= BUDGET_MIB + BESIDE_MIB {
            true => Ok(()),
            false => Err("more than the budget and what may stand beside it".into()),
        }
    }
}
