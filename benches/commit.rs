//! The store's part of a commit: an overlay of two thousand rows and the position, in one write to
//! RocksDB. What the broker takes is measured by `kafka_commit`.

use aplomb_state::{
    backend::{
        Database, StorePosition,
        rocks::{Budget, RocksDatabase},
    },
    ids::{FoldVersion, Generation, NextOffset, TaskId, Timestamp, TopicPartition},
    overlay::Overlay,
    store::StoreId,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROWS: u32 = 2_000;

fn commit(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for the state");
    let budget = Budget::default();
    let database = RocksDatabase::open(folder.path(), budget).expect("it opens");
    let id = TaskId { stage: "bench".into(), input: TopicPartition::new("inbox.bench", 0) };
    let mut store = database.open(&id, &["~task", "~timers", "rows"]).expect("it opens");
    let mut overlay = Overlay::default();
    for number in 0..ROWS {
        let key = format!("shop:order:{:08x}", number.wrapping_mul(2_654_435_761));
        overlay.put(StoreId(2), key.as_bytes(), vec![7; 400]);
    }
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(u64::from(ROWS)));
    let mut inbox = 0;
    group.bench_function("an overlay to RocksDB", |bencher| {
        bencher.iter(|| {
            inbox += 1;
            let to = StorePosition {
                generation: Generation(1),
                inbox: NextOffset(inbox),
                changelog: NextOffset(inbox),
                fold_version: FoldVersion(1),
                restoring: false,
                current_as_of: Timestamp(0),
            };
            let base = store.position().map(|position| position.inbox);
            store.apply(base, &mut overlay.writes(), &to).expect("applied");
        });
    });
    group.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);
