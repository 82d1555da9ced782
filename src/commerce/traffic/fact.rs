//! What happened, before it is written in any form.

use std::sync::Arc;

use aplomb_state::ids::Timestamp;

use super::{catalog::Entry, json::Id};

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
    /// (line item, quantity)
    Delivery {
        id: Id,
        number: usize,
        items: Vec<(Id, i64)>,
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

#[derive(Debug)]
pub(super) struct Order {
    pub id: Id,
    pub number: u64,
    pub customer: Id,
    pub cart: Id,
    pub placed_at: Timestamp,
    pub lines: Vec<Line>,
}

#[derive(Debug)]
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

impl Change {
    /// The `type` of the message. Absent for a silent change.
    pub fn message_type(&self) -> Option<&'static str> {
        Some(match self {
            Self::OrderCreated => "OrderCreated",
            Self::OrderState { .. } => "OrderStateChanged",
            Self::PaymentState { .. } => "OrderPaymentStateChanged",
            Self::ShipmentState { .. } => "OrderShipmentStateChanged",
            Self::Delivery { .. } => "DeliveryAdded",
            Self::EntryCreated { .. } => "InventoryEntryCreated",
            Self::QuantitySet { .. } => "InventoryEntryQuantitySet",
            Self::Unknown => "OrderLoyaltyPointsGranted",
            Self::Silent => return None,
        })
    }
}
