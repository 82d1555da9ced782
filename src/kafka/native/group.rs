//! Asking the coordinator about a group.

use std::{collections::BTreeSet, ffi::CString, time::Duration};

use aplomb_state::ids::TopicPartition;
use rdkafka_sys as sys;

use super::{Client, Failure, millis, text};

/// A group of the classic protocol, copied out.
#[derive(Clone, Debug, Default)]
pub struct GroupRow {
    /// As the coordinator calls it: `Stable`, `PreparingRebalance`, `CompletingRebalance`, …
    pub state: String,
    pub members: Vec<MemberRow>,
}

#[derive(Clone, Debug)]
pub struct MemberRow {
    pub id: String,
    /// `None`: it is not in the form that consumers use.
    pub owns: Option<BTreeSet<TopicPartition>>,
}

impl Client {
    /// `None`: there is no such group.
    pub fn group(&self, name: &str, wait: Duration) -> Result<Option<GroupRow>, Failure> {
        let Ok(name) = CString::new(name) else { return Ok(None) };
        let mut list = std::ptr::null();
        // SAFETY: the handle is live, the name a C string; on success the list is ours.
        let asked = unsafe {
            sys::rd_kafka_list_groups(self.raw(), name.as_ptr(), &raw mut list, millis(wait))
        };
        let outcome = Failure::check(asked);
        if list.is_null() {
            return outcome.map(|()| None);
        }
        // SAFETY: the list is live until it is destroyed below, once; its groups lie side by side.
        unsafe {
            let row = match usize::try_from((*list).group_cnt) {
                Ok(count) if count > 0 => Some(copy(&*(*list).groups)),
                _ => None,
            };
            sys::rd_kafka_group_list_destroy(list);
            // A part of the brokers may not have answered; the coordinator did if there is a row.
            if row.is_some() { Ok(row) } else { outcome.map(|()| None) }
        }
    }
}

/// # Safety
/// `group` is an entry of a live list.
unsafe fn copy(group: &sys::rd_kafka_group_info) -> GroupRow {
    // SAFETY: the strings are C strings of the list; its members lie side by side.
    unsafe {
        let members = match usize::try_from(group.member_cnt) {
            Ok(count) if count > 0 => std::slice::from_raw_parts(group.members, count),
            _ => &[],
        };
        let member = |member: &sys::rd_kafka_group_member_info| {
            let length = usize::try_from(member.member_assignment_size).unwrap_or(0);
            let bytes: &[u8] = if length == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(member.member_assignment.cast(), length)
            };
            MemberRow { id: text(member.member_id), owns: assignment(bytes) }
        };
        GroupRow { state: text(group.state), members: members.iter().map(member).collect() }
    }
}

/// An assignment as consumers of the classic protocol write it: version, then for each topic its
/// name and partitions. What follows is the assignor's own.
fn assignment(bytes: &[u8]) -> Option<BTreeSet<TopicPartition>> {
    if bytes.is_empty() {
        return Some(BTreeSet::new());
    }
    let mut rest = bytes;
    let mut owns = BTreeSet::new();
    let _version = i16::from_be_bytes(take(&mut rest)?);
    for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        let topic = std::str::from_utf8(name).ok()?;
        rest = after;
        for _ in 0..i32::from_be_bytes(take(&mut rest)?) {
            owns.insert(TopicPartition::new(topic, i32::from_be_bytes(take(&mut rest)?)));
        }
    }
    Some(owns)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_a_broken_one_is_not_guessed() {
        let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, 2, b'i', b'n'];
        bytes.extend([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7]);
        let whole = bytes.clone();
        bytes.extend([0xff, 0xff, 0xff, 0xff]);
        let two = BTreeSet::from([TopicPartition::new("in", 0), TopicPartition::new("in", 7)]);
        assert_eq!(assignment(&bytes), Some(two));
        assert_eq!(assignment(&[]), Some(BTreeSet::new()));
        for length in 1..whole.len() {
            assert_eq!(assignment(&whole[..length]), None, "{length} bytes");
        }
    }
}
