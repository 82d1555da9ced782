//! Orders placed, one notification each, over stock that does not run out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, Producer},
};

use crate::live::{Application, Outcome, feed::hand_over};

const SKUS: u64 = 5_000;
const STOCK: u64 = 1_000_000_000;

pub struct Orders {
    producer: BaseProducer,
    application: Application,
    placed: u64,
}

/// Ends the placing before its count is reached.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Orders {
    pub fn connect(bootstrap: &str, application: &Application) -> Outcome<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()?;
        let orders = Self { producer, application: application.clone(), placed: 0 };
        for sku in 0..SKUS {
            orders.send(sku, &entry(sku))?;
        }
        Ok(orders)
    }

    pub fn placed(&self) -> u64 {
        self.placed
    }

    /// Places so many, at this pace or as fast as it goes.
    pub fn place(&mut self, count: u64, per_second: Option<u32>, stop: &Stop) -> Outcome {
        let started = Instant::now();
        for number in 0..count {
            if stop.0.load(Ordering::Relaxed) {
                break;
            }
            if let Some(per_second) = per_second {
                let nanos = number * 1_000_000_000 / u64::from(per_second);
                let due = started + Duration::from_nanos(nanos);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            self.send(self.placed, &order(self.placed))?;
            self.placed += 1;
        }
        Ok(self.producer.flush(Duration::from_secs(120))?)
    }

    fn send(&self, number: u64, value: &str) -> Outcome {
        let partitions = u64::try_from(self.application.partitions)?;
        let partition = i32::try_from(number % partitions)?;
        hand_over(&self.producer, &self.application.input, partition, value.as_bytes())
    }
}

fn entry(sku: u64) -> String {
    let body = format!(
        r#""inventoryEntry":{{"id":"e{sku}","version":1,"sku":"s{sku}","quantityOnStock":{STOCK},"availableQuantity":{STOCK}}}"#
    );
    message("inventory-entry", &format!("e{sku}"), "InventoryEntryCreated", &body)
}

fn order(number: u64) -> String {
    let line = |place: u64| {
        let sku = number.wrapping_mul(2_654_435_761).wrapping_add(place * 7) % SKUS;
        format!(
            r#"{{"id":"l{place}","productId":"p{sku}","variant":{{"id":1,"sku":"s{sku}"}},"quantity":1,"productType":{{"typeId":"product-type","id":"goods"}},"lineItemMode":"Standard","inventoryMode":"ReserveOnOrder"}}"#
        )
    };
    let body = format!(
        r#""order":{{"id":"o{number}","version":1,"createdAt":"{NOW}","orderNumber":"N-{number}","orderState":"Open","paymentState":"Pending","shipmentState":"Pending","totalPrice":{{"type":"centPrecision","currencyCode":"EUR","centAmount":5000,"fractionDigits":2}},"lineItems":[{},{}]}}"#,
        line(0),
        line(1),
    );
    message("order", &format!("o{number}"), "OrderCreated", &body)
}

/// Its instant only has to lie before the log's.
const NOW: &str = "2026-08-01T00:00:00.000Z";

fn message(kind: &str, id: &str, message: &str, body: &str) -> String {
    format!(
        r#"{{"notificationType":"Message","projectKey":"shop","version":1,"id":"{id}-1","sequenceNumber":1,"resource":{{"typeId":"{kind}","id":"{id}"}},"resourceVersion":1,"type":"{message}","createdAt":"{NOW}","lastModifiedAt":"{NOW}",{body}}}"#
    )
}
