//! What only the RocksDB backend has: a disk, a format, a memory budget.
#![cfg(feature = "rocksdb")]

mod places;

use std::{collections::HashMap, fs, path::Path};

use aplomb_state::{
    backend::{Database, Error, Rebuild, Write, rocks::RocksDatabase},
    codec,
    ids::{NextOffset, TaskId, Timestamp, TopicPartition},
    scan::Scan,
    store::StoreId,
};
use places::{FIRST, SECOND, STORES, position, put, rocks, task};

#[test]
fn a_clean_end_needs_no_flush() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    {
        let database = rocks(&path);
        let mut store = database.open(&task("skus", 3), STORES).unwrap();
        put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
        // The store outlives the handle by which it was opened.
        drop(database);
        put(&mut *store, Some(1), 2, &[(FIRST, b"b", Some(b"2"))]).unwrap();
    }
    let database = rocks(&path);
    let store = database.open(&task("skus", 3), STORES).unwrap();
    assert_eq!(store.position(), Some(&position(2)));
    assert_eq!(store.get(FIRST, b"b").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn what_is_not_flushed_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let database = rocks(&folder.path().join("state"));
    let task = task("skus", 3);
    let mut store = database.open(&task, STORES).unwrap();
    assert_eq!(database.unflushed().writes, 0);
    put(&mut *store, None, 1, &[(FIRST, b"a", Some(&[0; 1_000])), (FIRST, b"b", None)]).unwrap();
    assert_eq!(database.unflushed().writes, 2);
    assert!((1_000..1_100).contains(&database.unflushed().bytes));
    database.flush(&[task], Timestamp(0)).unwrap();
    assert_eq!((database.unflushed().writes, database.unflushed().bytes), (0, 0));
}

#[test]
fn one_database_is_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = rocks(&path);
    let mut store = first.open(&task("skus", 3), STORES).unwrap();
    let second = RocksDatabase::open(&path, Default::default());
    assert!(matches!(second.err(), Some(Error::Storage(_))), "held, so not moved aside");
    put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
    assert!(path.join("CURRENT").exists());
}

#[test]
fn a_database_that_does_not_open_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let task = task("skus", 3);
    let write = |expected: Option<&str>| {
        let database = rocks(&path);
        let name = database.moved_aside().map(|moved| moved.to.file_name().unwrap().to_owned());
        assert_eq!(name, expected.map(Into::into));
        let mut store = database.open(&task, STORES).unwrap();
        assert_eq!(store.position(), None);
        put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
    };
    let named = |begin: &str| {
        let files = fs::read_dir(&path).unwrap().map(|file| file.unwrap().path());
        let named = |path: &std::path::PathBuf| {
            path.file_name().unwrap().to_string_lossy().starts_with(begin)
        };
        files.filter(named).collect::<Vec<_>>()
    };
    write(None);
    for manifest in named("MANIFEST") {
        fs::write(manifest, b"not a manifest").unwrap();
    }
    write(Some("state.broken-1"));
    fs::remove_file(path.join("CURRENT")).unwrap();
    write(Some("state.broken-2"));
    for manifest in named("MANIFEST") {
        fs::remove_file(manifest).unwrap();
    }
    write(Some("state.broken-3"));
    fs::write(path.join("CURRENT"), b"").unwrap();
    write(Some("state.broken-4"));
    for table in fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()) {
        if table.extension() == Some("sst".as_ref()) {
            fs::remove_file(table).unwrap();
        }
    }
    write(Some("state.broken-5"));
    let database = rocks(&path);
    assert_eq!(database.moved_aside(), None);
    assert!(database.open(&task, STORES).unwrap().position().is_some());
}

