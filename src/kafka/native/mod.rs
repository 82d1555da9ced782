//! librdkafka behind safe types: a client handle, queues with messages, partition lists, and the
//! calls of a transactional producer. All `unsafe` of this crate's broker access is below here.
//!
//! The wrapper crate is used for configuration and administration only. Its consumer answers
//! rebalances inside a callback, its producer waits in slices of 100 ms when it flushes, and
//! neither keeps the error flags that the worker decides by.
//!
//! Invariant: nothing here knows of workers, tasks or the seam's traits.

#![expect(unsafe_code, reason = "the seam to librdkafka, a C library")]

mod client;
mod group;
mod message;
mod partitions;
mod queue;
pub mod transaction;

use std::{
    ffi::{CStr, c_char},
    time::Duration,
};

pub use self::{
    client::{Client, ClientEvents, GroupMetadata},
    group::GroupRow,
    message::{Kind, Message},
    partitions::{Partitions, Row},
    queue::{Event, Queue, Wake},
};

/// An error as librdkafka reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: rdkafka_sys::RDKafkaErrorCode,
    pub flags: Flags,
    pub text: String,
}

/// What librdkafka says about an error of the transactional API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub fatal: bool,
    pub retriable: bool,
    pub requires_abort: bool,
}

impl Failure {
    pub fn new(code: rdkafka_sys::RDKafkaErrorCode, text: impl Into<String>) -> Self {
        Self { code, flags: Flags::default(), text: text.into() }
    }

    fn check(code: rdkafka_sys::rd_kafka_resp_err_t) -> Result<(), Self> {
        if code == rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        let code = rdkafka_sys::RDKafkaErrorCode::from(code);
        Err(Self::new(code, code.to_string()))
    }

    /// Takes over an error object; null means success.
    fn take(error: *mut rdkafka_sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: `error` is an error object that librdkafka handed over to us; it is read here
        // and destroyed once.
        unsafe {
            let failure = Self {
                code: rdkafka_sys::rd_kafka_error_code(error).into(),
                flags: Flags {
                    fatal: rdkafka_sys::rd_kafka_error_is_fatal(error) != 0,
                    retriable: rdkafka_sys::rd_kafka_error_is_retriable(error) != 0,
                    requires_abort: rdkafka_sys::rd_kafka_error_txn_requires_abort(error) != 0,
                },
                text: text(rdkafka_sys::rd_kafka_error_string(error)),
            };
            rdkafka_sys::rd_kafka_error_destroy(error);
            Err(failure)
        }
    }
}

/// A C string as text. Null is empty.
///
/// # Safety
/// `chars` is null or a C string that lives for the length of the call.
unsafe fn text(chars: *const c_char) -> String {
    if chars.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a C string by this function's contract.
    unsafe { CStr::from_ptr(chars) }.to_string_lossy().into_owned()
}

/// Milliseconds for librdkafka, rounded up so that a short wait does not become none.
fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}
