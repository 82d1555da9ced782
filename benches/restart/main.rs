//! How long a process needs after `kill -9` until all its tasks run again, by size of the state.
//!
//! `make restart` starts a broker by `scripts/kafka`, places so many orders, and kills the process
//! while notifications come in: at 2,000 a second, and five seconds into a burst at full speed. The
//! clock runs from the start of the next process until `/tasks` shows every task running. The goal:
//! 1 s, and 2 s in the burst, whatever the size.
//!
//! `ORDERS="100000 1000000"` names the sizes; each is reached from the one before.

#[path = "../../tests/live/mod.rs"]
#[allow(dead_code, reason = "the tests on a real Kafka use the rest of it")]
mod live;
mod orders;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use live::{Application, Outcome, broker::Broker, http, process::Service};

use crate::orders::{Orders, Stop};

const PARTITIONS: i32 = 8;
/// Eight external partitions, and the inboxes of three stages.
const TASKS: usize = 32;
const STEADY_PER_SECOND: u32 = 2_000;
const STEADY: Duration = Duration::from_secs(10);
const BURST: Duration = Duration::from_secs(5);
/// More than can be handled meanwhile.
const BURST_ORDERS: u64 = 80_000;
const KILLS: usize = 3;
/// Far beyond any goal.
const PATIENCE: Duration = Duration::from_secs(300);

struct Row {
    orders: u64,
    state_bytes: u64,
    steady: Vec<Duration>,
    burst: Vec<Duration>,
}

fn main() -> Outcome {
    let sizes = std::env::var("ORDERS").unwrap_or_default();
    let sizes = if sizes.trim().is_empty() { "100000".to_owned() } else { sizes };
    let sizes: Vec<u64> = sizes.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let Some((broker, _)) = Broker::start("restart", &[])? else { return Ok(()) };
    let application = Application::alone("restart", PARTITIONS);
    broker.create_input(&application)?;
    let folder = tempfile::tempdir()?;
    let mut service = Service::configure(&broker.bootstrap, &application, folder.path(), 0)?;
    // A static member gets its tasks back at once; a dynamic one waits for its own dead session.
    let environment = [("APLOMB_APPLICATION__ORDINAL", "0"), ("APLOMB_LOG__FILTER", "info")];
    service.environment.extend(environment.map(|(key, value)| (key.to_owned(), value.to_owned())));
    service.topics_create()?;
    service.start()?;
    let mut orders = Orders::connect(&broker.bootstrap, &application)?;
    let mut rows = Vec::new();
    for size in sizes {
        let begun = Instant::now();
        orders.place(size.saturating_sub(orders.placed()), None, &Stop::default())?;
        broker.wait_until_handled(&application, Duration::from_secs(3_600))?;
        println!("{} orders after {:.0} s", orders.placed(), begun.elapsed().as_secs_f64());
        let mut row = Row {
            orders: orders.placed(),
            state_bytes: bytes_below(&folder.path().join("state-0"))?,
            steady: Vec::new(),
            burst: Vec::new(),
        };
        for _ in 0..KILLS {
            row.steady.push(kill_under(
                &mut service,
                &mut orders,
                Some(STEADY_PER_SECOND),
                STEADY,
            )?);
            broker.wait_until_handled(&application, PATIENCE)?;
            row.burst.push(kill_under(&mut service, &mut orders, None, BURST)?);
            broker.wait_until_handled(&application, PATIENCE)?;
        }
        rows.push(row);
    }
    service.stop()?;
    print(&rows);
    Ok(())
}

/// Kills the process when orders have come in at this pace for so long, and starts the next; they
/// go on coming in meanwhile.
fn kill_under(
    service: &mut Service,
    orders: &mut Orders,
    per_second: Option<u32>,
    after: Duration,
) -> Outcome<Duration> {
    let stop = Stop::default();
    let until_running = thread::scope(|scope| {
        let feed = scope.spawn(|| {
            let most = per_second.map_or(BURST_ORDERS, |_| u64::MAX);
            orders.place(most, per_second, &stop)
        });
        thread::sleep(after);
        let taken = service.kill().and_then(|()| {
            let started = Instant::now();
            service.start()?;
            until_running(service)?;
            Ok(started.elapsed())
        });
        stop.now();
        let fed = feed.join().map_err(|_| "the feed panicked")?;
        fed.and(taken)
    })?;
    println!("    all {TASKS} tasks run after {:.0} ms", until_running.as_secs_f64() * 1e3);
    Ok(until_running)
}

fn until_running(service: &Service) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = http::get(service.port, "tasks").map(|(_, text)| text).unwrap_or_default();
        if answer.matches(r#""detail":{"state":"running"}"#).count() == TASKS {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{answer}\n{}", service.last_lines()).into());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn bytes_below(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn print(rows: &[Row]) {
    println!("\n{KILLS} kills each; milliseconds until all {TASKS} tasks run: median, greatest");
    println!("{:>10} {:>10} {:>22} {:>22}", "orders", "state", "at 2,000/s", "5 s into a burst");
    for row in rows {
        let of = |times: &[Duration]| {
            let mut times = times.to_vec();
            times.sort();
            let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
            format!("{:.0}, {:.0}", ms(times.get(times.len() / 2)), ms(times.last()))
        };
        let state = format!("{} MiB", row.state_bytes >> 20);
        let (steady, burst) = (of(&row.steady), of(&row.burst));
        println!("{:>10} {state:>10} {steady:>22} {burst:>22}", row.orders);
    }
}
