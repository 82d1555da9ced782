//! A message in the fetch buffer, borrowed from where librdkafka put it.

use std::{
    ffi::{CStr, c_void},
    ptr::NonNull,
    sync::Arc,
};

use rdkafka_sys as sys;

use super::{Client, Failure, text};
use crate::log::Headers;

/// A message, owned. It holds the whole fetch response it came with, so keep it for a short time.
pub struct Message {
    raw: NonNull<sys::rd_kafka_message_t>,
    /// A message must go before its client.
    _client: Arc<Client>,
}

// SAFETY: a message is read by one thread at a time; librdkafka counts its references atomically.
unsafe impl Send for Message {}

/// What a message stands for.
pub enum Kind {
    Record,
    /// Everything below the message's offset was seen, control records and gaps included.
    End,
    Failed(Failure),
}

impl Message {
    pub(super) fn new(raw: *mut sys::rd_kafka_message_t, client: Arc<Client>) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self { raw, _client: client })
    }

    fn get(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: ours and live until dropped.
        unsafe { self.raw.as_ref() }
    }

    pub fn kind(&self) -> Kind {
        let message = self.get();
        match message.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Kind::Record,
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Kind::End,
            code => {
                // SAFETY: the message is live; the answer is null or a C string in it.
                let reason = unsafe { text(sys::rd_kafka_message_errstr(self.raw.as_ptr())) };
                Kind::Failed(Failure::new(code.into(), reason))
            }
        }
    }

    pub fn offset(&self) -> i64 {
        self.get().offset
    }

    pub fn partition(&self) -> i32 {
        self.get().partition
    }

    /// The topic's name, in place. Absent on errors that concern no topic.
    pub fn topic(&self) -> Option<&str> {
        let topic = self.get().rkt;
        if topic.is_null() {
            return None;
        }
        // SAFETY: the message holds its topic, whose name is a C string.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) }.to_str().ok()
    }

    /// Milliseconds since the epoch; -1 if the record has none.
    pub fn timestamp(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live.
        unsafe { sys::rd_kafka_message_timestamp(self.raw.as_ptr(), &raw mut kind) }
    }

    pub fn key(&self) -> Option<&[u8]> {
        let message = self.get();
        // SAFETY: librdkafka keeps key and length together, for as long as the message lives.
        unsafe { bytes(message.key, message.key_len) }
    }

    pub fn value(&self) -> Option<&[u8]> {
        let message = self.get();
        // SAFETY: as for the key.
        unsafe { bytes(message.payload, message.len) }
    }

    /// Reads a delivery report.
    ///
    /// # Safety
    /// `raw` is a live message of a producer.
    pub(super) unsafe fn delivery(
        raw: *const sys::rd_kafka_message_t,
    ) -> (Result<i64, Failure>, usize) {
        // SAFETY: live by contract; the private field is a number, never followed.
        let message = unsafe { &*raw };
        let receipt = message._private as usize;
        (Failure::check(message.err).map(|()| message.offset), receipt)
    }
}

impl Headers for Message {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is live and keeps its headers. Names are C strings, values are null
        // or `size` bytes.
        unsafe {
            let found = sys::rd_kafka_message_headers(self.raw.as_ptr(), &raw mut headers);
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
                let found = sys::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                );
                if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                visit(CStr::from_ptr(name).to_bytes(), bytes(value, size));
            }
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_message_destroy(self.raw.as_ptr()) }
    }
}

/// The topic and partition of a message that stays with its owner.
///
/// # Safety
/// `raw` is null or a live message.
pub unsafe fn place(raw: *const sys::rd_kafka_message_t) -> Option<(String, i32)> {
    // SAFETY: checked for null; a message holds its topic.
    unsafe {
        let message = raw.as_ref()?;
        if message.rkt.is_null() {
            return None;
        }
        Some((text(sys::rd_kafka_topic_name(message.rkt)), message.partition))
    }
}

/// # Safety
/// `start` is null or leads to `len` bytes that live as long as the answer.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: by contract.
    Some(unsafe { std::slice::from_raw_parts(start.cast(), len) })
}
