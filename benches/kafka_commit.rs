//! How long one commit takes on a real Apache Kafka: records, input offsets, drain, end.
//!
//! `cargo bench --bench kafka_commit` starts a broker by `scripts/kafka` and prints the median and
//! the 95th percentile of each step, as the worker takes them. The goal: a median under 12 ms.

use std::{
    error::Error,
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use aplomb::{
    kafka::{KafkaLog, KafkaSettings},
    log::{Consumer, Leave, Log, Member, Producer, ToSend, TopicDescription},
};
use aplomb_state::ids::{NextOffset, TopicPartition};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const TRANSACTIONS: usize = 400;
const WARM_UP: usize = 50;
const RECORDS: usize = 100;
const RECORD_BYTES: usize = 300;
const PARTITIONS: i32 = 8;
const WAIT: Duration = Duration::from_secs(10);
/// Between two commits, as the worker leaves at least.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
struct Steps {
    whole: Duration,
    offsets: Duration,
    drain: Duration,
    end: Duration,
}

fn main() -> Outcome {
    let owner = std::process::id().to_string();
    let name = format!("bench-{owner}");
    let started = script(&["start", &name, "--owner", &owner])?;
    let text = String::from_utf8_lossy(&started.stdout);
    let Some(bootstrap) = text.lines().find_map(|line| line.strip_prefix("bootstrap=")) else {
        println!("skipped: {}", String::from_utf8_lossy(&started.stderr));
        return Ok(());
    };
    let outcome = measure(bootstrap);
    script(&["stop", &name, "--kill"])?;
    print(&outcome?);
    Ok(())
}

fn script(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka")).args(arguments).output()
}

fn measure(bootstrap: &str) -> Outcome<Vec<Steps>> {
    let log = KafkaLog::connect(KafkaSettings::new(bootstrap, "bench"))?;
    let topic = |name: &str| TopicDescription {
        name: name.into(),
        partitions: PARTITIONS,
        config: Vec::new(),
    };
    log.create_topics(&[topic("in"), topic("out")])?;
    let mut consumer = log.consumer(&Member { group: "bench".into(), instance_id: None })?;
    consumer.subscribe(&["in".into()])?;
    let partitions = loop {
        if let Some(aplomb::log::GroupEvent::Assigned(partitions)) = consumer.poll(WAIT)? {
            consumer.accept(&partitions)?;
            break partitions;
        }
    };
    let mut producer = log.producer("bench")?;
    producer.init_transactions(WAIT)?;
    let out: Arc<str> = "out".into();
    let value = vec![b'x'; RECORD_BYTES];
    let mut steps = Vec::new();
    for transaction in 0..TRANSACTIONS {
        consumer.poll(PAUSE)?;
        let started = Instant::now();
        producer.begin()?;
        for record in 0..RECORDS {
            let record = ToSend {
                topic: &out,
                partition: i32::try_from(record)? % PARTITIONS,
                timestamp: None,
                key: Some(b"key"),
                value: Some(&value),
                headers: &[],
                receipt: 0,
            };
            while !producer.send(&record)? {
                producer.poll();
            }
        }
        let sent = Instant::now();
        let (group, _) = consumer.group()?;
        let next = NextOffset(i64::try_from(transaction)?);
        let offset = |input: &TopicPartition| (input.clone(), next, String::new());
        let offsets: Vec<_> = partitions.iter().map(offset).collect();
        producer.send_offsets(&offsets, &group, WAIT)?;
        let offered = Instant::now();
        producer.drain(WAIT)?;
        let drained = Instant::now();
        producer.commit(WAIT)?;
        let ended = Instant::now();
        steps.push(Steps {
            whole: ended - started,
            offsets: offered - sent,
            drain: drained - offered,
            end: ended - drained,
        });
    }
    consumer.close(Leave::Leave)?;
    Ok(steps.split_off(WARM_UP))
}

fn print(steps: &[Steps]) {
    println!(
        "{RECORDS} records of {RECORD_BYTES} B to {PARTITIONS} partitions, {} commits",
        steps.len()
    );
    println!("{:<14} {:>10} {:>10}", "", "median", "p95");
    let row = |name: &str, of: fn(&Steps) -> Duration| {
        let mut times: Vec<_> = steps.iter().map(of).collect();
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        println!("{name:<14} {:>7.2} ms {:>7.2} ms", at(50), at(95));
    };
    row("whole", |steps| steps.whole);
    row("send offsets", |steps| steps.offsets);
    row("drain", |steps| steps.drain);
    row("end", |steps| steps.end);
}
