//! A warehouse's whole count of more skus than one step looks at.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test says what it expects")]

use aplomb_state::{ids::Timestamp, tester::Tester};
use aplomb_topologies::outputs;
use serde_json::{Value, json};

const WAREHOUSE: &str = "sor.wms.stock.v1";
const START: Timestamp = Timestamp(1_772_409_600_000);
/// A step looks at a thousand.
const SKUS: i64 = 2_500;

struct Feed {
    tester: Tester,
    at: Timestamp,
}

impl Feed {
    fn new() -> Self {
        let settings = json!({
            "flows": [{"name": "warehouse", "topic": WAREHOUSE, "system": "wms", "kind": "stock",
                       "project_key": "shop"}],
            "rules": {"bootstrap_entries": "none"},
        });
        let settings = settings.to_string();
        let flows = [("warehouse", WAREHOUSE)];
        let topology = aplomb_topologies::topology();
        let tester = Tester::new(topology, &flows, settings.as_bytes(), START).expect("a tester");
        Self { tester, at: START }
    }

    fn send(&mut self, mut record: Value) {
        self.at = self.at.plus_ms(1);
        record["entity"] = json!("stock");
        record["asOf"] = json!(aplomb_topologies::time::format(self.at));
        let value = record.to_string();
        let sent = self.tester.deliver(WAREHOUSE, None, Some(value.as_bytes()), &[], self.at);
        sent.expect("no fault");
    }

    fn count(&mut self, batch: &str, skus: std::ops::Range<i64>, told: i64) {
        for sku in skus {
            self.send(
                json!({"kind": "snapshot", "batchId": batch, "ids": {"sku": format!("S{sku}")},
                             "value": {"quantity": 7}}),
            );
        }
        self.send(json!({"kind": "complete", "batchId": batch,
                         "value": {"partitions": 1, "count": told}}));
    }

    fn on_hand(&self, sku: i64) -> Value {
        let key = format!("shop:S{sku}:~");
        let value = self.tester.latest(outputs::INVENTORY_AVAILABILITY, &key).expect("a record");
        serde_json::from_slice::<Value>(value).unwrap()["onHand"].clone()
    }
}

#[test]
fn what_a_whole_count_does_not_name_is_gone_however_many_they_are() {
    let mut feed = Feed::new();
    feed.count("b1", 0..SKUS, SKUS);
    assert!((0..SKUS).all(|sku| feed.on_hand(sku) == 7));
    feed.count("b2", 0..2, 2);
    assert!((0..2).all(|sku| feed.on_hand(sku) == 7));
    let there: Vec<i64> = (2..SKUS).filter(|sku| feed.on_hand(*sku) != 0).collect();
    assert!(there.is_empty(), "{there:?}");
}

#[test]
fn a_count_that_lost_a_record_changes_nothing() {
    let mut feed = Feed::new();
    feed.count("b1", 0..SKUS, SKUS);
    feed.count("b2", 0..2, 3);
    assert!((0..SKUS).all(|sku| feed.on_hand(sku) == 7));
}
