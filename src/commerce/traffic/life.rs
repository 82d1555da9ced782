//! How orders live: what happens to them, when, and what goes wrong with some.

use std::{collections::VecDeque, sync::Arc};

use rand::{Rng, rngs::SmallRng};

use super::{
    courier::Fate,
    fact::{Order, Shipped},
    payment::Account,
    returns::Returned,
};

/// An order under way.
pub(super) struct Life {
    pub order: Arc<Order>,
    /// Where the shop tells of payments.
    pub account: Option<Account>,
    /// The last delivery.
    pub delivered: Option<Shipped>,
    pub returned: Option<Returned>,
    pub sequence: u64,
    pub version: u64,
    pub order_state: &'static str,
    pub payment_state: &'static str,
    pub shipment_state: &'static str,
    /// By line.
    pub parts: Vec<Part>,
    pub deliveries: usize,
    pub steps: VecDeque<Step>,
}

/// What the shop has for a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub reserved: i64,
    pub shipped: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub after_ms: i64,
    pub act: Act,
    pub fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Order(&'static str),
    Payment(&'static str),
    Shipment(&'static str),
    Ship(Portion),
    /// What was not shipped goes back on stock in commercetools.
    GiveBack,
    /// The order is paid by its state, and by less than its total.
    PaidShort,
    /// What is left goes into the last delivery.
    PackMore,
    /// The last delivery is taken back.
    TakeBack,
    Parcel,
    /// A unit more of the first line, and one fewer.
    AddUnit,
    RemoveUnit,
    /// Units of the first line come back.
    Return(Amount),
    BackInStock,
    Refund(Repaid),
    /// The return says that its money was given back.
    MarkRefunded,
    /// The order management alone says so.
    Management(&'static str),
    /// An update without a message.
    Silent,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Portion {
    Half,
    Rest,
    /// All but one unit.
    Short,
    /// One unit more than ordered.
    TooMuch,
}

/// How many units come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    One,
    MoreThanShipped,
}

/// How much money is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repaid {
    /// For what came back.
    Returned,
    HalfOfReturned,
    /// The whole order's price and that of what came back.
    TooMuch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    Usual,
    Partial,
    Cancelled,
    PaymentRetried,
    /// A unit comes back, and the money for it is given back.
    Returned,
    /// An edit adds a unit, another takes it away again.
    Edited,
    /// A parcel is packed in two steps, and then anew.
    Repacked,
    /// Complete without having been confirmed.
    SkippedConfirmation,
    ResurrectedAfterCancel,
    JumpedToDelivered,
    ShippedUnpaid,
    CompleteUnshipped,
    CancelledAfterShip,
    Overdelivered,
    /// Cancelled, and its units are never put back on stock.
    NotPutBack,
    GapHeals,
    GapStays,
    /// Its creation came without the order.
    TooLarge,
    UnknownMessage,
    SilentUpdate,
    CapturedShort,
    RefundedWrong,
    RefundedTooMuch,
    ReturnedTooMuch,
    ShippedShort,
    /// The order management cancels, and commercetools does not hear of it.
    CancelledElsewhere,
}

/// What goes wrong, in turn.
pub(super) const MISHAPS: [Story; 19] = [
    Story::CapturedShort,
    Story::CancelledElsewhere,
    Story::ShippedUnpaid,
    Story::GapStays,
    Story::CancelledAfterShip,
    Story::GapHeals,
    Story::Overdelivered,
    Story::ResurrectedAfterCancel,
    Story::JumpedToDelivered,
    Story::NotPutBack,
    Story::CompleteUnshipped,
    Story::TooLarge,
    Story::SkippedConfirmation,
    Story::UnknownMessage,
    Story::SilentUpdate,
    Story::RefundedWrong,
    Story::ShippedShort,
    Story::RefundedTooMuch,
    Story::ReturnedTooMuch,
];

impl Story {
    pub fn is_mishap(self) -> bool {
        MISHAPS.contains(&self)
    }

    /// What happens to the delivery of the order's creation.
    pub fn creation(self) -> Fate {
        match self {
            Self::TooLarge => Fate::WithoutBody,
            _ => Fate::Usual,
        }
    }

    /// `minute_ms`: how long a minute takes.
    pub fn steps(self, minute_ms: i64, rng: &mut SmallRng) -> VecDeque<Step> {
        let mut steps: VecDeque<Step> = self
            .acts()
            .iter()
            .map(|(act, [least, most])| {
                let after_ms = rng.random_range(least * minute_ms..=most * minute_ms);
                Step { after_ms, act: *act, fate: Fate::Usual }
            })
            .collect();
        let fate = match self {
            Self::GapHeals => Fate::Delayed { ms: 25 * minute_ms },
            Self::GapStays => Fate::Lost,
            _ => return steps,
        };
        // The second message of the order's life: what follows shows the gap.
        if let Some(step) = steps.get_mut(1) {
            step.fate = fate;
        }
        steps
    }
}

impl Repaid {
    pub fn cents(self, life: &Life) -> i64 {
        let (Some(line), Some(returned)) = (life.order.lines.first(), life.returned) else {
            return 0;
        };
        let worth = line.entry.product.cents * returned.quantity;
        match self {
            Self::Returned => worth,
            Self::HalfOfReturned => worth / 2,
            Self::TooMuch => life.order.total_cents() + worth,
        }
    }
}

impl Portion {
    /// Of what is there and not shipped yet.
    pub fn of(self, part: Part, first: bool) -> i64 {
        let left = (part.reserved - part.shipped).max(0);
        match self {
            Self::Half => (left + 1) / 2,
            Self::Rest => left,
            Self::Short => (left - i64::from(first)).max(0),
            Self::TooMuch => left + i64::from(first),
        }
    }
}
