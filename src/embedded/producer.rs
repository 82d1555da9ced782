//! A transactional producer of the embedded log.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use aplomb_state::ids::{NextOffset, Offset, Timestamp, TopicPartition};

use super::{
    cluster::{Outgoing, Shared},
    faults::{Call, Fault, Faults},
    group::Membership,
    partition::Outcome,
    record::Body,
    transaction::Session,
};
use crate::log::{Class, Error, Producer, ToSend};

/// One producer. A record is in the log when `send` returns; that it arrived is known, as with a
/// broker, only after `poll` or `drain`.
pub struct EmbeddedProducer {
    shared: Arc<Shared>,
    faults: Option<Arc<dyn Faults>>,
    id: Arc<str>,
    phase: Phase,
    scratch: Vec<u8>,
    in_flight: Vec<(usize, Offset)>,
    /// Given up by the client, and on their way all the same.
    late: Vec<Late>,
    acknowledged: HashMap<usize, Offset>,
    tainted: bool,
}

struct Late {
    topic: Arc<str>,
    partition: i32,
    timestamp: Option<Timestamp>,
    body: Body,
}

/// ```text
///   New ──init──▶ Ready ──begin──▶ Open ──error of class Abort──▶ Failed
///                   ▲               │                               │
///                   └─commit, abort─┴─────────────abort─────────────┘
///   any ──fenced, or in doubt──▶ Lost
/// ```
#[derive(Clone, Copy, Debug)]
enum Phase {
    New,
    Ready(Session),
    Open(Session),
    Failed(Session),
    Lost,
}

impl EmbeddedProducer {
    pub(super) fn new(shared: Arc<Shared>, faults: Option<Arc<dyn Faults>>, id: &str) -> Self {
        Self {
            shared,
            faults,
            id: Arc::from(id),
            phase: Phase::New,
            scratch: Vec::new(),
            in_flight: Vec::new(),
            late: Vec::new(),
            acknowledged: HashMap::new(),
            tainted: false,
        }
    }

    fn fault(&self, call: Call) -> Option<Fault> {
        self.faults.as_ref().and_then(|faults| faults.decide(&self.id, call))
    }

    /// Makes a call, or has it fail as the test wants.
    fn call<T>(
        &mut self,
        call: Call,
        fault: Option<Fault>,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let answer = match fault {
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After) => work(self).and_then(|_| {
                Err(Error::in_doubt(format!("{call} of {}: the answer got lost", self.id)))
            }),
            Some(Fault::QueueFull | Fault::Late) | None => work(self),
        };
        answer.inspect_err(|error| self.note(call, error))
    }

    /// What an error makes of this producer.
    fn note(&mut self, call: Call, error: &Error) {
        self.tainted |= error.in_doubt;
        self.phase = match (call, error.class, self.phase) {
            // Nothing is open yet: the same call may be made again.
            (Call::Init, ..) => Phase::New,
            (_, Class::Migrated, _) => Phase::Lost,
            (_, Class::Abort, Phase::Open(session)) => Phase::Failed(session),
            (_, _, phase) => phase,
        };
    }

    fn open(&self, call: Call) -> Result<Session, Error> {
        match self.phase {
            Phase::Open(session) => Ok(session),
            Phase::Failed(_) => {
                let message = format!("{call}: the transaction of {} must be aborted", self.id);
                Err(Error::new(Class::Abort, message))
            }
            Phase::New | Phase::Ready(_) | Phase::Lost => Err(self.misplaced(call)),
        }
    }

    fn misplaced(&self, call: Call) -> Error {
        let class = match self.phase {
            Phase::Lost => Class::Migrated,
            Phase::New | Phase::Ready(_) | Phase::Open(_) | Phase::Failed(_) => Class::Fatal,
        };
        Error::new(class, format!("{call} of {} in phase {}", self.id, self.phase))
    }

    fn append(&mut self, record: &ToSend<'_>) -> Result<(), Error> {
        let session = self.open(Call::Send)?;
        for Late { topic, partition, timestamp, body } in std::mem::take(&mut self.late) {
            let outgoing = Outgoing { topic: &topic, partition, timestamp, body };
            self.shared.with(|cluster, now| cluster.append(session, outgoing, now))?;
        }
        let body = self.encode(record)?;
        let ToSend { topic, partition, timestamp, receipt, .. } = *record;
        let outgoing = Outgoing { topic, partition, timestamp, body };
        let offset = self.shared.with(|cluster, now| cluster.append(session, outgoing, now))?;
        self.in_flight.push((receipt, offset));
        Ok(())
    }

    fn encode(&mut self, record: &ToSend<'_>) -> Result<Body, Error> {
        let headers = record.headers.iter().map(|(name, value)| (name.as_bytes(), Some(*value)));
        Body::encode(&mut self.scratch, record.key, record.value, headers)
    }

    /// The client gives the record up; the broker gets it later.
    fn delay(&mut self, record: &ToSend<'_>) -> Result<(), Error> {
        self.open(Call::Send)?;
        let (topic, body) = (Arc::clone(record.topic), self.encode(record)?);
        let ToSend { partition, timestamp, .. } = *record;
        self.late.push(Late { topic, partition, timestamp, body });
        let message = format!("a record of {} was not acknowledged in time", self.id);
        Err(Error { in_doubt: true, ..Error::new(Class::Abort, message) })
    }

    fn forget_sent(&mut self) {
        self.in_flight.clear();
        self.acknowledged.clear();
    }
}

