//! What follows from a message of an order: events, verdicts, conditions that begin.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Something that is wrong with the order now. Its place in this list is part of the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Code {
    IllegalTransition,
    TerminalLeft,
    ShippedUnpaid,
    CompleteNotShipped,
    CancelledAfterShip,
    Overdelivered,
    SkuMissing,
    ViewDiverged,
    PayloadMissing,
    CompleteUnpaid,
    /// Shipped while the payment is still to come: the lesser case of [`Code::ShippedUnpaid`].
    ShippedUnconfirmed,
    CancelledNotRefunded,
    PaidNotCaptured,
    PaymentStateLag,
    PaymentAmount,
    CurrencyMismatch,
    RefundMismatch,
    ReturnRefundMissing,
    /// A change of paymentState that no payment bears out.
    Unproven,
    ReturnExceedsDelivered,
    EditBelowShipped,
    LineUnknown,
    LineStateSum,
    ShipQuantity,
    NoDelivery,
    Stuck,
    NumberMissing,
    StatusIncompatible,
    /// Another system's status does not go with the order's states.
    StateDesync,
    /// Another system refused the order.
    Rejected,
    /// Another system names the order, and commercetools never told of it.
    UnknownHere,
    /// Authorised or pending for too long.
    PaymentDelayed,
    /// A system that must acknowledge orders has not said a word of this one.
    MissingThere,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Condition {
    pub code: Code,
    pub discriminator: String,
}

/// What one message brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Event(Event),
    Verdict(Verdict),
    /// A condition holds because of this message, be it for the first time or once more.
    Raised(Condition, String),
    /// commercetools forbids what the message tells of: the rule, and what it was.
    ContractBroken(&'static str, String),
    /// Nothing can follow before the order's content is there.
    Held,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// Lines with a quantity, where it is about goods.
    pub lines: Vec<EventLine>,
    pub delivery_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    OrderPlaced,
    PaymentConfirmed,
    /// Every unit of every line is held or gone.
    InventoryAllocated,
    ItemsShipped,
    OrderDelivered,
    OrderCompleted,
    OrderCancelled,
    ReturnOpened,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLine {
    pub line_id: String,
    pub sku: Option<String>,
    pub quantity: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// A dimension's name, or what the rule is about.
    pub dimension: &'static str,
    pub from: Option<Cow<'static, str>>,
    pub to: Option<Cow<'static, str>>,
    pub judgement: Judgement,
    /// The table or the cross-field rule that decided.
    pub rule: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Judgement {
    Legal,
    LegalWithWarning,
    Violation,
}

impl Code {
    pub fn name(self) -> &'static str {
        match self {
            Self::IllegalTransition | Self::Unproven => "ORDER_ILLEGAL_TRANSITION",
            Self::TerminalLeft => "ORDER_TERMINAL_LEFT",
            Self::ShippedUnpaid | Self::ShippedUnconfirmed => "ORDER_SHIPPED_UNPAID",
            Self::CompleteNotShipped => "ORDER_COMPLETE_NOT_SHIPPED",
            Self::CancelledAfterShip => "ORDER_CANCELLED_AFTER_SHIP",
            Self::Overdelivered => "ORDER_OVERDELIVERED",
            Self::SkuMissing => "RESERVE_SKU_MISSING",
            Self::ViewDiverged => "ORDER_VIEW_DIVERGED",
            Self::PayloadMissing => "PAYLOAD_MISSING",
            Self::CompleteUnpaid => "ORDER_COMPLETE_UNPAID",
            Self::CancelledNotRefunded => "CANCELLED_NOT_REFUNDED",
            Self::PaidNotCaptured => "PAID_NOT_CAPTURED",
            Self::PaymentStateLag => "PAYMENT_STATE_LAG",
            Self::PaymentAmount => "PAYMENT_AMOUNT",
            Self::PaymentDelayed => "PAYMENT_DELAYED",
            Self::CurrencyMismatch => "CURRENCY_MISMATCH",
            Self::RefundMismatch => "REFUND_MISMATCH",
            Self::ReturnRefundMissing => "RETURN_REFUND_MISSING",
            Self::ReturnExceedsDelivered => "RETURN_EXCEEDS_DELIVERED",
            Self::EditBelowShipped => "EDIT_BELOW_SHIPPED",
            Self::LineUnknown => "RESERVE_LINE_UNKNOWN",
            Self::LineStateSum => "ORDER_LINE_STATE_SUM",
            Self::ShipQuantity => "ORDER_SHIP_QTY",
            Self::NoDelivery => "SHIPPED_NO_DELIVERY",
            Self::Stuck => "ORDER_STUCK",
            Self::NumberMissing => "IDENT_MISSING",
            Self::StatusIncompatible => "STATUS_INCOMPATIBLE",
            Self::StateDesync => "ORDER_STATE_DESYNC",
            Self::Rejected => "ORDER_REJECTED",
            Self::UnknownHere => "ORDER_UNKNOWN_IN_CT",
            Self::MissingThere => "ORDER_MISSING_IN_SOR",
        }
    }

    /// It is about what we know, not about what happened: it ends with the order.
    pub fn ends_with_the_order(self) -> bool {
        match self {
            Self::SkuMissing | Self::ViewDiverged | Self::PayloadMissing => true,
            Self::LineUnknown | Self::LineStateSum => true,
            Self::Stuck | Self::NumberMissing | Self::StatusIncompatible => true,
            Self::StateDesync | Self::Rejected | Self::UnknownHere | Self::MissingThere => true,
            // Sides that are compared no more.
            Self::PaidNotCaptured
            | Self::PaymentStateLag
            | Self::PaymentAmount
            | Self::PaymentDelayed
            | Self::CurrencyMismatch
            | Self::RefundMismatch
            | Self::ReturnRefundMissing => true,
            _ => false,
        }
    }
}

impl EventKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderPlaced => "OrderPlaced",
            Self::PaymentConfirmed => "PaymentConfirmed",
            Self::InventoryAllocated => "InventoryAllocated",
            Self::ItemsShipped => "ItemsShipped",
            Self::OrderDelivered => "OrderDelivered",
            Self::OrderCompleted => "OrderCompleted",
            Self::OrderCancelled => "OrderCancelled",
            Self::ReturnOpened => "ReturnOpened",
        }
    }
}

impl Judgement {
    pub fn name(self) -> &'static str {
        match self {
            Self::Legal => "legal",
            Self::LegalWithWarning => "legal_with_warning",
            Self::Violation => "violation",
        }
    }
}
