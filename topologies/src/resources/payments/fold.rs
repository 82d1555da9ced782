//! The fold of a payment: facts in sequence → transactions, sums, and what follows. Pure.
//!
//! ```text
//!   Initial ──► Pending ──► Success          every other change is a violation; what was
//!      │           └──────► Failure          reported counts all the same
//!      ├─────────► Success      │
//!      └─────────► Failure ─────┴──► Success: late, with a warning
//! ```

use std::collections::BTreeSet;

use aplomb_state::ids::Timestamp;
use serde::{Deserialize, Serialize};

use super::payloads::{Created, Fact};
use crate::{
    messages::payments::{Statement, Totals},
    outputs::Money,
    resources::delivered::Head,
    settings::{Level, Rules},
};

/// What the messages of a payment amount to. A function of them and of nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its creation was seen.
    pub known: bool,
    /// A message was rejected, or came without its payload.
    pub incomplete: bool,
    pub version: u64,
    pub key: Option<String>,
    pub interface_id: Option<String>,
    pub interface: Option<String>,
    pub method: Option<String>,
    pub planned: Option<Money>,
    pub created_at: Option<Timestamp>,
    pub transactions: Vec<Transaction>,
    pub conditions: BTreeSet<Condition>,
    /// The greatest `createdAt` applied.
    pub as_of: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub transaction_id: String,
    /// Absent: only its state was told, nobody said what it is.
    pub stated: Option<(Kind, Money)>,
    pub progress: Progress,
    pub interface_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Authorization,
    CancelAuthorization,
    Charge,
    Refund,
    Chargeback,
}

/// The state of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    Initial,
    Pending,
    Success,
    Failure,
}

/// Something that is wrong with the payment now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Condition {
    pub code: Code,
    /// The transaction, the order, or the message.
    pub discriminator: String,
}

/// Its place in this list is part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Code {
    IllegalTransition,
    RefundExceedsCapture,
    CurrencyMismatch,
    PayloadMissing,
    ViewDiverged,
    /// By time, see [`super::watched`].
    TransactionUnknown,
    Orphan,
    /// About an order that is gone.
    OrderDeletedWithCapture,
}

/// What one message brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Event(Event),
    /// A condition holds because of this message, be it for the first time or once more.
    Raised(Condition, String),
}

/// A transaction came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub transaction_id: String,
    pub kind: Kind,
    pub amount: Money,
    pub succeeded: bool,
    pub passage: Passage,
}

/// How a change of state is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    Legal,
    /// Success after failure.
    Late,
    Violation,
}

impl Payment {
    /// Folds the next message in.
    pub fn apply(&mut self, head: &Head, fact: &Fact, rules: &Rules) -> Vec<Outcome> {
        self.version = self.version.max(head.resource_version);
        self.as_of = self.as_of.max(Some(head.created_at));
        let mut outcomes = Vec::new();
        match fact {
            Fact::Created(created) => self.create(created, head, &mut outcomes),
            Fact::Added(transaction) => self.add(transaction, &mut outcomes),
            Fact::Changed { transaction_id, progress } => {
                self.change(transaction_id, *progress, &mut outcomes);
            }
            Fact::TransactionInterfaceId { transaction_id, interface_id } => {
                if let Some(transaction) = self.transaction(transaction_id) {
                    transaction.interface_id.clone_from(interface_id);
                }
            }
            Fact::InterfaceId(interface_id) => self.interface_id.clone_from(interface_id),
            Fact::Interface(interface) => self.interface.clone_from(interface),
            Fact::Method(method) => self.method.clone_from(method),
            Fact::Missing => self.miss(head, &mut outcomes),
            Fact::Other => {}
        }
        self.judge(fact, rules, &mut outcomes);
        outcomes
    }

    /// A message was rejected: its number is consumed, the rest of it is not known.
    pub fn skip(&mut self) {
        self.incomplete = true;
    }

