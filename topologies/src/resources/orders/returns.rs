//! Returns: what comes back of what was shipped, item by item.
//!
//! ```text
//!   Advised ──(ReturnInfoSet alone)──► Returned ──► BackInStock | Unusable
//!   Initial ──► Refunded | NotRefunded        NonRefundable stays
//! ```

use serde::{Deserialize, Serialize};

use super::{
    fold::{Order, delivered},
    outcomes::{Code, Condition, Event, EventKind, EventLine, Judgement, Outcome, Verdict},
    rules::level_of,
};
use crate::settings::{Level, Rules};

/// `shipmentState` of a return item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnShipment {
    Advised,
    Returned,
    BackInStock,
    Unusable,
}

/// `paymentState` of a return item. It changes without a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnPayment {
    NonRefundable,
    Initial,
    Refunded,
    NotRefunded,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnItem {
    pub item_id: String,
    /// Of a line, or of a custom line.
    pub line_id: String,
    pub quantity: i64,
    pub shipment: ReturnShipment,
    pub payment: ReturnPayment,
}

/// What a message may change of a return's shipment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// OrderReturnShipmentStateChanged.
    Change,
    /// ReturnInfoSet.
    Set,
}

/// Units of a line that come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// All of them, be they only announced.
    pub all: i64,
    pub restocked: i64,
    pub unusable: i64,
}

/// The one verdict on each dimension of a message.
#[derive(Default)]
struct Changes {
    shipment: Option<Verdict>,
    payment: Option<Verdict>,
}

/// Of one item in one dimension.
struct Change {
    dimension: &'static str,
    from: &'static str,
    to: &'static str,
    legal: bool,
}

impl Order {
    pub fn returned(&self, line_id: &str) -> Returned {
        let mut sums = Returned::default();
        for item in self.returns.iter().filter(|item| item.line_id == line_id) {
            sums.all = sums.all.saturating_add(item.quantity);
            let part = match item.shipment {
                ReturnShipment::BackInStock => &mut sums.restocked,
                ReturnShipment::Unusable => &mut sums.unusable,
                ReturnShipment::Advised | ReturnShipment::Returned => continue,
            };
            *part = part.saturating_add(item.quantity);
        }
        sums
    }

    pub(super) fn add_returns(
        &mut self,
        items: &[ReturnItem],
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        self.open_returns(items, outcomes);
        for item in items {
            self.returns.retain(|known| known.item_id != item.item_id);
            self.returns.push(item.clone());
        }
        self.judge_returns(rules, outcomes);
    }

    /// The returns are these, whatever they were: what an item did that is not among them is
    /// taken back.
    pub(super) fn set_returns(
        &mut self,
        items: &[ReturnItem],
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        self.open_returns(items, outcomes);
        let before = std::mem::replace(&mut self.returns, items.to_vec());
        let mut changes = Changes::default();
        for item in items {
            let was = before.iter().find(|known| known.item_id == item.item_id);
            if let Some(was) = was {
                self.judge_shipment(was, item.shipment, By::Set, &mut changes.shipment, outcomes);
                self.judge_payment(was, item.payment, &mut changes.payment, outcomes);
            }
        }
        let gone = |id: &str| !items.iter().any(|item| item.item_id == id);
        self.conditions.retain(|condition| {
            condition.code != Code::IllegalTransition
                || !before.iter().any(|item| item.item_id == condition.discriminator)
                || !gone(&condition.discriminator)
        });
        outcomes.extend(changes.shipment.into_iter().chain(changes.payment).map(Outcome::Verdict));
        self.judge_returns(rules, outcomes);
    }

    pub(super) fn change_return(
        &mut self,
        item_id: &str,
        to: ReturnShipment,
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        let known = self.returns.iter_mut().find(|item| item.item_id == item_id);
        let condition =
            Condition { code: Code::ViewDiverged, discriminator: format!("return {item_id}") };
        let Some(known) = known else {
            let detail = format!("return item {item_id} is not in the view");
            self.conditions.insert(condition.clone());
            outcomes.push(Outcome::Raised(condition, detail));
            return;
        };
        let was = known.clone();
        known.shipment = to;
        let mut verdict = None;
        self.judge_shipment(&was, to, By::Change, &mut verdict, outcomes);
        outcomes.extend(verdict.map(Outcome::Verdict));
        self.judge_returns(rules, outcomes);
    }

    /// Items that were not there open a return.
    fn open_returns(&self, items: &[ReturnItem], outcomes: &mut Vec<Outcome>) {
        let is_new =
            |item: &&ReturnItem| !self.returns.iter().any(|known| known.item_id == item.item_id);
        let lines: Vec<_> = items
            .iter()
            .filter(is_new)
            .map(|item| {
                let line = self.lines.iter().find(|line| line.line_id == item.line_id);
                let sku = line.and_then(|line| line.sku.clone());
                EventLine { line_id: item.line_id.clone(), sku, quantity: item.quantity }
            })
            .collect();
        if !lines.is_empty() {
            let (kind, delivery_id) = (EventKind::ReturnOpened, None);
            outcomes.push(Outcome::Event(Event { kind, lines, delivery_id }));
        }
    }

