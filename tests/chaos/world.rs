//! The brokers of the scenarios, and the proxy before them.

use std::sync::Arc;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};

use crate::{
    live::{Outcome, broker::Broker},
    proxy::{Door, Proxy},
};

pub struct World {
    // Fields go in this order: the proxy before the broker.
    pub proxy: Proxy,
    pub broker: Broker,
    pub seed: u64,
}

impl World {
    /// `None` where there is no real Kafka and none is required.
    pub fn start(seed: u64) -> Outcome<Option<Self>> {
        let door = Door::open()?;
        let port = door.address()?.port().to_string();
        let started = Broker::start("chaos", &["--advertise", &port])?;
        let Some((broker, text)) = started else { return Ok(None) };
        let behind = text.lines().find_map(|line| line.strip_prefix("proxied="));
        let behind = behind.ok_or("the broker has no second listener")?.parse()?;
        Ok(Some(Self { proxy: Proxy::start(vec![(door, behind)], seed)?, broker, seed }))
    }

    /// Two brokers, of which one may go: every partition has a replica on both.
    pub fn start_cluster(seed: u64) -> Outcome<Self> {
        let doors = [Door::open()?, Door::open()?];
        let mut ports = Vec::new();
        for door in &doors {
            ports.push(door.address()?.port());
        }
        let (broker, behind) = Broker::start_cluster("chaos", &ports)?;
        let proxy = Proxy::start(doors.into_iter().zip(behind).collect(), seed)?;
        Ok(Self { proxy, broker, seed })
    }

    /// Removes the topics of one application: the broker is to stay small.
    pub fn delete_topics(&self, prefix: &str) -> Outcome {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.broker.bootstrap).create()?;
        let wait = std::time::Duration::from_secs(10);
        let metadata = admin.inner().fetch_metadata(None, wait)?;
        let names = metadata.topics().iter().map(|topic| topic.name());
        let names: Vec<&str> = names.filter(|name| name.starts_with(prefix)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let options = AdminOptions::new().operation_timeout(Some(wait));
        runtime.block_on(admin.delete_topics(&names, &options))?;
        Ok(())
    }
}

/// Where members look for the broker.
pub fn bootstrap(world: &World) -> Arc<str> {
    world.proxy.addresses().into()
}