    pub fn statement(&self) -> Statement {
        let (planned, method) = (self.planned.clone(), self.method.clone());
        let paid = |transaction: &Transaction| {
            let kind = transaction.stated.as_ref().map(|(kind, _)| *kind);
            matches!(kind, Some(Kind::Authorization | Kind::Charge))
                && transaction.progress == Progress::Success
        };
        let mut states = self.transactions.iter().map(|transaction| transaction.progress);
        Statement {
            planned,
            method,
            totals: self.totals(),
            succeeded: self.transactions.iter().any(paid),
            failed: !self.transactions.is_empty() && states.all(|state| state == Progress::Failure),
        }
    }

    /// What was captured and not given back; where nothing was captured, what is authorised.
    pub fn money_held(&self) -> Money {
        let totals = self.totals();
        totals.money(if totals.captured == 0 { totals.authorised } else { totals.kept() })
    }

    /// Sums in the payment's currency; amounts in another are not added to them.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let Some(currency) = self.currency() else { return totals };
        totals.currency_code.clone_from(&currency.currency_code);
        totals.fraction_digits = currency.fraction_digits;
        let mut cancelled = 0i64;
        for transaction in &self.transactions {
            let Some((kind, amount)) = &transaction.stated else { continue };
            if amount.currency_code != totals.currency_code {
                continue;
            }
            let sum = match (transaction.progress, kind) {
                (Progress::Failure, _) => continue,
                (Progress::Initial | Progress::Pending, _) => &mut totals.pending,
                (Progress::Success, Kind::Authorization) => &mut totals.authorised,
                (Progress::Success, Kind::CancelAuthorization) => &mut cancelled,
                (Progress::Success, Kind::Charge) => &mut totals.captured,
                (Progress::Success, Kind::Refund) => &mut totals.refunded,
                (Progress::Success, Kind::Chargeback) => &mut totals.charged_back,
            };
            *sum = sum.saturating_add(amount.cent_amount);
        }
        totals.authorised = totals.authorised.saturating_sub(cancelled).max(0);
        totals
    }

    /// The plan's currency; that of the first transaction while no plan is known.
    fn currency(&self) -> Option<&Money> {
        let stated = self.transactions.iter().filter_map(|transaction| transaction.stated.as_ref());
        self.planned.as_ref().or_else(|| stated.map(|(_, amount)| amount).next())
    }

    fn transaction(&mut self, id: &str) -> Option<&mut Transaction> {
        self.transactions.iter_mut().find(|transaction| transaction.transaction_id == id)
    }

    fn create(&mut self, created: &Created, head: &Head, outcomes: &mut Vec<Outcome>) {
        if self.known {
            return;
        }
        self.known = true;
        self.key.clone_from(&created.key);
        self.interface_id.clone_from(&created.interface_id);
        self.interface.clone_from(&created.interface);
        self.method.clone_from(&created.method);
        self.planned = Some(created.planned.clone());
        self.created_at = created.created_at.or(Some(head.created_at));
        for transaction in &created.transactions {
            self.add(transaction, outcomes);
        }
    }

    fn add(&mut self, added: &Transaction, outcomes: &mut Vec<Outcome>) {
        match self.transaction(&added.transaction_id) {
            Some(known) if known.stated.is_some() => return,
            Some(known) => known.clone_from(added),
            None => self.transactions.push(added.clone()),
        }
        outcomes.extend(ended(added, Passage::Legal).map(Outcome::Event));
    }

    fn change(&mut self, id: &str, to: Progress, outcomes: &mut Vec<Outcome>) {
        let Some(transaction) = self.transaction(id) else {
            self.transactions.push(Transaction {
                transaction_id: id.to_owned(),
                stated: None,
                progress: to,
                interface_id: None,
            });
            return;
        };
        let from = std::mem::replace(&mut transaction.progress, to);
        let Some(passage) = passage(from, to) else { return };
        outcomes.extend(ended(transaction, passage).map(Outcome::Event));
        let condition = Condition { code: Code::IllegalTransition, discriminator: id.to_owned() };
        if passage == Passage::Violation {
            let detail = format!("transaction {id} went from {} to {}", from.name(), to.name());
            self.conditions.insert(condition.clone());
            outcomes.push(Outcome::Raised(condition, detail));
        } else {
            self.conditions.remove(&condition);
        }
    }

    fn miss(&mut self, head: &Head, outcomes: &mut Vec<Outcome>) {
        self.incomplete = true;
        let discriminator = head.sequence.to_string();
        let condition = Condition { code: Code::PayloadMissing, discriminator };
        let reason = head.payload_missing.as_deref().unwrap_or_default();
        let detail = format!("{} came without its payload: {reason}", head.message_type);
        self.conditions.insert(condition.clone());
        outcomes.push(Outcome::Raised(condition, detail));
    }

    /// Rules on the sums: X12, and X16 within the payment.
    fn judge(&mut self, fact: &Fact, rules: &Rules, outcomes: &mut Vec<Outcome>) {
        let touched = match fact {
            Fact::Created(created) => created.transactions.last(),
            Fact::Added(transaction) => Some(&**transaction),
            Fact::Changed { transaction_id, .. } => {
                self.transactions.iter().find(|known| known.transaction_id == *transaction_id)
            }
            _ => None,
        };
        let Some(touched) = touched.cloned() else { return };
        let totals = self.totals();
        let exceeds = rules.levels.x12 != Level::Off && totals.refunded > totals.captured;
        if !exceeds {
            self.conditions.retain(|condition| condition.code != Code::RefundExceedsCapture);
        } else if is_refund(&touched) || !self.has(Code::RefundExceedsCapture) {
            let detail = format!(
                "{} refunded of {} captured, in {}",
                totals.refunded, totals.captured, totals.currency_code
            );
            self.raise(Code::RefundExceedsCapture, &touched.transaction_id, detail, outcomes);
        }
        if rules.levels.x16 == Level::Off {
            return;
        }
        let foreign = self.transactions.iter().filter_map(|transaction| {
            let (_, amount) = transaction.stated.as_ref()?;
            let other = amount.currency_code != totals.currency_code;
            other.then(|| (transaction.transaction_id.clone(), amount.currency_code.clone()))
        });
        for (id, currency) in foreign.collect::<Vec<_>>() {
            let discriminator = id.clone();
            let condition = Condition { code: Code::CurrencyMismatch, discriminator };
            if !self.conditions.contains(&condition) {
                let own = &totals.currency_code;
                let detail = format!("transaction {id} is in {currency}, the payment in {own}");
                self.raise(Code::CurrencyMismatch, &id, detail, outcomes);
            }
        }
    }

    fn has(&self, code: Code) -> bool {
        self.conditions.iter().any(|condition| condition.code == code)
    }

    fn raise(&mut self, code: Code, about: &str, detail: String, outcomes: &mut Vec<Outcome>) {
        let condition = Condition { code, discriminator: about.to_owned() };
        self.conditions.insert(condition.clone());
        outcomes.push(Outcome::Raised(condition, detail));
    }
}

