//! A record as the log keeps it: one allocation for key, value and headers.

use std::sync::Arc;

use aplomb_state::ids::{Offset, Timestamp};

use crate::log::{Class, Error, Fetched, Headers};

/// One entry of a partition. Cloning it copies no bytes.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub offset: Offset,
    pub timestamp: Timestamp,
    /// The number of the transaction that wrote it; absent outside transactions.
    pub transaction: Option<TransactionNumber>,
    pub kind: Kind,
    pub body: Body,
}

/// Counts all transactions of a cluster, so that it names one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TransactionNumber(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    /// Data of a transaction that was aborted: there for `read_uncommitted` alone.
    Aborted,
    /// The end of a transaction. It takes an offset and is never handed out.
    Control,
}

/// Key, value and headers in one row of bytes: key, value, then for each header the length and
/// bytes of its name, one byte that says whether there is a value, its length and bytes.
#[derive(Clone, Debug)]
pub(super) struct Body {
    key_length: Option<u32>,
    value_length: Option<u32>,
    bytes: Arc<[u8]>,
}

impl Stored {
    /// What a reader is handed.
    pub fn fetched(&self) -> Fetched<'_> {
        Fetched {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.body.key(),
            value: self.body.value(),
            headers: &self.body,
        }
    }
}

impl Body {
    /// What a control record holds.
    pub fn empty() -> Self {
        Self { key_length: None, value_length: None, bytes: Arc::from([]) }
    }

    /// Builds the row in `scratch`, which is only kept for its capacity.
    pub fn encode<'a>(
        scratch: &mut Vec<u8>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Self, Error> {
        scratch.clear();
        let key_length = key.map(length).transpose()?;
        let value_length = value.map(length).transpose()?;
        scratch.extend_from_slice(key.unwrap_or_default());
        scratch.extend_from_slice(value.unwrap_or_default());
        for (name, content) in headers {
            scratch.extend_from_slice(&length(name)?.to_le_bytes());
            scratch.extend_from_slice(name);
            scratch.push(u8::from(content.is_some()));
            let content = content.unwrap_or_default();
            scratch.extend_from_slice(&length(content)?.to_le_bytes());
            scratch.extend_from_slice(content);
        }
        Ok(Self { key_length, value_length, bytes: Arc::from(scratch.as_slice()) })
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn key(&self) -> Option<&[u8]> {
        let length = self.key_length? as usize;
        self.bytes.get(..length)
    }

    pub fn value(&self) -> Option<&[u8]> {
        let start = self.key_length.unwrap_or_default() as usize;
        let length = self.value_length? as usize;
        self.bytes.get(start..start + length)
    }
}

impl Headers for Body {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        let start = self.key_length.unwrap_or_default() + self.value_length.unwrap_or_default();
        let mut rest = self.bytes.get(start as usize..).unwrap_or_default();
        while let Some((name, value, after)) = split_header(rest) {
            visit(name, value);
            rest = after;
        }
    }
}

fn length(bytes: &[u8]) -> Result<u32, Error> {
    // The same bound as Kafka's, whose lengths are signed 32-bit numbers: the sum of two of them
    // still fits.
    i32::try_from(bytes.len())
        .map(i32::cast_unsigned)
        .map_err(|_| Error::new(Class::Abort, "a key, value or header is larger than 2 GiB"))
}

type Header<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

fn split_header(bytes: &[u8]) -> Option<Header<'_>> {
    let (name, bytes) = split_sized(bytes)?;
    let (present, bytes) = bytes.split_first()?;
    let (value, after) = split_sized(bytes)?;
    Some((name, (*present != 0).then_some(value), after))
}

fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_stay_apart() -> Result<(), Error> {
        let parts = [None, Some(&b""[..]), Some(&b"bytes"[..])];
        for key in parts {
            for value in parts {
                for header in parts {
                    let headers = [(&b"name"[..], header), (&b""[..], None)];
                    let body = Body::encode(&mut vec![1], key, value, headers.into_iter())?;
                    assert_eq!((body.key(), body.value()), (key, value));
                    let mut seen = Vec::new();
                    body.each(&mut |name, value| {
                        seen.push((name.to_vec(), value.map(<[u8]>::to_vec)));
                    });
                    let expected =
                        headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)));
                    assert_eq!(seen, expected);
                }
            }
        }
        Ok(())
    }
}