impl Producer for EmbeddedProducer {
    type Group = Membership;

    fn init_transactions(&mut self, _wait: Duration) -> Result<(), Error> {
        self.call(Call::Init, self.fault(Call::Init), |this| {
            let Phase::New = this.phase else {
                return Err(this.misplaced(Call::Init));
            };
            let session = this.shared.with(|cluster, now| cluster.init(&this.id, now));
            this.phase = Phase::Ready(session);
            this.tainted = false;
            Ok(())
        })
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.call(Call::Begin, self.fault(Call::Begin), |this| {
            let Phase::Ready(session) = this.phase else {
                return Err(this.misplaced(Call::Begin));
            };
            this.forget_sent();
            this.phase = Phase::Open(session);
            Ok(())
        })
    }

    fn send(&mut self, record: &ToSend<'_>) -> Result<bool, Error> {
        let fault = self.fault(Call::Send);
        if let Some(Fault::QueueFull) = fault {
            return Ok(false);
        }
        let is_late = matches!(fault, Some(Fault::Late));
        self.call(Call::Send, fault, |this| {
            if is_late { this.delay(record) } else { this.append(record) }
        })?;
        Ok(true)
    }

    fn poll(&mut self) {
        let arrived = self.in_flight.drain(..).filter(|(receipt, _)| *receipt != 0);
        self.acknowledged.extend(arrived);
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, NextOffset, String)],
        group: &Membership,
        _wait: Duration,
    ) -> Result<(), Error> {
        self.call(Call::SendOffsets, self.fault(Call::SendOffsets), |this| {
            let session = this.open(Call::SendOffsets)?;
            this.shared.with(|cluster, now| cluster.add_offsets(session, offsets, group, now))
        })
    }

    fn drain(&mut self, _wait: Duration) -> Result<(), Error> {
        self.call(Call::Drain, self.fault(Call::Drain), |this| {
            let session = this.open(Call::Drain)?;
            this.shared.with(|cluster, _| cluster.check_session(session))?;
            this.poll();
            Ok(())
        })
    }

    fn commit(&mut self, _wait: Duration) -> Result<(), Error> {
        self.call(Call::Commit, self.fault(Call::Commit), |this| {
            let session = this.open(Call::Commit)?;
            if !this.in_flight.is_empty() {
                let message = format!("commit of {} with records in flight", this.id);
                return Err(Error::new(Class::Fatal, message));
            }
            this.shared
                .with(|cluster, now| cluster.end_transaction(session, Outcome::Commit, now))?;
            this.phase = Phase::Ready(session);
            Ok(())
        })
    }

    fn abort(&mut self, _wait: Duration) -> Result<(), Error> {
        self.call(Call::Abort, self.fault(Call::Abort), |this| {
            let (Phase::Open(session) | Phase::Failed(session)) = this.phase else {
                return Err(this.misplaced(Call::Abort));
            };
            this.shared
                .with(|cluster, now| cluster.end_transaction(session, Outcome::Abort, now))?;
            this.forget_sent();
            this.phase = Phase::Ready(session);
            Ok(())
        })
    }

    fn acknowledged(&self, receipt: usize) -> Option<Offset> {
        self.acknowledged.get(&receipt).copied()
    }

    fn tainted(&self) -> bool {
        self.tainted
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::New => "new",
            Self::Ready(_) => "ready",
            Self::Open(_) => "open",
            Self::Failed(_) => "failed",
            Self::Lost => "lost",
        })
    }
}
