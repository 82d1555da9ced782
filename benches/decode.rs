//! The first stage: notifications as delivered, read and turned into canonical messages.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use support::Inputs;

mod support;

fn decode(criterion: &mut Criterion) {
    let inputs = Inputs::of_orders(10_000).expect("the load is folded");
    let (stage, given) = inputs.stage("intake");
    let bytes = given.iter().map(|input| input.value.len() as u64).sum();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::ElementsAndBytes { elements: given.len() as u64, bytes });
    group.sample_size(20);
    group.bench_function("notifications", |bencher| {
        bencher.iter_batched_ref(
            || inputs.task(stage),
            |task| task.take_all(stage, given).expect("folded"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
