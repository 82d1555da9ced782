//! Which requests meet with which fault, and how often. Pure but for its counters.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng, rngs::SmallRng};

use super::{
    connection::Connection,
    frame::{Api, Head},
};

/// What happens to a request, or to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The connection is closed.
    Cut,
    /// It waits, and all behind it.
    Delay(Duration),
    /// From here on nothing passes in either direction, and nobody is told.
    BlackHole,
}

/// On which side of the broker's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The broker has not seen the request.
    Before,
    /// The broker has handled it: the fault falls on its answer.
    After,
}

/// Which of the calls that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Often {
    /// Every n-th.
    Every(u64),
    /// The n-th, or the next that can, once.
    Nth(u64),
    /// Each with this probability.
    Chance(f64),
}

#[derive(Clone, Debug)]
pub struct Rule {
    /// None: all of them.
    pub apis: Vec<Api>,
    /// Of every client where there is none.
    pub client: Option<String>,
    pub moment: Moment,
    pub action: Action,
    pub often: Often,
    /// After so many it rests.
    pub most: u64,
}

impl Rule {
    /// Every call, until it is lifted.
    pub fn new(apis: &[Api], moment: Moment, action: Action) -> Self {
        let apis = apis.to_vec();
        Self { apis, client: None, moment, action, often: Often::Every(1), most: u64::MAX }
    }

    pub fn often(self, often: Often) -> Self {
        Self { often, ..self }
    }

    pub fn at_most(self, most: u64) -> Self {
        Self { most, ..self }
    }

    pub fn of_client(self, client: &str) -> Self {
        Self { client: Some(client.to_owned()), ..self }
    }

    fn concerns(&self, head: &Head) -> bool {
        (self.apis.is_empty() || self.apis.contains(&head.api))
            && self.client.as_ref().is_none_or(|client| *client == head.client)
    }
}

/// Such as `EndTxn after: cut`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apis: Vec<String> = self.apis.iter().map(|api| format!("{api:?}")).collect();
        let apis = match apis.as_slice() {
            [] => "everything".to_owned(),
            [one] => one.clone(),
            [first, .., last] => format!("{first}…{last}"),
        };
        let moment = if self.moment == Moment::Before { "before" } else { "after" };
        write!(f, "{apis} {moment}: ")?;
        match self.action {
            Action::Cut => write!(f, "cut"),
            Action::Delay(by) => write!(f, "delayed by {by:?}"),
            Action::BlackHole => write!(f, "black hole"),
        }
    }
}

/// A rule at work, and what it has done.
pub struct Laid {
    pub rule: Rule,
    calls: AtomicU64,
    chosen: AtomicU64,
    fired: AtomicU64,
    is_lifted: AtomicBool,
    /// Connections that it silenced.
    silent: Mutex<Vec<Weak<Connection>>>,
}

impl Laid {
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            calls: AtomicU64::new(0),
            chosen: AtomicU64::new(0),
            fired: AtomicU64::new(0),
            is_lifted: AtomicBool::new(false),
            silent: Mutex::default(),
        }
    }

    /// How often the fault has happened.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    pub fn is_lifted(&self) -> bool {
        self.is_lifted.load(Ordering::SeqCst)
    }

    /// Nothing meets with it any more: what waits goes on, and what it silenced is cut, as by a
    /// network that has forgotten the connection.
    pub fn lift(&self) {
        self.is_lifted.store(true, Ordering::SeqCst);
        for connection in self.silent().drain(..) {
            if let Some(connection) = connection.upgrade() {
                connection.cut();
            }
        }
    }

    /// Whether this request is one of those that meet with the fault. `random` decides chances.
    pub fn chooses(&self, head: &Head, random: &mut SmallRng) -> bool {
        if self.is_lifted() || !self.rule.concerns(head) {
            return false;
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let (is_due, most) = match self.rule.often {
            Often::Every(n) => (call.is_multiple_of(n), self.rule.most),
            Often::Nth(n) => (call >= n, 1),
            Often::Chance(chance) => (random.random_bool(chance), self.rule.most),
        };
        // One thread at a time comes here, but `forgo` may come in between.
        let may = is_due && self.chosen.load(Ordering::SeqCst) < most;
        if may {
            self.chosen.fetch_add(1, Ordering::SeqCst);
        }
        may
    }

    /// A chosen request went down with its connection before the fault could happen.
    pub fn forgo(&self) {
        self.chosen.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn count(&self) {
        self.fired.fetch_add(1, Ordering::SeqCst);
    }

    pub fn silenced(&self, connection: Weak<Connection>) {
        self.silent().push(connection);
    }

    fn silent(&self) -> MutexGuard<'_, Vec<Weak<Connection>>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
