//! What a transaction has written: put, read, roll back, scan.

use std::hint::black_box;

use aplomb_state::{fold::NoState, overlay::Overlay, scan::Scan, store::StoreId};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const ROWS: u32 = 2_000;
const STORE: StoreId = StoreId(4);

fn keys() -> Vec<Vec<u8>> {
    // Spread as ids are.
    let key = |number: u32| format!("shop:order:{:08x}", number.wrapping_mul(2_654_435_761));
    (0..ROWS).map(|number| key(number).into_bytes()).collect()
}

fn filled(keys: &[Vec<u8>]) -> Overlay {
    let mut overlay = Overlay::default();
    for key in keys {
        overlay.put(STORE, key, vec![7; 400]);
    }
    overlay
}

fn overlay(criterion: &mut Criterion) {
    let keys = keys();
    let mut group = criterion.benchmark_group("overlay");
    group.throughput(Throughput::Elements(u64::from(ROWS)));
    group.bench_function("put", |bencher| bencher.iter(|| filled(black_box(&keys))));
    let full = filled(&keys);
    group.bench_function("get", |bencher| {
        bencher.iter(|| keys.iter().filter_map(|key| full.get(STORE, black_box(key))).count());
    });
    group.bench_function("roll back", |bencher| {
        bencher.iter_batched_ref(
            || {
                let mut overlay = filled(&keys);
                overlay.settle();
                let mark = overlay.mark();
                keys.iter().for_each(|key| overlay.delete(STORE, key));
                (overlay, mark)
            },
            |(overlay, mark)| overlay.roll_back(*mark),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("scan", |bencher| {
        bencher.iter(|| full.scan(&NoState, STORE, Scan::rising(b"shop:", None, ROWS as usize)));
    });
    group.finish();
}

criterion_group!(benches, overlay);
criterion_main!(benches);
