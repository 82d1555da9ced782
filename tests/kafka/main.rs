//! Exactly once on real Apache Kafka: running traffic, two processes with two workers each, and
//! every fault falls into it. Afterwards `aplomb verify` compares record by record, and what the
//! HTTP API answers is what the compacted topics hold.

mod abandoned;
#[path = "../live/mod.rs"]
#[expect(dead_code, reason = "other tests and the benches use the rest of it")]
mod live;

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::live::{
    Application, Outcome,
    broker::Broker,
    feed::{Feed, Pace},
    process::Service,
    verify::verify,
    views,
};

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
    let Some((broker, _)) = Broker::start("faults", &[])? else { return Ok(()) };
    let seed: u64 =
        std::env::var("APLOMB_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    println!("seed {seed} (APLOMB_TEST_SEED replays the choice of victims)");
    let mut random = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let application =
        Application { prefix: "aplomb.".to_owned(), ..Application::alone("faults", 8) };
    broker.create_input(&application)?;
    let mut services = [
        Service::configure(&broker.bootstrap, &application, folder.path(), 0)?,
        Service::configure(&broker.bootstrap, &application, folder.path(), 1)?,
    ];
    services[0].topics_create()?;
    for service in &mut services {
        service.start()?;
    }
    let started = Instant::now();
    let pace = Pace { most: NOTIFICATIONS, per_second: PER_SECOND, skus: 500, seed };
    let feed = Feed::start(&broker, &application, pace);
    let progress = feed.progress();
    let mut paused = None;
    for (second, fault) in FAULTS {
        sleep_until(started + Duration::from_secs(second));
        println!("{second:>4} s  {} notifications so far", progress.fed());
        happen(fault, &broker, &mut services, &mut paused, &mut random)?;
    }
    let fed = feed.join()?;
    println!("{:>4} s  {fed} notifications fed", started.elapsed().as_secs());
    broker.wait_until_handled(&application, Duration::from_secs(90))?;
    println!("{:>4} s  all handled", started.elapsed().as_secs());
    let compared = views::compare(&broker, &application, &services, Duration::from_secs(60))?;
    println!(
        "{:>4} s  orders, cases and availabilities are the same over HTTP: {compared:?}",
        started.elapsed().as_secs()
    );
    for service in &mut services {
        service.stop()?;
    }
    let verified = verify(&broker, &services[0])?;
    println!("{:>4} s  verified\n{}", started.elapsed().as_secs(), verified.text);
    assert!(verified.inputs > 2 * NOTIFICATIONS);
    Ok(())
}

fn happen(
    fault: Fault,
    broker: &Broker,
    services: &mut [Service],
    paused: &mut Option<usize>,
    random: &mut SmallRng,
) -> Outcome {
    let drawn = random.random_range(0..2);
    match fault {
        Fault::Kill => {
            // A stopped process is killed in its sleep by another test; here it must wake.
            let victim = paused.map_or(drawn, |paused| 1 - paused);
            println!("        kill -9 of process {victim}");
            services[victim].kill()?;
            services[victim].start()
        }
        Fault::Pause => {
            println!("        SIGSTOP of process {drawn} for {PAUSE:?}");
            *paused = Some(drawn);
            services[drawn].signal(libc::SIGSTOP)
        }
        Fault::Resume => {
            let victim = paused.take().unwrap_or(0);
            println!("        SIGCONT of process {victim}");
            services[victim].signal(libc::SIGCONT)
        }
        Fault::RestartBroker => {
            println!("        broker restart");
            broker.command_between_transactions(services, "restart", &[])
        }
    }
}

/// The schedule of the faults, not a wait for something to happen.
fn sleep_until(instant: Instant) {
    std::thread::sleep(instant.saturating_duration_since(Instant::now()));
}
