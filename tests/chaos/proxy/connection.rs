//! One client's connection and the one to the broker behind it: two threads that carry frames.

use std::{
    collections::HashMap,
    io::{self, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Table, frame,
    frame::Head,
    rule::{Action, Laid, Moment},
};

/// A delay looks so often whether it was lifted.
const STEP: Duration = Duration::from_millis(10);

pub struct Connection {
    client: TcpStream,
    broker: TcpStream,
    /// By correlation id: what the answer is to meet with.
    waiting: Mutex<HashMap<i32, Arc<Laid>>>,
    /// Nothing passes any more, and nobody was told.
    is_silent: AtomicBool,
    is_cut: AtomicBool,
}

impl Connection {
    /// Carries frames until either side closes.
    pub fn start(client: TcpStream, broker: TcpStream, table: Arc<Table>) -> io::Result<()> {
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let connection = Arc::new(Self {
            client,
            broker,
            waiting: Mutex::default(),
            is_silent: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
        });
        table.opened(&connection);
        let up = Arc::clone(&connection);
        thread::spawn(move || up.carry(&|| up.requests(&table)));
        thread::spawn(move || connection.carry(&|| connection.answers()));
        Ok(())
    }

    /// Closes both sides, whatever is under way.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }

    fn carry(&self, frames: &dyn Fn() -> io::Result<()>) {
        let outcome = frames();
        // A side that closed or broke off takes the other with it.
        drop(outcome);
        self.cut();
        self.waiting().drain().for_each(|(_, laid)| laid.forgo());
    }

    fn requests(self: &Arc<Self>, table: &Table) -> io::Result<()> {
        let (mut client, mut broker) = (&self.client, &self.broker);
        let mut bytes = Vec::new();
        while frame::read(&mut client, &mut bytes)? {
            let head = Head::of_request(&bytes)?;
            if self.is_silent() {
                continue;
            }
            if let Some(laid) = table.meet(&head) {
                if laid.rule.moment == Moment::After {
                    self.waiting().insert(head.correlation, laid);
                } else if !self.passes(&laid) {
                    continue;
                }
            }
            broker.write_all(&bytes)?;
        }
        Ok(())
    }

    fn answers(self: &Arc<Self>) -> io::Result<()> {
        let (mut client, mut broker) = (&self.client, &self.broker);
        let mut bytes = Vec::new();
        while frame::read(&mut broker, &mut bytes)? {
            let laid = self.waiting().remove(&frame::correlation_of_answer(&bytes)?);
            if self.is_silent() {
                continue;
            }
            if laid.is_none_or(|laid| self.passes(&laid)) {
                client.write_all(&bytes)?;
            }
        }
        Ok(())
    }

    /// Lets a fault happen. Whether the frame goes on afterwards.
    fn passes(self: &Arc<Self>, laid: &Laid) -> bool {
        laid.count();
        match laid.rule.action {
            Action::Cut => {
                self.cut();
                false
            }
            Action::Delay(by) => {
                let until = Instant::now() + by;
                while Instant::now() < until && !laid.is_lifted() && !self.is_cut() {
                    thread::sleep(STEP);
                }
                true
            }
            Action::BlackHole => {
                self.is_silent.store(true, Ordering::SeqCst);
                laid.silenced(Arc::downgrade(self));
                if laid.is_lifted() {
                    // It was lifted between the choice and the note.
                    self.cut();
                }
                false
            }
        }
    }

    fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::SeqCst)
    }

    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<i32, Arc<Laid>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
