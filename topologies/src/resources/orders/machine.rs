//! Custom states: of the order, and of the units of its lines.

use serde::{Deserialize, Serialize};

use super::{
    facts::Moved,
    fold::Order,
    outcomes::{Code, Condition, Judgement, Outcome, Verdict},
    rules::level_of,
};
use crate::settings::{Level, OrderRules, Rules};

/// So many units of a line are in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemState {
    pub state: String,
    pub quantity: i64,
}

/// A change of the order's custom state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTransition {
    pub from: Option<String>,
    pub to: String,
    /// The table was bypassed on purpose.
    pub forced: bool,
}

impl Order {
    pub(super) fn transition(
        &mut self,
        change: &StateTransition,
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        let seen = self.stated.custom_state.replace(change.to.clone());
        let diverged = Condition { code: Code::ViewDiverged, discriminator: "state".to_owned() };
        match (&change.from, &seen) {
            (Some(told), Some(seen)) if told != seen => {
                let detail = format!("state was {told} before the change, the view says {seen}");
                self.conditions.insert(diverged.clone());
                outcomes.push(Outcome::Raised(diverged, detail));
            }
            (Some(_), Some(_)) => {
                self.conditions.remove(&diverged);
            }
            _ => {}
        }
        let from = change.from.clone().or(seen);
        if from.as_ref() == Some(&change.to) {
            return;
        }
        let table = allows(&rules.orders, from.as_deref(), &change.to);
        let judgement = match (table, change.forced) {
            (_, true) => Judgement::LegalWithWarning,
            (Some(false), false) => Judgement::Violation,
            _ => Judgement::Legal,
        };
        let illegal =
            Condition { code: Code::IllegalTransition, discriminator: "state".to_owned() };
        let name =
            |id: &str| rules.orders.state(id).map_or(id.to_owned(), |(key, _)| key.to_owned());
        let (from, to) = (from.map(|from| name(&from)), name(&change.to));
        if judgement == Judgement::Violation {
            let from = from.as_deref().unwrap_or("absent");
            let detail = format!("state went from {from} to {to}");
            self.conditions.insert(illegal.clone());
            outcomes.push(Outcome::Raised(illegal, detail));
        } else {
            self.conditions.remove(&illegal);
        }
        let (dimension, rule) = ("state", if change.forced { "force" } else { "transition" });
        let (from, to) = (from.map(Into::into), Some(to.into()));
        outcomes.push(Outcome::Verdict(Verdict { dimension, from, to, judgement, rule }));
    }

    /// Units of a line go from one state to another.
    pub(super) fn move_units(&mut self, moved: &Moved, rules: &Rules, outcomes: &mut Vec<Outcome>) {
        let Moved { line_id, quantity, from, to } = moved;
        // Custom lines have no row.
        let Some(line) = self.lines.iter_mut().find(|line| line.line_id == *line_id) else {
            return;
        };
        let there = line.states.iter().find(|known| known.state == *from);
        let there = there.map_or(0, |known| known.quantity);
        let (taken, listed) = (quantity.min(&there), allows(&rules.orders, Some(from), to));
        for (state, change) in [(from, -taken), (to, *quantity)] {
            match line.states.iter_mut().find(|known| known.state == *state) {
                Some(known) => known.quantity = known.quantity.saturating_add(change),
                None => line.states.push(ItemState { state: state.clone(), quantity: change }),
            }
        }
        line.states.retain(|known| known.quantity != 0);
        let illegal = Condition { code: Code::IllegalTransition, discriminator: line_id.clone() };
        let judgement = if *quantity > there {
            let detail =
                format!("line {line_id}: {quantity} units left state {from}, which held {there}");
            self.conditions.insert(illegal.clone());
            outcomes.push(Outcome::Raised(illegal, detail));
            Judgement::Violation
        } else if listed == Some(false) {
            let detail = format!("line {line_id}: units went from state {from} to {to}");
            self.conditions.insert(illegal.clone());
            outcomes.push(Outcome::Raised(illegal, detail));
            Judgement::Violation
        } else {
            self.conditions.remove(&illegal);
            Judgement::Legal
        };
        let (dimension, rule) = ("lineItemState", "transition");
        let (from, to) = (Some(from.clone().into()), Some(to.clone().into()));
        outcomes.push(Outcome::Verdict(Verdict { dimension, from, to, judgement, rule }));
        judge_sums(self, line_id, rules, outcomes);
    }
}

/// Whether the table lists the change. `None`: there is no table for that state.
fn allows(rules: &OrderRules, from: Option<&str>, to: &str) -> Option<bool> {
    let (_, rule) = rules.state(from?)?;
    let listed = rule.transitions.as_ref()?;
    let to = rules.state(to).map_or(to, |(key, _)| key);
    Some(listed.contains(to))
}

/// X20: the units in all states are the units of the line.
pub(super) fn judge_sums(
    order: &mut Order,
    line_id: &str,
    rules: &Rules,
    outcomes: &mut Vec<Outcome>,
) {
    let Some(line) = order.lines.iter().find(|line| line.line_id == line_id) else { return };
    let sum = line.states.iter().fold(0i64, |sum, known| sum.saturating_add(known.quantity));
    let condition = Condition { code: Code::LineStateSum, discriminator: line_id.to_owned() };
    let level = rules.levels.x20;
    if line.states.is_empty() || sum == line.ordered || level == Level::Off {
        order.conditions.remove(&condition);
        return;
    }
    let detail = format!("line {line_id}: {sum} units in states, {} ordered", line.ordered);
    order.conditions.insert(condition.clone());
    outcomes.push(Outcome::Raised(condition, detail));
    let (judgement, rule) = (level_of(level), "X20");
    let (dimension, from, to) = ("lineItemStates", None, None);
    outcomes.push(Outcome::Verdict(Verdict { dimension, from, to, judgement, rule }));
}
