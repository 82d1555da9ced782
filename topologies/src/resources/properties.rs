//! With every gap filled in the end, any interleaving and repetition of deliveries, at any pace,
//! in any form, leaves the same views, byte for byte. Skus that always have enough answer.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    outputs,
    testing::{START, deliver, delivery, document, order_created, order_message, state, tester},
};

const ORDERS: [&str; 3] = ["o1", "o2", "o3"];

#[derive(Clone, Debug)]
struct Delivery {
    order: usize,
    message: usize,
    form: u8,
    wait_ms: i64,
}

/// A history by choices: whatever they are, states follow from the ones before.
fn history(order: usize, choices: &[u8]) -> Vec<Value> {
    let mut states = ["Open", "Pending", "Pending"];
    let fields = ["orderState", "paymentState", "shipmentState"];
    let targets = [
        &["Open", "Confirmed", "Complete", "Cancelled"][..],
        &["BalanceDue", "Failed", "Pending", "CreditOwed", "Paid"],
        &["Shipped", "Delivered", "Ready", "Pending", "Partial", "Canceled"],
    ];
    let mut messages = vec![order_created(1)];
    for (choice, sequence) in choices.iter().zip(2u64..) {
        let quantity = i64::from(choice % 3) + 1;
        let message = match choice % 16 {
            0..=2 => delivery(sequence, &format!("d{sequence}"), "l1", quantity),
            3 => delivery(sequence, &format!("d{sequence}"), "l2", quantity),
            4 => order_message(sequence, "OrderShippingAddressSet", json!({})),
            5 => order_message(
                sequence,
                "OrderPaymentAdded",
                json!({"paymentRef": {"typeId": "payment", "id": format!("p{quantity}")}}),
            ),
            6 => order_message(sequence, "OrderStateChanged", json!({"orderState": "Melted"})),
            7 if choice / 16 > 12 => order_message(sequence, "OrderDeleted", json!({})),
            7 if choice / 16 > 6 => {
                let removed = json!({"delivery": {"id": format!("d{}", sequence - 1)}});
                order_message(sequence, "DeliveryRemoved", removed)
            }
            8 => {
                let items = json!([{"id": "l1", "quantity": quantity}]);
                let body = json!({"deliveryId": format!("d{}", sequence - 1), "items": items,
                                  "oldItems": [{"id": "l1", "quantity": 1}]});
                order_message(sequence, "DeliveryItemsUpdated", body)
            }
            other => {
                let dimension = usize::from(other % 3);
                let to = targets[dimension][usize::from(choice / 16) % targets[dimension].len()];
                let from = std::mem::replace(&mut states[dimension], to);
                state(sequence, fields[dimension], from, to)
            }
        };
        messages.push(message);
    }
    messages.iter().map(|message| renamed(message, ORDERS[order])).collect()
}

fn renamed(message: &Value, order: &str) -> Value {
    let text = message.to_string().replace("\"o1", &format!("\"{order}"));
    serde_json::from_str(&text).expect("JSON")
}

fn in_form(message: &Value, form: u8) -> Value {
    match form {
        0 => json!({"specversion": "1.0", "id": message["id"], "type": "t", "source": "s",
                    "data": message}),
        _ => message.clone(),
    }
}

/// Every message at least once, in any order, some of them again.
fn deliveries(lengths: Vec<usize>) -> impl Strategy<Value = Vec<Delivery>> {
    let all: Vec<_> = lengths
        .iter()
        .enumerate()
        .flat_map(|(order, length)| (0..*length).map(move |message| (order, message)))
        .collect();
    let again = prop::sample::subsequence(all.clone(), 0..=all.len());
    let repeated = again.prop_map(move |again| [all.clone(), again].concat());
    let paced = repeated.prop_shuffle().prop_flat_map(|messages| {
        let waits = [Just(0i64).boxed(), (0i64..2_000).boxed(), (0i64..90_000).boxed()];
        let wait = prop::strategy::Union::new_weighted(vec![
            (6, waits[0].clone()),
            (3, waits[1].clone()),
            (1, waits[2].clone()),
        ]);
        let pace = prop::collection::vec((wait, 0u8..3), messages.len());
        (Just(messages), pace)
    });
    paced.prop_map(|(messages, pace)| {
        let both = messages.into_iter().zip(pace);
        both.map(|((order, message), (wait_ms, form))| Delivery { order, message, form, wait_ms })
            .collect()
    })
}

fn histories() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<Delivery>)> {
    let choices = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), ORDERS.len());
    choices.prop_flat_map(|choices| {
        let lengths = choices.iter().map(|choices| choices.len() + 1).collect();
        (Just(choices), deliveries(lengths))
    })
}

fn views(tester: &aplomb_state::tester::Tester) -> Vec<Option<String>> {
    let view = |order: &&str| tester.latest(outputs::ORDER_VIEW, &format!("acme:{order}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ORDERS.iter().map(|order| view(order).map(text)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_and_repetition_ends_in_the_same_views(
        (choices, deliveries) in histories()
    ) {
        let histories: Vec<_> = choices
            .iter()
            .enumerate()
            .map(|(order, choices)| history(order, choices))
            .collect();
        let mut straight = tester(&document());
        for message in histories.iter().flatten() {
            deliver(&mut straight, message, 0);
        }
        let mut shuffled = tester(&document());
        let mut at_ms = 0;
        for delivery in &deliveries {
            at_ms += delivery.wait_ms;
            let message = &histories[delivery.order][delivery.message];
            deliver(&mut shuffled, &in_form(message, delivery.form), at_ms);
        }
        shuffled.advance(START.plus_ms(at_ms + 120_000)).expect("no fault");
        for (found, expected) in views(&shuffled).iter().zip(views(&straight)) {
            prop_assert_eq!(found, &expected);
        }
        for order in ORDERS {
            let shown = shuffled.view("orders", &format!("acme/{order}")).expect("a view");
            let latest = shuffled.latest(outputs::ORDER_VIEW, &format!("acme:{order}"));
            prop_assert_eq!(shown.as_deref().map(str::as_bytes), latest);
        }
    }
}
