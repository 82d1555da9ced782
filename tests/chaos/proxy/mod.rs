//! A TCP proxy that knows Kafka's framing. It stands between processes and their broker and lets
//! chosen requests, or their answers, meet with faults.
//!
//! The broker advertises the proxy's address on a listener of its own, so that clients that come
//! through the proxy are sent to it again.

mod connection;
mod frame;
mod rule;
mod test;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rand::{SeedableRng, rngs::SmallRng};

use self::{connection::Connection, frame::Head};
pub use self::{
    frame::Api,
    rule::{Action, Laid, Moment, Often, Rule},
};

/// The port, taken before the broker is told of it.
pub struct Door(TcpListener);

impl Door {
    pub fn open() -> io::Result<Self> {
        Ok(Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    #[cfg(test)]
    fn lead_to(self, broker: SocketAddr, seed: u64) -> io::Result<Proxy> {
        Proxy::start(vec![(self, broker)], seed)
    }
}

fn accept(door: &TcpListener, broker: SocketAddr, table: &Arc<Table>) {
    for client in door.incoming() {
        if table.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        // Without a broker the client is turned away, as by the broker's own port.
        if let Ok(broker) = TcpStream::connect(broker) {
            let _ = Connection::start(client, broker, Arc::clone(table));
        }
    }
}

pub struct Proxy {
    table: Arc<Table>,
    entrances: Vec<(SocketAddr, JoinHandle<()>)>,
}

impl Proxy {
    /// A door for each broker; the rules count for all of them. `seed` decides what happens by
    /// chance.
    pub fn start(doors: Vec<(Door, SocketAddr)>, seed: u64) -> io::Result<Self> {
        let state = State {
            rules: Vec::new(),
            seen: BTreeMap::new(),
            random: SmallRng::seed_from_u64(seed),
            connections: Vec::new(),
        };
        let table = Arc::new(Table { state: Mutex::new(state), is_over: AtomicBool::new(false) });
        let mut entrances = Vec::new();
        for (door, broker) in doors {
            let (address, shared) = (door.address()?, Arc::clone(&table));
            entrances.push((address, thread::spawn(move || accept(&door.0, broker, &shared))));
        }
        Ok(Self { table, entrances })
    }

    /// Of all doors, as `bootstrap.servers` has them.
    pub fn addresses(&self) -> String {
        let addresses = self.entrances.iter().map(|(address, _)| address.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// From now on. The first rule that is due takes a request.
    pub fn lay(&self, rule: Rule) -> Arc<Laid> {
        let laid = Arc::new(Laid::new(rule));
        self.table.state().rules.push(Arc::clone(&laid));
        laid
    }

    pub fn lift_all(&self) {
        let rules = std::mem::take(&mut self.table.state().rules);
        rules.iter().for_each(|laid| laid.lift());
    }

    /// How many requests of this kind came.
    pub fn seen(&self, client: &str, api: Api) -> u64 {
        self.table.state().seen.get(&(client.to_owned(), api)).copied().unwrap_or(0)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.lift_all();
        self.table.is_over.store(true, Ordering::SeqCst);
        for connection in std::mem::take(&mut self.table.state().connections) {
            if let Some(connection) = connection.upgrade() {
                connection.cut();
            }
        }
        for (address, thread) in std::mem::take(&mut self.entrances) {
            // Wakes the thread that accepts.
            let _ = TcpStream::connect(address);
            let _ = thread.join();
        }
    }
}

/// What the connections share.
pub struct Table {
    state: Mutex<State>,
    is_over: AtomicBool,
}

struct State {
    rules: Vec<Arc<Laid>>,
    /// By client and kind.
    seen: BTreeMap<(String, Api), u64>,
    random: SmallRng,
    connections: Vec<Weak<Connection>>,
}

impl Table {
    /// The fault that this request meets with.
    fn meet(&self, head: &Head) -> Option<Arc<Laid>> {
        let mut state = self.state();
        let State { rules, seen, random, .. } = &mut *state;
        *seen.entry((head.client.clone(), head.api)).or_default() += 1;
        rules.iter().find(|laid| laid.chooses(head, random)).map(Arc::clone)
    }

    fn opened(&self, connection: &Arc<Connection>) {
        let mut state = self.state();
        state.connections.retain(|known| known.strong_count() > 0);
        state.connections.push(Arc::downgrade(connection));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
