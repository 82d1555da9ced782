//! Duplicates and order: eight messages of a resource, one doubled, two of them swapped.

use std::hint::black_box;

use aplomb_state::ids::Timestamp;
use aplomb_topologies::resources::sequencer::{Identity, Offer, Sequence};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// As delivered.
const ORDER: [u64; 9] = [1, 2, 3, 3, 5, 4, 6, 7, 8];

fn sequence(criterion: &mut Criterion) {
    let delivered = ORDER.map(|number| {
        let id = format!("5f0c3a2e-8d1b-4c9f-9a77-{number:012}");
        Identity::new(number, &id, "OrderStateChanged", number + 1)
    });
    let mut group = criterion.benchmark_group("dedup and sequence");
    group.throughput(Throughput::Elements(ORDER.len() as u64));
    group.bench_function("a resource", |bencher| {
        bencher.iter(|| deliver(black_box(&delivered)));
    });
    group.finish();
}

/// Answers how many were applied.
fn deliver(delivered: &[Identity]) -> usize {
    let mut sequence = Sequence::default();
    let mut applied = 0;
    for (identity, at) in delivered.iter().zip(0..) {
        match sequence.offer(*identity) {
            Offer::Next => {
                sequence.take(*identity);
                applied += 1;
            }
            Offer::Ahead => sequence.keep(*identity, Timestamp(at)),
            _ => continue,
        }
        while sequence.peek().is_some() {
            sequence.release();
            applied += 1;
        }
    }
    applied
}

criterion_group!(benches, sequence);
criterion_main!(benches);
