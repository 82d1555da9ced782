//! The conditions of an order that are drifts: what its sides show.

use aplomb_state::{context::Context, rejection::Rejection};

use super::{
    OrderRow,
    outcomes::{Code, Condition},
    systems::Word,
    transitions::{Dimension, State},
};
use crate::{
    drifts::{COMMERCETOOLS, Source},
    resources::{
        drifts::{Compared, Shown, Telling, Value},
        notices::Subject,
        watches::Turned,
    },
    settings::Rules,
};

impl OrderRow {
    pub(super) fn follow_drifts(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        turned: &Turned<Condition>,
        rules: &Rules,
    ) -> Result<(), Rejection> {
        let mut drifts = std::mem::take(&mut self.drifts);
        let (revision, cool_down_ms) = (self.revision, rules.cool_down_ms);
        let telling = Telling { subject, revision, cool_down_ms };
        let look =
            |ctx: &Context<'_>, condition: &Condition| self.compared(ctx, subject, condition);
        drifts.follow(ctx, &telling, turned, &look)?;
        self.drifts = drifts;
        Ok(())
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

    fn payment_state(&self) -> Value {
        Value::text(self.order.state(Dimension::Payment).map_or("absent", State::name))
    }
}
