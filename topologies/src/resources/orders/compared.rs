//! The conditions of an order that are drifts: what its sides show.

use aplomb_state::context::Context;

use super::{
    OrderRow,
    outcomes::{Code, Condition},
    systems::Word,
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
            _ => {
                let (field, [order, payments]) = self.payment_sides(condition)?;
                (field, [ours(order), theirs(payments)])
            }
        };
        let (code, discriminator) = (condition.code.name(), about.to_owned());
        Some(Compared { code, discriminator, field, sides })
    }
}
