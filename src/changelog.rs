//! The changelog's records: key = store and key, value = format version, presence, value.
//!
//! A deletion is a tombstone, so that compaction forgets it. The position record has a key that no
//! store can have.

use aplomb_state::{backend::Write, codec, store::StoreId};

use crate::position::{GenerationRecord, PositionRecord};

/// Sorts behind every store.
const POSITION_KEY: &[u8] = &[0xff, b'p'];
const GENERATION_KEY: &[u8] = &[0xff, b'g'];
const VERSION: u8 = 1;

/// One changelog record, read.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    Write(Write<'a>),
    Position(PositionRecord),
    Generation(GenerationRecord),
}

pub fn position_key() -> &'static [u8] {
    POSITION_KEY
}

pub fn position_value(position: &PositionRecord) -> Vec<u8> {
    codec::encode(position)
}

pub fn generation_key() -> &'static [u8] {
    GENERATION_KEY
}

pub fn generation_value(generation: &GenerationRecord) -> Vec<u8> {
    codec::encode(generation)
}

/// Key and value of a write. The buffers are reused.
pub fn write_record(write: &Write<'_>, key: &mut Vec<u8>, value: &mut Vec<u8>) {
    key.clear();
    key.push(write.store.0);
    key.extend_from_slice(write.key);
    value.clear();
    if let Some(bytes) = write.value {
        value.push(VERSION);
        value.extend_from_slice(bytes);
    }
}

/// `Err` is an unknown format: the task parks.
pub fn read_record<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Entry<'a>, String> {
    if key == POSITION_KEY {
        let value = value.ok_or("the changelog's position record is a tombstone")?;
        return codec::decode(value).map(Entry::Position).map_err(|error| error.to_string());
    }
    if key == GENERATION_KEY {
        let value = value.ok_or("the changelog's generation record is a tombstone")?;
        return codec::decode(value).map(Entry::Generation).map_err(|error| error.to_string());
    }
    let Some((&store, key)) = key.split_first() else {
        return Err("a changelog record without a key".to_owned());
    };
    let value = match value {
        None => None,
        Some([VERSION, bytes @ ..]) => Some(bytes),
        Some([found, ..]) => {
            return Err(format!(
                "format version {found} of a changelog record is not known here; run a newer build"
            ));
        }
        Some([]) => return Err("a changelog record without a format version".to_owned()),
    };
    Ok(Entry::Write(Write { store: StoreId(store), key, value }))
}

#[cfg(test)]
mod tests {
    use aplomb_state::ids::{FoldVersion, Generation, NextOffset, TopicPartition};

    use super::*;

    #[test]
    fn records_survive() {
        let (mut key, mut bytes) = (Vec::new(), Vec::new());
        for value in [None, Some(&b""[..]), Some(&b"order"[..])] {
            let write = Write { store: StoreId(4), key: b"acme:o-1", value };
            write_record(&write, &mut key, &mut bytes);
            let stored = value.is_some().then_some(bytes.as_slice());
            assert_eq!(read_record(&key, stored), Ok(Entry::Write(write)));
        }
        let position = PositionRecord {
            inbox: NextOffset(7),
            generation: Generation(9),
            fold_version: FoldVersion(1),
        };
        let value = position_value(&position);
        assert_eq!(read_record(position_key(), Some(&value)), Ok(Entry::Position(position)));
        let outputs = vec![(TopicPartition::new("out", 3), NextOffset(5))];
        let begun = GenerationRecord { generation: Generation(9), start: NextOffset(7), outputs };
        let value = generation_value(&begun);
        assert_eq!(read_record(generation_key(), Some(&value)), Ok(Entry::Generation(begun)));
    }

    #[test]
    fn unknown_formats_are_refused() {
        assert!(read_record(&[2, 1], Some(&[9, 1])).is_err());
        assert!(read_record(&[2, 1], Some(&[])).is_err());
        assert!(read_record(&[], Some(&[1])).is_err());
        assert!(read_record(position_key(), None).is_err());
        assert!(read_record(generation_key(), None).is_err());
    }
}
