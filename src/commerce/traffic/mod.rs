//! Made-up deliveries of a shop that looks real: a pure function of a seed, without a clock.
//!
//! A small world of stock and orders moves through events in time order ([`world`]); what happens
//! there becomes facts, and a courier hands them over the way commercetools does: doubled, late,
//! out of order, in several forms, now and then not at all.
//!
//! [`Traffic::day`] is one eventful day for the demo, [`Traffic::load`] a steady stream for fault
//! tests and benches.

mod acts;
mod body;
mod catalog;
mod courier;
mod day;
mod fact;
mod json;
mod life;
mod load;
mod management;
mod notification;
mod payment;
mod queue;
mod returns;
mod stock;
mod stories;
#[cfg(test)]
mod test;
mod world;

use aplomb_state::ids::Timestamp;

pub use self::{
    catalog::{Channel, PROJECT},
    day::{Day, START as DAY_START},
    load::Load,
};
use self::{courier::Courier, world::World};

pub const NOTIFICATIONS: &str = "commercetools.notifications.v1";
pub const WAREHOUSE: &str = "sor.wms.stock.v1";
/// How the warehouse signs its records.
pub const WAREHOUSE_SYSTEM: &str = "wms";

pub const ORDER_MANAGEMENT: &str = "sor.oms.order.v1";
pub const ORDER_MANAGEMENT_SYSTEM: &str = "oms";

/// One external record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub topic: &'static str,
    /// Absent: notifications have no key, so they spread over the partitions.
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// When it was handed over: at or after the time that stands inside. Never falls.
    pub timestamp: Timestamp,
}

/// The deliveries, in the order they are handed over.
pub struct Traffic {
    world: World,
    courier: Courier,
}

impl Traffic {
    pub fn day(day: &Day) -> Self {
        let (world, courier) = day::begin(day);
        Self { world, courier }
    }

    pub fn load(load: &Load) -> Self {
        let (world, courier) = load::begin(load);
        Self { world, courier }
    }
}

impl Iterator for Traffic {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        loop {
            // Whatever happens later is handed over later, so that what is due before the next
            // event is complete.
            match (self.world.next_at(), self.courier.next_at()) {
                (Some(event), Some(parcel)) if parcel > event => self.world.step(&mut self.courier),
                (Some(_), None) => self.world.step(&mut self.courier),
                (_, Some(_)) => return self.courier.hand_over(),
                (None, None) => return None,
            }
        }
    }
}
