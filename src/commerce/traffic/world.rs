//! Stock and orders, moved by events in time order. What happens is told to the courier.

use std::sync::Arc;

use aplomb_state::ids::Timestamp;
use rand::{Rng, rngs::SmallRng};

use super::{
    catalog::{Entry, Featured, Mode, Popularity},
    courier::{Courier, Fate},
    fact::{Change, Count, CountKind, Fact, Line, Order, Resource},
    json::Id,
    life::{Life, Part, Story},
    management::Status,
    notification::Bad,
    payment::Payment,
    queue::Queue,
};

pub(super) struct World {
    pub rng: SmallRng,
    pub events: Queue<Event>,
    pub stocks: Vec<Stock>,
    pub shop: Shop,
    placed: u64,
}

pub(super) enum Event {
    Greet,
    /// The entry appears.
    Create {
        place: usize,
    },
    PlaceOrder,
    Live(Box<Life>),
    /// The warehouse counts everything.
    Snapshot {
        batch: u64,
        /// It does not find this one.
        without: Option<usize>,
    },
    Receipt {
        place: usize,
        quantity: i64,
    },
    /// commercetools is told of a receipt.
    Restock {
        place: usize,
        quantity: i64,
    },
    /// From now on the warehouse is wrong by so much.
    Miscount {
        place: usize,
        by: i64,
    },
    /// An integration writes what lies there into commercetools, as if no order had any of it.
    Overstate {
        place: usize,
    },
    /// Somebody mends that.
    Restate {
        place: usize,
    },
    /// Money without an order.
    OrphanPayment,
    /// The order management has an order that commercetools does not have.
    Phantom,
    Spoil(Bad),
    CountWithoutSku,
}

/// An entry's stock.
pub(super) struct Stock {
    pub entry: Arc<Entry>,
    /// What lies there.
    pub physical: i64,
    /// What lies there and no order has.
    pub free: i64,
    /// What orders took beyond it.
    pub short: i64,
    /// `quantityOnStock` in commercetools.
    pub platform: i64,
    pub miscount: i64,
    pub overstated: i64,
    pub sequence: u64,
    pub version: u64,
}

/// What kind of shop it is.
pub(super) struct Shop {
    pub scope: Scope,
    pub popularity: Popularity,
    pub lines: [usize; 2],
    pub featured: Vec<Featured>,
    pub story: Box<StoryTeller>,
    pub minute_ms: i64,
    /// The pause to the next order. Absent: orders are events of their own.
    pub pause_ms: Option<i64>,
    pub orders: u64,
    /// What edited orders are of.
    pub editable: Option<usize>,
    /// Nothing happens to orders from here on.
    pub closes_at: Timestamp,
}

/// What is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    OrdersAndStock,
    /// Payments, the shop's own workflow and the order management as well.
    Whole,
}

/// What happens to the n-th order.
type StoryTeller = dyn Fn(&mut SmallRng, u64) -> Story + Send;

const FIRST_ORDER: u64 = 100_001;
const PHANTOM_ORDER: u64 = 999_999;

// === impl Stock ===

impl Stock {
    pub fn new(entry: Arc<Entry>, quantity: i64) -> Self {
        let [physical, free, platform] = [quantity; 3];
        Self {
            entry,
            physical,
            free,
            short: 0,
            platform,
            miscount: 0,
            overstated: 0,
            sequence: 0,
            version: 0,
        }
    }

    /// Units that come go to the orders that wait, which are not shipped on the same day.
    pub fn give(&mut self, quantity: i64) {
        let filled = quantity.min(self.short);
        self.short -= filled;
        self.free += quantity - filled;
    }

    fn fact(&mut self, at: Timestamp, id: Id, change: Change) -> Fact {
        self.sequence += 1;
        self.version += 1;
        let resource = Resource::Entry(Arc::clone(&self.entry));
        Fact { resource, id, sequence: self.sequence, version: self.version, at, change }
    }

    /// `None`: commercetools would not sell it.
    fn order(&mut self, quantity: i64) -> Option<i64> {
        let product = &self.entry.product;
        let sells_short =
            product.mode != Mode::ReserveOnOrder || product.restockable_in_days.is_some();
        if quantity > self.free && !sells_short {
            return None;
        }
        let reserved = quantity.min(self.free).max(0);
        self.free -= reserved;
        self.short += quantity - reserved;
        if product.mode != Mode::None {
            self.platform -= quantity;
        }
        // An order changes the entry without a message.
        self.version += 1;
        Some(reserved)
    }
}

// === impl Life ===

