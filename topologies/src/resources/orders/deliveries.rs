//! Deliveries of an order: added, changed, taken back.

use super::{
    facts::{Delivery, DeliveryItem},
    fold::Order,
    outcomes::{Code, Condition, Event, EventKind, EventLine, Outcome},
    rules,
};
use crate::settings::Rules;

impl Order {
    pub(super) fn deliver(
        &mut self,
        delivery: &Delivery,
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        if self.deliveries.iter().any(|known| known.delivery_id == delivery.delivery_id) {
            return;
        }
        let before = self.shipped();
        self.deliveries.push(delivery.clone());
        self.ship(&before, delivery, rules, outcomes);
    }

    /// Its items count no more; what is not delivered otherwise is to be held again.
    pub(super) fn take_back(&mut self, delivery_id: &str) {
        self.deliveries.retain(|known| known.delivery_id != delivery_id);
        self.settle_lines();
        rules::clear_ended(self);
    }

    /// The payload's items count, whatever the view had before. That it had something else is
    /// told.
    pub(super) fn change_delivery(
        &mut self,
        delivery: &Delivery,
        old: &[DeliveryItem],
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        let before = self.shipped();
        let id = &delivery.delivery_id;
        let known = self.deliveries.iter_mut().find(|known| known.delivery_id == *id);
        let as_told = known.as_ref().is_some_and(|known| sorted(&known.items) == sorted(old));
        match known {
            Some(known) => known.items.clone_from(&delivery.items),
            None => self.deliveries.push(delivery.clone()),
        }
        let discriminator = format!("delivery {id}");
        let condition = Condition { code: Code::ViewDiverged, discriminator };
        if as_told {
            self.conditions.remove(&condition);
        } else if self.known {
            let detail = format!("delivery {id} had other items than the view before the change");
            self.conditions.insert(condition.clone());
            outcomes.push(Outcome::Raised(condition, detail));
        }
        self.ship(&before, delivery, rules, outcomes);
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
            let delivery_id = Some(delivery.delivery_id.clone());
            let kind = EventKind::ItemsShipped;
            outcomes.push(Outcome::Event(Event { kind, lines, delivery_id }));
        }
        rules::judge_delivery(self, delivery, rules, outcomes);
    }
}

/// commercetools promises no order of items.
fn sorted(items: &[DeliveryItem]) -> Vec<(&str, i64)> {
    let mut items: Vec<_> =
        items.iter().map(|item| (item.line_id.as_str(), item.quantity)).collect();
    items.sort_unstable();
    items
}
