//! Messages into `inbox.resources`, key `project:type:id`.

use aplomb_state::{codec::Format, ids::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    orders::{Identify, SystemOrder},
    payments::{CheckoutFailed, PaymentLink, PaymentState},
    skus::HoldState,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceMessage {
    /// A commercetools notification. Its bytes ride along as the record's external part.
    Notification(Notification),
    /// A sku's answer to a hold target of an order.
    HoldState(HoldState),
    /// To a payment, from an order.
    PaymentLink(PaymentLink),
    /// To an order, from a payment that is linked to it.
    PaymentState(PaymentState),
    /// To a payment, from an event of Checkout.
    CheckoutFailed(CheckoutFailed),
    /// To an order, or to the actor of its number.
    SystemOrder(SystemOrder),
    /// To the actor of a number, from an order.
    Identify(Identify),
}

impl Format for ResourceMessage {
    const VERSION: u8 = 4;
}

/// The envelope of a notification, whatever form it was delivered in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub project: String,
    /// As in `resource.typeId`: `order`, `inventory-entry`, …
    pub type_id: String,
    pub resource_id: String,
    pub body: NotificationBody,
    /// Where the notification proper stands in the external value.
    pub payload: PayloadPlace,
    /// `resourceUserProvidedIdentifiers`: (kind, value), sorted.
    pub identifiers: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotificationBody {
    Message {
        id: String,
        sequence: u64,
        /// Version of the resource after the change.
        resource_version: u64,
        message_type: String,
        created_at: Timestamp,
        /// Present where the payload was left out (`payloadNotIncluded`).
        payload_missing: Option<String>,
    },
    Created {
        version: u64,
        modified_at: Timestamp,
    },
    Updated {
        version: u64,
        old_version: u64,
        modified_at: Timestamp,
    },
    Deleted {
        version: u64,
        modified_at: Timestamp,
        data_erasure: bool,
    },
    Event {
        id: String,
        event_type: String,
        created_at: Timestamp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadPlace {
    Root,
    /// Under `data` of a CloudEvents 1.0 structured event.
    CloudEventData,
}
