//! What every state backend must do, run against all of them.

mod places;

use std::{slice, thread};

use aplomb_state::{
    backend::{Error, Reads, Rebuild, TaskStore},
    ids::{NextOffset, Timestamp},
    scan::Scan,
    topology::Entries,
};
use places::{FIRST, SECOND, STORES, on_every_backend, position, put, task};

fn inbox(store: &dyn TaskStore) -> Option<i64> {
    store.position().map(|position| position.inbox.0)
}

fn keys(
    reads: &(impl Reads + ?Sized),
    prefix: &[u8],
    after: Option<&[u8]>,
    max: usize,
) -> Vec<String> {
    let entries = reads.scan(FIRST, Scan::rising(prefix, after, max)).unwrap();
    entries.into_iter().map(|(key, _)| String::from_utf8_lossy(&key).into_owned()).collect()
}

#[test]
fn data_and_position_are_applied_from_their_base_only() {
    on_every_backend(|place| {
        let database = place.open();
        let task = task("skus", 3);
        let mut store = database.open(&task, STORES).unwrap();
        assert_eq!(store.position(), None);
        assert_eq!(store.get(FIRST, b"a").unwrap(), None);
        put(&mut *store, None, 5, &[(FIRST, b"a", Some(b"1")), (SECOND, b"a", Some(b"2"))])
            .unwrap();
        assert_eq!(inbox(&*store), Some(5));
        assert_eq!(store.get(FIRST, b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(store.get(SECOND, b"a").unwrap().as_deref(), Some(&b"2"[..]));
        for base in [None, Some(4), Some(6)] {
            let error = put(&mut *store, base, 9, &[(FIRST, b"a", None)]).unwrap_err();
            let found = Some(NextOffset(5));
            let base = base.map(NextOffset);
            assert_eq!(error, Error::Base { task: task.clone(), found, base });
        }
        assert_eq!(store.get(FIRST, b"a").unwrap().as_deref(), Some(&b"1"[..]), "left alone");
        put(&mut *store, Some(5), 6, &[(FIRST, b"a", None), (FIRST, b"b", Some(b""))]).unwrap();
        assert_eq!(store.get(FIRST, b"a").unwrap(), None);
        assert_eq!(store.get(FIRST, b"b").unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(inbox(&*store), Some(6));
    });
}

#[test]
fn only_the_latest_opener_writes() {
    on_every_backend(|place| {
        let database = place.open();
        let task = task("skus", 3);
        let mut first = database.open(&task, STORES).unwrap();
        put(&mut *first, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
        let mut second = database.open(&task, STORES).unwrap();
        let lost = Err(Error::LeaseLost(task.clone()));
        assert_eq!(put(&mut *first, Some(1), 2, &[(FIRST, b"a", Some(b"stale"))]), lost);
        assert_eq!(first.begin_rebuild(Rebuild::Fresh), lost);
        assert_eq!(first.finish_rebuild(), lost);
        assert_eq!(first.clear(), lost);
        put(&mut *second, Some(1), 2, &[(FIRST, b"b", Some(b"2"))]).unwrap();
        assert_eq!(second.get(FIRST, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    });
}

#[test]
fn a_rebuild_is_beside_until_it_is_finished() {
    on_every_backend(|place| {
        let database = place.open();
        let mut store = database.open(&task("skus", 3), STORES).unwrap();
        let mut neighbour = database.open(&task("skus", 4), STORES).unwrap();
        put(&mut *store, None, 10, &[(FIRST, b"a", Some(b"old")), (SECOND, b"z", Some(b"old"))])
            .unwrap();
        put(&mut *neighbour, None, 7, &[(FIRST, b"a", Some(b"other"))]).unwrap();
        store.begin_rebuild(Rebuild::Fresh).unwrap();
        put(&mut *store, None, 4, &[(FIRST, b"a", Some(b"new"))]).unwrap();
        let wrong = put(&mut *store, Some(10), 11, &[]).unwrap_err();
        assert!(matches!(wrong, Error::Base { found: Some(NextOffset(4)), .. }), "{wrong}");
        assert_eq!(store.get(FIRST, b"a").unwrap().as_deref(), Some(&b"old"[..]));
        assert_eq!(inbox(&*store), Some(10));
        assert_eq!(store.rebuilding().map(|position| position.inbox), Some(NextOffset(4)));
        put(&mut *store, Some(4), 12, &[(FIRST, b"b", Some(b"new"))]).unwrap();
        store.finish_rebuild().unwrap();
        assert_eq!(inbox(&*store), Some(12));
        assert_eq!(store.rebuilding(), None);
        assert_eq!(keys(&*store, b"", None, 9), ["a", "b"]);
        assert_eq!(store.get(FIRST, b"a").unwrap().as_deref(), Some(&b"new"[..]));
        assert_eq!(store.get(SECOND, b"z").unwrap(), None, "the old is dropped in every store");
        assert_eq!(neighbour.get(FIRST, b"a").unwrap().as_deref(), Some(&b"other"[..]));
        put(&mut *store, Some(12), 13, &[(FIRST, b"c", Some(b"live"))]).unwrap();
        assert_eq!(keys(&*store, b"", None, 9), ["a", "b", "c"], "writes go to the data again");
    });
}

#[test]
fn an_unfinished_rebuild_outlives_a_restart_and_goes_on_or_is_dropped() {
    on_every_backend(|place| {
        let task = task("skus", 3);
        {
            let database = place.open();
            let mut store = database.open(&task, STORES).unwrap();
            put(&mut *store, None, 10, &[(FIRST, b"old", Some(b"1"))]).unwrap();
            store.begin_rebuild(Rebuild::Fresh).unwrap();
            put(&mut *store, None, 4, &[(FIRST, b"new", Some(b"1"))]).unwrap();
        }
        {
            let database = place.open();
            let mut store = database.open(&task, STORES).unwrap();
            assert_eq!(inbox(&*store), Some(10));
            assert_eq!(store.rebuilding().map(|position| position.inbox), Some(NextOffset(4)));
            store.begin_rebuild(Rebuild::Resume).unwrap();
            put(&mut *store, Some(4), 8, &[(FIRST, b"newer", Some(b"1"))]).unwrap();
            store.finish_rebuild().unwrap();
            assert_eq!(keys(&*store, b"", None, 9), ["new", "newer"]);
            store.begin_rebuild(Rebuild::Fresh).unwrap();
            put(&mut *store, None, 2, &[(FIRST, b"dropped", Some(b"1"))]).unwrap();
        }
        let database = place.open();
        let mut store = database.open(&task, STORES).unwrap();
        assert_eq!(inbox(&*store), Some(8));
        store.begin_rebuild(Rebuild::Fresh).unwrap();
        assert_eq!(store.rebuilding(), None);
        put(&mut *store, None, 9, &[(FIRST, b"newest", Some(b"1"))]).unwrap();
        store.finish_rebuild().unwrap();
        assert_eq!(keys(&*store, b"", None, 9), ["newest"]);
    });
}

#[test]
fn a_rebuild_of_nothing_leaves_nothing() {
    on_every_backend(|place| {
        let database = place.open();
        let mut store = database.open(&task("skus", 3), STORES).unwrap();
        put(&mut *store, None, 10, &[(FIRST, b"old", Some(b"1"))]).unwrap();
        store.begin_rebuild(Rebuild::Resume).unwrap();
        store.finish_rebuild().unwrap();
        assert_eq!(store.position(), None);
        assert_eq!(store.get(FIRST, b"old").unwrap(), None);
        put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
        assert_eq!(keys(&*store, b"", None, 9), ["a"]);
    });
}

#[test]
fn clear_drops_data_position_and_rebuild() {
    on_every_backend(|place| {
        let task = task("skus", 3);
        {
            let database = place.open();
            let mut store = database.open(&task, STORES).unwrap();
            put(&mut *store, None, 10, &[(FIRST, b"a", Some(b"1"))]).unwrap();
            store.begin_rebuild(Rebuild::Fresh).unwrap();
            put(&mut *store, None, 4, &[(FIRST, b"b", Some(b"1"))]).unwrap();
            store.clear().unwrap();
            assert_eq!((store.position(), store.rebuilding()), (None, None));
            assert_eq!(store.get(FIRST, b"a").unwrap(), None);
        }
        let database = place.open();
        let mut store = database.open(&task, STORES).unwrap();
        assert_eq!((store.position(), store.rebuilding()), (None, None));
        put(&mut *store, None, 1, &[(FIRST, b"c", Some(b"1"))]).unwrap();
        assert_eq!(keys(&*store, b"", None, 9), ["c"]);
    });
}

#[test]
fn scans_keep_to_prefix_task_and_order() {
    on_every_backend(|place| {
        let database = place.open();
        let mut stores: Vec<_> = [2, 3, 4]
            .map(|partition| database.open(&task("skus", partition), STORES).unwrap())
            .into();
        for store in &mut stores {
            let writes: Vec<_> =
                [&b"a"[..], b"a/1", b"a/2", b"a/3", b"b", b"\xff", b"\xff\xff", b""]
                    .map(|key| (FIRST, key, Some(&b"x"[..])))
                    .into();
            put(&mut **store, None, 1, &writes).unwrap();
            put(&mut **store, Some(1), 2, &[(FIRST, b"a/2", None), (SECOND, b"a/9", Some(b"x"))])
                .unwrap();
        }
        let store = &*stores[1];
        // (prefix, after or before, max, expected)
        type Row<'a> = (&'a [u8], Option<&'a [u8]>, usize, &'a [&'a [u8]]);
        let all: &[&[u8]] = &[b"", b"a", b"a/1", b"a/3", b"b", b"\xff", b"\xff\xff"];
        let rising: [Row<'_>; 11] = [
            (b"", None, 99, all),
            (b"", None, 2, &[b"", b"a"]),
            (b"", None, 0, &[]),
            (b"", Some(b""), 2, &[b"a", b"a/1"]),
            (b"a", None, 99, &[b"a", b"a/1", b"a/3"]),
            (b"a/", Some(b"a/1"), 99, &[b"a/3"]),
            (b"a/", Some(b"a/2"), 99, &[b"a/3"]), // the key after which is gone
            (b"a/", Some(b"A"), 99, &[b"a/1", b"a/3"]), // before the prefix
            (b"a/", Some(b"b"), 99, &[]),         // behind it
            (b"\xff", None, 99, &[b"\xff", b"\xff\xff"]),
            (b"c", None, 99, &[]),
        ];
        let reversed: &[&[u8]] = &[b"\xff\xff", b"\xff", b"b", b"a/3", b"a/1", b"a", b""];
        let falling: [Row<'_>; 11] = [
            (b"", None, 99, reversed),
            (b"", None, 2, &[b"\xff\xff", b"\xff"]),
            (b"", None, 0, &[]),
            (b"", Some(b"a/1"), 9, &[b"a", b""]),
            (b"a", None, 99, &[b"a/3", b"a/1", b"a"]),
            (b"a/", Some(b"a/3"), 99, &[b"a/1"]),
            (b"a/", Some(b"a/2"), 99, &[b"a/1"]), // the key before which is gone
            (b"a/", Some(b"A"), 99, &[]),         // before the prefix
            (b"a/", Some(b"b"), 1, &[b"a/3"]),    // behind it
            (b"\xff", None, 99, &[b"\xff\xff", b"\xff"]),
            (b"c", None, 99, &[]),
        ];
        let snapshot = database.snapshot(&task("skus", 3)).unwrap().unwrap();
        for reads in [store as &dyn Reads, &*snapshot] {
            let keys =
                |found: Entries| -> Vec<_> { found.into_iter().map(|(key, _)| key).collect() };
            for (prefix, after, max, expected) in rising {
                let found = reads.scan(FIRST, Scan::rising(prefix, after, max)).unwrap();
                assert_eq!(keys(found), expected, "{prefix:?} {after:?} {max}");
            }
            for (prefix, before, max, expected) in falling {
                let found = reads.scan(FIRST, Scan::falling(prefix, before, max)).unwrap();
                assert_eq!(keys(found), expected, "{prefix:?} before {before:?} {max}");
            }
        }
    });
}

#[test]
fn a_snapshot_is_one_moment_and_outlives_writes_and_rebuilds() {
    on_every_backend(|place| {
        let database = place.open();
        let task = task("skus", 3);
        assert!(database.snapshot(&task).unwrap().is_none());
        let mut store = database.open(&task, STORES).unwrap();
        put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
        let snapshot = database.snapshot(&task).unwrap().unwrap();
        put(&mut *store, Some(1), 2, &[(FIRST, b"a", Some(b"2"))]).unwrap();
        store.begin_rebuild(Rebuild::Fresh).unwrap();
        store.finish_rebuild().unwrap();
        store.clear().unwrap();
        drop(store);
        drop(database);
        assert_eq!(snapshot.position().unwrap().inbox, NextOffset(1));
        assert_eq!(snapshot.get(FIRST, b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(keys(&*snapshot, b"", None, 9), ["a"]);
    });
}

#[test]
fn snapshots_of_other_threads_agree_with_their_position() {
    on_every_backend(|place| {
        let database = place.open();
        let task = task("skus", 3);
        let mut store = database.open(&task, STORES).unwrap();
        put(&mut *store, None, 0, &[]).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for offset in 0..500_i64 {
                    let value = (offset + 1).to_be_bytes();
                    let writes =
                        [(FIRST, &b"a"[..], Some(&value[..])), (SECOND, b"b", Some(&value))];
                    put(&mut *store, Some(offset), offset + 1, &writes).unwrap();
                }
            });
            let mut seen = 0;
            while seen < 500 {
                let snapshot = database.snapshot(&task).unwrap().unwrap();
                let at = snapshot.position().unwrap().inbox.0;
                assert!(at >= seen);
                seen = at;
                let expected = (at > 0).then(|| at.to_be_bytes().to_vec());
                assert_eq!(snapshot.get(FIRST, b"a").unwrap(), expected);
                assert_eq!(snapshot.get(SECOND, b"b").unwrap(), expected);
                assert_eq!(
                    snapshot.scan(FIRST, Scan::rising(b"", None, 9)).unwrap().len(),
                    usize::from(at > 0)
                );
            }
        });
    });
}

#[test]
fn a_flush_stamps_what_is_owned_and_not_restoring() {
    on_every_backend(|place| {
        let (owned, restoring, foreign) = (task("skus", 1), task("skus", 2), task("skus", 3));
        {
            let database = place.open();
            for task in [&owned, &foreign] {
                let mut store = database.open(task, STORES).unwrap();
                put(&mut *store, None, 1, &[(FIRST, b"a", Some(b"1"))]).unwrap();
            }
            let mut store = database.open(&restoring, STORES).unwrap();
            let mut to = position(1);
            to.restoring = true;
            store.apply(None, &mut std::iter::empty(), &to).unwrap();
            let absent = task("skus", 99);
            database.flush(&[owned.clone(), restoring.clone(), absent], Timestamp(5_000)).unwrap();
            database.flush(slice::from_ref(&owned), Timestamp(4_000)).unwrap();
        }
        let database = place.open();
        for (task, as_of) in [(owned, 5_000), (restoring, 0), (foreign, 0)] {
            let store = database.open(&task, STORES).unwrap();
            assert_eq!(store.position().unwrap().current_as_of, Timestamp(as_of), "{task}");
        }
    });
}

#[test]
fn everything_is_there_again_after_many_restarts() {
    on_every_backend(|place| {
        for round in 0..8_i64 {
            let database = place.open();
            for partition in 0..3 {
                let mut store = database.open(&task("skus", partition), STORES).unwrap();
                let base = (round > 0).then_some(round);
                assert_eq!(inbox(&*store), base);
                let value = round.to_be_bytes();
                let key = format!("{round}");
                let writes =
                    [(FIRST, key.as_bytes(), Some(&value[..])), (SECOND, b"", Some(&value))];
                put(&mut *store, base, round + 1, &writes).unwrap();
                let entries = store.scan(FIRST, Scan::rising(b"", None, 99)).unwrap();
                assert_eq!(entries.len(), usize::try_from(round + 1).unwrap());
                assert_eq!(store.get(SECOND, b"").unwrap(), Some(value.to_vec()));
            }
        }
    });
}
