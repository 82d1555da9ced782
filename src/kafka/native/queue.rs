//! Queues of a consumer: records of one partition, or events of the group.

use std::{
    ffi::c_void,
    ptr::NonNull,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka_sys as sys;

use super::{Client, Failure, Message, Row, message, millis, partitions, text};

/// A queue. Holds its client alive.
pub struct Queue {
    raw: NonNull<sys::rd_kafka_queue_t>,
    client: Arc<Client>,
    /// Set while librdkafka may call it.
    arrivals: Option<Box<Arrivals>>,
}

/// What librdkafka tells when something arrives in the empty queue.
struct Arrivals {
    wake: Arc<Wake>,
    /// Since the queue was found empty, something arrived.
    any: AtomicBool,
}

// SAFETY: librdkafka locks its queues.
unsafe impl Send for Queue {}

/// Something that the consumer's own queue holds.
#[derive(Debug)]
pub enum Event {
    Assigned(Vec<Row>),
    Revoked(Vec<Row>),
    Error {
        failure: Failure,
    },
    /// A record that is on the wrong queue.
    Record {
        topic: String,
        partition: i32,
    },
    Other,
}

impl Queue {
    pub(super) fn new(raw: *mut sys::rd_kafka_queue_t, client: Arc<Client>) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self { raw, client, arrivals: None })
    }

    pub(super) fn raw(&self) -> *mut sys::rd_kafka_queue_t {
        self.raw.as_ptr()
    }

    /// Rings `wake` whenever something arrives in the empty queue.
    pub fn wakes(&mut self, wake: &Arc<Wake>) {
        let arrivals = Box::new(Arrivals { wake: Arc::clone(wake), any: AtomicBool::new(true) });
        // SAFETY: the pointer leads into the box that this queue keeps until the callback is
        // taken back in `drop`.
        unsafe {
            let opaque = (&raw const *arrivals).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(self.raw(), Some(on_nonempty), opaque);
        }
        self.arrivals = Some(arrivals);
    }

    /// The next message or per-partition error, if it is there already. Where librdkafka tells of
    /// arrivals, a queue that was found empty costs nothing until the next: a look into one takes
    /// two locks and five readings of the clock.
    pub fn next(&self) -> Option<Message> {
        let Some(arrivals) = &self.arrivals else { return self.message(Duration::ZERO) };
        // IMPORTANT: forget earlier arrivals before looking, or one in between is lost.
        if !arrivals.any.swap(false, Ordering::AcqRel) {
            return None;
        }
        let message = self.message(Duration::ZERO);
        if message.is_some() {
            arrivals.any.store(true, Ordering::Release);
        }
        message
    }

    /// The next message or per-partition error. Waits for it at most `wait`.
    ///
    /// NOTE: not `rd_kafka_consume_batch_queue`. In this version that moves the consumed position
    /// one past an end-of-partition notice, and the next rebalance, which pauses and resumes all
    /// partitions, would go on from there and pass over a record.
    pub fn message(&self, wait: Duration) -> Option<Message> {
        // SAFETY: the queue is live, and used for partitions only: no rebalance comes through it.
        let raw = unsafe { sys::rd_kafka_consume_queue(self.raw(), millis(wait)) };
        Message::new(raw, Arc::clone(&self.client))
    }

    /// At most `max` messages that are there already. Only for queues whose partitions are never
    /// paused, because of what is said at [`Queue::message`].
    pub fn batch(&self, max: usize, into: &mut Vec<Message>) {
        let mut raw = [std::ptr::null_mut(); 256];
        let max = max.min(raw.len());
        // SAFETY: the queue is live, the array holds `max` places.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.raw(), 0, raw.as_mut_ptr(), max) };
        let count = usize::try_from(count).unwrap_or(0);
        let messages = raw.into_iter().take(count);
        into.extend(messages.filter_map(|raw| Message::new(raw, Arc::clone(&self.client))));
    }

    /// The next event. Waits for it at most `wait`.
    pub fn event(&self, wait: Duration) -> Option<Event> {
        // SAFETY: the queue is live; the event is ours and destroyed once, after it was read.
        unsafe {
            let raw = sys::rd_kafka_queue_poll(self.raw(), millis(wait));
            if raw.is_null() {
                return None;
            }
            let event = read(raw);
            sys::rd_kafka_event_destroy(raw);
            Some(event)
        }
    }
}

/// Copies an event out.
///
/// # Safety
/// `raw` is a live event.
unsafe fn read(raw: *mut sys::rd_kafka_event_t) -> Event {
    // SAFETY: the event is live by contract, and so are the parts of it that are read.
    unsafe {
        match sys::rd_kafka_event_type(raw) {
            sys::RD_KAFKA_EVENT_REBALANCE => {
                let rows = partitions::rows(sys::rd_kafka_event_topic_partition_list(raw));
                let assign = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
                if sys::rd_kafka_event_error(raw) == assign {
                    Event::Assigned(rows)
                } else {
                    Event::Revoked(rows)
                }
            }
            sys::RD_KAFKA_EVENT_ERROR => {
                let code = sys::rd_kafka_event_error(raw).into();
                let mut failure = Failure::new(code, text(sys::rd_kafka_event_error_string(raw)));
                failure.flags.fatal = sys::rd_kafka_event_error_is_fatal(raw) != 0;
                Event::Error { failure }
            }
            sys::RD_KAFKA_EVENT_FETCH => {
                match message::place(sys::rd_kafka_event_message_next(raw)) {
                    Some((topic, partition)) => Event::Record { topic, partition },
                    None => Event::Other,
                }
            }
            _ => Event::Other,
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the callback is taken back before its target goes; librdkafka does so under the
        // queue's lock, under which it also calls it. The queue is destroyed once.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.raw(), None, std::ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.raw());
        }
    }
}

/// A bell that librdkafka's threads ring and one thread of ours waits for.
#[derive(Default)]
pub struct Wake {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Wake {
    /// Forgets earlier rings. Look at the queues after this, then wait.
    pub fn clear(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }

    /// Waits for a ring since the last `clear`, at most until `until`.
    pub fn wait(&self, until: Instant) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.bell.wait_timeout(rung, left);
            rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

unsafe extern "C" fn on_nonempty(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: leads to what the queue keeps.
    let arrivals: &Arrivals = unsafe { &*opaque.cast_const().cast() };
    arrivals.any.store(true, Ordering::Release);
    arrivals.wake.ring();
}
