//! The fold of an order: facts in sequence → the view and what follows from each. Pure.
//!
//! Invariants:
//! - `ORDER-SHIPPED` a line's shipped quantity is what its deliveries say, never above ordered.
//! - `ORDER-CANCELLED` of a cancelled or deleted order, cancelled = ordered − shipped.

use std::collections::BTreeSet;

use aplomb_state::ids::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    facts::{Created, CreatedLine, Delivery, DeliveryItem, Fact, Stated},
    machine::{self, ItemState},
    outcomes::{Code, Condition, Event, EventKind, EventLine, Judgement, Outcome},
    returns::ReturnItem,
    rules,
    transitions::{Dimension, State, depends_on_payments},
};
use crate::{
    messages::skus::{Cause, InventoryMode},
    outputs::Money,
    resources::delivered::Head,
    settings::Rules,
};

/// What the messages of an order amount to. A function of them and of nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its creation was seen.
    pub known: bool,
    pub deleted: bool,
    /// A message was rejected, or came without its payload.
    pub incomplete: bool,
    /// Imported when it was already shipped or closed: it holds nothing.
    pub holds_nothing: bool,
    pub order_number: Option<String>,
    pub version: u64,
    pub stated: Stated,
    /// As reported, by [`Dimension`].
    pub states: [Option<State>; 3],
    pub legal: [Option<State>; 3],
    pub lines: Vec<Line>,
    pub deliveries: Vec<Delivery>,
    pub returns: Vec<ReturnItem>,
    pub payments: Vec<String>,
    /// By [`Dimension`]: a message changed it since the creation.
    pub changed: [bool; 3],
    /// The total as the order was placed, in minor units.
    pub placed_total: Option<i64>,
    /// The last change of paymentState, if payments must bear it out.
    pub claim: Option<Claim>,
    pub conditions: BTreeSet<Condition>,
    /// The greatest `createdAt` applied.
    pub as_of: Option<Timestamp>,
}

/// A change of paymentState that is legal only if something is true of the payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub sequence: u64,
    pub from: State,
    pub to: State,
    /// The last legal state without it.
    pub legal_before: Option<State>,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub line_id: String,
    pub sku: Option<String>,
    pub product_id: Option<String>,
    pub location: Option<String>,
    pub mode: InventoryMode,
    /// There are goods to be shipped.
    pub physical: bool,
    pub ordered: i64,
    pub shipped: i64,
    pub cancelled: i64,
    pub returned: i64,
    /// What the ordered units cost together, in minor units.
    pub price: Option<i64>,
    pub restocked: i64,
    pub unusable: i64,
    /// Shipped when an edit left less: these stay shipped.
    pub kept: i64,
    /// Custom states of its units.
    pub states: Vec<ItemState>,
}

impl Order {
    /// Folds the next message in.
    pub fn apply(&mut self, head: &Head, fact: &Fact, rules: &Rules) -> Vec<Outcome> {
        self.version = self.version.max(head.resource_version);
        self.as_of = self.as_of.max(Some(head.created_at));
        if self.order_number.is_none() {
            let number = head.identifiers.iter().find(|(kind, _)| kind == "orderNumber");
            self.order_number = number.map(|(_, number)| number.clone());
        }
        let mut outcomes = Vec::new();
        match fact {
            Fact::Created(created) => self.create(created, head, rules, &mut outcomes),
            Fact::Imported(created) => {
                let before = self.known;
                self.create(created, head, rules, &mut outcomes);
                if !before {
                    self.holds_nothing = is_terminal(self) || is_shipped(self);
                }
            }
            Fact::Deleted => self.delete(),
            Fact::StateChanged { dimension, from, to } => {
                self.change(*dimension, *from, *to, head, rules, &mut outcomes);
            }
            Fact::DeliveryAdded(delivery) => self.deliver(delivery, rules, &mut outcomes),
            Fact::DeliveryChanged { delivery, old } => {
                self.update_delivery(delivery, old, rules, &mut outcomes);
            }
            Fact::DeliveryRemoved(delivery_id) => {
                self.remove_delivery(delivery_id, rules, &mut outcomes);
            }
            Fact::Packed { delivery_id, parcel_id, items } => {
                self.pack(delivery_id, parcel_id, items, &mut outcomes);
            }
            Fact::ReturnsAdded(items) => self.add_returns(items, rules, &mut outcomes),
            Fact::ReturnsSet(items) => self.set_returns(items, rules, &mut outcomes),
            Fact::ReturnChanged { item_id, to } => {
                self.change_return(item_id, *to, rules, &mut outcomes);
            }
            Fact::LineAdded(line) => self.add_line(line, rules, &mut outcomes),
            Fact::LineEdited(edited) => self.remove_units(edited, rules, &mut outcomes),
            Fact::EditApplied { total, gross } => {
                if total.is_some() {
                    self.stated.total.clone_from(total);
                    self.stated.gross.clone_from(gross);
                }
            }
            Fact::StateTransition(change) => self.transition(change, rules, &mut outcomes),
            Fact::UnitsMoved(moved) => self.move_units(moved, rules, &mut outcomes),
            Fact::PaymentAdded(payment) => {
                if !self.payments.contains(payment) {
                    self.payments.push(payment.clone());
                }
            }
            Fact::PaymentRemoved(payment) => self.payments.retain(|linked| linked != payment),
            Fact::Missing { creates } => self.miss(head, *creates, &mut outcomes),
            Fact::Other => {}
        }
        outcomes
    }

