//! How orders live: what happens to them, when, and what goes wrong with some.

use std::{collections::VecDeque, sync::Arc};

use rand::{Rng, rngs::SmallRng};

use super::{courier::Fate, fact::Order};

/// An order under way.
pub(super) struct Life {
    pub order: Arc<Order>,
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
    /// An update without a message.
    Silent,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Portion {
    Half,
    Rest,
    /// One unit more than ordered.
    TooMuch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    Usual,
    Partial,
    Cancelled,
    PaymentRetried,
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
}

/// What goes wrong, in turn.
pub(super) const MISHAPS: [Story; 13] = [
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
];

const PAID: (Act, [i64; 2]) = (Act::Payment("Paid"), [1, 8]);
const CONFIRMED: (Act, [i64; 2]) = (Act::Order("Confirmed"), [2, 10]);
const READY: (Act, [i64; 2]) = (Act::Shipment("Ready"), [15, 60]);
const SHIP: (Act, [i64; 2]) = (Act::Ship(Portion::Rest), [10, 60]);
const SHIPPED: (Act, [i64; 2]) = (Act::Shipment("Shipped"), [1, 2]);
const DELIVERED: (Act, [i64; 2]) = (Act::Shipment("Delivered"), [90, 240]);
const COMPLETE: (Act, [i64; 2]) = (Act::Order("Complete"), [5, 30]);
const CANCELLED: (Act, [i64; 2]) = (Act::Order("Cancelled"), [3, 40]);
const GIVE_BACK: (Act, [i64; 2]) = (Act::GiveBack, [1, 4]);
const SHIP_HALF: (Act, [i64; 2]) = (Act::Ship(Portion::Half), [10, 60]);
const PARTIAL: (Act, [i64; 2]) = (Act::Shipment("Partial"), [1, 2]);

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

    fn acts(self) -> &'static [(Act, [i64; 2])] {
        match self {
            // Nobody prepares an order whose lines did not come.
            Self::TooLarge => &[PAID, CONFIRMED],
            Self::Usual | Self::GapHeals | Self::GapStays => {
                &[PAID, CONFIRMED, READY, SHIP, SHIPPED, DELIVERED, COMPLETE]
            }
            Self::Partial => {
                &[PAID, CONFIRMED, READY, SHIP_HALF, PARTIAL, SHIP, SHIPPED, DELIVERED, COMPLETE]
            }
            Self::Cancelled => &[PAID, CANCELLED, GIVE_BACK, (Act::Payment("CreditOwed"), [5, 30])],
            Self::PaymentRetried => &[
                (Act::Payment("Failed"), [1, 3]),
                (Act::Payment("Pending"), [1, 5]),
                PAID,
                CONFIRMED,
                READY,
                SHIP,
                SHIPPED,
                DELIVERED,
                COMPLETE,
            ],
            Self::SkippedConfirmation => &[PAID, READY, SHIP, SHIPPED, DELIVERED, COMPLETE],
            Self::ResurrectedAfterCancel => &[PAID, CANCELLED, GIVE_BACK, CONFIRMED],
            Self::JumpedToDelivered => &[PAID, CONFIRMED, DELIVERED],
            Self::ShippedUnpaid => {
                &[(Act::Payment("Failed"), [1, 3]), CONFIRMED, READY, SHIP, SHIPPED]
            }
            Self::CompleteUnshipped => &[PAID, CONFIRMED, COMPLETE],
            Self::CancelledAfterShip => {
                &[PAID, CONFIRMED, READY, SHIP_HALF, PARTIAL, CANCELLED, GIVE_BACK]
            }
            Self::Overdelivered => &[
                PAID,
                CONFIRMED,
                READY,
                (Act::Ship(Portion::TooMuch), [10, 60]),
                SHIPPED,
                DELIVERED,
                COMPLETE,
            ],
            Self::NotPutBack => &[PAID, CANCELLED],
            Self::UnknownMessage => &[
                PAID,
                CONFIRMED,
                (Act::Unknown, [1, 2]),
                READY,
                SHIP,
                SHIPPED,
                DELIVERED,
                COMPLETE,
            ],
            Self::SilentUpdate => {
                &[PAID, CONFIRMED, (Act::Silent, [1, 2]), READY, SHIP, SHIPPED, DELIVERED, COMPLETE]
            }
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
            Self::TooMuch => left + i64::from(first),
        }
    }
}
