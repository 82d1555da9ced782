//! What happens in the life of an order, and what it does to stock and payment.

use std::sync::Arc;

use aplomb_state::ids::Timestamp;

use super::{
    catalog::Mode,
    courier::{Courier, Fate},
    fact::{Change, Count, CountKind, Line, Shipped, Workflow},
    life::{Act, Amount, Life, Portion, Step},
    management::{self, Status},
    payment::Kind,
    returns::Returned,
    world::{Event, Scope, World},
};

/// What is missing where too little was captured.
const SHORT_CENTS: i64 = 500;

// === impl World ===

impl World {
    pub(super) fn act(
        &mut self,
        at: Timestamp,
        life: &mut Life,
        act: Act,
        courier: &mut Courier,
    ) -> Option<Change> {
        Some(match act {
            Act::Order(to) => {
                if to == "Cancelled" {
                    self.set_free(life);
                }
                Change::OrderState { from: std::mem::replace(&mut life.order_state, to), to }
            }
            Act::Payment(to) => {
                self.pay(at, life, to, courier);
                Change::PaymentState { from: std::mem::replace(&mut life.payment_state, to), to }
            }
            Act::PaidShort => {
                let short = life.order.total_cents() - SHORT_CENTS;
                self.charge(at, life, (short, "Success"), courier);
                let from = std::mem::replace(&mut life.payment_state, "Paid");
                Change::PaymentState { from, to: "Paid" }
            }
            Act::Shipment(to) => {
                Change::ShipmentState { from: std::mem::replace(&mut life.shipment_state, to), to }
            }
            Act::Ship(portion) => return self.ship(at, life, portion, courier),
            Act::GiveBack => {
                for (line, part) in life.order.lines.iter().zip(&life.parts) {
                    let quantity = (line.quantity - part.shipped).max(0);
                    self.restock(at, line.entry.place, quantity, courier);
                }
                return None;
            }
            Act::PackMore => return self.pack_more(life),
            Act::TakeBack => return self.take_back(life),
            Act::Parcel => {
                let of = life.delivered.clone()?;
                Change::Parcel { id: self.id(), of }
            }
            Act::AddUnit => Change::LineAdded { line: life.edited(1)?, added: 1 },
            Act::RemoveUnit => Change::LineRemoved { line: life.edited(0)?, removed: 1 },
            Act::Return(amount) => Change::Returned(self.take_in(at, life, amount)?),
            Act::BackInStock => {
                let returned = life.returned?;
                let line = life.order.lines.first()?;
                self.put_on_the_shelf(at, life.order.number, line, returned.quantity, courier);
                Change::BackInStock { item: returned.item }
            }
            Act::Refund(repaid) => {
                let cents = repaid.cents(life);
                self.transact(at, life, (Kind::Refund, cents, "Success"), courier);
                return None;
            }
            Act::MarkRefunded => Change::ReturnRefunded(life.returned?),
            Act::Management(status) => {
                courier.report(Status { number: life.order.number, status, as_of: at });
                return None;
            }
            Act::Silent => Change::Silent,
            Act::Unknown => Change::Unknown,
        })
    }

    fn set_free(&mut self, life: &Life) {
        for (line, part) in life.order.lines.iter().zip(&life.parts) {
            if let Some(stock) = self.stocks.get_mut(line.entry.place) {
                stock.short = (stock.short - (line.quantity - part.reserved)).max(0);
                stock.give((part.reserved - part.shipped).max(0));
            }
        }
    }

    fn ship(
        &mut self,
        at: Timestamp,
        life: &mut Life,
        portion: Portion,
        courier: &mut Courier,
    ) -> Option<Change> {
        let (mut items, mut sold) = (Vec::new(), Vec::new());
        let mut first = true;
        for (line, part) in life.order.lines.iter().zip(&mut life.parts) {
            let quantity = portion.of(*part, first);
            if quantity == 0 {
                continue;
            }
            first = false;
            part.shipped += quantity;
            items.push((line.id, quantity));
            if let Some(stock) = self.stocks.get_mut(line.entry.place) {
                // NOTE: a unit beyond the order is not taken from the books (case 24), so that
                // the warehouse's next count tells of it.
                stock.physical -= quantity;
                if stock.entry.product.mode == Mode::None {
                    // No order took it off commercetools' stock: the warehouse's system does.
                    sold.push((line.entry.place, quantity));
                }
            }
        }
        for (place, quantity) in sold {
            self.restock(at, place, -quantity, courier);
        }
        let all = matches!(portion, Portion::Rest | Portion::TooMuch);
        if all && life.shipped() < life.ordered() {
            // The rest is not there: the order waits for it.
            let to = if life.shipped() == 0 { "Backorder" } else { "Partial" };
            let step = Step { after_ms: 60_000, act: Act::Shipment(to), fate: Fate::Usual };
            life.steps.clear();
            if life.shipment_state != to {
                life.steps.push_back(step);
            }
        }
        if items.is_empty() {
            return None;
        }
        life.deliveries += 1;
        let shipped = Shipped { id: self.id(), number: life.deliveries, items };
        life.delivered = Some(shipped.clone());
        Some(Change::Delivery(shipped))
    }

