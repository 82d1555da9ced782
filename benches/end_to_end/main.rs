//! The whole job on a real Kafka: how fast a backlog drains and at what cost, how soon a message
//! shows at a steady pace, and how soon output comes again after `kill -9`.
//!
//! `make throughput` starts a broker by `scripts/kafka` and has one `aplomb run` drain a first
//! backlog: a broker that has just started spends half a core on compiling itself. Then comes the
//! backlog that is measured, copied by raw transactions, then drained by `aplomb run` started
//! anew. Then 2,000 records a second come in. Broker, feed and process share the machine.
//!
//! `RECORDS=400000` is the backlog, `WARM_UP=200000` the first one; `SEED=1` decides what they
//! are. `INBOXES=2` and `OUTPUTS=1` are the partitions of every inbox and output, `WORKERS=1` the
//! threads of the process: each partition that a transaction writes costs a request and a marker,
//! and time. The memory budget is 128 MiB.

mod copy;
mod latency;
#[path = "../../tests/live/mod.rs"]
#[allow(dead_code, reason = "the tests on a real Kafka use the rest of it")]
mod live;
mod same;
mod usage;
mod workload;

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use live::{Application, Outcome, broker::Broker, process::Service, resident, verify::verify};

use crate::{latency::Outputs, workload::Workload};

/// As the process has: the raw copy and the raw writes stand beside it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PARTITIONS: i32 = 8;
const STEADY_PER_SECOND: u32 = 2_000;
/// Of the state database and what is fetched ahead.
const BUDGET: &str = "134217728";
/// Both the broker and the reader of its outputs do other work now than with a backlog.
const STEADY_WARM_UP: Duration = Duration::from_secs(40);
const STEADY: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> Outcome {
    let number = |name: &str, default: usize| {
        let text = std::env::var(name).unwrap_or_default();
        if text.trim().is_empty() { Ok(default) } else { text.trim().parse() }
    };
    let (records, warm_up) = (number("RECORDS", 400_000)?, number("WARM_UP", 200_000)?);
    let (inboxes, outputs) = (number("INBOXES", 2)?, number("OUTPUTS", 1)?);
    let (workers, seed) = (number("WORKERS", 1)?, number("SEED", 1)?);
    let Some((broker, _)) = Broker::start("end-to-end", &[])? else { return Ok(()) };
    let application = Application {
        inboxes: i32::try_from(inboxes)?,
        outputs: i32::try_from(outputs)?,
        workers: u32::try_from(workers)?,
        ..Application::alone("end-to-end", PARTITIONS)
    };
    broker.create_input(&application)?;
    let mut workload = Workload::new(&broker.bootstrap, &application, u64::try_from(seed)?)?;
    let folder = tempfile::tempdir()?;
    let mut service = configure(&broker, &application, folder.path())?;
    service.topics_create()?;
    if warm_up > 0 {
        workload.backlog(warm_up)?;
        service.start()?;
        broker.wait_until_handled(&application, PATIENCE)?;
        service.stop()?;
    }
    let bytes = workload.backlog(records)?;
    println!(
        "{records} notifications of {} bytes in the mean, in {PARTITIONS} partitions; inboxes of \
         {inboxes}, outputs of {outputs}, {workers} worker threads; {warm_up} before",
        bytes / records
    );
    let node = broker.process_id(0)?;
    let before = usage::cpu(node)?;
    let copied = copy::run(&broker.log, &application, records)?;
    let cost = Cost { own: copied.cpu, broker: usage::cpu(node)? - before, memory: None };
    print_drain("raw copy", records, copied.time, &cost);

    let process = drain(&broker, &application, records, &mut service)?;
    print_same(warm_up + records, &same::run(&broker, &application)?);
    steady(&broker, &application, &mut workload, process)?;
    killed(&broker, &application, &mut workload, &mut service)?;
    broker.wait_until_handled(&application, PATIENCE)?;
    service.stop()?;
    println!("verify: {} inputs folded again, clean", verify(&broker, &service)?.inputs);
    Ok(())
}

fn configure(broker: &Broker, application: &Application, folder: &Path) -> Outcome<Service> {
    let mut service = Service::configure(&broker.bootstrap, application, folder, 0)?;
    let environment = [
        ("APLOMB_APPLICATION__ORDINAL", "0"),
        ("APLOMB_LOG__FILTER", "info"),
        ("APLOMB_MEMORY__BUDGET_BYTES", BUDGET),
    ];
    service.environment.extend(environment.map(|(key, value)| (key.to_owned(), value.to_owned())));
    Ok(service)
}

