//! Messages into `inbox.skus`, key `project:sku`, and the answers.

use aplomb_state::{codec::Format, ids::Timestamp};
use serde::{Deserialize, Serialize};

/// The location of an entry without a supply channel.
pub const NO_CHANNEL: &str = "~";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SkuMessage {
    HoldTarget(HoldTarget),
    /// From the actor of an inventory entry.
    Reading(EntryReading),
    EntryDeleted(EntryDeleted),
    /// From a system of record's stock feed.
    Warehouse(WarehouseStock),
    /// Broadcast once a complete snapshot of a project's inventory entries was read: from now on
    /// an absent entry is a fact.
    EntriesComplete(EntriesComplete),
    /// Broadcast: a partition of a feed holds no more of a batch.
    BatchEnded(BatchEnded),
    /// From a task to the batch's own actor, key `project:system:batch`.
    BatchCounted(BatchCounted),
    /// Broadcast by it: all records of the batch have come.
    BatchComplete(BatchComplete),
    /// Broadcast: a record of a batch was refused, so the batch proves no absence.
    BatchBroken(BatchBroken),
}

impl Format for SkuMessage {
    const VERSION: u8 = 4;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InventoryMode {
    None,
    TrackOnly,
    ReserveOnOrder,
    ReserveOnCart,
}

/// What an order wants held at a sku for one line: absolute, with the order's revision counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldTarget {
    pub project: String,
    pub order_id: String,
    pub order_number: Option<String>,
    pub line_id: String,
    pub sku: String,
    pub location: String,
    /// A counter of the order actor that rises with every send.
    pub revision: u64,
    pub ordered_at: Timestamp,
    pub ordered: i64,
    pub cancelled: i64,
    pub shipped: i64,
    /// On its way back or here again, of the shipped.
    pub returned: i64,
    /// Of the returned: told to be back in stock.
    pub restocked: i64,
    /// Of the returned: told to be of no more use.
    pub unusable: i64,
    pub mode: InventoryMode,
    /// When commercetools generated the message behind the change: a shipment moves stock then.
    pub as_of: Timestamp,
    /// The notification behind the change, for causes and deterministic ids.
    pub cause: Cause,
}

/// The sku's whole hold for that line, sent after every change of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldState {
    pub project: String,
    pub order_id: String,
    pub line_id: String,
    pub sku: String,
    pub location: String,
    /// The revision of the target this answers.
    pub of_target: u64,
    /// A counter of the sku actor that rises with every send.
    pub revision: u64,
    pub reserved: i64,
    pub backordered: i64,
    pub promise: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// On stock less available: what carts hold, by the message of that instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartHolds {
    pub units: i64,
    pub as_of: Timestamp,
}

/// An absolute reading of a commercetools inventory entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryReading {
    pub project: String,
    pub sku: String,
    pub location: String,
    pub entry_id: String,
    /// A counter of the entry actor that rises with every send.
    pub revision: u64,
    pub sequence: u64,
    /// When commercetools generated the message.
    pub as_of: Timestamp,
    pub on_stock: i64,
    /// What the message says it was before. Absent: it does not say, or messages before it are
    /// missing.
    pub old_on_stock: Option<i64>,
    /// Of the last message that told what is available, be it this one: some tell on stock alone
    /// (reorder point, out of stock, …). Absent: none told yet.
    pub carts: Option<CartHolds>,
    /// Known from the entry's payload; absent when never told.
    pub restockable_in_days: Option<i64>,
    pub expected_delivery: Option<Timestamp>,
    pub safety_stock: Option<i64>,
    /// Of a snapshot of entries.
    pub batch_id: Option<String>,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryDeleted {
    pub project: String,
    pub sku: String,
    pub location: String,
    pub entry_id: String,
    pub revision: u64,
    pub as_of: Timestamp,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntriesComplete {
    pub project: String,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEnded {
    pub project: String,
    pub system: String,
    pub flow: String,
    pub batch_id: String,
    /// How many partitions the feed has, and the one that ended.
    pub partitions: i32,
    pub partition: i32,
    /// How many records of the batch that partition holds.
    pub count: u64,
    pub as_of: Timestamp,
    pub cause: Cause,
}

/// What came of a partition to one task when its marker did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCounted {
    pub ended: BatchEnded,
    pub task: i32,
    pub counted: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchComplete {
    pub project: String,
    pub system: String,
    pub flow: String,
    pub batch_id: String,
    pub as_of: Timestamp,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchBroken {
    pub project: String,
    pub system: String,
    /// Absent: the record did not say. Then it may be any that has not ended.
    pub batch_id: Option<String>,
}

/// One record of `sor.<system>.stock.v1`, location mapped by the flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarehouseStock {
    pub project: String,
    pub system: String,
    pub flow: String,
    pub sku: String,
    pub location: String,
    pub kind: StockKind,
    pub event_id: Option<String>,
    pub batch_id: Option<String>,
    pub as_of: Timestamp,
    /// Absolute in a snapshot, signed in a delta.
    pub quantity: i64,
    pub reason: Option<String>,
    pub order_number: Option<String>,
    pub line_id: Option<String>,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StockKind {
    Snapshot,
    Delta,
}

/// What made an actor do something: the first part of every deterministic id, and the `cause` of
/// events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `m:project:messageId`, `c:project:type:id:kind:version`, `e:eventId`,
    /// `s:system:entity:eventId`, `t:timer:key:deadline` or `b:topic:partition:offset`.
    pub id: String,
    pub message_id: Option<String>,
    /// `type:id`
    pub resource: Option<String>,
    pub sequence: Option<u64>,
    pub version: Option<u64>,
}
