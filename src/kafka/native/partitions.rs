//! A list of partitions with offsets: what librdkafka takes and gives in nearly every call.

use std::{
    ffi::{CStr, CString},
    ptr::NonNull,
};

use rdkafka_sys as sys;

use super::Failure;

/// A list of partitions, owned.
pub struct Partitions(NonNull<sys::rd_kafka_topic_partition_list_t>);

/// One entry of a list, copied out.
#[derive(Clone, Debug)]
pub struct Row {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub metadata: String,
    pub result: Result<(), Failure>,
}

// SAFETY: a plain value of librdkafka, not tied to a thread.
unsafe impl Send for Partitions {}

impl Partitions {
    pub fn new(capacity: usize) -> Self {
        let capacity = i32::try_from(capacity).unwrap_or(i32::MAX);
        // SAFETY: creates an empty list.
        let raw = unsafe { sys::rd_kafka_topic_partition_list_new(capacity) };
        Self(NonNull::new(raw).expect("librdkafka aborts rather than run out of memory"))
    }

    /// Takes a list over.
    pub(super) fn from_raw(raw: *mut sys::rd_kafka_topic_partition_list_t) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    pub(super) fn raw(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub fn add(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(), Failure> {
        self.add_with(topic, partition, offset, "")
    }

    /// Adds an entry with text that is kept beside a committed offset.
    pub fn add_with(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        metadata: &str,
    ) -> Result<(), Failure> {
        let name = CString::new(topic).map_err(|_nul| {
            Failure::new(sys::RDKafkaErrorCode::InvalidTopic, format!("no topic name: {topic:?}"))
        })?;
        // SAFETY: the list is live. The entry lies in it and is written before anything else is
        // added. Its metadata must be memory of the C allocator, for the list frees it.
        unsafe {
            let entry =
                sys::rd_kafka_topic_partition_list_add(self.raw(), name.as_ptr(), partition);
            (*entry).offset = offset;
            if !metadata.is_empty() {
                let copy = libc::malloc(metadata.len());
                if !copy.is_null() {
                    std::ptr::copy_nonoverlapping(metadata.as_ptr(), copy.cast(), metadata.len());
                    (*entry).metadata = copy;
                    (*entry).metadata_size = metadata.len();
                }
            }
        }
        Ok(())
    }

    pub fn rows(&self) -> Vec<Row> {
        // SAFETY: the list is live.
        unsafe { rows(self.raw()) }
    }
}

impl Drop for Partitions {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.raw()) }
    }
}

/// Copies a list out.
///
/// # Safety
/// `list` is null or a live list.
pub unsafe fn rows(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Row> {
    // SAFETY: checked for null; entries lie side by side, `cnt` of them.
    let entries = unsafe {
        let Some(list) = list.as_ref() else { return Vec::new() };
        match usize::try_from(list.cnt) {
            Ok(count) if count > 0 => std::slice::from_raw_parts(list.elems, count),
            _ => return Vec::new(),
        }
    };
    let row = |entry: &sys::rd_kafka_topic_partition_t| {
        // SAFETY: the topic is a C string; the metadata is null or `metadata_size` bytes.
        let (topic, metadata) = unsafe {
            let topic = CStr::from_ptr(entry.topic).to_string_lossy().into_owned();
            let metadata: &[u8] = if entry.metadata.is_null() {
                &[]
            } else {
                std::slice::from_raw_parts(entry.metadata.cast(), entry.metadata_size)
            };
            (topic, String::from_utf8_lossy(metadata).into_owned())
        };
        Row {
            topic,
            partition: entry.partition,
            offset: entry.offset,
            metadata,
            result: Failure::check(entry.err),
        }
    };
    entries.iter().map(row).collect()
}