    /// Units of the first line come back.
    fn take_in(&mut self, at: Timestamp, life: &mut Life, amount: Amount) -> Option<Returned> {
        let (line, part) = life.order.lines.iter().zip(&life.parts).next()?;
        let quantity = match amount {
            Amount::One => 1,
            Amount::MoreThanShipped => part.shipped + 1,
        };
        let returned = Returned { item: self.id(), line: line.id, quantity, at };
        life.returned = Some(returned);
        Some(returned)
    }

    /// The warehouse has a unit again. commercetools is told of it as of a receipt.
    fn put_on_the_shelf(
        &mut self,
        at: Timestamp,
        number: u64,
        line: &Line,
        quantity: i64,
        courier: &mut Courier,
    ) {
        let kind = CountKind::Restock { event: self.id(), number, line: line.id };
        let place = line.entry.place;
        let Some(stock) = self.stocks.get_mut(place) else { return };
        stock.physical += quantity;
        stock.give(quantity);
        courier.count(Count { entry: Arc::clone(&stock.entry), kind, quantity, as_of: at });
        self.events.push(at.plus_ms(30_000), Event::Restock { place, quantity });
    }

    /// What was left out goes into the last parcel after all.
    fn pack_more(&mut self, life: &mut Life) -> Option<Change> {
        let was = life.delivered.clone()?;
        let mut now = was.clone();
        for (line, part) in life.order.lines.iter().zip(&mut life.parts) {
            let left = (part.reserved - part.shipped).max(0);
            part.shipped += left;
            if let Some(stock) = self.stocks.get_mut(line.entry.place) {
                stock.physical -= left;
            }
            match now.items.iter_mut().find(|(id, _)| *id == line.id) {
                Some((_, quantity)) => *quantity += left,
                None if left > 0 => now.items.push((line.id, left)),
                None => {}
            }
        }
        life.delivered = Some(now.clone());
        (now.items != was.items).then_some(Change::DeliveryItems { now, was })
    }

    /// The last parcel never left the house.
    fn take_back(&mut self, life: &mut Life) -> Option<Change> {
        let shipped = life.delivered.take()?;
        for (line, part) in life.order.lines.iter().zip(&mut life.parts) {
            let units = shipped.items.iter().filter(|(id, _)| *id == line.id);
            let quantity: i64 = units.map(|(_, quantity)| quantity).sum();
            part.shipped -= quantity;
            if let Some(stock) = self.stocks.get_mut(line.entry.place) {
                stock.physical += quantity;
            }
        }
        Some(Change::DeliveryRemoved(shipped))
    }

    /// What the payment does when the order's payment state changes.
    fn pay(&mut self, at: Timestamp, life: &mut Life, to: &str, courier: &mut Courier) {
        let total = life.order.total_cents();
        match to {
            "Paid" => self.charge(at, life, (total, "Success"), courier),
            "Failed" => self.charge(at, life, (total, "Failure"), courier),
            "CreditOwed" => {
                self.transact(at, life, (Kind::Refund, total, "Success"), courier);
            }
            _ => {}
        }
    }

    /// What others tell of the same step: the shop's own workflow, and the order management.
    pub(super) fn follow_up(
        &mut self,
        at: Timestamp,
        life: &mut Life,
        act: Act,
        courier: &mut Courier,
    ) {
        if self.shop.scope == Scope::OrdersAndStock {
            return;
        }
        let workflow = match act {
            Act::Order("Confirmed") => Some(Workflow::Picking),
            Act::Shipment("Ready") => Some(Workflow::Packed),
            _ => None,
        };
        if let Some(to) = workflow {
            let id = self.id();
            courier.tell(life.fact(at, id, Change::Workflow { to }), Fate::Usual);
        }
        let (Act::Order(state) | Act::Shipment(state)) = act else { return };
        if let Some(status) = management::status_of(state) {
            courier.report(Status { number: life.order.number, status, as_of: at });
        }
    }
}
