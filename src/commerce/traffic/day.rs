//! One eventful day of a shop, for the demo.

use aplomb_state::ids::Timestamp;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    catalog::{self, Channel, Featured, Mode, Popularity, Product},
    courier::{Courier, Manners},
    life::{MISHAPS, Story},
    notification::Bad,
    world::{Event, Scope, Shop, Stock, World},
};

/// 2026-03-02T00:00:00Z, a Monday.
pub const START: Timestamp = Timestamp(1_772_409_600_000);

/// Entries are created at midnight, orders come from five in the morning on.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    pub orders: u64,
    pub seed: u64,
}

const MINUTE_MS: i64 = 60_000;
const ORDINARY: usize = 24;
/// Launched at ten, sold by more than there is, and not replenished enough.
const LAUNCH: usize = ORDINARY;
/// Oversold over noon; a lorry in the afternoon mends it.
const GIFT_BOX: usize = ORDINARY + 1;
/// Made to order: beyond the stock there is a date.
const MADE_TO_ORDER: usize = ORDINARY + 2;
/// Sold without a look at stock, so that its orders can be edited.
const ENGRAVING: usize = ORDINARY + 3;
/// An integration overstates it over noon.
const OVERSTATED: usize = 0;
/// And this one late in the evening, when nobody looks any more.
const OVERSTATED_FOR_GOOD: usize = 6;
/// The warehouse does not find it in the evening.
const NOT_FOUND: usize = 9;
/// The warehouse counts these wrong: until it counts again, and for good.
const MISCOUNTED: usize = 2;
const MISCOUNTED_FOR_GOOD: usize = 5;

/// What is seldom happens at fixed places, so that a small day has it as well.
const SELDOM: [(u64, Story); 3] =
    [(6, Story::Edited), (18, Story::Repacked), (27, Story::Returned)];
const SELDOM_PERIOD: u64 = 40;

/// Orders by hour, in proportion.
const BY_HOUR: [u32; 24] =
    [0, 0, 0, 0, 0, 1, 2, 4, 6, 8, 9, 9, 10, 8, 7, 6, 6, 7, 8, 9, 10, 8, 4, 1];

pub(super) fn begin(day: &Day) -> (World, Courier) {
    let mut rng = SmallRng::seed_from_u64(day.seed);
    let popularity = Popularity::new(ORDINARY);
    let orders = i64::try_from(day.orders).unwrap_or(i64::MAX).min(1_000_000);
    let stocks = stocks(orders, &popularity, &mut rng);
    let period = (day.orders / (2 * MISHAPS.len() as u64)).clamp(3, 40);
    let featured = |place, from, until, per_mille| Featured {
        place,
        from: hour(from),
        until: hour(until),
        per_mille,
    };
    let shop = Shop {
        scope: Scope::Whole,
        editable: Some(ENGRAVING),
        popularity,
        lines: [1, 3],
        featured: vec![
            featured(LAUNCH, 10, 21, 250),
            featured(GIFT_BOX, 9, 14, 250),
            featured(MADE_TO_ORDER, 6, 23, 50),
        ],
        story: Box::new(move |rng, order| story(rng, order, period)),
        minute_ms: MINUTE_MS,
        pause_ms: None,
        orders: day.orders,
        closes_at: hour(24),
    };
    let mut world = World::new(rng, stocks, shop);
    script(&mut world, orders);
    let manners = Manners {
        transit_ms_max: 400,
        doubled: 40,
        redelivery_ms_max: 20_000,
        late: 60,
        late_ms_max: 45_000,
        changes: 80,
        cloud_events: 40,
    };
    (world, Courier::new(manners, day.seed))
}

