//! The stories of orders, as tables.

use super::life::{Act, Amount, Portion, Repaid, Story};

/// What happens, after so many minutes at the least and at the most.
pub(super) type Timed = (Act, [i64; 2]);

const PAID: Timed = (Act::Payment("Paid"), [1, 8]);
const CONFIRMED: Timed = (Act::Order("Confirmed"), [2, 10]);
const READY: Timed = (Act::Shipment("Ready"), [15, 60]);
const SHIP: Timed = (Act::Ship(Portion::Rest), [10, 60]);
const SHIPPED: Timed = (Act::Shipment("Shipped"), [1, 2]);
/// Soon enough for something to come back on the same day.
const DELIVERED_SOON: Timed = (Act::Shipment("Delivered"), [30, 60]);
const DELIVERED: Timed = (Act::Shipment("Delivered"), [90, 240]);
const COMPLETE: Timed = (Act::Order("Complete"), [5, 30]);
const CANCELLED: Timed = (Act::Order("Cancelled"), [3, 40]);
const GIVE_BACK: Timed = (Act::GiveBack, [1, 4]);
const SHIP_HALF: Timed = (Act::Ship(Portion::Half), [10, 60]);
const SHIP_SHORT: Timed = (Act::Ship(Portion::Short), [10, 60]);
const PARTIAL: Timed = (Act::Shipment("Partial"), [1, 2]);
const PARCEL: Timed = (Act::Parcel, [1, 2]);
const RETURN: Timed = (Act::Return(Amount::One), [60, 90]);
const REFUND: Timed = (Act::Refund(Repaid::Returned), [0, 0]);
const BACK_IN_STOCK: Timed = (Act::BackInStock, [10, 30]);

/// Nobody prepares an order whose lines did not come.
const TOO_LARGE: &[Timed] = &[PAID, CONFIRMED];
const USUAL: &[Timed] = &[PAID, CONFIRMED, READY, SHIP, SHIPPED, DELIVERED, COMPLETE];
const IN_TWO_PARTS: &[Timed] =
    &[PAID, CONFIRMED, READY, SHIP_HALF, PARTIAL, SHIP, SHIPPED, DELIVERED, COMPLETE];
const CANCELLED_IN_TIME: &[Timed] =
    &[PAID, CANCELLED, GIVE_BACK, (Act::Payment("CreditOwed"), [5, 30])];
const PAYMENT_RETRIED: &[Timed] = &[
    (Act::Payment("Failed"), [1, 3]),
    (Act::Payment("Pending"), [1, 5]),
    PAID,
    CONFIRMED,
    READY,
    SHIP,
    SHIPPED,
    DELIVERED,
    COMPLETE,
];
const RETURNED: &[Timed] = &[
    PAID,
    CONFIRMED,
    READY,
    SHIP,
    SHIPPED,
    DELIVERED,
    COMPLETE,
    RETURN,
    REFUND,
    (Act::MarkRefunded, [1, 5]),
    BACK_IN_STOCK,
];
const EDITED: &[Timed] = &[
    (Act::AddUnit, [1, 2]),
    (Act::RemoveUnit, [1, 2]),
    PAID,
    CONFIRMED,
    READY,
    SHIP,
    SHIPPED,
    DELIVERED,
    COMPLETE,
];
const REPACKED: &[Timed] = &[
    PAID,
    CONFIRMED,
    READY,
    SHIP_SHORT,
    (Act::PackMore, [2, 5]),
    PARCEL,
    (Act::TakeBack, [5, 10]),
    SHIP,
    PARCEL,
    SHIPPED,
    DELIVERED,
    COMPLETE,
];
const CAPTURED_SHORT: &[Timed] =
    &[(Act::PaidShort, [1, 8]), CONFIRMED, READY, SHIP, SHIPPED, DELIVERED, COMPLETE];
