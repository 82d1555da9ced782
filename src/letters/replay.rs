//! Dead letters sent again to the topics they came from.
//!
//! Each is sent once, however often the command runs and wherever it dies: what was sent and how
//! far the letters were taken are one transaction. How far is kept as the offsets of groups
//! without members, one for all codes and one for each, so that a code can be mended by itself.

use std::{collections::BTreeMap, time::Duration};

use aplomb_state::ids::{NextOffset, TopicPartition};

use super::{CODE_HEADER, ERROR_HEADERS, partitions, topic};
use crate::{
    application::Application,
    log::{self, Committed, Fetched, Isolation, Log, Producer, ToSend},
    names,
    scan::{self, Next},
};

const SETTLE_WAIT: Duration = Duration::from_secs(30);
const STEP_WAIT: Duration = Duration::from_secs(20);

/// Says on a record that was sent again which dead letter it was: `topic/partition/offset`.
const ORIGIN_HEADER: &str = "aplomb_dead_letter";
/// A value of which only the hash was kept, for it held a secret.
const HASHED: &[u8] = b"sha256-128:";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Scan(#[from] scan::Error),
    #[error("the application has no topic of dead letters")]
    NoTopic,
}

/// Which letters are meant.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Absent: all codes.
    pub code: Option<String>,
    /// At most so many are sent.
    pub limit: usize,
}

/// What is to be done with one letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `topic/partition/offset` of the letter.
    pub letter: String,
    pub code: String,
    /// Where it goes, or why it does not.
    pub to: Result<TopicPartition, String>,
}

/// A plan, and how far it takes the letters.
#[derive(Debug, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    records: Vec<Again>,
    offsets: Vec<(TopicPartition, NextOffset, String)>,
}

/// A record to be sent again.
#[derive(Debug)]
struct Again {
    to: TopicPartition,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

/// How far the letters were taken, by code where each has a mark of its own.
struct Marks<'a, L: Log> {
    log: &'a L,
    application: &'a Application,
    partitions: &'a [TopicPartition],
    of_all: Vec<i64>,
    by_code: BTreeMap<String, Vec<i64>>,
}

/// Reads what there is to send. Writes nothing.
pub fn plan<L: Log>(
    log: &L,
    application: &Application,
    selection: &Selection,
) -> Result<Plan, Error> {
    let letters = topic(application).ok_or(Error::NoTopic)?;
    let partitions = partitions(letters);
    let ends = log.watermarks(&partitions, Isolation::ReadCommitted)?;
    let mut marks = Marks::read(log, application, &partitions)?;
    let own = match &selection.code {
        Some(code) => marks.of_code(code)?.to_vec(),
        None => marks.of_all.clone(),
    };
    let mut plan = Plan::default();
    for (index, (partition, end)) in partitions.iter().zip(ends).enumerate() {
        let start = own.get(index).copied().unwrap_or(0).max(end.low.0);
        let mut reached = start;
        let mut outcome = Ok(());
        scan::range(log, partition, NextOffset(start), end.high, &mut |record| {
            if plan.records.len() >= selection.limit {
                return Next::Stop;
            }
            let code = header(record, CODE_HEADER).unwrap_or_default();
            if selection.code.as_ref().is_none_or(|wanted| *wanted == code) {
                match marks.is_sent(index, record.offset.0, &code) {
                    Ok(true) => {}
                    Ok(false) => plan.add(application, partition, record, code),
                    Err(error) => {
                        outcome = Err(error);
                        return Next::Stop;
                    }
                }
            }
            reached = record.offset.0 + 1;
            Next::On
        })?;
        outcome?;
        if reached > start {
            plan.offsets.push((partition.clone(), NextOffset(reached), String::new()));
        }
    }
    Ok(plan)
}

