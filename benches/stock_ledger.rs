//! The stage `skus`: targets of orders and readings of entries, folded into ledgers, holds and
//! reservations; and a reading that is older than many orders of its sku.

use aplomb_state::{
    codec,
    envelope::Envelope,
    ids::Timestamp,
    record::{Kind, Trace},
};
use aplomb_topologies::messages::skus::{
    Cause, EntryReading, HoldTarget, InventoryMode, NO_CHANNEL, SkuMessage,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use support::{Input, Inputs};

mod support;

const PROJECT: &str = "acme";
const SKU: &str = "SKU-1";
/// Orders of one sku since the reading's instant: it looks at the holds of all of them.
const ORDERS_SINCE: u32 = 100_000;
const BEGIN: Timestamp = Timestamp(1_790_000_000_000);

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

fn old_reading(criterion: &mut Criterion) {
    let inputs = Inputs::of_orders(0).expect("nothing is folded");
    let (stage, _) = inputs.stage("skus");
    let mut task = inputs.task(stage);
    let mut revision = 1;
    task.take(stage, &reading(revision)).expect("folded");
    for number in 0..ORDERS_SINCE {
        task.take(stage, &order(number)).expect("folded");
    }
    let mut group = criterion.benchmark_group("old reading");
    group.throughput(Throughput::Elements(ORDERS_SINCE.into()));
    group.sample_size(20);
    group.bench_function("orders since", |bencher| {
        bencher.iter(|| {
            revision += 1;
            task.take(stage, &reading(revision)).expect("folded")
        });
    });
    group.finish();
}

fn reading(revision: u64) -> Input {
    input(SkuMessage::Reading(EntryReading {
        project: PROJECT.to_owned(),
        sku: SKU.to_owned(),
        location: NO_CHANNEL.to_owned(),
        entry_id: "entry".to_owned(),
        revision,
        sequence: revision,
        as_of: BEGIN,
        on_stock: 1_000_000,
        old_on_stock: None,
        carts: None,
        restockable_in_days: None,
        expected_delivery: None,
        safety_stock: None,
        batch_id: None,
        cause: Cause { id: format!("m:{PROJECT}:reading-{revision}"), ..Cause::default() },
    }))
}

fn order(number: u32) -> Input {
    let at = BEGIN.plus_ms(i64::from(number) + 60_000);
    input(SkuMessage::HoldTarget(HoldTarget {
        project: PROJECT.to_owned(),
        order_id: format!("order-{number}"),
        order_number: None,
        line_id: "line".to_owned(),
        sku: SKU.to_owned(),
        location: NO_CHANNEL.to_owned(),
        revision: 1,
        ordered_at: at,
        ordered: 1,
        cancelled: 0,
        shipped: 0,
        returned: 0,
        restocked: 0,
        unusable: 0,
        mode: InventoryMode::ReserveOnOrder,
        as_of: at,
        cause: Cause { id: format!("m:{PROJECT}:order-{number}"), ..Cause::default() },
    }))
}

fn input(message: SkuMessage) -> Input {
    let body = codec::encode(&message);
    let envelope = Envelope::Message {
        kind: Kind::Message,
        at: BEGIN,
        hops: 1,
        trace: Trace::default(),
        external: None,
        body: &body,
    };
    let key = format!("{PROJECT}:{SKU}").into_bytes();
    Input { at: BEGIN, key, value: codec::encode(&envelope) }
}

criterion_group!(benches, stock_ledger, old_reading);
criterion_main!(benches);