fn ended(transaction: &Transaction, passage: Passage) -> Option<Event> {
    let (kind, amount) = transaction.stated.clone()?;
    let succeeded = match transaction.progress {
        Progress::Success => true,
        Progress::Failure => false,
        Progress::Initial | Progress::Pending => return None,
    };
    let transaction_id = transaction.transaction_id.clone();
    Some(Event { transaction_id, kind, amount, succeeded, passage })
}

fn is_refund(transaction: &Transaction) -> bool {
    let kind = transaction.stated.as_ref().map(|(kind, _)| *kind);
    kind == Some(Kind::Refund) && transaction.progress == Progress::Success
}

/// `None`: the same state again.
fn passage(from: Progress, to: Progress) -> Option<Passage> {
    use Progress::{Failure, Initial, Pending, Success};
    match (from, to) {
        (Initial, Pending | Success | Failure) | (Pending, Success | Failure) => {
            Some(Passage::Legal)
        }
        (Failure, Success) => Some(Passage::Late),
        _ if from == to => None,
        _ => Some(Passage::Violation),
    }
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Authorization,
        Self::CancelAuthorization,
        Self::Charge,
        Self::Refund,
        Self::Chargeback,
    ];

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As in `transaction.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authorization => "Authorization",
            Self::CancelAuthorization => "CancelAuthorization",
            Self::Charge => "Charge",
            Self::Refund => "Refund",
            Self::Chargeback => "Chargeback",
        }
    }
}

impl Progress {
    const ALL: [Self; 4] = [Self::Initial, Self::Pending, Self::Success, Self::Failure];

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|progress| progress.name() == name)
    }

    /// As in `transaction.state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initial => "Initial",
            Self::Pending => "Pending",
            Self::Success => "Success",
            Self::Failure => "Failure",
        }
    }
}

