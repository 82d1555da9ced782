//! Topics: what there is, creating them, trimming them.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};

use aplomb_state::ids::{NextOffset, TopicPartition};
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    admin::{
        AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier,
        ResourceSpecifier, TopicReplication,
    },
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    error::{During, classify},
    native::Failure,
};
use crate::log::{Class, Error, TopicDescription};

/// Every broker knows of a new topic within so long.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

pub struct Admin {
    client: AdminClient<Quiet>,
    wait: Duration,
}

/// Log lines go where those of the other clients go.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(facility, "librdkafka: {line}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "admin: {reason}");
    }
}

impl Admin {
    pub fn open(config: &ClientConfig, wait: Duration) -> Result<Self, Error> {
        let client = AdminClient::from_config_and_context(config, Quiet);
        Ok(Self { client: client.map_err(|error| fail(&error, "admin client"))?, wait })
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.wait)).operation_timeout(Some(self.wait))
    }

    pub fn topics(&self, names: &[Arc<str>]) -> Result<Vec<Option<TopicDescription>>, Error> {
        let what = "describe topics";
        // All topics: asking for one by name may create it.
        let metadata = self.client.inner().fetch_metadata(None, self.wait);
        let metadata = metadata.map_err(|error| fail(&error, what))?;
        let partitions = |name: &str| {
            let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
            i32::try_from(topic.partitions().len()).ok()
        };
        let known: Vec<_> = names.iter().filter(|name| partitions(name).is_some()).collect();
        let resources = self.settings(&known, what)?;
        let describe = |name: &Arc<str>| {
            let config = resources.iter().find(|one| is_topic(one, name)).map(entries);
            Some(TopicDescription {
                name: Arc::clone(name),
                partitions: partitions(name)?,
                config: config?,
            })
        };
        Ok(names.iter().map(describe).collect())
    }

    /// A broker that has not heard of a new topic yet tells no settings of it: it is asked again.
    fn settings(&self, names: &[&Arc<str>], what: &str) -> Result<Vec<ConfigResource>, Error> {
        let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let deadline = Instant::now() + TOLD_WITHIN;
        while !asked.is_empty() {
            let answers = wait_for(self.client.describe_configs(&asked, &self.options()))
                .map_err(|error| fail(&error, what))?;
            let answers: Result<Vec<_>, _> = answers.into_iter().collect();
            let is_told = match &answers {
                Ok(resources) => resources.iter().all(|resource| !resource.entries.is_empty()),
                Err(code) => *code != RDKafkaErrorCode::UnknownTopicOrPartition,
            };
            if is_told || Instant::now() > deadline {
                return answers.map_err(|code| fail(&KafkaError::AdminOp(code), what));
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        Ok(Vec::new())
    }

    pub fn create(&self, topics: &[TopicDescription], replicas: i32) -> Result<(), Error> {
        if topics.is_empty() {
            return Ok(());
        }
        let request = |topic: &TopicDescription| Request {
            name: topic.name.to_string(),
            partitions: topic.partitions,
            config: topic.config.clone(),
        };
        let requests: Vec<Request> = topics.iter().map(request).collect();
        let new: Vec<_> = requests.iter().map(|request| request.as_new(replicas)).collect();
        let answers = wait_for(self.client.create_topics(&new, &self.options()))
            .map_err(|error| fail(&error, "create topics"))?;
        for answer in answers {
            if let Err((name, code)) = answer {
                return Err(fail(&KafkaError::AdminOp(code), &format!("create topic {name}")));
            }
        }
        Ok(())
    }

    pub fn delete(&self, names: &[Arc<str>]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let asked: Vec<&str> = names.iter().map(|name| &**name).collect();
        let answers = wait_for(self.client.delete_topics(&asked, &self.options()))
            .map_err(|error| fail(&error, "delete topics"))?;
        for answer in answers {
            if let Err((name, code)) = answer {
                return Err(fail(&KafkaError::AdminOp(code), &format!("delete topic {name}")));
            }
        }
        Ok(())
    }

    pub fn delete_records(&self, before: &[(TopicPartition, NextOffset)]) -> Result<(), Error> {
        if before.is_empty() {
            return Ok(());
        }
        let what = "delete records";
        let mut list = TopicPartitionList::with_capacity(before.len());
        for (partition, next) in before {
            let offset = Offset::Offset(next.0);
            list.add_partition_offset(&partition.topic, partition.partition, offset)
                .map_err(|error| fail(&error, what))?;
        }
        let answers = wait_for(self.client.delete_records(&list, &self.options()))
            .map_err(|error| fail(&error, what))?;
        for answer in answers.elements() {
            let place = format!("{what} of {}/{}", answer.topic(), answer.partition());
            answer.error().map_err(|error| fail(&error, &place))?;
        }
        Ok(())
    }
}

/// Owns what a request to create a topic borrows.
struct Request {
    name: String,
    partitions: i32,
    config: Vec<(String, String)>,
}

impl Request {
    fn as_new(&self, replicas: i32) -> NewTopic<'_> {
        let fixed = TopicReplication::Fixed(replicas);
        let new = NewTopic::new(&self.name, self.partitions, fixed);
        self.config.iter().fold(new, |new, (key, value)| new.set(key, value))
    }
}

fn is_topic(resource: &ConfigResource, name: &str) -> bool {
    matches!(&resource.specifier, OwnedResourceSpecifier::Topic(topic) if topic == name)
}

fn entries(resource: &ConfigResource) -> Vec<(String, String)> {
    let entry =
        |entry: &rdkafka::admin::ConfigEntry| Some((entry.name.clone(), entry.value.clone()?));
    let mut entries: Vec<_> = resource.entries.iter().filter_map(entry).collect();
    entries.sort();
    entries
}

fn fail(error: &KafkaError, what: &str) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => classify(&Failure::new(code, code.to_string()), During::Request, what),
        None => Error::new(Class::Fatal, format!("{what}: {error}")),
    }
}

/// Waits for an answer of the admin client, which has a thread of its own to bring it.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        std::thread::park();
    }
}
