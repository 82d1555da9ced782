//! What the shop sells, and where it lies.

use std::sync::Arc;

use aplomb_state::ids::Timestamp;
use rand::{Rng, rngs::SmallRng};

use super::json::Id;

pub const PROJECT: &str = "acme-eu-prod";
pub(super) const CURRENCY: &str = "EUR";

/// A place that goods are shipped from: a supply channel, and the name the warehouse has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Berlin,
    Leipzig,
}

#[derive(Debug)]
pub(super) struct Product {
    pub sku: String,
    pub name: String,
    pub slug: String,
    pub id: Id,
    pub price_id: Id,
    pub cents: i64,
    pub mode: Mode,
    /// commercetools takes orders beyond the stock of such a product and promises a date.
    pub restockable_in_days: Option<i64>,
}

/// How an order takes stock of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    ReserveOnOrder,
    TrackOnly,
    /// commercetools does not look at stock, and such orders can be edited.
    None,
}

/// An inventory entry: a product at a channel.
#[derive(Debug)]
pub(super) struct Entry {
    pub id: Id,
    pub product: Arc<Product>,
    pub channel: Channel,
    /// In the list of all entries.
    pub place: usize,
}

/// A product that some orders take besides, for a while.
pub(super) struct Featured {
    pub place: usize,
    pub from: Timestamp,
    pub until: Timestamp,
    pub per_mille: u32,
}

/// Choice by popularity: the n-th is chosen in proportion to 1/n.
pub(super) struct Popularity {
    /// Running sums.
    sums: Vec<f64>,
}

const COLOURS: [(&str, &str); 4] =
    [("BLK", "Black"), ("RED", "Red"), ("BLU", "Blue"), ("GRN", "Green")];
const KINDS: [(&str, &str, i64); 8] = [
    ("TRAIL", "Trail Shoe", 8_990),
    ("JACKET", "Rain Jacket", 12_990),
    ("FLEECE", "Fleece Sweater", 6_490),
    ("TENT", "Two Person Tent", 24_900),
    ("LAMP", "Head Lamp", 3_990),
    ("BOTTLE", "Steel Bottle", 2_490),
    ("SOCK", "Wool Sock", 1_490),
    ("PACK", "Day Pack", 7_990),
];

// === impl Channel ===

impl Channel {
    pub const ALL: [Self; 2] = [Self::Berlin, Self::Leipzig];

    /// The id of the supply channel in commercetools.
    pub fn id(self) -> &'static str {
        match self {
            Self::Berlin => "597f1b30-fdf7-49ff-9979-164091498b3e",
            Self::Leipzig => "5bba7e9a-5687-4181-b46a-405eeb7814d1",
        }
    }

    /// What the warehouse calls it.
    pub fn warehouse_name(self) -> &'static str {
        match self {
            Self::Berlin => "B1",
            Self::Leipzig => "L1",
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Berlin => "Berlin",
            Self::Leipzig => "Leipzig",
        }
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Berlin => "wh-berlin",
            Self::Leipzig => "wh-leipzig",
        }
    }
}

// === impl Mode ===

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReserveOnOrder => "ReserveOnOrder",
            Self::TrackOnly => "TrackOnly",
            Self::None => "None",
        }
    }
}

// === impl Popularity ===

impl Popularity {
    pub fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let mut rank = 0.0;
        let add = |()| {
            rank += 1.0;
            sum += 1.0 / rank;
            sum
        };
        Self { sums: std::iter::repeat_n((), count).map(add).collect() }
    }

    /// A place below the count.
    pub fn choose(&self, rng: &mut SmallRng) -> usize {
        let all = self.sums.last().copied().unwrap_or(1.0);
        let point = rng.random::<f64>() * all;
        self.sums.partition_point(|sum| *sum <= point).min(self.sums.len().saturating_sub(1))
    }

    /// How much of everything falls to the n-th.
    pub fn share(&self, place: usize) -> f64 {
        let before = place.checked_sub(1).and_then(|before| self.sums.get(before));
        let own = self.sums.get(place).copied().unwrap_or(0.0) - before.copied().unwrap_or(0.0);
        own / self.sums.last().copied().unwrap_or(1.0)
    }
}

/// `count` ordinary products, each at one channel.
pub(super) fn entries(count: usize, rng: &mut SmallRng) -> Vec<Arc<Entry>> {
    let kinds = KINDS.iter().cycle();
    let channels = Channel::ALL.into_iter().cycle();
    let each = kinds.zip(channels).enumerate().take(count);
    each.map(|(place, ((code, name, cents), channel))| {
        let round = place / KINDS.len();
        let (colour_code, colour) =
            COLOURS.get(round % COLOURS.len()).copied().unwrap_or(("STD", "Standard"));
        let size = 36 + round / COLOURS.len();
        let product = Product {
            sku: format!("{code}-{size}-{colour_code}"),
            name: format!("{name} {colour} {size}"),
            slug: format!("{}-{colour}-{size}", name.replace(' ', "-")).to_lowercase(),
            mode: if place % 16 == 11 { Mode::TrackOnly } else { Mode::ReserveOnOrder },
            ..product(*cents, rng)
        };
        entry(product, channel, place, rng)
    })
    .collect()
}

/// A product with everything but its names.
pub(super) fn product(cents: i64, rng: &mut SmallRng) -> Product {
    Product {
        sku: String::new(),
        name: String::new(),
        slug: String::new(),
        id: Id::from_random(rng.random()),
        price_id: Id::from_random(rng.random()),
        cents,
        mode: Mode::ReserveOnOrder,
        restockable_in_days: None,
    }
}

pub(super) fn entry(
    product: Product,
    channel: Channel,
    place: usize,
    rng: &mut SmallRng,
) -> Arc<Entry> {
    Arc::new(Entry {
        id: Id::from_random(rng.random()),
        product: Arc::new(product),
        channel,
        place,
    })
}
