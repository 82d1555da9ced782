//! The checks, generic over the log, and what they are written with.

mod fetching;
mod membership;
mod offsets;
mod party;
mod topics;
mod transactions;

use std::{
    error::Error,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use aplomb::log::{Isolation, Log, Producer, Reader, ToSend, TopicDescription};
use aplomb_state::ids::{NextOffset, Offset, TopicPartition};

pub use self::{party::Party, transactions::a_commit_in_doubt_is_settled_by_the_successor};

pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long a call may take that a healthy log answers at once.
pub const WAIT: Duration = Duration::from_secs(30);

/// How long one round of waiting lets the log work.
pub const ROUND: Duration = Duration::from_millis(100);

/// A log to be checked.
pub trait Fixture: Sync {
    type Log: Log;

    fn log(&self) -> &Self::Log;

    /// A name that was never used on this log.
    fn fresh(&self, what: &str) -> String;

    /// Called once in every round of waiting. Moves a clock that does not run by itself.
    fn settle(&self);

    /// How long to wait for what must come.
    fn patience(&self) -> Duration;
}

pub type ProducerOf<F> = <<F as Fixture>::Log as Log>::Producer;

type Check<F> = (&'static str, fn(&F) -> Outcome);

/// All checks, in the order in which they are worth reading.
pub fn checks<F: Fixture>() -> Vec<Check<F>> {
    let mut checks = transactions::checks();
    checks.extend(offsets::checks());
    checks.extend(fetching::checks());
    checks.extend(membership::checks());
    checks.extend(topics::checks());
    checks
}

/// Runs the checks, `at_once` of them side by side, and names all that failed.
pub fn run_all<F: Fixture>(fixture: &F, at_once: usize) -> Outcome {
    run_all_but(fixture, at_once, &[])
}

/// Runs the checks that are not named.
pub fn run_all_but<F: Fixture>(fixture: &F, at_once: usize, but: &[&str]) -> Outcome {
    let mut checks = checks::<F>();
    for name in but {
        let index = checks.iter().position(|(known, _)| known == name);
        checks.remove(index.ok_or_else(|| format!("no check is named {name}"))?);
    }
    let mut failures = Vec::new();
    for batch in checks.chunks(at_once) {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                batch.iter().map(|(name, run)| (name, scope.spawn(|| run(fixture)))).collect();
            for (name, check) in running {
                match check.join() {
                    Ok(Ok(())) => println!("ok: {name}"),
                    Ok(Err(error)) => failures.push(format!("{name}: {error}")),
                    Err(_) => failures.push(format!("{name}: panicked")),
                }
            }
        });
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// Waits for `attempt` to answer.
pub fn until<T>(
    fixture: &impl Fixture,
    what: &str,
    mut attempt: impl FnMut() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = attempt()? {
            return Ok(answer);
        }
        if start.elapsed() > fixture.patience() {
            return Err(format!("waited in vain for {what}").into());
        }
        fixture.settle();
    }
}

pub fn equal<T: PartialEq + Debug>(what: &str, actual: T, expected: T) -> Outcome {
    if actual == expected {
        return Ok(());
    }
    Err(format!("{what}: {actual:?} is not {expected:?}").into())
}

pub fn holds(what: &str, condition: bool) -> Outcome {
    if condition { Ok(()) } else { Err(format!("{what}: does not hold").into()) }
}

/// A new topic.
pub fn topic(
    fixture: &impl Fixture,
    partitions: i32,
    config: &[(&str, &str)],
) -> Outcome<Arc<str>> {
    let name: Arc<str> = fixture.fresh("topic").into();
    let config = config.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    fixture.log().create_topics(&[TopicDescription {
        name: Arc::clone(&name),
        partitions,
        config,
    }])?;
    // A broker may say that a topic exists before it can be written.
    let all = partitions_of(&name, partitions);
    let mut refused = None;
    let ready = until(fixture, "the new topic", || {
        let ends = fixture.log().watermarks(&all, Isolation::ReadUncommitted);
        Ok(ends.map_err(|error| refused = Some(error)).ok())
    });
    ready.map_err(|vain| format!("{vain}: {refused:?}"))?;
    Ok(name)
}

pub fn partitions_of(topic: &Arc<str>, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|number| TopicPartition::new(Arc::clone(topic), number)).collect()
}

/// A producer that may begin.
pub fn producer<F: Fixture>(fixture: &F, id: &str) -> Outcome<ProducerOf<F>> {
    let mut producer = fixture.log().producer(id)?;
    producer.init_transactions(WAIT)?;
    Ok(producer)
}

pub fn record<'a>(to: &'a TopicPartition, value: &'a str) -> ToSend<'a> {
    ToSend {
        topic: &to.topic,
        partition: to.partition,
        timestamp: None,
        key: Some(value.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &[],
        receipt: 0,
    }
}

pub fn send(producer: &mut impl Producer, record: &ToSend<'_>) -> Outcome {
    while !producer.send(record)? {
        producer.poll();
    }
    Ok(())
}

/// Begins a transaction and sends. The records have arrived when it returns.
pub fn begin_with(producer: &mut impl Producer, to: &TopicPartition, values: &[&str]) -> Outcome {
    producer.begin()?;
    for value in values {
        send(producer, &record(to, value))?;
    }
    Ok(producer.drain(WAIT)?)
}

pub fn commit_with(producer: &mut impl Producer, to: &TopicPartition, values: &[&str]) -> Outcome {
    begin_with(producer, to, values)?;
    Ok(producer.commit(WAIT)?)
}

pub fn abort_with(producer: &mut impl Producer, to: &TopicPartition, values: &[&str]) -> Outcome {
    begin_with(producer, to, values)?;
    Ok(producer.abort(WAIT)?)
}

/// Waits until no transaction is open in the partition, and answers its end. The control records
/// of a transaction may be written after its commit was acknowledged.
pub fn settled_end(fixture: &impl Fixture, of: &TopicPartition) -> Outcome<NextOffset> {
    until(fixture, "the end of all transactions", || {
        let stable = end(fixture, of, Isolation::ReadCommitted)?;
        let high = end(fixture, of, Isolation::ReadUncommitted)?;
        Ok((stable == high).then_some(high))
    })
}

pub fn end(
    fixture: &impl Fixture,
    of: &TopicPartition,
    isolation: Isolation,
) -> Outcome<NextOffset> {
    let watermarks = fixture.log().watermarks(std::slice::from_ref(of), isolation)?;
    Ok(watermarks.first().ok_or("no watermarks")?.high)
}

/// Offsets and values from the beginning to the end that the isolation level has now. The reader
/// must reach that end.
pub fn contents(
    fixture: &impl Fixture,
    of: &TopicPartition,
    isolation: Isolation,
) -> Outcome<Vec<(i64, String)>> {
    let end = end(fixture, of, isolation)?;
    let mut reader = fixture.log().reader(&[(of.clone(), NextOffset(0))], isolation)?;
    let mut seen = Vec::new();
    until(fixture, "the end of the partition", || {
        reader.read(10, ROUND, &mut |_, record| {
            let Offset(offset) = record.offset;
            let value = record.value.unwrap_or_default();
            seen.push((offset, String::from_utf8_lossy(value).into_owned()));
        })?;
        Ok((reader.position(of) >= end).then_some(()))
    })?;
    Ok(seen)
}

pub fn listed(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    expected.iter().map(|(offset, value)| (*offset, value.to_string())).collect()
}