impl Code {
    pub fn name(self) -> &'static str {
        match self {
            Self::IllegalTransition => "ORDER_ILLEGAL_TRANSITION",
            Self::RefundExceedsCapture => "REFUND_EXCEEDS_CAPTURE",
            Self::CurrencyMismatch => "CURRENCY_MISMATCH",
            Self::PayloadMissing => "PAYLOAD_MISSING",
            Self::ViewDiverged => "ORDER_VIEW_DIVERGED",
            Self::TransactionUnknown => "PAYMENT_TX_UNKNOWN",
            Self::Orphan => "ORPHAN_PAYMENT",
            Self::OrderDeletedWithCapture => "ORDER_DELETED_WITH_CAPTURE",
        }
    }

    /// It is about what we know, not about what happened: it ends with the payment.
    pub fn ends_with_the_payment(self) -> bool {
        matches!(self, Self::PayloadMissing | Self::ViewDiverged | Self::TransactionUnknown)
    }
}

impl Event {
    pub fn name(&self) -> &'static str {
        match self.kind {
            _ if !self.succeeded => "PaymentFailed",
            Kind::Authorization => "PaymentAuthorised",
            Kind::CancelAuthorization => "PaymentAuthorisationCancelled",
            Kind::Charge => "PaymentCaptured",
            Kind::Refund => "PaymentRefunded",
            Kind::Chargeback => "PaymentChargedBack",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair: `l` legal, `w` late, `x` a violation, `-` the same. To Initial, Pending,
    /// Success, Failure.
    #[test]
    fn every_pair_of_states_is_judged() {
        let rows = [
            (Progress::Initial, "-lll"),
            (Progress::Pending, "x-ll"),
            (Progress::Success, "xx-x"),
            (Progress::Failure, "xxw-"),
        ];
        for (from, expected) in rows {
            let letter = |to| match passage(from, to) {
                None => '-',
                Some(Passage::Legal) => 'l',
                Some(Passage::Late) => 'w',
                Some(Passage::Violation) => 'x',
            };
            assert_eq!(Progress::ALL.map(letter).iter().collect::<String>(), expected);
        }
    }

    fn transaction(kind: Kind, cents: i64, currency: &str, progress: Progress) -> Transaction {
        let currency_code = currency.to_owned();
        let amount = Money { cent_amount: cents, currency_code, fraction_digits: 2 };
        let stated = Some((kind, amount));
        let transaction_id = format!("{kind:?}-{cents}");
        Transaction { transaction_id, stated, progress, interface_id: None }
    }

    #[test]
    fn sums_are_by_kind_and_state_and_in_one_currency() {
        use {Kind::*, Progress::*};
        let rows = [
            (Authorization, 500, "EUR", Success),
            (CancelAuthorization, 200, "EUR", Success),
            (Authorization, 70, "EUR", Failure),
            (Charge, 300, "EUR", Success),
            (Charge, 40, "EUR", Initial),
            (Charge, 5, "EUR", Pending),
            (Charge, 900, "USD", Success),
            (Refund, 100, "EUR", Success),
            (Chargeback, 20, "EUR", Success),
        ];
        let transactions =
            rows.map(|(kind, cents, currency, state)| transaction(kind, cents, currency, state));
        let payment = Payment { transactions: transactions.to_vec(), ..Payment::default() };
        let expected = Totals {
            currency_code: "EUR".to_owned(),
            fraction_digits: 2,
            authorised: 300,
            captured: 300,
            refunded: 100,
            charged_back: 20,
            pending: 45,
        };
        assert_eq!(payment.totals(), expected);
        assert_eq!(payment.totals().kept(), 180);
    }
}