/// A disk that refuses writes: in the folder's place stands something else.
#[test]
fn a_database_that_failed_is_opened_anew_when_all_let_go_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("state"), folder.path().join("away"));
    let database = rocks(&path);
    let (mine, yours) = (task("skus", 3), task("cases", 3));
    let mut store = database.open(&mine, STORES).unwrap();
    let mut other = database.open(&yours, STORES).unwrap();
    put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
    put(&mut *other, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
    database.flush(&[], Timestamp(0)).unwrap();
    put(&mut *store, Some(1), 2, &[(FIRST, b"a", Some(b"2"))]).unwrap();
    assert!(!database.has_failed());

    fs::rename(&path, &away).unwrap();
    fs::write(&path, b"").unwrap();
    let told = |error: Option<Error>| matches!(error, Some(Error::Storage(_)));
    assert!(told(database.flush(&[], Timestamp(0)).err()));
    assert!(database.has_failed());
    assert!(told(put(&mut *other, Some(1), 2, &[(FIRST, b"b", Some(b"2"))]).err()), "refused");
    assert_eq!(other.get(FIRST, b"a").unwrap().as_deref(), Some(&b"1"[..]), "reads go on");
    assert!(database.snapshot(&yours).unwrap().is_some());

    drop(store);
    assert!(told(database.open(&mine, STORES).err()), "the other store holds the old engine");
    assert!(database.has_failed());
    assert!(told(database.snapshot(&yours).err()), "between two sessions");
    drop(other);
    assert!(told(database.open(&mine, STORES).err()), "the disk still refuses");

    fs::remove_file(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    let mut store = database.open(&mine, STORES).unwrap();
    assert!(!database.has_failed());
    assert_eq!(database.moved_aside(), None);
    assert_eq!(store.position(), Some(&position(1)), "as it was flushed");
    assert_eq!(store.get(FIRST, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    put(&mut *store, Some(1), 2, &[(FIRST, b"a", Some(b"2"))]).unwrap();
    database.flush(&[mine], Timestamp(0)).unwrap();
}

/// Flips bits of the first block of each table file of a column.
fn damage(path: &Path, column: &str) {
    type Raw = rocksdb::DBWithThreadMode<rocksdb::MultiThreaded>;
    let options = rocksdb::Options::default();
    let columns = Raw::list_cf(&options, path).unwrap();
    let tables = Raw::open_cf(&options, path, columns).unwrap().live_files().unwrap();
    for table in tables.into_iter().filter(|table| table.column_family_name == column) {
        let file = path.join(table.name.trim_start_matches('/'));
        let mut bytes = fs::read(&file).unwrap();
        bytes[3] ^= 0xff;
        fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn damaged_rows_are_told_and_a_damaged_meta_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let task = task("skus", 3);
    {
        let database = rocks(&path);
        let mut store = database.open(&task, STORES).unwrap();
        put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1")), (SECOND, b"a", Some(b"1"))])
            .unwrap();
    }
    damage(&path, "skus.first");
    {
        let database = rocks(&path);
        assert_eq!(database.moved_aside(), None);
        let mut store = database.open(&task, STORES).unwrap();
        let told = |error: Option<Error>| matches!(error, Some(Error::Damaged(_)));
        assert!(told(store.get(FIRST, b"a").err()));
        assert!(told(store.scan(FIRST, Scan::rising(b"", None, 9)).err()), "not taken for the end");
        assert_eq!(store.get(SECOND, b"a").unwrap().as_deref(), Some(&b"1"[..]));
        store.begin_rebuild(Rebuild::Fresh).unwrap();
        put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"2"))]).unwrap();
        store.finish_rebuild().unwrap();
        assert_eq!(store.get(FIRST, b"a").unwrap().as_deref(), Some(&b"2"[..]), "beside it");
    }
    damage(&path, "~meta");
    let database = rocks(&path);
    assert!(database.moved_aside().is_some());
    assert_eq!(database.open(&task, STORES).unwrap().position(), None);
}

#[test]
fn a_scan_walks_over_no_deleted_rows_of_other_tasks() {
    use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
    let folder = tempfile::tempdir().unwrap();
    let database = rocks(&folder.path().join("state"));
    let mut stores =
        [2, 3, 4].map(|partition| database.open(&task("skus", partition), STORES).unwrap());
    let keys: Vec<_> = (0..1_000_i64).map(i64::to_be_bytes).collect();
    for store in &mut stores {
        let writes: Vec<_> = keys.iter().map(|key| (FIRST, &key[..], Some(&b"x"[..]))).collect();
        put(&mut **store, None, 1, &writes).unwrap();
        let deletes: Vec<_> = keys[1..].iter().map(|key| (FIRST, &key[..], None)).collect();
        put(&mut **store, Some(1), 2, &deletes).unwrap();
    }
    let skipped = |after: Option<&[u8]>| {
        set_perf_stats(PerfStatsLevel::EnableCount);
        let mut context = PerfContext::default();
        context.reset();
        let found = stores[1].scan(FIRST, Scan::rising(b"", after, 9)).unwrap().len();
        (found, context.metric(PerfMetric::InternalDeleteSkippedCount))
    };
    assert_eq!(skipped(None), (1, 999), "its own");
    assert_eq!(skipped(Some(&keys[990])), (0, 10), "and of those, only from there on");
}