impl Life {
    pub fn fact(&mut self, at: Timestamp, id: Id, change: Change) -> Fact {
        self.version += 1;
        if change.message_type().is_some() {
            self.sequence += 1;
        }
        let resource = Resource::Order(Arc::clone(&self.order));
        Fact { resource, id, sequence: self.sequence, version: self.version, at, change }
    }

    pub fn ordered(&self) -> i64 {
        self.order.lines.iter().map(|line| line.quantity).sum()
    }

    pub fn shipped(&self) -> i64 {
        self.parts.iter().map(|part| part.shipped).sum()
    }

    /// Its first line with so many units on top.
    pub fn edited(&self, on_top: i64) -> Option<Line> {
        let line = self.order.lines.first()?;
        Some(Line { quantity: line.quantity + on_top, ..line.clone() })
    }
}

// === impl World ===

impl World {
    pub fn new(rng: SmallRng, stocks: Vec<Stock>, shop: Shop) -> Self {
        Self { rng, events: Queue::new(), stocks, shop, placed: 0 }
    }

    pub fn next_at(&self) -> Option<Timestamp> {
        self.events.next_at()
    }

    /// The next event. Everything it tells is handed over later than it happens.
    pub fn step(&mut self, courier: &mut Courier) {
        let Some((at, event)) = self.events.pop() else { return };
        match event {
            Event::Greet => courier.greet(self.id(), at),
            Event::Create { place } => self.create(at, place, courier),
            Event::PlaceOrder => self.place_order(at, courier),
            Event::Live(life) => self.live(at, life, courier),
            Event::Snapshot { batch, without } => self.snapshot(at, batch, without, courier),
            Event::Receipt { place, quantity } => self.receipt(at, place, quantity, courier),
            Event::Restock { place, quantity } => self.restock(at, place, quantity, courier),
            Event::Miscount { place, by } => {
                if let Some(stock) = self.stocks.get_mut(place) {
                    stock.miscount = by;
                }
            }
            Event::Overstate { place } => {
                let Some(stock) = self.stocks.get_mut(place) else { return };
                stock.overstated = (stock.physical - stock.platform).max(0);
                let by = stock.overstated;
                self.restock(at, place, by, courier);
            }
            Event::Restate { place } => {
                let by = self.stocks.get(place).map_or(0, |stock| stock.overstated);
                self.restock(at, place, -by, courier);
            }
            Event::OrphanPayment => self.take_for_nothing(at, 5_990, courier),
            Event::Phantom => {
                let (number, status) = (PHANTOM_ORDER, "RELEASED");
                courier.report(Status { number, status, as_of: at });
            }
            Event::Spoil(bad) => {
                let order = Arc::new(self.order(at, Vec::new()));
                let id = self.id();
                let change = Change::OrderState { from: "Open", to: "Confirmed" };
                let resource = Resource::Order(order);
                courier.spoil(Fact { resource, id, sequence: 2, version: 2, at, change }, bad);
            }
            Event::CountWithoutSku => courier.count_without_sku(at),
        }
    }

    fn create(&mut self, at: Timestamp, place: usize, courier: &mut Courier) {
        let id = self.id();
        let Some(stock) = self.stocks.get_mut(place) else { return };
        let change = Change::EntryCreated { on_stock: stock.platform };
        courier.tell(stock.fact(at, id, change), Fate::Usual);
    }

    fn place_order(&mut self, at: Timestamp, courier: &mut Courier) {
        let story = (self.shop.story)(&mut self.rng, self.placed);
        let (lines, parts) = self.choose_lines(at, story);
        // Where everything chosen is sold out there is no order.
        if !lines.is_empty() {
            self.begin(at, lines, parts, story, courier);
        }
        self.placed += 1;
        if let Some(pause_ms) = self.shop.pause_ms
            && self.placed < self.shop.orders
        {
            self.events.push(at.plus_ms(pause_ms), Event::PlaceOrder);
        }
    }

    fn begin(
        &mut self,
        at: Timestamp,
        lines: Vec<Line>,
        parts: Vec<Part>,
        story: Story,
        courier: &mut Courier,
    ) {
        let mut order = self.order(at, lines);
        let account = (self.shop.scope == Scope::Whole).then(|| {
            let (number, cents) = (order.number, order.total_cents());
            let payment = Payment { id: self.id(), number, cents };
            self.authorise(at, payment, courier)
        });
        order.payment = account.as_ref().map(|account| account.payment.id);
        let mut life = Box::new(Life {
            order: Arc::new(order),
            account,
            delivered: None,
            returned: None,
            sequence: 0,
            version: 0,
            order_state: "Open",
            payment_state: "Pending",
            shipment_state: "Pending",
            parts,
            deliveries: 0,
            steps: story.steps(self.shop.minute_ms, &mut self.rng),
        });
        let id = self.id();
        courier.tell(life.fact(at, id, Change::OrderCreated), story.creation());
        self.go_on(at, life);
    }

