//! Hands facts over the way a subscription does: at least once, in no promised order.

use std::sync::Arc;

use aplomb_state::ids::Timestamp;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::{
    Delivery, NOTIFICATIONS, ORDER_MANAGEMENT, WAREHOUSE,
    fact::{Count, CountKind, Fact},
    json::Id,
    management::{self, Status},
    notification::{self, Bad, Form},
    queue::Queue,
    stock,
};

/// How often something happens, per thousand facts, and how long it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    pub transit_ms_max: i64,
    /// Handed over twice, byte by byte.
    pub doubled: u32,
    pub redelivery_ms_max: i64,
    /// Overtaken by what came after.
    pub late: u32,
    pub late_ms_max: i64,
    /// Told again as a change of the resource, without a body.
    pub changes: u32,
    /// Told again as CloudEvents.
    pub cloud_events: u32,
}

pub(super) struct Courier {
    manners: Manners,
    rng: SmallRng,
    parcels: Queue<Parcel>,
}

enum Parcel {
    Fact(Arc<Fact>, Form),
    Bad(Arc<Fact>, Bad),
    SubscriptionTest(Id, Timestamp),
    Count(Count),
    Complete { batch: u64, count: usize, as_of: Timestamp },
    CountWithoutSku(Timestamp),
    Status(Status),
}

/// What becomes of one fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// As the courier's manners are.
    Usual,
    WithoutBody,
    /// So much later than all others.
    Delayed {
        ms: i64,
    },
    Lost,
}

// === impl Courier ===

impl Courier {
    pub fn new(manners: Manners, seed: u64) -> Self {
        // Its own numbers: how things are handed over does not change what happens.
        let rng = SmallRng::seed_from_u64(seed ^ 0x00c0_0000_71e4);
        Self { manners, rng, parcels: Queue::new() }
    }

    pub fn next_at(&self) -> Option<Timestamp> {
        self.parcels.next_at()
    }

    pub fn hand_over(&mut self) -> Option<Delivery> {
        let (timestamp, parcel) = self.parcels.pop()?;
        let notification = |value| Delivery { topic: NOTIFICATIONS, key: None, value, timestamp };
        let warehouse = |key: Option<&str>, value| {
            let key = key.map(|key| key.as_bytes().to_vec());
            Delivery { topic: WAREHOUSE, key, value, timestamp }
        };
        Some(match parcel {
            Parcel::Fact(fact, form) => notification(notification::render(&fact, form)),
            Parcel::Bad(fact, bad) => notification(notification::render_bad(&fact, bad)),
            Parcel::SubscriptionTest(id, at) => {
                notification(notification::subscription_test(id, at))
            }
            Parcel::Count(count) => {
                warehouse(Some(&count.entry.product.sku), stock::render(&count))
            }
            Parcel::Complete { batch, count, as_of } => {
                warehouse(None, stock::complete(batch, count, as_of))
            }
            Parcel::CountWithoutSku(as_of) => warehouse(None, stock::without_sku(as_of)),
            Parcel::Status(said) => {
                let (key, value) = (said.number.to_string(), management::render(&said));
                Delivery { topic: ORDER_MANAGEMENT, key: Some(key.into()), value, timestamp }
            }
        })
    }

    pub fn tell(&mut self, fact: Fact, fate: Fate) {
        let fact = Arc::new(fact);
        let mut at = fact.at.plus_ms(self.rng.random_range(1..=self.manners.transit_ms_max));
        let form = match fate {
            Fate::Lost => return,
            Fate::WithoutBody => Form::MessageWithoutBody,
            Fate::Delayed { ms } => {
                at = at.plus_ms(ms);
                Form::Message
            }
            Fate::Usual => {
                if self.happens(self.manners.late) {
                    at = at.plus_ms(self.rng.random_range(100..=self.manners.late_ms_max));
                }
                Form::Message
            }
        };
        let again_ms = self.rng.random_range(50..=self.manners.redelivery_ms_max);
        if self.happens(self.manners.doubled) {
            self.parcels.push(at.plus_ms(again_ms), Parcel::Fact(Arc::clone(&fact), form));
        }
        let is_message = fact.change.message_type().is_some();
        if is_message && fate == Fate::Usual && self.happens(self.manners.cloud_events) {
            self.parcels.push(at.plus_ms(90), Parcel::Fact(Arc::clone(&fact), Form::CloudEvent));
        }
        if is_message && self.happens(self.manners.changes) {
            let change = Parcel::Fact(Arc::clone(&fact), Form::ResourceChange);
            self.parcels.push(at.plus_ms(140), change);
        }
        self.parcels.push(at, Parcel::Fact(fact, form));
    }

    /// A record that breaks the contract, about a resource of its own.
    pub fn spoil(&mut self, fact: Fact, bad: Bad) {
        let at = fact.at.plus_ms(self.manners.transit_ms_max);
        self.parcels.push(at, Parcel::Bad(Arc::new(fact), bad));
    }

    pub fn greet(&mut self, subscription: Id, at: Timestamp) {
        self.parcels.push(at, Parcel::SubscriptionTest(subscription, at));
    }

    pub fn report(&mut self, said: Status) {
        self.parcels.push(said.as_of.plus_ms(2_000), Parcel::Status(said));
    }

    pub fn count(&mut self, count: Count) {
        let transit_ms = match count.kind {
            CountKind::Snapshot { .. } => 3_000,
            CountKind::Receipt { .. } | CountKind::Restock { .. } => 800,
        };
        self.parcels.push(count.as_of.plus_ms(transit_ms), Parcel::Count(count));
    }

    pub fn complete(&mut self, batch: u64, count: usize, as_of: Timestamp) {
        self.parcels.push(as_of.plus_ms(3_100), Parcel::Complete { batch, count, as_of });
    }

    pub fn count_without_sku(&mut self, as_of: Timestamp) {
        self.parcels.push(as_of.plus_ms(900), Parcel::CountWithoutSku(as_of));
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        self.rng.random_range(0..1_000) < per_mille
    }
}
