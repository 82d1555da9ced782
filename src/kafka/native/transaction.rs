//! The calls of a transactional producer.

use std::{
    ffi::{CString, c_void},
    ptr::NonNull,
    sync::Arc,
    time::Duration,
};

use rdkafka_sys as sys;

use super::{Client, Failure, GroupMetadata, Partitions, millis};
use crate::log::ToSend;

/// The handle of a topic: it saves a look-up by name with every record.
pub struct Topic {
    raw: NonNull<sys::rd_kafka_topic_t>,
    /// A topic must go before its client.
    _client: Arc<Client>,
}

// SAFETY: librdkafka locks its topics.
unsafe impl Send for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_topic_destroy(self.raw.as_ptr()) }
    }
}

impl Client {
    pub fn topic(self: &Arc<Self>, name: &str) -> Option<Topic> {
        let name = CString::new(name).ok()?;
        // SAFETY: the handle is live, the name a C string.
        let raw =
            unsafe { sys::rd_kafka_topic_new(self.raw(), name.as_ptr(), std::ptr::null_mut()) };
        NonNull::new(raw).map(|raw| Topic { raw, _client: Arc::clone(self) })
    }

    /// Copies a record into the producer's queue.
    pub fn produce(&self, topic: &Topic, record: &ToSend<'_>) -> Result<(), Failure> {
        use sys::rd_kafka_vtype_t as kind;
        let value = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let memory = |bytes: Option<&[u8]>| Part {
            mem: Memory {
                ptr: bytes.map_or(std::ptr::null_mut(), |all| all.as_ptr().cast_mut().cast()),
                size: bytes.map_or(0, <[u8]>::len),
            },
        };
        let headers = headers_of(record);
        let parts = [
            value(kind::RD_KAFKA_VTYPE_RKT, Part { rkt: topic.raw.as_ptr() }),
            value(kind::RD_KAFKA_VTYPE_PARTITION, Part { i32_: record.partition }),
            value(kind::RD_KAFKA_VTYPE_MSGFLAGS, Part { i: sys::RD_KAFKA_MSG_F_COPY }),
            value(kind::RD_KAFKA_VTYPE_KEY, memory(record.key)),
            value(kind::RD_KAFKA_VTYPE_VALUE, memory(record.value)),
            // Zero is librdkafka's word for "now".
            value(
                kind::RD_KAFKA_VTYPE_TIMESTAMP,
                Part { i64_: record.timestamp.map_or(0, |at| at.0) },
            ),
            value(
                kind::RD_KAFKA_VTYPE_OPAQUE,
                Part { ptr: std::ptr::without_provenance_mut(record.receipt) },
            ),
            value(kind::RD_KAFKA_VTYPE_HEADERS, Part { headers }),
        ];
        let count = if headers.is_null() { parts.len() - 1 } else { parts.len() };
        // SAFETY: handle and topic are live. Key and value are copied before the call returns.
        // The headers become librdkafka's if it takes the record, and are destroyed here if not.
        unsafe {
            let error = sys::rd_kafka_produceva(self.raw(), parts.as_ptr(), count);
            if !error.is_null() && !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            Failure::take(error)
        }
    }

    /// Serves callbacks that are due.
    pub fn serve(&self) {
        // SAFETY: the handle is live.
        unsafe { sys::rd_kafka_poll(self.raw(), 0) };
    }

    /// Sends what is queued without lingering, and waits for all reports. Reports are callbacks
    /// here, not events, so that librdkafka serves them itself while it waits.
    pub fn flush(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: the handle is live.
        Failure::check(unsafe { sys::rd_kafka_flush(self.raw(), millis(wait)) })
    }

    pub fn init_transactions(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: the handle is live.
        Failure::take(unsafe { sys::rd_kafka_init_transactions(self.raw(), millis(wait)) })
    }

    pub fn begin_transaction(&self) -> Result<(), Failure> {
        // SAFETY: the handle is live.
        Failure::take(unsafe { sys::rd_kafka_begin_transaction(self.raw()) })
    }

    pub fn send_offsets(
        &self,
        offsets: &Partitions,
        group: &GroupMetadata,
        wait: Duration,
    ) -> Result<(), Failure> {
        // SAFETY: handle, list and metadata are live; librdkafka copies both.
        Failure::take(unsafe {
            sys::rd_kafka_send_offsets_to_transaction(
                self.raw(),
                offsets.raw(),
                group.raw(),
                millis(wait),
            )
        })
    }

    pub fn commit_transaction(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: the handle is live.
        Failure::take(unsafe { sys::rd_kafka_commit_transaction(self.raw(), millis(wait)) })
    }

    /// Drops what is queued, waits for what is on its way, and aborts.
    pub fn abort_transaction(&self, wait: Duration) -> Result<(), Failure> {
        // SAFETY: the handle is live.
        Failure::take(unsafe { sys::rd_kafka_abort_transaction(self.raw(), millis(wait)) })
    }
}

type Part = sys::rd_kafka_vu_s__bindgen_ty_1;
type Memory = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1;

/// The record's headers as librdkafka wants them, or null for none.
fn headers_of(record: &ToSend<'_>) -> *mut sys::rd_kafka_headers_t {
    if record.headers.is_empty() {
        return std::ptr::null_mut();
    }
    // SAFETY: the list is fresh; names and values are copied, and their lengths given.
    unsafe {
        let headers = sys::rd_kafka_headers_new(record.headers.len());
        for (name, value) in record.headers {
            let start: *const c_void = value.as_ptr().cast();
            sys::rd_kafka_header_add(
                headers,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                start,
                value.len().cast_signed(),
            );
        }
        headers
    }
}