/// Changes a row of `~meta` as another build would.
fn tamper(path: &Path, key: impl Fn(&[u8]) -> bool, change: impl Fn(&mut Vec<u8>)) {
    type Raw = rocksdb::DBWithThreadMode<rocksdb::MultiThreaded>;
    let options = rocksdb::Options::default();
    let columns = Raw::list_cf(&options, path).unwrap();
    let raw = Raw::open_cf(&options, path, columns).unwrap();
    let meta = raw.cf_handle("~meta").unwrap();
    let rows: Vec<_> = raw.iterator_cf(&meta, rocksdb::IteratorMode::Start).flatten().collect();
    let (key, value) = rows.into_iter().find(|(found, _)| key(found)).unwrap();
    let mut value = value.into_vec();
    change(&mut value);
    raw.put_cf(&meta, key, value).unwrap();
}

#[test]
fn rows_of_a_newer_build_are_refused_and_kept() {
    for row in [&b"format"[..], b"task/skus"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        {
            let database = rocks(&path);
            let mut store = database.open(&task("skus", 3), STORES).unwrap();
            put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
        }
        tamper(&path, |key| key.starts_with(row), |value| value[0] = 9);
        let error = RocksDatabase::open(&path, Default::default()).err();
        let unknown = |error: &Error| {
            matches!(error, Error::Format(codec::Error::UnknownVersion { found: 9, .. }))
        };
        assert!(error.as_ref().is_some_and(unknown), "{error:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is moved aside");
        tamper(&path, |key| key.starts_with(row), |value| value[0] = 1);
        let database = RocksDatabase::open(&path, Default::default()).unwrap();
        let store = database.open(&task("skus", 3), STORES).unwrap();
        assert_eq!(store.position(), Some(&position(1)));
    }
}

#[test]
fn a_store_that_is_no_longer_declared_is_dropped_with_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let task = task("skus", 3);
    {
        let database = rocks(&path);
        let mut store = database.open(&task, STORES).unwrap();
        put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
    }
    {
        let database = rocks(&path);
        let mut store = database.open(&task, &["~task", "~timers", "second"]).unwrap();
        assert_eq!(store.get(FIRST, b"a").unwrap(), None, "known by name, not by number");
        store.clear().unwrap();
    }
    let database = rocks(&path);
    let store = database.open(&task, STORES).unwrap();
    assert_eq!(store.get(FIRST, b"a").unwrap(), None);
}

#[test]
fn tasks_of_other_topics_or_stages_see_nothing_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let renamed = TaskId { stage: "skus".into(), input: TopicPartition::new("v2.inbox.skus", 3) };
    // Stage `a` with store `b.c` and stage `a.b` with store `c` share a column family.
    let rows: [(TaskId, &[&str]); 4] = [
        (task("skus", 3), &["x"]),
        (renamed, &["x"]),
        (task("a", 1), &["b.c"]),
        (task("a.b", 1), &["c"]),
    ];
    for round in 0..3_i64 {
        let database = rocks(&path);
        for ((task, stores), number) in rows.iter().zip(0_u8..) {
            let stores: &[&'static str] = stores;
            let mut store = database.open(task, stores).unwrap();
            let key = [round.to_be_bytes()[7]];
            let base = (round > 0).then_some(round);
            put(&mut *store, base, round + 1, &[(StoreId(0), &key, Some(&[number]))]).unwrap();
            let entries = store.scan(StoreId(0), Scan::rising(b"", None, 99)).unwrap();
            assert_eq!(entries.len(), usize::try_from(round + 1).unwrap());
            assert!(entries.iter().all(|(_, value)| *value == [number]), "{task}: {entries:?}");
        }
    }
}

#[test]
fn memory_stays_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let database = rocks(&folder.path().join("state"));
    let mut store = database.open(&task("skus", 3), STORES).unwrap();
    let mut base = None;
    for batch in 0..200_i64 {
        let rows: Vec<_> = (0..100_i64)
            .map(|row| ((batch * 100 + row).to_be_bytes(), vec![u8::try_from(row).unwrap(); 2_000]))
            .collect();
        let writes =
            rows.iter().map(|(key, value)| Write { store: FIRST, key, value: Some(value) });
        let to = position(batch + 1);
        store.apply(base.map(NextOffset), &mut writes.into_iter(), &to).unwrap();
        base = Some(batch + 1);
    }
    for number in (0..20_000_i64).step_by(7) {
        assert_eq!(store.get(FIRST, &number.to_be_bytes()).unwrap().unwrap().len(), 2_000);
    }
    let memory: HashMap<_, _> = database.memory().into_iter().collect();
    // 40 MB went through a budget of 8 MiB. Full write buffers count until they are flushed.
    assert!(memory["object_cache"] <= 2 << 20, "{memory:?}");
    assert!(memory["block_cache"] <= 12 << 20, "{memory:?}");
    assert!(memory["write_buffers"] <= 8 << 20, "{memory:?}");
}
