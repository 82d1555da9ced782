//! A steady stream of orders of two lines, eight messages each, for fault tests and benches.

use aplomb_state::ids::Timestamp;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    catalog::{self, Mode, Popularity},
    courier::{Courier, Manners},
    life::Story,
    world::{Event, Scope, Shop, Stock, World},
};

/// About eight messages an order, 1.2 KB in the mean. Entries are created first.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// After so many it ends, when all of them have lived.
    pub orders: u64,
    pub seed: u64,
    pub skus: usize,
    /// Of the first delivery; the others follow at the pace.
    pub start: Timestamp,
    /// A thousand deliveries are about 125 orders.
    pub orders_per_second: u32,
    /// Per thousand messages: handed over twice.
    pub duplicates: u32,
    /// Per thousand messages: overtaken by later ones.
    pub disorder: u32,
}

/// So long a minute of an order's life takes: a life takes about ten seconds.
const MINUTE_MS: i64 = 30;
const LATE_MS_MAX: i64 = 3_000;

impl Default for Load {
    fn default() -> Self {
        Self {
            orders: u64::MAX,
            seed: 1,
            skus: 500,
            start: Timestamp(1_772_409_600_000),
            orders_per_second: 125,
            duplicates: 50,
            disorder: 100,
        }
    }
}

pub(super) fn begin(load: &Load) -> (World, Courier) {
    let mut rng = SmallRng::seed_from_u64(load.seed);
    let skus = load.skus.max(2);
    let entries = catalog::entries(skus, &mut rng);
    let stocks = entries.into_iter().map(|entry| {
        // What is only tracked runs out: some skus are oversold.
        let plenty = entry.product.mode == Mode::ReserveOnOrder;
        Stock::new(entry, if plenty { 1_000_000 } else { 200 })
    });
    let shop = Shop {
        scope: Scope::OrdersAndStock,
        editable: None,
        popularity: Popularity::new(skus),
        lines: [2, 2],
        featured: Vec::new(),
        story: Box::new(story),
        minute_ms: MINUTE_MS,
        pause_ms: Some(1_000 / i64::from(load.orders_per_second.clamp(1, 1_000))),
        orders: load.orders,
        closes_at: Timestamp::MAX,
    };
    let mut world = World::new(rng, stocks.collect(), shop);
    for place in 0..skus {
        world.events.push(load.start, Event::Create { place });
    }
    if load.orders > 0 {
        world.events.push(load.start.plus_ms(1_000), Event::PlaceOrder);
    }
    let manners = Manners {
        transit_ms_max: 20,
        doubled: load.duplicates,
        redelivery_ms_max: 5_000,
        late: load.disorder,
        late_ms_max: LATE_MS_MAX,
        changes: 10,
        cloud_events: 10,
    };
    (world, Courier::new(manners, load.seed))
}

fn story(rng: &mut SmallRng, _: u64) -> Story {
    match rng.random_range(0..100) {
        0..84 => Story::Usual,
        84..92 => Story::Partial,
        92..97 => Story::Cancelled,
        97..99 => Story::PaymentRetried,
        _ => Story::ShippedUnpaid,
    }
}
