use std::{error::Error as StdError, sync::atomic::AtomicBool};

use aplomb_state::{
    backend::{Database, Snapshot, StorePosition, memory::MemoryDatabase},
    ids::TaskId,
    overlay::Overlay,
    store::StoreId,
};

use super::*;

type Outcome = Result<(), Box<dyn StdError>>;

fn header() -> Header {
    Header {
        inbox: TopicPartition::new("words.inbox.counts", 2),
        next: NextOffset(42),
        generation: Generation(7),
        fold_version: FoldVersion(1),
        taken: Timestamp(1_000),
    }
}

/// Keys of many lengths in three stores, one of them empty.
fn snapshot() -> Result<Box<dyn Snapshot>, Box<dyn StdError>> {
    let database = MemoryDatabase::default();
    let task = TaskId { stage: "counts".into(), input: header().inbox };
    let mut store = database.open(&task, &["~task", "~timers", "counts"])?;
    let mut batch = Overlay::default();
    for n in 0..2_500_usize {
        let of = StoreId(if n % 5 == 0 { 0 } else { 2 });
        batch.put(of, format!("k{n}").as_bytes(), vec![b'v'; n % 40]);
    }
    let to = StorePosition {
        generation: Generation(7),
        inbox: NextOffset(42),
        changelog: NextOffset(99),
        fold_version: FoldVersion(1),
        restoring: false,
        current_as_of: Timestamp(1_000),
    };
    store.apply(None, &mut batch.writes(), &to)?;
    Ok(database.snapshot(&task)?.ok_or("nothing is there")?)
}

type Entries = Vec<(u8, Vec<u8>, Vec<u8>)>;

fn entries(path: &Path) -> Result<(Header, Entries), Error> {
    let mut entries = Vec::new();
    let header = read(path, &mut |store, key, value| {
        entries.push((store.0, key, value));
        Ok(())
    })?;
    Ok((header, entries))
}

#[test]
fn a_checkpoint_holds_every_entry() -> Outcome {
    let folder = tempfile::tempdir()?;
    let running = AtomicBool::new(false);
    let snapshot = snapshot()?;
    let written = write(folder.path(), header(), snapshot.as_ref(), 3, &running)?;
    assert_eq!(list(folder.path())?, std::slice::from_ref(&written));
    let (found, mut entries) = entries(&written.path)?;
    assert_eq!(found, header());
    assert_eq!(entries.len(), 2_500);
    entries.dedup_by(|a, b| (a.0, &a.1) == (b.0, &b.1));
    assert_eq!(entries.len(), 2_500, "none stands twice");
    for (store, key, value) in entries {
        assert_eq!(snapshot.get(StoreId(store), &key)?, Some(value));
    }
    Ok(())
}

#[test]
fn damage_is_found_wherever_it_is() -> Outcome {
    let folder = tempfile::tempdir()?;
    let running = AtomicBool::new(false);
    let written = write(folder.path(), header(), snapshot()?.as_ref(), 3, &running)?;
    let whole = fs::read(&written.path)?;
    let places =
        (0..120).chain((120..whole.len()).step_by(997)).chain(whole.len() - 50..whole.len());
    for place in places {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x41;
        fs::write(&written.path, damaged)?;
        assert!(entries(&written.path).is_err(), "byte {place}");
        fs::write(&written.path, &whole[..place])?;
        assert!(entries(&written.path).is_err(), "cut at {place}");
    }
    fs::write(&written.path, [&whole[..8], &[9], &whole[9..]].concat())?;
    assert!(matches!(entries(&written.path), Err(Error::UnknownVersion(9))));
    assert_eq!(list(folder.path())?, [], "what cannot be read is none");
    Ok(())
}

#[test]
fn what_was_stopped_leaves_nothing() -> Outcome {
    let folder = tempfile::tempdir()?;
    let stopped = AtomicBool::new(true);
    let outcome = write(folder.path(), header(), snapshot()?.as_ref(), 3, &stopped);
    assert!(matches!(outcome, Err(Error::Stopped)));
    assert_eq!(fs::read_dir(folder.path())?.count(), 0);
    assert_eq!(list(&folder.path().join("none"))?, []);
    Ok(())
}