    fn judge_shipment(
        &mut self,
        was: &ReturnItem,
        to: ReturnShipment,
        by: By,
        told: &mut Option<Verdict>,
        outcomes: &mut Vec<Outcome>,
    ) {
        use ReturnShipment::{Advised, BackInStock, Returned, Unusable};
        let from = was.shipment;
        let legal = match (from, to) {
            _ if from == to => return,
            (Returned, BackInStock | Unusable) => true,
            (Advised, _) => by == By::Set,
            _ => false,
        };
        let change =
            Change { dimension: "returnShipment", from: from.name(), to: to.name(), legal };
        self.judge_item(&was.item_id, &change, told, outcomes);
    }

    fn judge_payment(
        &mut self,
        was: &ReturnItem,
        to: ReturnPayment,
        told: &mut Option<Verdict>,
        outcomes: &mut Vec<Outcome>,
    ) {
        use ReturnPayment::{Initial, NotRefunded, Refunded};
        let from = was.payment;
        if from == to {
            return;
        }
        let legal = matches!((from, to), (Initial, Refunded | NotRefunded));
        let change = Change { dimension: "returnPayment", from: from.name(), to: to.name(), legal };
        self.judge_item(&was.item_id, &change, told, outcomes);
    }

    /// One verdict of a dimension per message: the worst, or else the last.
    fn judge_item(
        &mut self,
        item_id: &str,
        change: &Change,
        told: &mut Option<Verdict>,
        outcomes: &mut Vec<Outcome>,
    ) {
        let Change { dimension, from, to, legal } = *change;
        let discriminator = item_id.to_owned();
        let condition = Condition { code: Code::IllegalTransition, discriminator };
        let judgement = if legal { Judgement::Legal } else { Judgement::Violation };
        if legal {
            self.conditions.remove(&condition);
        } else {
            let detail = format!("{dimension} of {item_id} went from {from} to {to}");
            self.conditions.insert(condition.clone());
            outcomes.push(Outcome::Raised(condition, detail));
        }
        if told.as_ref().is_none_or(|worst| worst.judgement <= judgement) {
            let (from, to) = (Some(from.into()), Some(to.into()));
            *told = Some(Verdict { dimension, from, to, judgement, rule: "transition" });
        }
    }

    /// X15, and what follows for the lines.
    fn judge_returns(&mut self, rules: &Rules, outcomes: &mut Vec<Outcome>) {
        self.settle_lines();
        let level = rules.levels.x15;
        let code = Code::ReturnExceedsDelivered;
        let exceeding = self.lines.iter().filter_map(|line| {
            let all = self.returned(&line.line_id).all;
            let delivered = delivered(&self.deliveries, &line.line_id);
            (all > delivered).then(|| (line.line_id.clone(), all, delivered))
        });
        let exceeding: Vec<_> = exceeding.collect();
        let is_over = |id: &str| !exceeding.iter().any(|(line_id, ..)| line_id == id);
        self.conditions
            .retain(|condition| condition.code != code || !is_over(&condition.discriminator));
        if level == Level::Off || exceeding.is_empty() {
            return;
        }
        for (line_id, all, delivered) in exceeding {
            let detail = format!("line {line_id}: {all} returned of {delivered} delivered");
            let condition = Condition { code, discriminator: line_id };
            self.conditions.insert(condition.clone());
            outcomes.push(Outcome::Raised(condition, detail));
        }
        let (judgement, rule) = (level_of(level), "X15");
        let (dimension, from, to) = ("return", None, None);
        outcomes.push(Outcome::Verdict(Verdict { dimension, from, to, judgement, rule }));
    }
}

impl ReturnShipment {
    pub fn name(self) -> &'static str {
        match self {
            Self::Advised => "Advised",
            Self::Returned => "Returned",
            Self::BackInStock => "BackInStock",
            Self::Unusable => "Unusable",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::Advised, Self::Returned, Self::BackInStock, Self::Unusable];
        all.into_iter().find(|state| state.name() == name)
    }
}

impl ReturnPayment {
    pub fn name(self) -> &'static str {
        match self {
            Self::NonRefundable => "NonRefundable",
            Self::Initial => "Initial",
            Self::Refunded => "Refunded",
            Self::NotRefunded => "NotRefunded",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::NonRefundable, Self::Initial, Self::Refunded, Self::NotRefunded];
        all.into_iter().find(|state| state.name() == name)
    }
}