    /// A message was rejected: its number is consumed, the rest of it is not known.
    pub fn skip(&mut self) {
        self.incomplete = true;
    }

    pub fn state(&self, dimension: Dimension) -> Option<State> {
        self.states.get(dimension as usize).copied().flatten()
    }

    /// What the order costs.
    pub fn due(&self) -> Option<&Money> {
        self.stated.gross.as_ref().or(self.stated.total.as_ref())
    }

    fn create(
        &mut self,
        created: &Created,
        head: &Head,
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        if self.known {
            return;
        }
        self.known = true;
        if created.order_number.is_some() {
            self.order_number.clone_from(&created.order_number);
        }
        self.stated.clone_from(&created.stated);
        self.stated.created_at.get_or_insert(head.created_at);
        self.placed_total = self.due().map(|due| due.cent_amount);
        self.states = created.states;
        // States that come with the creation are accepted as given.
        self.legal = created.states;
        self.payments.clone_from(&created.payments);
        self.deliveries.clone_from(&created.deliveries);
        let payload_missing =
            Condition { code: Code::PayloadMissing, discriminator: head.sequence.to_string() };
        if self.conditions.remove(&payload_missing) {
            self.incomplete = false;
        }
        outcomes.push(Outcome::Event(Event {
            kind: EventKind::OrderPlaced,
            lines: Vec::new(),
            delivery_id: None,
        }));
        for line in &created.lines {
            self.missing_sku(line, outcomes);
            self.lines.push(Line::of(line, rules));
            machine::judge_sums(self, &line.line_id, rules, outcomes);
        }
        self.settle_lines();
    }

    /// Everything goes but what the skus must be told: nothing more is held.
    pub fn delete(&mut self) {
        self.deleted = true;
        self.settle_lines();
    }

    fn change(
        &mut self,
        dimension: Dimension,
        told: Option<State>,
        to: State,
        head: &Head,
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        let seen = self.state(dimension);
        self.compare(dimension, told, seen, outcomes);
        let from = told.or(seen);
        if let Some(state) = self.states.get_mut(dimension as usize) {
            *state = Some(to);
        }
        if dimension == Dimension::Order && to == State::Complete && from != Some(to) {
            self.stated.completed_at = Some(head.created_at);
        }
        self.settle_lines();
        let legal_before = self.legal.get(dimension as usize).copied().flatten();
        let judgement = rules::judge_change(self, dimension, from, to, rules, outcomes);
        if from == Some(to) {
            return;
        }
        if let Some(changed) = self.changed.get_mut(dimension as usize) {
            *changed = true;
        }
        if dimension == Dimension::Payment && judgement != Some(Judgement::Violation) {
            let claimed = from.filter(|_| depends_on_payments(from, to));
            let (sequence, cause) = (head.sequence, head.cause());
            self.claim = claimed.map(|from| Claim { sequence, from, to, legal_before, cause });
        }
        let kind = match (dimension, to) {
            (Dimension::Order, State::Complete) => EventKind::OrderCompleted,
            (Dimension::Order, State::Cancelled) => EventKind::OrderCancelled,
            (Dimension::Payment, State::Paid) => EventKind::PaymentConfirmed,
            (Dimension::Shipment, State::Delivered) => EventKind::OrderDelivered,
            _ => return,
        };
        outcomes.push(Outcome::Event(Event { kind, lines: Vec::new(), delivery_id: None }));
    }

