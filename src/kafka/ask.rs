//! Questions to the cluster: offsets by time, and what groups have committed.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use aplomb_state::ids::{NextOffset, TopicPartition};
use rdkafka_sys::RDKafkaErrorCode as Code;

use super::{
    error::{During, classify},
    native::{Client, Failure, GroupRow, Partitions, Row},
};
use crate::log::{Class, Committed, Error, GroupDescription, MemberDescription};

/// Where a topic is young or moves, librdkafka remembers something else than is there.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The offsets at the given instants, or at the ends that negative numbers stand for. One request
/// per leader; answers in the order asked.
pub fn offsets(
    client: &Client,
    asked: &[(TopicPartition, i64)],
    wait: Duration,
) -> Result<Vec<Result<i64, Error>>, Error> {
    let until = Instant::now() + wait;
    for _ in 1..TRIES {
        match offsets_once(client, asked, until.saturating_duration_since(Instant::now())) {
            Err(failure) if is_stale(failure.code) && Instant::now() < until => {
                refresh(client, asked, until);
                std::thread::sleep(BETWEEN_TRIES);
            }
            answer => return answer.map_err(|failure| fail(&failure, LIST_OFFSETS)),
        }
    }
    let left = until.saturating_duration_since(Instant::now());
    offsets_once(client, asked, left).map_err(|failure| fail(&failure, LIST_OFFSETS))
}

const LIST_OFFSETS: &str = "list offsets";

fn fail(failure: &Failure, what: &str) -> Error {
    classify(failure, During::Request, what)
}

/// NOTE: an answer from while a topic was made may list some of its partitions. librdkafka takes
/// the others for absent then, until its metadata expires, which is minutes later.
fn is_stale(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
    )
}

fn refresh(client: &Client, asked: &[(TopicPartition, i64)], until: Instant) {
    let topics: BTreeSet<&str> = asked.iter().map(|(partition, _)| &*partition.topic).collect();
    for topic in topics {
        let left = until.saturating_duration_since(Instant::now());
        if let Err(failure) = client.refresh(topic, left) {
            tracing::debug!(topic, "metadata: {}", failure.text);
        }
    }
}

fn offsets_once(
    client: &Client,
    asked: &[(TopicPartition, i64)],
    wait: Duration,
) -> Result<Vec<Result<i64, Error>>, Failure> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = Partitions::new(asked.len());
    for (partition, at) in asked {
        list.add(&partition.topic, partition.partition, *at)?;
    }
    client.offsets_for_times(&list, wait)?;
    let rows = list.rows();
    let answer = |(partition, _): &(TopicPartition, i64)| {
        let missing = || Error::new(Class::Retry, format!("{partition}: no answer"));
        let row = find(&rows, partition).ok_or_else(missing)?;
        let result = row.result.as_ref().map(|()| row.offset);
        result.map_err(|failure| fail(failure, &partition.to_string()))
    };
    Ok(asked.iter().map(answer).collect())
}

/// What the client's group has committed, once no transaction holds any of it.
pub fn committed(
    client: &Client,
    partitions: &[TopicPartition],
    wait: Duration,
) -> Result<Vec<Committed>, Error> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let until = Instant::now() + wait;
    let fail = |failure: &Failure| fail(failure, "read committed offsets");
    loop {
        let mut list = Partitions::new(partitions.len());
        for partition in partitions {
            let added = list.add(&partition.topic, partition.partition, 0);
            added.map_err(|failure| fail(&failure))?;
        }
        let left = until.saturating_duration_since(Instant::now());
        match client.committed(&list, left) {
            Ok(()) => return answers(&list.rows(), partitions),
            // librdkafka asks again a few times by itself, with a back-off, before it says so.
            Err(failure) if failure.code == Code::UnstableOffsetCommit => {}
            Err(failure) if failure.code == Code::OperationTimedOut => {
                return Ok(vec![Committed::Unstable; partitions.len()]);
            }
            Err(failure) => return Err(fail(&failure)),
        }
        if Instant::now() >= until {
            return Ok(vec![Committed::Unstable; partitions.len()]);
        }
    }
}

/// A group that the newer protocol manages has no members here, and none of its troubles.
pub fn describe_group(
    client: &Client,
    name: &str,
    wait: Duration,
) -> Result<GroupDescription, Error> {
    let found = client.group(name, wait).map_err(|failure| fail(&failure, "describe group"))?;
    let Some(GroupRow { state, members }) = found else { return Ok(GroupDescription::default()) };
    let mut known = Vec::with_capacity(members.len());
    for member in members {
        let foreign = || {
            let id = &member.id;
            Error::new(Class::Retry, format!("the assignment of {id} cannot be read"))
        };
        let owns = member.owns.ok_or_else(foreign)?;
        known.push(MemberDescription { id: member.id, owns });
    }
    known.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(GroupDescription { stable: state == "Stable", members: known })
}

fn answers(rows: &[Row], partitions: &[TopicPartition]) -> Result<Vec<Committed>, Error> {
    let answer = |partition: &TopicPartition| {
        let Some(row) = find(rows, partition) else { return Ok(Committed::Unstable) };
        match &row.result {
            Ok(()) if row.offset < 0 => Ok(Committed::None),
            Ok(()) => {
                Ok(Committed::At { next: NextOffset(row.offset), metadata: row.metadata.clone() })
            }
            Err(failure) if failure.code == Code::UnstableOffsetCommit => Ok(Committed::Unstable),
            Err(failure) => Err(fail(failure, &partition.to_string())),
        }
    };
    partitions.iter().map(answer).collect()
}

fn find<'a>(rows: &'a [Row], partition: &TopicPartition) -> Option<&'a Row> {
    let is_it = |row: &&Row| row.partition == partition.partition && row.topic == *partition.topic;
    rows.iter().find(is_it)
}
