//! The conditions of an order that are drifts: what its sides show.

use aplomb_state::context::Context;

use super::{
    OrderRow,
    outcomes::{Code, Condition},
    systems::Word,
    transitions::{Dimension, State},
};
use crate::{
    drifts::{COMMERCETOOLS, Source},
    resources::{
        drifts::{Compared, Comparing, Drifts, Shown, Value},
        notices::Subject,
    },
};

impl Comparing for OrderRow {
    type Condition = Condition;

    fn drifts(&mut self) -> &mut Drifts<Condition> {
        &mut self.drifts
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn compared(
        &self,
        ctx: &Context<'_>,
        subject: &Subject<'_>,
        condition: &Condition,
    ) -> Option<Compared> {
        let as_of = self.order.as_of.unwrap_or(subject.at);
        // Orders and payments: the record at hand stands for them.
        let own = || Source::at_hand(ctx, COMMERCETOOLS, subject.cause);
        let ours = |value| Shown { value, as_of, source: own() };
        let theirs = |value| Shown { value, as_of: self.paid_as_of(subject), source: own() };
        let about = condition.discriminator.as_str();
        let (field, sides) = match condition.code {
            Code::StateDesync => {
                let word = self.words.get(about)?;
                let ours = ours(Value::Text(self.own_states()));
                ("status", [ours, word.shown()])
            }
            Code::MissingThere => {
                let nothing = Shown {
                    value: Value::text("absent"),
                    as_of: subject.at,
                    source: Source::at_hand(ctx, about, subject.cause),
                };
                let theirs = self.words.get(about).map_or(nothing, Word::shown);
                ("acknowledgement", [ours(Value::Text(self.own_states())), theirs])
            }
            Code::PaymentAmount if about == "captured" => {
                ("captured", [ours(self.total_shown()), theirs(self.kept_shown())])
            }
            Code::PaymentAmount => {
                ("amountPlanned", [ours(self.total_shown()), theirs(self.planned_shown())])
            }
            Code::PaymentStateLag => {
                ("paymentState", [ours(self.payment_state()), theirs(self.kept_shown())])
            }
            Code::PaymentDelayed => {
                ("paymentState", [ours(self.payment_state()), theirs(self.awaited_shown())])
            }
            _ => return None,
        };
        let (code, discriminator) = (condition.code.name(), about.to_owned());
        Some(Compared { code, discriminator, field, sides })
    }
}

impl OrderRow {
    fn payment_state(&self) -> Value {
        Value::text(self.order.state(Dimension::Payment).map_or("absent", State::name))
    }
}
