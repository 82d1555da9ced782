//! After `kill -9`, without a write-ahead log: the data of each task is the fold of exactly the
//! position beside it.
#![cfg(feature = "rocksdb")]

mod places;

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use aplomb_state::{
    backend::{Database, Write, rocks::RocksDatabase},
    ids::{TaskId, Timestamp},
    scan::Scan,
    store::StoreId,
};
use places::{position, rocks, task};

const CHILD_FOLDER: &str = "APLOMB_TEST_CHILD_FOLDER";
const MANY_STORES: &[&str] = &["~task", "~timers", "a", "b", "c", "d"];
const KEYS: i64 = 300;
/// Between two flushes, single write buffers get full several times.
const FLUSH_STEPS: i64 = 397;

/// What offset `offset` writes: a function of the offset alone, so that the fold can be checked.
fn writes_of(offset: i64) -> Vec<(StoreId, Vec<u8>, Option<Vec<u8>>)> {
    (0..6_u8)
        .map(|store| {
            let mixed = (offset * 31 + i64::from(store) * 7) % KEYS;
            let deleted = (offset + i64::from(store)) % 11 == 0;
            // Column families of very different sizes, so that their write buffers fill apart.
            let padding = if store == 3 { 2_000 } else { 20 * usize::from(store) };
            let value = (!deleted).then(|| [&offset.to_be_bytes()[..], &vec![7; padding]].concat());
            (StoreId(store), mixed.to_be_bytes().to_vec(), value)
        })
        .collect()
}

fn fold_until(end: i64) -> Vec<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut stores = vec![BTreeMap::new(); MANY_STORES.len()];
    for (store, key, value) in (0..end).flat_map(writes_of) {
        let entries = &mut stores[usize::from(store.0)];
        match value {
            Some(value) => entries.insert(key, value),
            None => entries.remove(&key),
        };
    }
    stores
}

/// The data of a task is the fold of exactly its position. Answers the position.
fn check_fold(database: &RocksDatabase, task: &TaskId) -> i64 {
    let store = database.open(task, MANY_STORES).unwrap();
    let end = store.position().map_or(0, |position| position.inbox.0);
    for (expected, id) in fold_until(end).into_iter().zip(0_u8..) {
        let found = store.scan(StoreId(id), Scan::rising(b"", None, usize::MAX)).unwrap();
        assert_eq!(found, Vec::from_iter(expected), "{task}: store {id} at {end}");
    }
    end
}

/// Not a test of its own: what the parent runs and kills.
#[test]
fn child_writes_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the parent tells its child where")]
    let Ok(folder) = env::var(CHILD_FOLDER) else { return };
    let database = rocks(Path::new(&folder));
    let tasks = [task("skus", 0), task("skus", 1), task("orders", 0)];
    let mut stores = tasks.clone().map(|task| database.open(&task, MANY_STORES).unwrap());
    println!("ready");
    for step in 0_i64.. {
        for store in &mut stores {
            let base = store.position().map(|position| position.inbox);
            let from = base.map_or(0, |base| base.0);
            let to = from + 1 + step % 5;
            let writes: Vec<_> = (from..to).flat_map(writes_of).collect();
            let mut borrowed = writes.iter().map(|(store, key, value)| Write {
                store: *store,
                key,
                value: value.as_deref(),
            });
            store.apply(base, &mut borrowed, &position(to)).unwrap();
        }
        if step % FLUSH_STEPS == FLUSH_STEPS - 1 {
            database.flush(&tasks, Timestamp(step)).unwrap();
        }
        println!("step {step}");
    }
}

#[test]
fn after_kill_9_data_is_the_fold_of_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let tasks = [task("skus", 0), task("skus", 1), task("orders", 0)];
    let mut before = [0; 3];
    // (steps before the kill, so that some fall between flushes and some just after one)
    for steps in [3, 40, 396, 397, 700, 1_111] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD_FOLDER, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let last = format!("step {steps}");
        let mut said = lines.by_ref().map_while(Result::ok);
        assert!(said.any(|line| line.ends_with(&last)), "the child failed");
        child.kill().unwrap();
        child.wait().unwrap();
        // Not before the kill: at a closed pipe the child would end in good order.
        drop(lines);
        let database = rocks(&path);
        let after = tasks.clone().map(|task| check_fold(&database, &task));
        for (before, after) in before.iter().zip(after) {
            assert!(after >= *before, "went back from {before} to {after}");
            // The last flush before the kill is there; more only if a write buffer was full.
            let flushed = (steps + 1) / FLUSH_STEPS * FLUSH_STEPS;
            assert!(after >= *before + flushed, "{steps} steps: {before} to {after}");
        }
        before = after;
        drop(database);
        let database = rocks(&path);
        assert_eq!(tasks.clone().map(|task| check_fold(&database, &task)), before, "again");
    }
    assert!(before[0] > 1_000, "{before:?}");
}
