//! Order edits: lines that come, change their quantity or go, and the total that follows.

use super::{
    facts::{CreatedLine, Edited},
    fold::{Line, Order},
    machine,
    outcomes::{Code, Condition, Outcome},
};
use crate::{messages::skus::InventoryMode, settings::Rules};

impl Order {
    /// A line is new, or has more units: its quantity is the new total.
    pub(super) fn add_line(
        &mut self,
        line: &CreatedLine,
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        match self.lines.iter_mut().find(|known| known.line_id == line.line_id) {
            Some(known) => {
                known.ordered = line.quantity;
                known.price = line.price;
                known.states.clone_from(&line.states);
            }
            None => {
                self.missing_sku(line, outcomes);
                self.lines.push(Line::of(line, rules));
            }
        }
        self.after_edit(&line.line_id, rules, outcomes);
    }

    /// Units of a line are gone. The message names neither sku nor channel.
    pub(super) fn remove_units(
        &mut self,
        edited: &Edited,
        rules: &Rules,
        outcomes: &mut Vec<Outcome>,
    ) {
        let Edited { line_id, quantity, price, states } = edited;
        let Some(line) = self.lines.iter_mut().find(|line| line.line_id == *line_id) else {
            let condition =
                Condition { code: Code::LineUnknown, discriminator: line_id.to_owned() };
            let detail = format!("line {line_id} is not known, its units were to be {quantity}");
            self.conditions.insert(condition.clone());
            outcomes.push(Outcome::Raised(condition, detail));
            return;
        };
        line.ordered = *quantity;
        line.price = *price;
        line.states.clone_from(states);
        if line.shipped > *quantity {
            line.kept = line.shipped;
            let detail =
                format!("line {line_id}: {} shipped of {quantity} left by the edit", line.shipped);
            let condition =
                Condition { code: Code::EditBelowShipped, discriminator: line_id.to_owned() };
            self.conditions.insert(condition.clone());
            outcomes.push(Outcome::Raised(condition, detail));
        }
        self.after_edit(line_id, rules, outcomes);
    }

    fn after_edit(&mut self, line_id: &str, rules: &Rules, outcomes: &mut Vec<Outcome>) {
        self.settle_lines();
        let lines = &self.lines;
        self.conditions.retain(|condition| match condition.code {
            Code::LineUnknown => condition.discriminator != line_id,
            Code::EditBelowShipped => lines
                .iter()
                .any(|line| line.line_id == condition.discriminator && line.shipped > line.ordered),
            _ => true,
        });
        let held = |line: &Line| line.line_id == line_id && line.mode != InventoryMode::None;
        if self.lines.iter().any(held) {
            let detail = format!(
                "line {line_id} was edited; orders can be edited only where the inventory mode of \
                 all lines is None"
            );
            outcomes.push(Outcome::ContractBroken("line_edit_inventory_mode", detail));
        }
        machine::judge_sums(self, line_id, rules, outcomes);
    }

    /// A line without a sku holds nothing.
    pub(super) fn missing_sku(&mut self, line: &CreatedLine, outcomes: &mut Vec<Outcome>) {
        if line.sku.is_some() {
            return;
        }
        let condition = Condition { code: Code::SkuMissing, discriminator: line.line_id.clone() };
        let detail = format!("line {} has no sku", line.line_id);
        self.conditions.insert(condition.clone());
        outcomes.push(Outcome::Raised(condition, detail));
    }
}