/// Carries a plan out: all of it, or nothing.
pub fn execute<L: Log>(
    log: &L,
    application: &Application,
    selection: &Selection,
    plan: &Plan,
) -> Result<(), Error> {
    if plan.offsets.is_empty() {
        return Ok(());
    }
    let group = names::replay_group(&application.id, selection.code.as_deref());
    let mut producer = log.producer(&names::replay_id(&application.id))?;
    producer.init_transactions(SETTLE_WAIT)?;
    let group = log.outsider(&group)?;
    producer.begin()?;
    for again in &plan.records {
        let headers = again.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let headers: Vec<_> = headers.collect();
        let record = ToSend {
            topic: &again.to.topic,
            partition: again.to.partition,
            timestamp: None,
            key: again.key.as_deref(),
            value: again.value.as_deref(),
            headers: &headers,
            receipt: 0,
        };
        while !producer.send(&record)? {
            producer.drain(STEP_WAIT)?;
        }
    }
    producer.send_offsets(&plan.offsets, &group, STEP_WAIT)?;
    producer.drain(STEP_WAIT)?;
    Ok(producer.commit(STEP_WAIT)?)
}

fn header(record: &Fetched<'_>, wanted: &str) -> Option<String> {
    let mut found = None;
    record.headers.each(&mut |name, value| {
        if name == wanted.as_bytes() {
            found = value.map(|value| String::from_utf8_lossy(value).into_owned());
        }
    });
    found
}

/// The input it came from, as the letter says.
fn destination(application: &Application, record: &Fetched<'_>) -> Result<TopicPartition, String> {
    if record.value.is_some_and(|value| value.starts_with(HASHED)) {
        return Err("only the hash of its value was kept, for it held a secret".to_owned());
    }
    let topic = header(record, "__streams.errors.topic").unwrap_or_default();
    let sources = &application.configuration.sources;
    let source = sources.iter().find(|source| source.topic == topic);
    let source = source.ok_or_else(|| format!("{topic:?} is no input of the application"))?;
    let told = header(record, "__streams.errors.partition").and_then(|text| text.parse().ok());
    let partition = told.filter(|partition| (0..source.partitions).contains(partition));
    Ok(TopicPartition::new(source.topic.as_str(), partition.unwrap_or(0)))
}

impl<'a, L: Log> Marks<'a, L> {
    fn read(
        log: &'a L,
        application: &'a Application,
        partitions: &'a [TopicPartition],
    ) -> Result<Self, Error> {
        let by_code = BTreeMap::new();
        let mut marks = Self { log, application, partitions, of_all: Vec::new(), by_code };
        marks.of_all = marks.committed(None)?;
        Ok(marks)
    }

    fn committed(&self, code: Option<&str>) -> Result<Vec<i64>, Error> {
        let group = names::replay_group(&self.application.id, code);
        let committed = scan::committed(self.log, &group, self.partitions)?;
        let next = |committed: Committed| match committed {
            Committed::At { next, .. } => next.0,
            Committed::None | Committed::Unstable => 0,
        };
        Ok(committed.into_iter().map(next).collect())
    }

    fn of_code(&mut self, code: &str) -> Result<&[i64], Error> {
        if !self.by_code.contains_key(code) {
            let marks = self.committed(Some(code))?;
            self.by_code.insert(code.to_owned(), marks);
        }
        Ok(self.by_code.get(code).map(Vec::as_slice).unwrap_or_default())
    }

    /// Whether a letter was sent already, with its code or with all.
    fn is_sent(&mut self, partition: usize, offset: i64, code: &str) -> Result<bool, Error> {
        let is_before = |marks: &[i64]| marks.get(partition).is_some_and(|mark| offset < *mark);
        Ok(is_before(&self.of_all) || is_before(self.of_code(code)?))
    }
}

impl Plan {
    fn add(
        &mut self,
        application: &Application,
        partition: &TopicPartition,
        record: &Fetched<'_>,
        code: String,
    ) {
        const OWN: [&str; 4] = [CODE_HEADER, "attempts", "owner", names::CAUSE_HEADER];
        let letter = format!("{partition}/{}", record.offset);
        let to = destination(application, record);
        if let Ok(to) = &to {
            let mut headers = Vec::new();
            record.headers.each(&mut |name, value| {
                let name = String::from_utf8_lossy(name).into_owned();
                if !name.starts_with(ERROR_HEADERS) && !OWN.contains(&name.as_str()) {
                    headers.push((name, value.unwrap_or_default().to_vec()));
                }
            });
            headers.push((ORIGIN_HEADER.to_owned(), letter.clone().into_bytes()));
            self.records.push(Again {
                to: to.clone(),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers,
            });
        }
        self.steps.push(Step { letter, code, to });
    }
}
