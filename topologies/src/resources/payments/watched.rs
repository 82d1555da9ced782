//! What holds of a payment beyond its messages: by time, and by what orders said of it.

use std::collections::BTreeMap;

use super::{
    PaymentRow,
    fold::{Code, Condition},
};
use crate::{messages::payments::LinkState, outputs::Money, settings::Rules};

impl PaymentRow {
    /// Every condition that holds now, with its grace.
    pub(super) fn watched(&self, rules: &Rules) -> BTreeMap<Condition, i64> {
        let mut holding = BTreeMap::new();
        if self.ended.is_some() {
            return holding;
        }
        let mut hold = |code: Code, about: &str, grace_ms: i64| {
            holding.insert(Condition { code, discriminator: about.to_owned() }, grace_ms);
        };
        for transaction in &self.payment.transactions {
            if transaction.stated.is_none() {
                let id = &transaction.transaction_id;
                hold(Code::TransactionUnknown, id, rules.gap_timeout_ms);
            }
        }
        if self.linked().next().is_none() && self.is_money_without_order() {
            hold(Code::Orphan, "", rules.payments.orphan_ms);
        }
        if self.payment.totals().kept() > 0 {
            let gone = self.links.iter().filter(|link| link.state == LinkState::OrderDeleted);
            for link in gone {
                hold(Code::OrderDeletedWithCapture, &link.order_id, 0);
            }
        }
        holding
    }

    /// Money that an order should stand behind: taken and not given back, or still to be taken.
    /// A checkout that failed counts whatever became of its payment, unless it is known to have
    /// come to nothing.
    fn is_money_without_order(&self) -> bool {
        let totals = self.payment.totals();
        let taken = totals.kept() > 0 || (totals.captured == 0 && totals.authorised > 0);
        let open = !self.payment.known || totals.pending > 0;
        taken || (self.checkout_failed && open)
    }

    pub(super) fn watched_detail(&self, condition: &Condition) -> String {
        let about = &condition.discriminator;
        let Money { cent_amount: money, currency_code: currency, .. } = self.payment.money_held();
        match condition.code {
            Code::TransactionUnknown => format!("transaction {about} was never added"),
            Code::OrderDeletedWithCapture => {
                format!("order {about} was deleted, {money} {currency} of it are captured")
            }
            _ if currency.is_empty() => "a checkout failed, the payment has no order".to_owned(),
            _ => format!("{money} {currency} were paid, no order is linked"),
        }
    }
}