    fn choose_lines(&mut self, at: Timestamp, story: Story) -> (Vec<Line>, Vec<Part>) {
        let [least, most] = self.shop.lines;
        let count = self.rng.random_range(least..=most);
        let edited = self.shop.editable.filter(|_| story == Story::Edited);
        if let Some(place) = edited {
            return self.take(&[place]);
        }
        let mut places = Vec::with_capacity(count + 1);
        for featured in &self.shop.featured {
            // A mishap is to be seen to its end: it does not wait for what is sold out.
            let on = featured.from <= at && at < featured.until && !story.is_mishap();
            if on && self.rng.random_range(0..1_000) < featured.per_mille {
                places.push(featured.place);
            }
        }
        while places.len() < count {
            let mut place = self.shop.popularity.choose(&mut self.rng);
            // In a small shop the same product is soon chosen twice: take its neighbour.
            if places.contains(&place) {
                place = if place == 0 { 1 } else { place - 1 };
            }
            places.push(place);
        }
        self.take(&places)
    }

    /// A line of each, where commercetools would sell it.
    fn take(&mut self, places: &[usize]) -> (Vec<Line>, Vec<Part>) {
        let mut lines = Vec::with_capacity(places.len());
        let mut parts = Vec::with_capacity(places.len());
        for &place in places {
            let id = self.id();
            let quantity = if self.rng.random_range(0..10) < 7 { 1 } else { 2 };
            let Some(stock) = self.stocks.get_mut(place) else { continue };
            let Some(reserved) = stock.order(quantity) else { continue };
            lines.push(Line { id, entry: Arc::clone(&stock.entry), quantity });
            parts.push(Part { reserved, shipped: 0 });
        }
        (lines, parts)
    }

    fn order(&mut self, placed_at: Timestamp, lines: Vec<Line>) -> Order {
        let number = FIRST_ORDER + self.placed;
        let (id, customer, cart) = (self.id(), self.id(), self.id());
        Order { id, number, customer, cart, placed_at, lines, payment: None }
    }

    fn go_on(&mut self, at: Timestamp, life: Box<Life>) {
        let Some(step) = life.steps.front() else { return };
        let next = at.plus_ms(step.after_ms);
        if next < self.shop.closes_at {
            self.events.push(next, Event::Live(life));
        }
    }

    fn live(&mut self, at: Timestamp, mut life: Box<Life>, courier: &mut Courier) {
        if let Some(step) = life.steps.pop_front() {
            if let Some(change) = self.act(at, &mut life, step.act, courier) {
                let id = self.id();
                courier.tell(life.fact(at, id, change), step.fate);
                self.follow_up(at, &mut life, step.act, courier);
            }
            self.go_on(at, life);
        }
    }

    fn snapshot(
        &mut self,
        at: Timestamp,
        batch: u64,
        without: Option<usize>,
        courier: &mut Courier,
    ) {
        let mut counted = 0;
        for stock in &self.stocks {
            if without == Some(stock.entry.place) {
                continue;
            }
            counted += 1;
            let quantity = (stock.physical + stock.miscount).max(0);
            let kind = CountKind::Snapshot { batch };
            courier.count(Count { entry: Arc::clone(&stock.entry), kind, quantity, as_of: at });
        }
        courier.complete(batch, counted, at);
    }

    fn receipt(&mut self, at: Timestamp, place: usize, quantity: i64, courier: &mut Courier) {
        let kind = CountKind::Receipt { event: self.id() };
        let Some(stock) = self.stocks.get_mut(place) else { return };
        stock.physical += quantity;
        stock.give(quantity);
        courier.count(Count { entry: Arc::clone(&stock.entry), kind, quantity, as_of: at });
        self.events.push(at.plus_ms(30_000), Event::Restock { place, quantity });
    }

    pub(super) fn restock(
        &mut self,
        at: Timestamp,
        place: usize,
        quantity: i64,
        courier: &mut Courier,
    ) {
        let id = self.id();
        let stock = self.stocks.get_mut(place).filter(|_| quantity != 0);
        let Some(stock) = stock else { return };
        let old = stock.platform;
        stock.platform += quantity;
        let change = Change::QuantitySet { old, new: stock.platform };
        courier.tell(stock.fact(at, id, change), Fate::Usual);
    }

    pub fn id(&mut self) -> Id {
        Id::from_random(self.rng.random())
    }
}
