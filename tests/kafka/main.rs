//! Exactly once on real Apache Kafka: running traffic, two processes with two workers each, and
//! every fault falls into it. Afterwards `aplomb verify` compares record by record, and what the
//! HTTP API answers is what the compacted topics hold.

mod broker;
mod feed;
mod process;
mod views;

use std::{
    error::Error,
    process::Command,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{broker::Broker, feed::Feed, process::Service};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const NOTIFICATIONS: usize = 40_000;
const PER_SECOND: u32 = 1_000;
const PAUSE: Duration = Duration::from_secs(25);

/// What happens at a second of the feed.
enum Fault {
    Kill,
    Pause,
    Resume,
    RestartBroker,
}

const FAULTS: [(u64, Fault); 8] = [
    (4, Fault::Kill),
    (7, Fault::Pause),
    (12, Fault::Kill),
    (18, Fault::Kill),
    (24, Fault::Kill),
    (7 + PAUSE.as_secs(), Fault::Resume),
    (34, Fault::RestartBroker),
    (38, Fault::Kill),
];

#[test]
fn nothing_is_missing_doubled_or_different_after_every_fault() -> Outcome {
    let Some(broker) = Broker::start()? else { return Ok(()) };
    let seed: u64 =
        std::env::var("APLOMB_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    println!("seed {seed} (APLOMB_TEST_SEED replays the choice of victims)");
    let mut random = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    broker.create_input(8)?;
    let mut services = [
        Service::configure(&broker, folder.path(), 0)?,
        Service::configure(&broker, folder.path(), 1)?,
    ];
    services[0].topics_create()?;
    for service in &mut services {
        service.start()?;
    }
    let started = Instant::now();
    let feed = Feed::start(&broker, NOTIFICATIONS, PER_SECOND, seed);
    let mut paused = None;
    for (second, fault) in FAULTS {
        sleep_until(started + Duration::from_secs(second));
        match fault {
            Fault::Kill => {
                let victim = match paused {
                    // A stopped process is killed in its sleep by another test; here it must wake.
                    Some(paused) => 1 - paused,
                    None => random.random_range(0..2),
                };
                println!("{second:>4} s  kill -9 of process {victim}");
                services[victim].kill()?;
                services[victim].start()?;
            }
            Fault::Pause => {
                let victim = random.random_range(0..2);
                println!("{second:>4} s  SIGSTOP of process {victim} for {PAUSE:?}");
                services[victim].signal(libc::SIGSTOP)?;
                paused = Some(victim);
            }
            Fault::Resume => {
                let victim = paused.take().unwrap_or(0);
                println!("{second:>4} s  SIGCONT of process {victim}");
                services[victim].signal(libc::SIGCONT)?;
            }
            Fault::RestartBroker => {
                println!("{second:>4} s  broker restart");
                broker.restart()?;
            }
        }
    }
    let fed = feed.join()?;
    println!("{:>4} s  {fed} notifications fed", started.elapsed().as_secs());
    broker.wait_until_handled(&services[0].group(), Duration::from_secs(90))?;
    println!("{:>4} s  all handled", started.elapsed().as_secs());
    let compared = views::compare(&broker, &services, Duration::from_secs(60))?;
    println!(
        "{:>4} s  orders, cases and availabilities are the same over HTTP: {compared:?}",
        started.elapsed().as_secs()
    );
    for service in &mut services {
        service.stop()?;
    }
    verify(&services[0])?;
    println!("{:>4} s  verified", started.elapsed().as_secs());
    Ok(())
}

fn verify(service: &Service) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_aplomb"))
        .arg("verify")
        .arg("--config")
        .arg(&service.config)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tail: Vec<&str> = text.lines().rev().take(40).collect();
    for line in tail.iter().rev() {
        println!("        {line}");
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "verify: {} {errors}", output.status);
    assert!(text.contains("0 missing, 0 doubled, 0 different, 0 unexpected"));
    assert!(text.lines().any(|line| {
        let count = line.strip_suffix(" inputs folded again").and_then(|n| n.parse().ok());
        count.is_some_and(|count: usize| count > 2 * NOTIFICATIONS)
    }));
    Ok(())
}

/// The schedule of the faults, not a wait for something to happen.
fn sleep_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(Instant::now()));
}
