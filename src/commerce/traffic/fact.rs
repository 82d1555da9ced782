//! What happened, before it is written in any form.

use std::sync::Arc;

use aplomb_state::ids::Timestamp;

use super::{
    catalog::Entry,
    json::Id,
    payment::{Payment, Transaction},
    returns::Returned,
};

/// A change of one resource.
#[derive(Debug)]
pub(super) struct Fact {
    pub resource: Resource,
    /// Of the message. A silent change has none and takes no sequence number.
    pub id: Id,
    pub sequence: u64,
    /// Of the resource after the change.
    pub version: u64,
    pub at: Timestamp,
    pub change: Change,
}

#[derive(Debug)]
pub(super) enum Resource {
    Order(Arc<Order>),
    Entry(Arc<Entry>),
    Payment(Arc<Payment>),
}

#[derive(Debug)]
pub(super) enum Change {
    OrderCreated,
    OrderState {
        from: &'static str,
        to: &'static str,
    },
    PaymentState {
        from: &'static str,
        to: &'static str,
    },
    ShipmentState {
        from: &'static str,
        to: &'static str,
    },
    Delivery(Shipped),
    DeliveryRemoved(Shipped),
    /// Other items are in it than was told.
    DeliveryItems {
        now: Shipped,
        was: Shipped,
    },
    Parcel {
        id: Id,
        of: Shipped,
    },
    /// By its own workflow, beside the order's state.
    Workflow {
        to: Workflow,
    },
    /// By an edit: so many units more of a line, or fewer.
    LineAdded {
        line: Line,
        added: i64,
    },
    LineRemoved {
        line: Line,
        removed: i64,
    },
    Returned(Returned),
    /// The return again, with the money given back.
    ReturnRefunded(Returned),
    BackInStock {
        item: Id,
    },
    PaymentCreated(Transaction),
    Transaction(Transaction),
    TransactionState {
        transaction: Id,
        state: &'static str,
    },
    EntryCreated {
        on_stock: i64,
    },
    QuantitySet {
        old: i64,
        new: i64,
    },
    /// An update action that sends no message: only the resource's version tells.
    Silent,
    /// A message type that no rule knows.
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Shipped {
    pub id: Id,
    pub number: usize,
    /// (line item, quantity)
    pub items: Vec<(Id, i64)>,
}

/// States of the shop's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workflow {
    Picking,
    Packed,
}

#[derive(Debug)]
pub(super) struct Order {
    pub id: Id,
    pub number: u64,
    pub customer: Id,
    pub cart: Id,
    pub placed_at: Timestamp,
    pub lines: Vec<Line>,
    pub payment: Option<Id>,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub id: Id,
    pub entry: Arc<Entry>,
    pub quantity: i64,
}

/// One record of the warehouse's feed.
#[derive(Debug)]
pub(super) struct Count {
    pub entry: Arc<Entry>,
    pub kind: CountKind,
    pub quantity: i64,
    pub as_of: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountKind {
    /// Of everything; the batch it belongs to.
    Snapshot {
        batch: u64,
    },
    Receipt {
        event: Id,
    },
    /// Of an order's line: units that came back.
    Restock {
        event: Id,
        number: u64,
        line: Id,
    },
}

impl Order {
    pub fn total_cents(&self) -> i64 {
        self.lines.iter().map(Line::total_cents).sum()
    }
}

impl Line {
    pub fn total_cents(&self) -> i64 {
        self.entry.product.cents * self.quantity
    }
}

impl Workflow {
    /// The state's id in commercetools. Its key stands in the rules.
    pub fn id(self) -> &'static str {
        match self {
            Self::Picking => "2c1b0f6a-7c2e-4b58-9c1e-5d0a6f0b3a11",
            Self::Packed => "7a5d9e34-1f0c-4d7b-8e2f-0c9b1d2e4f22",
        }
    }
}

impl Change {
    /// Whether the resource begins with it.
    pub fn creates(&self) -> bool {
        matches!(self, Self::OrderCreated | Self::EntryCreated { .. } | Self::PaymentCreated(_))
    }

    /// The `type` of the message. Absent for a silent change.
    pub fn message_type(&self) -> Option<&'static str> {
        Some(match self {
            Self::OrderCreated => "OrderCreated",
            Self::OrderState { .. } => "OrderStateChanged",
            Self::PaymentState { .. } => "OrderPaymentStateChanged",
            Self::ShipmentState { .. } => "OrderShipmentStateChanged",
            Self::Delivery(_) => "DeliveryAdded",
            Self::DeliveryRemoved(_) => "DeliveryRemoved",
            Self::DeliveryItems { .. } => "DeliveryItemsUpdated",
            Self::Parcel { .. } => "ParcelAddedToDelivery",
            Self::Workflow { .. } => "OrderStateTransition",
            Self::LineAdded { .. } => "OrderLineItemAdded",
            Self::LineRemoved { .. } => "OrderLineItemRemoved",
            Self::Returned(_) => "ReturnInfoAdded",
            Self::ReturnRefunded(_) => "ReturnInfoSet",
            Self::BackInStock { .. } => "OrderReturnShipmentStateChanged",
            Self::PaymentCreated(_) => "PaymentCreated",
            Self::Transaction(_) => "PaymentTransactionAdded",
            Self::TransactionState { .. } => "PaymentTransactionStateChanged",
            Self::EntryCreated { .. } => "InventoryEntryCreated",
            Self::QuantitySet { .. } => "InventoryEntryQuantitySet",
            Self::Unknown => "OrderLoyaltyPointsGranted",
            Self::Silent => return None,
        })
    }
}
