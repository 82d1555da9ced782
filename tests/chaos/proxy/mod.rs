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

    /// `seed` decides what happens by chance.
    pub fn lead_to(self, broker: SocketAddr, seed: u64) -> io::Result<Proxy> {
        let address = self.address()?;
        let state = State {
            rules: Vec::new(),
            seen: BTreeMap::new(),
            random: SmallRng::seed_from_u64(seed),
            connections: Vec::new(),
        };
        let table = Arc::new(Table { state: Mutex::new(state), is_over: AtomicBool::new(false) });
        let shared = Arc::clone(&table);
        let thread = thread::spawn(move || accept(&self.0, broker, &shared));
        Ok(Proxy { address, table, thread: Some(thread) })
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
    address: SocketAddr,
    table: Arc<Table>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub fn address(&self) -> SocketAddr {
        self.address
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
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
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