const REFUNDED_WRONG: &[Timed] = &[
    PAID,
    CONFIRMED,
    READY,
    SHIP,
    SHIPPED,
    DELIVERED_SOON,
    COMPLETE,
    RETURN,
    (Act::Refund(Repaid::HalfOfReturned), [0, 0]),
    BACK_IN_STOCK,
];
const REFUNDED_TOO_MUCH: &[Timed] = &[
    PAID,
    CONFIRMED,
    READY,
    SHIP,
    SHIPPED,
    DELIVERED_SOON,
    COMPLETE,
    RETURN,
    (Act::Refund(Repaid::TooMuch), [0, 0]),
    BACK_IN_STOCK,
];
const RETURNED_TOO_MUCH: &[Timed] = &[
    PAID,
    CONFIRMED,
    READY,
    SHIP,
    SHIPPED,
    DELIVERED_SOON,
    COMPLETE,
    (Act::Return(Amount::MoreThanShipped), [60, 90]),
];
const SHIPPED_SHORT: &[Timed] = &[PAID, CONFIRMED, READY, SHIP_SHORT, SHIPPED];
const CANCELLED_ELSEWHERE: &[Timed] = &[PAID, CONFIRMED, (Act::Management("CANCELLED"), [5, 20])];
const SKIPPED_CONFIRMATION: &[Timed] = &[PAID, READY, SHIP, SHIPPED, DELIVERED, COMPLETE];
const RESURRECTED_AFTER_CANCEL: &[Timed] = &[PAID, CANCELLED, GIVE_BACK, CONFIRMED];
const JUMPED_TO_DELIVERED: &[Timed] = &[PAID, CONFIRMED, DELIVERED];
const SHIPPED_UNPAID: &[Timed] =
    &[(Act::Payment("Failed"), [1, 3]), CONFIRMED, READY, SHIP, SHIPPED];
const COMPLETE_UNSHIPPED: &[Timed] = &[PAID, CONFIRMED, COMPLETE];
const CANCELLED_AFTER_SHIP: &[Timed] =
    &[PAID, CONFIRMED, READY, SHIP_HALF, PARTIAL, CANCELLED, GIVE_BACK];
const OVERDELIVERED: &[Timed] = &[
    PAID,
    CONFIRMED,
    READY,
    (Act::Ship(Portion::TooMuch), [10, 60]),
    SHIPPED,
    DELIVERED,
    COMPLETE,
];
const NOT_PUT_BACK: &[Timed] = &[PAID, CANCELLED];
const UNKNOWN_MESSAGE: &[Timed] =
    &[PAID, CONFIRMED, (Act::Unknown, [1, 2]), READY, SHIP, SHIPPED, DELIVERED, COMPLETE];
const SILENT_UPDATE: &[Timed] =
    &[PAID, CONFIRMED, (Act::Silent, [1, 2]), READY, SHIP, SHIPPED, DELIVERED, COMPLETE];

impl Story {
    pub(super) fn acts(self) -> &'static [Timed] {
        match self {
            Self::TooLarge => TOO_LARGE,
            Self::Usual | Self::GapHeals | Self::GapStays => USUAL,
            Self::Partial => IN_TWO_PARTS,
            Self::Cancelled => CANCELLED_IN_TIME,
            Self::PaymentRetried => PAYMENT_RETRIED,
            Self::Returned => RETURNED,
            Self::Edited => EDITED,
            Self::Repacked => REPACKED,
            Self::CapturedShort => CAPTURED_SHORT,
            Self::RefundedWrong => REFUNDED_WRONG,
            Self::RefundedTooMuch => REFUNDED_TOO_MUCH,
            Self::ReturnedTooMuch => RETURNED_TOO_MUCH,
            Self::ShippedShort => SHIPPED_SHORT,
            Self::CancelledElsewhere => CANCELLED_ELSEWHERE,
            Self::SkippedConfirmation => SKIPPED_CONFIRMATION,
            Self::ResurrectedAfterCancel => RESURRECTED_AFTER_CANCEL,
            Self::JumpedToDelivered => JUMPED_TO_DELIVERED,
            Self::ShippedUnpaid => SHIPPED_UNPAID,
            Self::CompleteUnshipped => COMPLETE_UNSHIPPED,
            Self::CancelledAfterShip => CANCELLED_AFTER_SHIP,
            Self::Overdelivered => OVERDELIVERED,
            Self::NotPutBack => NOT_PUT_BACK,
            Self::UnknownMessage => UNKNOWN_MESSAGE,
            Self::SilentUpdate => SILENT_UPDATE,
        }
    }
}
