//! Looks after clients that have lost all their brokers.
//!
//! A broker that has just started, or is about to stop, may list no brokers in its answer about
//! topics. librdkafka forgets all it knew then, and in 2.12.1 also the timer that would go back to
//! `bootstrap.servers` (<https://github.com/confluentinc/librdkafka/issues/5301>): the client stays
//! alone for good, and calls that wait for a broker never return. So one thread per cluster asks
//! every client for a broker now and then, and gives the addresses again to one that has none.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use rdkafka_sys::RDKafkaErrorCode as Code;

use super::native::Client;

const INTERVAL: Duration = Duration::from_secs(3);
/// A client that has a broker answers at once.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Default)]
pub struct Keeper {
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    clients: Vec<Weak<Client>>,
    is_stopped: bool,
}

impl Keeper {
    /// Starts the thread. It ends after [`Keeper::stop`].
    pub fn start() -> std::io::Result<Arc<Self>> {
        let keeper = Arc::new(Self::default());
        let shared = Arc::clone(&keeper);
        std::thread::Builder::new().name("aplomb-keeper".to_owned()).spawn(move || shared.run())?;
        Ok(keeper)
    }

    pub fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    /// Until it is dropped.
    pub fn keep(&self, client: &Arc<Client>) {
        let mut kept = self.lock();
        kept.clients.retain(|known| known.strong_count() > 0);
        kept.clients.push(Arc::downgrade(client));
    }

    fn run(&self) {
        while let Some(clients) = self.due() {
            for client in clients {
                let Some(client) = client.upgrade() else { continue };
                let Err(failure) = client.look_around(PATIENCE) else { continue };
                if matches!(failure.code, Code::BrokerTransportFailure | Code::AllBrokersDown) {
                    client.bootstrap_again();
                }
            }
        }
    }

    /// Waits for the next turn; then all clients, or `None` to stop.
    fn due(&self) -> Option<Vec<Weak<Client>>> {
        let kept = self.lock();
        let waited = self.changed.wait_timeout_while(kept, INTERVAL, |kept| !kept.is_stopped);
        let kept = waited.unwrap_or_else(PoisonError::into_inner).0;
        (!kept.is_stopped).then(|| kept.clients.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
