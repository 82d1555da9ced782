//! Key layouts of the runtime's own rows: timers, expiries, unfinished continuations.

use crate::{
    codec,
    ids::{Offset, Timestamp},
    store::StoreId,
};

/// First byte of every runtime row's value that has no other content.
pub(crate) const ROW_VERSION: u8 = 1;

pub(crate) const CLOCK_ROW: &[u8] = b"clock";
pub(crate) const CONFIGURATION_ROW: &[u8] = b"configuration";
const CONTINUATION_PREFIX: &[u8] = b"continuation/";

const EXPIRY: u8 = 0;
const HANDLER: u8 = 1;

/// Whom a timer is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    Handler(&'a [u8]),
    Expiry { store: StoreId, key: &'a [u8] },
}

pub(crate) fn handler_key(key: &[u8]) -> Vec<u8> {
    [&[HANDLER], key].concat()
}

pub(crate) fn expiry_key(store: StoreId, key: &[u8]) -> Vec<u8> {
    [&[EXPIRY, store.0], key].concat()
}

/// Row key: deadline, then the timer's own key.
pub(crate) fn row_key(deadline: Timestamp, key: &[u8]) -> Vec<u8> {
    [&deadline.to_ordered_bytes(), key].concat()
}

pub(crate) fn read_row_key(row: &[u8]) -> Option<(Timestamp, Owner<'_>)> {
    let (deadline, rest) = row.split_first_chunk::<8>()?;
    let owner = match rest {
        [HANDLER, key @ ..] => Owner::Handler(key),
        [EXPIRY, store, key @ ..] => Owner::Expiry { store: StoreId(*store), key },
        _ => return None,
    };
    Some((Timestamp::from_ordered_bytes(*deadline), owner))
}

/// The deadline in front of an expiring value.
pub(crate) fn expiring_deadline(bytes: &[u8]) -> Option<Timestamp> {
    bytes.first_chunk::<8>().map(|deadline| Timestamp::from_ordered_bytes(*deadline))
}

/// The value behind its deadline.
pub fn expiring_value(bytes: &[u8]) -> Result<&[u8], codec::Error> {
    bytes.get(8..).ok_or(codec::Error::Empty)
}

pub(crate) fn continuation_key(at: Timestamp, offset: Offset, effect: usize) -> Vec<u8> {
    let offset = Timestamp(offset.0).to_ordered_bytes();
    let effect = u32::try_from(effect).unwrap_or(u32::MAX).to_be_bytes();
    [CONTINUATION_PREFIX, &at.to_ordered_bytes(), &offset, &effect].concat()
}

pub(crate) fn continuation_prefix() -> &'static [u8] {
    CONTINUATION_PREFIX
}

pub(crate) fn continuation_at(row: &[u8]) -> Option<Timestamp> {
    let at = row.strip_prefix(CONTINUATION_PREFIX)?.first_chunk::<8>()?;
    Some(Timestamp::from_ordered_bytes(*at))
}
