//! The stage `skus`: targets of orders and readings of entries, folded into ledgers, holds and
//! reservations.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use support::Inputs;

mod support;

fn stock_ledger(criterion: &mut Criterion) {
    let inputs = Inputs::of_orders(10_000).expect("the load is folded");
    let (stage, given) = inputs.stage("skus");
    let mut group = criterion.benchmark_group("stock ledger");
    group.throughput(Throughput::Elements(given.len() as u64));
    group.sample_size(20);
    group.bench_function("inputs of skus", |bencher| {
        bencher.iter_batched_ref(
            || inputs.task(stage),
            |task| task.take_all(stage, given).expect("folded"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, stock_ledger);
criterion_main!(benches);