fn stocks(orders: i64, popularity: &Popularity, rng: &mut SmallRng) -> Vec<Stock> {
    let ordinary = catalog::entries(ORDINARY, rng).into_iter().enumerate().map(|(place, entry)| {
        // Enough for the day and then some: two lines an order, 1.3 units a line.
        let demand = (popularity.share(place) * 10_000.0).round() as i64 * orders * 4 / 10_000;
        Stock::new(entry, 25 + demand)
    });
    let mut stocks: Vec<Stock> = ordinary.collect();
    let special = |sku: &str, name: &str, mode, restockable_in_days, cents, rng: &mut SmallRng| {
        let slug = name.replace(' ', "-").to_lowercase();
        let plain = catalog::product(cents, rng);
        let (sku, name) = (sku.to_owned(), name.to_owned());
        Product { sku, name, slug, mode, restockable_in_days, ..plain }
    };
    let engraved = special("ENGRAVED-TAG", "Engraved Tag", Mode::None, None, 1_990, rng);
    // (product, channel, stock): each is asked for more than there is.
    let specials = [
        (special("RUNNER-X-LTD", "Runner X Limited", Mode::TrackOnly, None, 18_990, rng), 6),
        (special("GIFT-BOX", "Gift Box", Mode::TrackOnly, None, 4_990, rng), 4),
        (special("BOOT-CUSTOM", "Custom Boot", Mode::ReserveOnOrder, Some(7), 32_900, rng), 2),
    ];
    for (product, per_cent) in specials {
        let place = stocks.len();
        let entry = catalog::entry(product, Channel::Berlin, place, rng);
        stocks.push(Stock::new(entry, orders * per_cent / 100));
    }
    let place = stocks.len();
    stocks.push(Stock::new(catalog::entry(engraved, Channel::Berlin, place, rng), 500));
    stocks
}

/// What happens apart from the orders' own lives.
fn script(world: &mut World, orders: i64) {
    world.events.push(START, Event::Greet);
    for place in 0..world.stocks.len() {
        let after = i64::try_from(place).unwrap_or(0);
        world.events.push(START.plus_ms(1_000 + after), Event::Create { place });
    }
    for _ in 0..orders {
        let at = order_time(&mut world.rng);
        world.events.push(at, Event::PlaceOrder);
    }
    for (batch, at) in (1..).zip(5..=23) {
        let without = (19..22).contains(&at).then_some(NOT_FOUND);
        world.events.push(hour(at), Event::Snapshot { batch, without });
    }
    let events = [
        (hour(7), Event::Miscount { place: MISCOUNTED, by: -9 }),
        (hour(13), Event::Miscount { place: MISCOUNTED, by: 0 }),
        (hour(11), Event::Miscount { place: MISCOUNTED_FOR_GOOD, by: 14 }),
        (hour(8), Event::Receipt { place: 0, quantity: 20 }),
        (hour(15), Event::Receipt { place: GIFT_BOX, quantity: orders / 4 + 10 }),
        (hour(16), Event::Receipt { place: LAUNCH, quantity: orders / 80 + 1 }),
        (hour(12), Event::Overstate { place: OVERSTATED }),
        (hour(14), Event::Restate { place: OVERSTATED }),
        (hour(23), Event::Overstate { place: OVERSTATED_FOR_GOOD }),
        (hour(10), Event::OrphanPayment),
        (hour(8), Event::Phantom),
        (hour(9), Event::Spoil(Bad::Truncated)),
        (hour(11), Event::Spoil(Bad::WithoutResource)),
        (hour(12), Event::Spoil(Bad::UnknownNotificationType)),
        (hour(14), Event::Spoil(Bad::WrongProject)),
        (hour(14), Event::Spoil(Bad::WrongProject)),
        (hour(17), Event::Spoil(Bad::Truncated)),
        (hour(18), Event::CountWithoutSku),
    ];
    for (at, event) in events {
        world.events.push(at.plus_ms(17 * MINUTE_MS), event);
    }
}

/// When an order is placed: between five and midnight, most at noon and in the evening.
fn order_time(rng: &mut SmallRng) -> Timestamp {
    let mut point = rng.random_range(0..BY_HOUR.iter().sum::<u32>());
    let mut of_day = 0;
    for (hour, orders) in (0..).zip(BY_HOUR) {
        if point < orders {
            of_day = hour;
            break;
        }
        point -= orders;
    }
    hour(of_day).plus_ms(rng.random_range(0..60 * MINUTE_MS))
}

/// Every `period`-th order has a mishap, each of them in turn.
fn story(rng: &mut SmallRng, order: u64, period: u64) -> Story {
    if order % period == period / 2 {
        let turn = usize::try_from(order / period).unwrap_or(0) % MISHAPS.len();
        return MISHAPS.get(turn).copied().unwrap_or(Story::Usual);
    }
    if let Some((_, story)) = SELDOM.iter().find(|(place, _)| order % SELDOM_PERIOD == *place) {
        return *story;
    }
    match rng.random_range(0..100) {
        0..78 => Story::Usual,
        78..80 => Story::Returned,
        80..90 => Story::Partial,
        90..97 => Story::Cancelled,
        _ => Story::PaymentRetried,
    }
}

fn hour(hour: i64) -> Timestamp {
    START.plus_ms(hour * 60 * MINUTE_MS)
}
