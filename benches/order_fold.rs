//! The stage `resources`: messages of orders and entries, and the answers of skus, folded into rows
//! and views.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use support::Inputs;

mod support;

fn order_fold(criterion: &mut Criterion) {
    let inputs = Inputs::of_orders(10_000).expect("the load is folded");
    let (stage, given) = inputs.stage("resources");
    let mut group = criterion.benchmark_group("order fold");
    group.throughput(Throughput::Elements(given.len() as u64));
    group.sample_size(20);
    group.bench_function("inputs of resources", |bencher| {
        bencher.iter_batched_ref(
            || inputs.task(stage),
            |task| task.take_all(stage, given).expect("folded"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, order_fold);
criterion_main!(benches);
