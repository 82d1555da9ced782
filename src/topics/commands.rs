//! `aplomb topics plan|create|check`, without the command line around it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Difference, check};
use crate::log::{Class, Error, Log, TopicDescription};

/// New topics are known everywhere within so long, or something is wrong with the cluster.
const THERE_WITHIN: Duration = Duration::from_secs(30);
/// So long a topic may be missing that was created a moment ago and not every broker knows yet.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What was found out, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    AsPlanned,
    Differs,
}

/// Lists the topics and their settings. Asks no broker.
pub fn print_plan(plan: &[TopicDescription], out: &mut impl Write) -> io::Result<()> {
    for topic in plan {
        writeln!(out, "{}  partitions={}", topic.name, topic.partitions)?;
        for (key, value) in &topic.config {
            writeln!(out, "    {key}={value}")?;
        }
    }
    Ok(())
}

/// Asks the broker and compares. `run` refuses to start if there is a difference.
pub fn differences(
    log: &impl Log,
    plan: &[TopicDescription],
    inputs: &[Arc<str>],
) -> Result<Vec<Difference>, Error> {
    let actual = described(log, plan, inputs, 0)?;
    Ok(check(plan, inputs, &actual))
}

/// The inputs' partition counts as the broker has them; one that does not exist is left out.
pub fn input_partitions(
    log: &impl Log,
    inputs: &[Arc<str>],
) -> Result<BTreeMap<Arc<str>, i32>, Error> {
    let found = log.topics(inputs)?;
    Ok(found.into_iter().flatten().map(|topic| (topic.name, topic.partitions)).collect())
}

/// Says what differs and what mends it.
pub fn print_check(
    differences: &[Difference],
    bootstrap: &str,
    out: &mut impl Write,
) -> io::Result<Outcome> {
    if differences.is_empty() {
        writeln!(out, "every topic is as planned")?;
        return Ok(Outcome::AsPlanned);
    }
    for difference in differences {
        writeln!(out, "{difference}")?;
        writeln!(out, "    mend: {}", difference.mend(bootstrap))?;
    }
    Ok(Outcome::Differs)
}

/// Creates what is missing of ours, and reports what else differs. Existing topics stay as they
/// are.
pub fn run_create(
    log: &impl Log,
    plan: &[TopicDescription],
    inputs: &[Arc<str>],
    bootstrap: &str,
    out: &mut impl Write,
) -> Result<Outcome, Error> {
    let actual = described(log, plan, inputs, plan.len())?;
    let missing: Vec<TopicDescription> = plan
        .iter()
        .zip(&actual)
        .filter(|(_, found)| found.is_none())
        .map(|(topic, _)| topic.clone())
        .collect();
    if !missing.is_empty() {
        log.create_topics(&missing)?;
        wait_until_there(log, &missing)?;
    }
    let left: Vec<Difference> = check(plan, inputs, &actual)
        .into_iter()
        .filter(|difference| !matches!(difference, Difference::Missing { .. }))
        .collect();
    let written = (|| {
        for topic in &missing {
            writeln!(out, "created {}  partitions={}", topic.name, topic.partitions)?;
        }
        if missing.is_empty() {
            writeln!(out, "nothing to create: all {} topics are there", plan.len())?;
        }
        if left.is_empty() { Ok(Outcome::AsPlanned) } else { print_check(&left, bootstrap, out) }
    })();
    written.map_err(|error| Error::new(Class::Fatal, error.to_string()))
}

/// The controller has the topics; brokers learn of them a moment later, and `run` may be next.
pub fn wait_until_there(log: &impl Log, topics: &[TopicDescription]) -> Result<(), Error> {
    let names: Vec<Arc<str>> = topics.iter().map(|topic| Arc::clone(&topic.name)).collect();
    if look(log, &names, 0, THERE_WITHIN)?.iter().all(Option::is_some) {
        return Ok(());
    }
    let what = format!("the topics were created but are not there after {THERE_WITHIN:?}");
    Err(Error::new(Class::Retry, what))
}

/// Those from `expected` on should be there.
fn described(
    log: &impl Log,
    plan: &[TopicDescription],
    inputs: &[Arc<str>],
    expected: usize,
) -> Result<Vec<Option<TopicDescription>>, Error> {
    let names = plan.iter().map(|topic| Arc::clone(&topic.name)).chain(inputs.iter().cloned());
    look(log, &names.collect::<Vec<_>>(), expected, KNOWN_WITHIN)
}

/// Looks until the topics from `expected` on are there, for so long at most.
fn look(
    log: &impl Log,
    names: &[Arc<str>],
    expected: usize,
    within: Duration,
) -> Result<Vec<Option<TopicDescription>>, Error> {
    let deadline = Instant::now() + within;
    loop {
        let found = log.topics(names)?;
        let all = found.iter().skip(expected).all(Option::is_some);
        if all || Instant::now() > deadline {
            return Ok(found);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}