/// Of a process that starts now; answers its number.
fn drain(
    broker: &Broker,
    application: &Application,
    records: usize,
    service: &mut Service,
) -> Outcome<u32> {
    let node = broker.process_id(0)?;
    let (started, before) = (Instant::now(), usage::cpu(node)?);
    service.start()?;
    broker.wait_until_handled(application, PATIENCE)?;
    let time = started.elapsed();
    let process = service.process_id()?;
    let memory = Some(resident::read(process).ok_or("it ended")?.highest);
    let (own, broker) = (usage::cpu(process)?, usage::cpu(node)? - before);
    print_drain("aplomb", records, time, &Cost { own, broker, memory });
    Ok(process)
}

/// Of the machine.
struct Cost {
    own: Duration,
    broker: Duration,
    /// In MiB.
    memory: Option<u64>,
}

fn print_drain(who: &str, records: usize, time: Duration, cost: &Cost) {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let records = records as f64;
    let rate = records / time.as_secs_f64();
    let per_million = |time: Duration| time.as_secs_f64() * 1e6 / records;
    let (own, broker) = (per_million(cost.own), per_million(cost.broker));
    let memory = cost.memory.map(|mib| format!(", {mib} MiB at the most")).unwrap_or_default();
    println!(
        "{who:<10} {rate:>8.0} records/s, CPU-seconds per million: {own:>4.1}, \
         the broker's {broker:>4.1}{memory}"
    );
}

/// The share of the client alone: what writing these records costs without any logic.
fn print_same(notifications: usize, same: &same::Same) {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (records, written, bytes) = (notifications as f64, same.records as f64, same.bytes as f64);
    let (each, bytes) = (written / records, bytes / records);
    println!(
        "its records: {each:.1} of {bytes:.0} bytes in all for each notification, written again"
    );
    for (topic, share) in same.topics.iter().filter(|(_, share)| share.records > 0) {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let each = |count: usize| count as f64 / records;
        let (written, bytes) = (each(share.records), each(share.bytes));
        let headers = each(share.headers);
        println!("    {topic:<26} {written:>5.2} of {bytes:>4.0} bytes, {headers:>3.0} of headers");
    }
    let cost = Cost { own: same.cpu, broker: same.broker, memory: None };
    print_drain("raw writes", notifications, same.time, &cost);
}

/// At a steady pace: times from sending to the outputs.
fn steady(
    broker: &Broker,
    application: &Application,
    workload: &mut Workload,
    process: u32,
) -> Outcome {
    let outputs = Outputs::watch(&broker.bootstrap, application)?;
    workload.steady(STEADY_PER_SECOND, STEADY_WARM_UP, |_| {})?;
    let before = usage::cpu(process)?;
    workload.steady(STEADY_PER_SECOND, STEADY, |value| outputs.sending(value))?;
    let cpu = usage::cpu(process)? - before;
    let seen = outputs.end()?;
    let load = 100.0 * cpu.as_secs_f64() / STEADY.as_secs_f64();
    println!("at {STEADY_PER_SECOND} records/s: {load:.0} % of a core");
    print_times("order.view.v1", seen.views);
    print_times("inventory.reservations.v1", seen.reservations);
    Ok(())
}

fn print_times(topic: &str, mut times: Vec<Duration>) {
    times.sort();
    let last = times.len().saturating_sub(1);
    let at = |percent: usize| {
        let time = times.get(last * percent / 100).copied().unwrap_or_default();
        time.as_secs_f64() * 1e3
    };
    let (half, most) = (at(50), at(99));
    println!("    {topic:<26} p50 {half:>4.0} ms, p99 {most:>4.0} ms ({} times)", times.len());
}

/// From the start after `kill -9` under load to the first output of it.
fn killed(
    broker: &Broker,
    application: &Application,
    workload: &mut Workload,
    service: &mut Service,
) -> Outcome {
    let (running, started, outputs) = thread::scope(|scope| {
        let again = scope.spawn(|| {
            thread::sleep(Duration::from_secs(8));
            service.kill()?;
            // What it sent before is in the log by then, and not taken for something new.
            thread::sleep(Duration::from_secs(1));
            let outputs = Outputs::watch(&broker.bootstrap, application)?;
            let started = Instant::now();
            service.start()?;
            Outcome::Ok((ready(service, started)?, started, outputs))
        });
        workload.steady(STEADY_PER_SECOND, Duration::from_secs(20), |_| {})?;
        again.join().map_err(|_| "the restart panicked")?
    })?;
    let first = outputs.end()?.first.ok_or("no output came")? - started;
    println!(
        "after kill -9: ready after {:.0} ms, the first output after {:.0} ms",
        running.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3
    );
    Ok(())
}

fn ready(service: &Service, started: Instant) -> Outcome<Duration> {
    while !service.is_ready() {
        if started.elapsed() > PATIENCE {
            return Err(format!("not ready\n{}", service.last_lines()).into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(started.elapsed())
}
