//! The output topics, by their names without the prefix.

use aplomb_state::topology::{Cleanup, Codec, OutputDefinition};

pub const ORDER_VIEW: &str = "order.view.v1";
pub const ORDER_EVENTS: &str = "order.events.v1";
pub const ORDER_VERDICTS: &str = "order.verdicts.v1";
pub const PAYMENT_VIEW: &str = "payment.view.v1";
pub const PAYMENT_EVENTS: &str = "payment.events.v1";
pub const INVENTORY_EVENTS: &str = "inventory.events.v1";
pub const INVENTORY_RESERVATIONS: &str = "inventory.reservations.v1";
pub const INVENTORY_AVAILABILITY: &str = "inventory.availability.v1";
pub const INVENTORY_HISTORY: &str = "inventory.history.v1";
pub const IDENTIFIERS: &str = "identifiers.v1";
pub const DRIFT_EVENTS: &str = "drift.events.v1";
pub const DRIFT_OPEN: &str = "drift.open.v1";
pub const EXCEPTIONS: &str = "exceptions.v1";
pub const DLQ: &str = "dlq.v1";
pub const REFETCH_REQUESTS: &str = "refetch.requests.v1";

/// How long a dead letter is kept.
pub const DLQ_RETENTION_MS: i64 = days_ms(30);

const RECORD_BYTES_MAX: usize = 1 << 20;
/// More than any input: inboxes take 2 MiB, and a dead letter adds headers.
const DLQ_BYTES_MAX: usize = 8 << 20;

/// What the runtime creates and checks: topics that a stage writes.
pub fn definitions() -> Vec<OutputDefinition> {
    use Cleanup::Compact;
    let order = "project:orderId";
    let payment = "project:paymentId";
    let stock = "project:sku:location";
    let dead_letters = OutputDefinition {
        codec: Codec::Bytes,
        record_bytes_max: DLQ_BYTES_MAX,
        ..json(DLQ, Cleanup::Delete { retention_ms: DLQ_RETENTION_MS }, "as received")
    };
    vec![
        json(ORDER_VIEW, Compact, order),
        json(ORDER_EVENTS, days(400), order),
        json(ORDER_VERDICTS, days(90), order),
        json(PAYMENT_VIEW, Compact, payment),
        json(PAYMENT_EVENTS, days(400), payment),
        json(INVENTORY_EVENTS, days(90), "project:sku"),
        json(INVENTORY_RESERVATIONS, Compact, "project:orderId:lineItemId:sku:location"),
        json(INVENTORY_AVAILABILITY, Compact, stock),
        json(INVENTORY_HISTORY, days(400), stock),
        json(IDENTIFIERS, Compact, "project:idType:canonical"),
        json(DRIFT_EVENTS, days(180), "driftId"),
        json(DRIFT_OPEN, Compact, "driftId"),
        json(EXCEPTIONS, Cleanup::CompactAndDelete { retention_ms: days_ms(365) }, "caseId"),
        dead_letters,
        json(REFETCH_REQUESTS, days(7), "project:type:id"),
    ]
}

fn json(topic: &'static str, cleanup: Cleanup, key: &'static str) -> OutputDefinition {
    OutputDefinition { topic, cleanup, key, codec: Codec::Json, record_bytes_max: RECORD_BYTES_MAX }
}

fn days(count: i64) -> Cleanup {
    Cleanup::Delete { retention_ms: days_ms(count) }
}

const fn days_ms(count: i64) -> i64 {
    count * 86_400_000
}
