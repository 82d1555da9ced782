//! What an order may be for a while and must not stay: rules X7, X9, X17, X18, X19.

use super::{
    OrderRow,
    fold::{Line, Order, delivered},
    outcomes::{Code, Condition},
    transitions::{Dimension, State},
};
use crate::settings::{OrderRules, Rules};

impl OrderRow {
    /// What holds now, each with its grace.
    pub(super) fn waiting(&self, rules: &Rules, hold: &mut impl FnMut(bool, Code, &str, i64)) {
        let (order, graces) = (&self.order, &rules.orders);
        if !order.known {
            return;
        }
        let state = order.state(Dimension::Order);
        let stuck = match state {
            Some(State::Open) => Some(graces.stuck_open_ms),
            Some(State::Confirmed) => Some(graces.stuck_confirmed_ms),
            _ => None,
        };
        if let (Some(grace_ms), Some(state)) = (stuck, state) {
            hold(true, Code::Stuck, state.name(), grace_ms);
        }
        let nameless = state == Some(State::Confirmed) && order.order_number.is_none();
        hold(nameless, Code::NumberMissing, "orderNumber", graces.order_number_ms);
        hold(incompatible(order, graces), Code::StatusIncompatible, "state", 0);
        let [_, _, shipment_changed] = order.changed;
        let shipped = order.state(Dimension::Shipment) == Some(State::Shipped) && shipment_changed;
        let physical = || order.lines.iter().filter(|line| line.physical);
        let short = |line: &Line| {
            delivered(&order.deliveries, &line.line_id) < line.ordered - line.cancelled
        };
        // Who does not tell of deliveries at all breaks X9.
        let told = !order.deliveries.is_empty();
        let quantity = shipped && told && physical().any(short);
        hold(quantity, Code::ShipQuantity, "", graces.ship_quantity_ms);
        let untold = shipped && !told && physical().next().is_some();
        hold(untold, Code::NoDelivery, "", graces.no_delivery_ms);
    }

    /// Of a line: by its deliveries, or all that was not cancelled once these have been waited for
    /// in vain.
    pub(super) fn shipped(&self, line: &Line) -> i64 {
        let in_vain = self.watches.open().any(|condition| condition.code == Code::NoDelivery);
        if in_vain && line.physical { (line.ordered - line.cancelled).max(0) } else { line.shipped }
    }

    pub(super) fn waiting_detail(&self, condition: &Condition) -> Option<String> {
        let order = &self.order;
        let detail = match condition.code {
            Code::Stuck => format!("the order stays {}", condition.discriminator),
            Code::NumberMissing => "the order is confirmed and has no number".to_owned(),
            Code::StatusIncompatible => {
                let custom = order.stated.custom_state.as_deref().unwrap_or_default();
                let state = order.state(Dimension::Order).map_or("absent", State::name);
                format!("custom state {custom} does not go with orderState {state}")
            }
            Code::ShipQuantity => {
                let ordered: i64 =
                    order.lines.iter().map(|line| line.ordered - line.cancelled).sum();
                let all =
                    order.lines.iter().map(|line| delivered(&order.deliveries, &line.line_id));
                format!(
                    "the order is shipped, {} of {ordered} units are delivered",
                    all.sum::<i64>()
                )
            }
            Code::NoDelivery => "the order is shipped, no delivery was told".to_owned(),
            _ => return None,
        };
        Some(detail)
    }
}

/// X18: the custom state allows other order states.
fn incompatible(order: &Order, rules: &OrderRules) -> bool {
    let rule = order.stated.custom_state.as_deref().and_then(|id| rules.state(id));
    let allowed = rule.and_then(|(_, rule)| rule.order_states.as_ref());
    let state = order.state(Dimension::Order).map(State::name);
    allowed.zip(state).is_some_and(|(allowed, state)| !allowed.contains(state))
}