    /// The payload's old value must be what the view says; an absent one says nothing.
    fn compare(
        &mut self,
        dimension: Dimension,
        told: Option<State>,
        seen: Option<State>,
        outcomes: &mut Vec<Outcome>,
    ) {
        let condition =
            Condition { code: Code::ViewDiverged, discriminator: dimension.name().to_owned() };
        match (told, seen) {
            (Some(told), Some(seen)) if told != seen => {
                let detail = format!(
                    "{} was {} before the change, the view says {}",
                    dimension.name(),
                    told.name(),
                    seen.name()
                );
                self.conditions.insert(condition.clone());
                outcomes.push(Outcome::Raised(condition, detail));
            }
            (Some(_), Some(_)) => {
                self.conditions.remove(&condition);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, delivery: &Delivery, rules: &Rules, outcomes: &mut Vec<Outcome>) {
        if self.deliveries.iter().any(|known| known.delivery_id == delivery.delivery_id) {
            return;
        }
        let before = self.shipped();
        self.deliveries.push(delivery.clone());
        self.ship(&before, delivery, rules, outcomes);
    }

    /// The delivery's items are what the message says, whatever they were.
    fn update_delivery(
        &mut self,
        delivery: &Delivery,
        old: &[DeliveryItem],
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        let before = self.shipped();
        let known = self.deliveries.iter_mut();
        let known = known.rev().find(|known| known.delivery_id == delivery.delivery_id);
        let was = match known {
            Some(known) => Some(std::mem::replace(&mut known.items, delivery.items.clone())),
            None => {
                self.deliveries.push(delivery.clone());
                None
            }
        };
        let discriminator = delivery.delivery_id.clone();
        let condition = Condition { code: Code::ViewDiverged, discriminator };
        if was.is_some_and(|was| sorted(&was) == sorted(old)) {
            self.conditions.remove(&condition);
        } else if self.known {
            let detail = format!("delivery {} had other items before", delivery.delivery_id);
            self.conditions.insert(condition.clone());
            outcomes.push(Outcome::Raised(condition, detail));
        }
        self.ship(&before, delivery, rules, outcomes);
    }

    /// What it had shipped is held again.
    fn remove_delivery(&mut self, id: &str, rules: &Rules, outcomes: &mut Vec<Outcome>) {
        self.deliveries.retain(|known| known.delivery_id != id);
        self.settle_lines();
        let removed = Delivery { delivery_id: id.to_owned(), items: Vec::new() };
        rules::judge_delivery(self, &removed, rules, outcomes);
    }

    /// A parcel holds no more than its delivery.
    fn pack(
        &mut self,
        delivery_id: &str,
        parcel_id: &str,
        items: &[DeliveryItem],
        outcomes: &mut Vec<Outcome>,
    ) {
        let known = self.deliveries.iter().find(|known| known.delivery_id == delivery_id);
        let Some(delivery) = known else { return };
        let fits = |item: &DeliveryItem| {
            let of_line = delivery.items.iter().filter(|known| known.line_id == item.line_id);
            item.quantity <= of_line.map(|known| known.quantity).sum()
        };
        let discriminator = format!("parcel {parcel_id}");
        let condition = Condition { code: Code::ViewDiverged, discriminator };
        if items.iter().all(fits) {
            self.conditions.remove(&condition);
            return;
        }
        let detail = format!("parcel {parcel_id} holds more than delivery {delivery_id}");
        self.conditions.insert(condition.clone());
        outcomes.push(Outcome::Raised(condition, detail));
    }

    fn shipped(&self) -> Vec<i64> {
        self.lines.iter().map(|line| line.shipped).collect()
    }

    fn ship(
        &mut self,
        before: &[i64],
        delivery: &Delivery,
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        self.settle_lines();
        let shipped = self.lines.iter().zip(before).filter_map(|(line, before)| {
            let quantity = line.shipped - before;
            let (line_id, sku) = (line.line_id.clone(), line.sku.clone());
            (quantity > 0).then_some(EventLine { line_id, sku, quantity })
        });
        let lines: Vec<_> = shipped.collect();
        if !lines.is_empty() {
            let (kind, delivery_id) = (EventKind::ItemsShipped, Some(delivery.delivery_id.clone()));
            outcomes.push(Outcome::Event(Event { kind, lines, delivery_id }));
        }
        rules::judge_delivery(self, delivery, rules, outcomes);
    }

    fn miss(&mut self, head: &Head, creates: bool, outcomes: &mut Vec<Outcome>) {
        self.incomplete = true;
        let discriminator = head.sequence.to_string();
        let condition = Condition { code: Code::PayloadMissing, discriminator };
        let reason = head.payload_missing.as_deref().unwrap_or_default();
        let detail = format!("{} came without its payload: {reason}", head.message_type);
        self.conditions.insert(condition.clone());
        outcomes.push(Outcome::Raised(condition, detail));
        if creates && !self.known {
            outcomes.push(Outcome::Held);
        }
    }

    /// Shipped follows from the deliveries, cancelled from the state, what comes back from the
    /// returns.
    pub(super) fn settle_lines(&mut self) {
        let ended = self.deleted || self.state(Dimension::Order) == Some(State::Cancelled);
        let mut lines = std::mem::take(&mut self.lines);
        for line in &mut lines {
            let delivered = delivered(&self.deliveries, &line.line_id);
            line.shipped = delivered.min(line.ordered.max(line.kept));
            line.cancelled = if ended { (line.ordered - line.shipped).max(0) } else { 0 };
            let returned = self.returned(&line.line_id);
            line.returned = returned.all;
            (line.restocked, line.unusable) = (returned.restocked, returned.unusable);
        }
        self.lines = lines;
    }
}

impl Line {
    pub(super) fn of(line: &CreatedLine, rules: &Rules) -> Self {
        let digital = &rules.digital_product_types;
        Self {
            line_id: line.line_id.clone(),
            sku: line.sku.clone(),
            product_id: line.product_id.clone(),
            location: line.location.clone().or_else(|| {
                Some(&rules.default_location).filter(|location| !location.is_empty()).cloned()
            }),
            mode: line.mode,
            physical: line.product_type.as_ref().is_none_or(|kind| !digital.contains(kind)),
            ordered: line.quantity,
            shipped: 0,
            cancelled: 0,
            returned: 0,
            restocked: 0,
            unusable: 0,
            kept: 0,
            price: line.price,
            states: line.states.clone(),
        }
    }

    pub fn mode_name(&self) -> &'static str {
        match self.mode {
            InventoryMode::None => "None",
            InventoryMode::TrackOnly => "TrackOnly",
            InventoryMode::ReserveOnOrder => "ReserveOnOrder",
            InventoryMode::ReserveOnCart => "ReserveOnCart",
        }
    }
}

/// commercetools promises no order of items.
fn sorted(items: &[DeliveryItem]) -> Vec<(&str, i64)> {
    let mut items: Vec<_> =
        items.iter().map(|item| (item.line_id.as_str(), item.quantity)).collect();
    items.sort_unstable();
    items
}

/// What all deliveries say of a line.
pub fn delivered(deliveries: &[Delivery], line_id: &str) -> i64 {
    let items = deliveries.iter().flat_map(|delivery| &delivery.items);
    items
        .filter(|item| item.line_id == line_id)
        .fold(0, |sum: i64, item| sum.saturating_add(item.quantity))
}

fn is_terminal(order: &Order) -> bool {
    matches!(order.state(Dimension::Order), Some(State::Complete | State::Cancelled))
}

fn is_shipped(order: &Order) -> bool {
    matches!(order.state(Dimension::Shipment), Some(State::Shipped | State::Delivered))
}
