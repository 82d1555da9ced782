//! Every record of the demo's day is as the schema says that it names.
#![cfg(feature = "commerce")]
#![expect(clippy::unwrap_used, reason = "the schemas are read as they stand in the project")]

#[path = "../topologies/tests/schemas/mod.rs"]
mod schemas;

use std::{collections::BTreeSet, error::Error};

use aplomb::commerce::traffic::{
    DAY_START, Day, NOTIFICATIONS, ORDER_MANAGEMENT, Traffic, WAREHOUSE,
};
use aplomb_state::tester::Tester;
use serde_json::json;

#[test]
fn every_record_of_a_day_is_as_its_schema_says() -> Result<(), Box<dyn Error>> {
    let flows = [
        ("commercetools", NOTIFICATIONS),
        ("warehouse", WAREHOUSE),
        ("order-management", ORDER_MANAGEMENT),
    ];
    let settings = json!({
        "flows": [
            {"name": "commercetools", "topic": NOTIFICATIONS},
            {"name": "warehouse", "topic": WAREHOUSE, "system": "wms", "kind": "stock"},
            {"name": "order-management", "topic": ORDER_MANAGEMENT, "system": "oms", "kind": "order",
             "order_number_prefix": "OMS-",
             "statuses": {"RELEASED": {"order_states": ["Confirmed"]},
                          "SHIPPED": {"shipment_states": ["Shipped", "Delivered"]},
                          "CANCELLED": {"order_states": ["Cancelled"]},
                          "CLOSED": {"order_states": ["Complete"]}}},
        ],
        "rules": {"bootstrap_entries": "none"},
    });
    let topology = aplomb_topologies::topology();
    let settings = settings.to_string();
    let mut tester = Tester::new(topology, &flows, settings.as_bytes(), DAY_START)
        .map_err(|fault| fault.reason)?;
    for delivery in Traffic::day(&Day { orders: 200, seed: 1 }) {
        let (topic, at) = (delivery.topic, delivery.timestamp);
        tester
            .deliver(topic, None, Some(&delivery.value), &[], at)
            .map_err(|fault| fault.reason)?;
    }
    tester.finish().map_err(|fault| fault.reason)?;
    let mut faults = Vec::new();
    schemas::check(&tester.outputs, &mut faults);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let topics: BTreeSet<_> = tester.outputs.iter().map(|record| record.topic).collect();
    assert!(topics.len() > 12, "a day of {topics:?} alone");
    Ok(())
}
