//! The handle of one librdkafka client, its callbacks, and the group calls of a consumer.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    ptr::NonNull,
    sync::Arc,
    time::Duration,
};

use rdkafka::{ClientConfig, error::KafkaError};
use rdkafka_sys as sys;

use super::{Failure, Message, Partitions, Queue, millis, text};

/// What a client calls back. Errors and reports arrive on the thread that polls it, log lines on
/// any thread.
pub trait ClientEvents: Send + Sync + 'static {
    /// An error that belongs to no call: a broker that is gone, a failed login.
    fn error(&self, failure: Failure);

    /// The fate of a sent message, with the number it was sent under.
    fn delivered(&self, result: Result<i64, Failure>, receipt: usize);
}

/// No interest in anything.
pub struct Silent;

impl ClientEvents for Silent {
    fn error(&self, _failure: Failure) {}

    fn delivered(&self, _result: Result<i64, Failure>, _receipt: usize) {}
}

/// One librdkafka client. Queues and messages must be gone before it is dropped.
pub struct Client {
    raw: NonNull<sys::rd_kafka_t>,
    /// Where it began.
    bootstrap: CString,
    /// Called through a pointer while the client lives.
    _hooks: Box<Hooks>,
}

/// What librdkafka's opaque pointer leads to: a thin pointer, unlike one to the trait's object.
struct Hooks(Box<dyn ClientEvents>);

