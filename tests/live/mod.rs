//! What tests on a real Kafka share: a broker of their own, running processes, traffic, and the
//! questions asked afterwards.

pub mod broker;
pub mod feed;
pub mod http;
pub mod process;
pub mod resident;
pub mod verify;
pub mod views;

use std::error::Error;

pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The names and counts of one application on a broker.
#[derive(Clone, Debug)]
pub struct Application {
    pub id: String,
    /// The topic its notifications come in.
    pub input: String,
    /// Before the name of every output topic.
    pub prefix: String,
    /// Of its input.
    pub partitions: i32,
    /// Of every inbox, and of every output.
    pub inboxes: i32,
    pub outputs: i32,
    /// Of one process.
    pub workers: u32,
}

impl Application {
    /// The only one on its broker: the input has its usual name.
    pub fn alone(id: &str, partitions: i32) -> Self {
        Self {
            id: id.to_owned(),
            input: "commercetools.notifications.v1".to_owned(),
            prefix: format!("{id}."),
            partitions,
            inboxes: partitions,
            outputs: partitions,
            workers: 2,
        }
    }
}
