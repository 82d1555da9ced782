//! What the traffic promises to those who rely on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value as Json;

use super::{Day, Delivery, Load, NOTIFICATIONS, PROJECT, Traffic, WAREHOUSE};

const DAY: Day = Day { orders: 300, seed: 7 };

fn load() -> Load {
    Load { orders: 1_000, skus: 64, ..Load::default() }
}

/// The notification proper: without the CloudEvents around it.
fn notification(delivery: &Delivery) -> Option<Json> {
    let mut json: Json = serde_json::from_slice(&delivery.value).ok()?;
    Some(if json.get("specversion").is_some() { json["data"].take() } else { json })
}

fn is_message(json: &Json) -> bool {
    json["notificationType"] == "Message" && json["resource"].is_object()
}

/// Sequence numbers by resource, and the id that came with each.
fn sequences(deliveries: &[Delivery]) -> HashMap<String, BTreeMap<u64, BTreeSet<String>>> {
    let mut sequences: HashMap<String, BTreeMap<u64, BTreeSet<String>>> = HashMap::new();
    for json in deliveries.iter().filter_map(notification).filter(is_message) {
        if json["projectKey"] != PROJECT {
            continue;
        }
        let resource = json["resource"]["id"].as_str().expect("an id").to_owned();
        let sequence = json["sequenceNumber"].as_u64().expect("a sequence");
        let id = json["id"].as_str().expect("an id").to_owned();
        sequences.entry(resource).or_default().entry(sequence).or_default().insert(id);
    }
    sequences
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_others() {
    let day = |seed| Traffic::day(&Day { seed, ..DAY }).collect::<Vec<_>>();
    assert_eq!(day(7), day(7));
    assert_ne!(day(7), day(8));
    let load = |seed| Traffic::load(&Load { seed, ..load() }).collect::<Vec<_>>();
    assert_eq!(load(7), load(7));
    assert_ne!(load(7), load(8));
}

#[test]
fn time_never_falls_and_never_runs_behind_the_message() {
    for traffic in [Traffic::day(&DAY), Traffic::load(&load())] {
        let deliveries: Vec<Delivery> = traffic.collect();
        assert!(deliveries.is_sorted_by_key(|delivery| delivery.timestamp));
        for delivery in &deliveries {
            let Some(json) = notification(delivery) else { continue };
            let times = ["createdAt", "modifiedAt", "asOf"].map(|name| json[name].as_str());
            let Some(time) = times.into_iter().flatten().next() else { continue };
            let time: jiff::Timestamp = time.parse().expect("an instant");
            assert!(time.as_millisecond() <= delivery.timestamp.0);
        }
    }
}

#[test]
fn only_what_is_meant_to_be_bad_is_no_json() {
    let bad = |traffic: Traffic| {
        traffic.filter(|d| serde_json::from_slice::<Json>(&d.value).is_err()).count()
    };
    assert_eq!(bad(Traffic::day(&DAY)), 2);
    assert_eq!(bad(Traffic::load(&load())), 0);
}

#[test]
fn sequences_of_a_load_are_contiguous_and_one_id_stands_for_each() {
    let deliveries: Vec<Delivery> = Traffic::load(&load()).collect();
    let sequences = sequences(&deliveries);
    assert_eq!(sequences.len(), 1_000 + 64);
    for (resource, sequence) in sequences {
        let last = u64::try_from(sequence.len()).expect("a count");
        assert!(sequence.keys().copied().eq(1..=last), "{resource}: {sequence:?}");
        assert!(sequence.values().all(|ids| ids.len() == 1), "{resource}: {sequence:?}");
    }
}

#[test]
fn the_day_has_gaps_only_where_a_message_was_lost() {
    let deliveries: Vec<Delivery> = Traffic::day(&DAY).collect();
    let gaps = sequences(&deliveries)
        .values()
        .filter(|s| !s.keys().copied().eq(1..=s.len() as u64))
        .count();
    assert!((1..=3).contains(&gaps), "{gaps}");
}

#[test]
fn a_load_is_as_it_is_described() {
    let deliveries: Vec<Delivery> = Traffic::load(&load()).skip(64).collect();
    assert!(deliveries.iter().all(|d| d.topic == NOTIFICATIONS && d.key.is_none()));
    let bytes: usize = deliveries.iter().map(|d| d.value.len()).sum();
    let mean = bytes / deliveries.len();
    assert!((1_100..1_350).contains(&mean), "mean {mean}");
    let an_order = deliveries.len() as f64 / 1_000.0;
    assert!((7.5..9.5).contains(&an_order), "{an_order} deliveries an order");
    // Per thousand: handed over twice, and after a later message of the same resource.
    let (mut seen, mut last) = (BTreeSet::new(), HashMap::new());
    let (mut doubled, mut late) = (0, 0);
    for json in deliveries.iter().filter_map(notification).filter(is_message) {
        if !seen.insert(json["id"].to_string()) {
            doubled += 1;
            continue;
        }
        let sequence = json["sequenceNumber"].as_u64().expect("a sequence");
        let last = last.entry(json["resource"]["id"].to_string()).or_insert(0);
        late += usize::from(sequence < *last);
        *last = sequence.max(*last);
    }
    assert!((40..80).contains(&(doubled * 1_000 / seen.len())), "{doubled}");
    assert!((50..150).contains(&(late * 1_000 / seen.len())), "{late}");
}

#[test]
fn a_day_shows_everything_the_demo_tells_of() {
    let deliveries: Vec<Delivery> = Traffic::day(&DAY).collect();
    let text: Vec<_> = deliveries.iter().map(|d| String::from_utf8_lossy(&d.value)).collect();
    for expected in [
        "\"OrderCreated\"",
        "\"OrderStateChanged\"",
        "\"OrderPaymentStateChanged\"",
        "\"OrderShipmentStateChanged\"",
        "\"DeliveryAdded\"",
        "\"InventoryEntryCreated\"",
        "\"InventoryEntryQuantitySet\"",
        "\"ResourceCreated\"",
        "\"ResourceUpdated\"",
        "\"ResourceArchived\"",
        "\"payloadNotIncluded\"",
        "\"specversion\"",
        "\"OrderLoyaltyPointsGranted\"",
        "acme-eu-staging",
        "\"typeId\":\"subscription\"",
        "\"kind\":\"snapshot\"",
        "\"kind\":\"delta\"",
        "\"kind\":\"complete\"",
        "\"Cancelled\"",
        "\"Partial\"",
        "\"Backorder\"",
        "\"DeliveryRemoved\"",
        "\"DeliveryItemsUpdated\"",
        "\"ParcelAddedToDelivery\"",
        "\"OrderStateTransition\"",
        "\"OrderLineItemAdded\"",
        "\"OrderLineItemRemoved\"",
        "\"ReturnInfoAdded\"",
        "\"ReturnInfoSet\"",
        "\"BackInStock\"",
        "\"PaymentCreated\"",
        "\"PaymentTransactionAdded\"",
        "\"PaymentTransactionStateChanged\"",
        "\"Refund\"",
        "\"paymentInfo\"",
        "\"reason\":\"restock\"",
        "\"status\":\"RELEASED\"",
    ] {
        assert!(text.iter().any(|text| text.contains(expected)), "{expected}");
    }
    assert!(deliveries.iter().any(|d| d.topic == WAREHOUSE && d.key.is_some()));
    let created = text.iter().filter(|t| t.contains("\"type\":\"OrderCreated\"")).count();
    assert!(created >= 300);
}

#[test]
fn a_small_day_and_an_empty_one_end() {
    for orders in [0, 1, 5] {
        assert!(Traffic::day(&Day { orders, seed: 3 }).count() > 100);
    }
    let load = Load { orders: 0, skus: 2, ..Load::default() };
    assert_eq!(Traffic::load(&load).filter(|d| d.topic == NOTIFICATIONS).count() / 2, 1);
}