// SAFETY: librdkafka's handle may be used from any thread, and from many at once.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// A consumer whose rebalances and errors come as events of its queue.
    pub fn consumer(config: &ClientConfig) -> Result<Arc<Self>, String> {
        let client = Self::open(config, sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, Box::new(Silent))?;
        // SAFETY: the handle is live.
        Failure::check(unsafe { sys::rd_kafka_poll_set_consumer(client.raw()) })
            .map_err(|failure| failure.text)?;
        Ok(Arc::new(client))
    }

    pub fn producer(
        config: &ClientConfig,
        events: Box<dyn ClientEvents>,
    ) -> Result<Arc<Self>, String> {
        Self::open(config, sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, events).map(Arc::new)
    }

    fn open(
        config: &ClientConfig,
        kind: sys::rd_kafka_type_t,
        events: Box<dyn ClientEvents>,
    ) -> Result<Self, String> {
        let native = config.create_native_config().map_err(|error| match error {
            KafkaError::ClientConfig(_, reason, key, _) => format!("property {key}: {reason}"),
            other => other.to_string(),
        })?;
        let hooks = Box::new(Hooks(events));
        let mut reason: [c_char; 512] = [0; 512];
        // SAFETY: `native` is a live configuration. The opaque pointer leads to the hooks,
        // whose box stays where it is until after `rd_kafka_destroy`. `rd_kafka_new` takes the
        // configuration over only if it succeeds; then it is forgotten here.
        let raw = unsafe {
            let opaque: *const Hooks = &raw const *hooks;
            sys::rd_kafka_conf_set_opaque(native.ptr(), opaque.cast_mut().cast());
            sys::rd_kafka_conf_set_log_cb(native.ptr(), Some(on_log));
            if kind == sys::rd_kafka_type_t::RD_KAFKA_CONSUMER {
                let wanted = sys::RD_KAFKA_EVENT_REBALANCE | sys::RD_KAFKA_EVENT_ERROR;
                sys::rd_kafka_conf_set_events(native.ptr(), wanted);
            } else {
                sys::rd_kafka_conf_set_error_cb(native.ptr(), Some(on_error));
                sys::rd_kafka_conf_set_dr_msg_cb(native.ptr(), Some(on_delivery));
            }
            sys::rd_kafka_new(kind, native.ptr(), reason.as_mut_ptr(), reason.len())
        };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: librdkafka wrote a C string that fits the buffer.
            return Err(unsafe { text(reason.as_ptr()) });
        };
        std::mem::forget(native);
        let bootstrap = config.get("bootstrap.servers").unwrap_or_default();
        let bootstrap = CString::new(bootstrap).unwrap_or_default();
        Ok(Self { raw, bootstrap, _hooks: hooks })
    }

    pub(super) fn raw(&self) -> *mut sys::rd_kafka_t {
        self.raw.as_ptr()
    }

    /// The queue of everything that is not split off: rebalances and errors.
    pub fn consumer_queue(self: &Arc<Self>) -> Option<Queue> {
        // SAFETY: the handle is live; the queue keeps it so.
        let raw = unsafe { sys::rd_kafka_queue_get_consumer(self.raw()) };
        Queue::new(raw, Arc::clone(self))
    }

    /// Splits a partition's records off into a queue of their own. Called before the partition is
    /// assigned, nothing of it ever reaches the consumer's queue.
    pub fn partition_queue(self: &Arc<Self>, topic: &str, partition: i32) -> Option<Queue> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the handle is live, the name a C string. A null destination ends the forwarding
        // and marks the queue as the application's, so that a later assignment leaves it alone.
        unsafe {
            let raw = sys::rd_kafka_queue_get_partition(self.raw(), topic.as_ptr(), partition);
            if !raw.is_null() {
                sys::rd_kafka_queue_forward(raw, std::ptr::null_mut());
            }
            Queue::new(raw, Arc::clone(self))
        }
    }

    pub fn subscribe(&self, topics: &Partitions) -> Result<(), Failure> {
        // SAFETY: handle and list are live; the list is copied.
        Failure::check(unsafe { sys::rd_kafka_subscribe(self.raw(), topics.raw()) })
    }

    pub fn unsubscribe(&self) -> Result<(), Failure> {
        // SAFETY: the handle is live.
        Failure::check(unsafe { sys::rd_kafka_unsubscribe(self.raw()) })
    }

    /// Replaces the assignment; `None` ends it.
    pub fn assign(&self, partitions: Option<&Partitions>) -> Result<(), Failure> {
        let list = partitions.map_or(std::ptr::null_mut(), Partitions::raw);
        // SAFETY: the handle is live, the list live or null; it is copied.
        Failure::check(unsafe { sys::rd_kafka_assign(self.raw(), list) })
    }

    pub fn incremental_assign(&self, partitions: &Partitions) -> Result<(), Failure> {
        // SAFETY: handle and list are live; the list is copied.
        Failure::take(unsafe { sys::rd_kafka_incremental_assign(self.raw(), partitions.raw()) })
    }

    pub fn incremental_unassign(&self, partitions: &Partitions) -> Result<(), Failure> {
        // SAFETY: handle and list are live; the list is copied.
        Failure::take(unsafe { sys::rd_kafka_incremental_unassign(self.raw(), partitions.raw()) })
    }

    /// Gives everything up that is assigned, which may be nothing.
    pub fn incremental_unassign_all(&self) -> Result<(), Failure> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the handle is live; on success the list is ours.
        Failure::check(unsafe { sys::rd_kafka_assignment(self.raw(), &raw mut raw) })?;
        let all = Partitions::from_raw(raw).unwrap_or_else(|| Partitions::new(0));
        self.incremental_unassign(&all)
    }

    /// Whether rebalances move single partitions, which is so before the first one, too.
    pub fn is_cooperative(&self) -> bool {
        // SAFETY: the handle is live; the answer is null or a static C string.
        unsafe { text(sys::rd_kafka_rebalance_protocol(self.raw())) == "COOPERATIVE" }
    }

    pub fn is_assignment_lost(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe { sys::rd_kafka_assignment_lost(self.raw()) != 0 }
    }

    /// Stops fetching and throws away what was fetched. Also before the partition is assigned.
    pub fn pause(&self, partitions: &Partitions) -> Result<(), Failure> {
        // SAFETY: handle and list are live.
        Failure::check(unsafe { sys::rd_kafka_pause_partitions(self.raw(), partitions.raw()) })
    }

    pub fn resume(&self, partitions: &Partitions) -> Result<(), Failure> {
        // SAFETY: handle and list are live.
        Failure::check(unsafe { sys::rd_kafka_resume_partitions(self.raw(), partitions.raw()) })
    }

    /// Moves to the list's offsets; each row's error tells how that went.
    pub fn seek(&self, partitions: &Partitions, wait: Duration) -> Result<(), Failure> {
        // SAFETY: handle and list are live.
        Failure::take(unsafe {
            sys::rd_kafka_seek_partitions(self.raw(), partitions.raw(), millis(wait))
        })
    }

    /// Puts committed offsets and their metadata into the list.
    pub fn committed(&self, partitions: &Partitions, wait: Duration) -> Result<(), Failure> {
        // SAFETY: handle and list are live.
        Failure::check(unsafe {
            sys::rd_kafka_committed(self.raw(), partitions.raw(), millis(wait))
        })
    }

    /// Turns the list's offsets, which are timestamps, into offsets, by one request per leader.
    pub fn offsets_for_times(&self, list: &Partitions, wait: Duration) -> Result<(), Failure> {
        // SAFETY: handle and list are live.
        Failure::check(unsafe {
            sys::rd_kafka_offsets_for_times(self.raw(), list.raw(), millis(wait))
        })
    }

    /// Asks any broker about the topics this client uses. Without a broker it fails.
    pub fn look_around(&self, wait: Duration) -> Result<(), Failure> {
        let mut metadata = std::ptr::null();
        // SAFETY: the handle is live; the metadata is ours and destroyed once.
        let asked = unsafe {
            let (none, wait) = (std::ptr::null_mut(), millis(wait));
            let asked = sys::rd_kafka_metadata(self.raw(), 0, none, &raw mut metadata, wait);
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            asked
        };
        Failure::check(asked)
    }

    /// Gives the client the addresses again that it began with.
    pub fn bootstrap_again(&self) {
        // SAFETY: the handle is live, the list a C string, which is copied.
        unsafe { sys::rd_kafka_brokers_add(self.raw(), self.bootstrap.as_ptr()) };
    }

    /// Asks a broker about a topic and replaces what the client remembers of it.
    pub fn refresh(&self, topic: &str, wait: Duration) -> Result<(), Failure> {
        let Ok(name) = CString::new(topic) else { return Ok(()) };
        let mut metadata = std::ptr::null();
        // SAFETY: the handle is live, the name a C string; topic and metadata are ours and
        // destroyed once.
        let asked = unsafe {
            let topic = sys::rd_kafka_topic_new(self.raw(), name.as_ptr(), std::ptr::null_mut());
            if topic.is_null() {
                return Ok(());
            }
            let wait = millis(wait);
            let asked = sys::rd_kafka_metadata(self.raw(), 0, topic, &raw mut metadata, wait);
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            sys::rd_kafka_topic_destroy(topic);
            asked
        };
        Failure::check(asked)
    }

    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        // SAFETY: the handle is live; the answer is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(self.raw()) })
            .map(|raw| GroupMetadata(Arc::new(Metadata(raw))))
    }

    /// Begins to close a consumer; the queue must be served until `is_closed`.
    pub fn close(&self, queue: &Queue) -> Result<(), Failure> {
        // SAFETY: handle and queue are live.
        Failure::take(unsafe { sys::rd_kafka_consumer_close_queue(self.raw(), queue.raw()) })
    }

    /// What broke this client for good, if something did.
    pub fn fatal(&self) -> Option<Failure> {
        let mut reason: [c_char; 512] = [0; 512];
        // SAFETY: the handle is live; librdkafka writes a C string that fits the buffer.
        let (code, reason) = unsafe {
            let code = sys::rd_kafka_fatal_error(self.raw(), reason.as_mut_ptr(), reason.len());
            (code, text(reason.as_ptr()))
        };
        let mut failure = Failure::check(code).err()?;
        failure.flags.fatal = true;
        failure.text = reason;
        Some(failure)
    }

    pub fn is_closed(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe { sys::rd_kafka_consumer_closed(self.raw()) != 0 }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: the handle is destroyed once, and nothing refers to it: queues, topics and
        // messages hold the client alive. Without the flag a consumer would be closed here, with
        // no limit of time and nobody to answer its rebalance.
        unsafe {
            sys::rd_kafka_destroy_flags(self.raw(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
}

/// Member id and generation under which offsets are committed. Clones share it.
#[derive(Clone)]
pub struct GroupMetadata(Arc<Metadata>);

struct Metadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: a plain value of librdkafka, not tied to a thread.
unsafe impl Send for Metadata {}
// SAFETY: nothing changes it.
unsafe impl Sync for Metadata {}

impl GroupMetadata {
    /// As an administrator has it: generation -1 counts only while the group is empty. The member
    /// id is nobody's; without one a broker would take the offsets for those of an old client,
    /// whose membership it does not check.
    pub fn outsider(group: &str) -> Option<Self> {
        let group = CString::new(group).ok()?;
        let member = c"aplomb-outsider";
        // SAFETY: the names are C strings, which are copied; the instance may be null.
        NonNull::new(unsafe {
            sys::rd_kafka_consumer_group_metadata_new_with_genid(
                group.as_ptr(),
                -1,
                member.as_ptr(),
                std::ptr::null(),
            )
        })
        .map(|raw| Self(Arc::new(Metadata(raw))))
    }

    pub(super) fn raw(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.0.0.as_ptr()
    }

    /// Empty while this is no member: under the newer protocol a client names itself before it
    /// joins, and has generation 0 until it was let in.
    pub fn member_id(&self) -> String {
        // SAFETY: the object is live, and so is the C string in it.
        unsafe {
            if sys::rd_kafka_consumer_group_metadata_generation_id(self.raw()) <= 0 {
                return String::new();
            }
            text(sys::rd_kafka_consumer_group_metadata_member_id(self.raw()))
        }
    }

    pub fn is_static(&self) -> bool {
        // SAFETY: the object is live; the answer is null or a C string in it.
        unsafe { !sys::rd_kafka_consumer_group_metadata_group_instance_id(self.raw()).is_null() }
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

/// librdkafka's log lines become ours. Its levels are those of syslog.
unsafe extern "C" fn on_log(
    _: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: both are C strings for the length of the call.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    match level {
        // One configuration serves consumers and producers, so each ignores part of it.
        _ if facility == "CONFWARN" => tracing::debug!(facility, "librdkafka: {line}"),
        0..=4 => tracing::warn!(facility, "librdkafka: {line}"),
        5..=6 => tracing::info!(facility, "librdkafka: {line}"),
        _ => tracing::debug!(facility, "librdkafka: {line}"),
    }
}

unsafe extern "C" fn on_error(
    _: *mut sys::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    let code = sys::rd_kafka_resp_err_t::try_from(code)
        .map_or(sys::RDKafkaErrorCode::Unknown, sys::RDKafkaErrorCode::from);
    // SAFETY: `opaque` leads to the hooks that the client owns; the reason is a C string.
    unsafe {
        let Hooks(events) = &*opaque.cast_const().cast::<Hooks>();
        events.error(Failure::new(code, text(reason)));
    }
}

unsafe extern "C" fn on_delivery(
    _: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: `opaque` leads to the hooks that the client owns; the message is live for the length
    // of the call, and its private field is the number that was given to `send`.
    unsafe {
        let Hooks(events) = &*opaque.cast_const().cast::<Hooks>();
        let (result, receipt) = Message::delivery(message);
        events.delivered(result, receipt);
    }
}
