//! With every gap filled in the end, any interleaving and repetition of deliveries, at any pace,
//! in any form, leaves the same views of orders and payments, byte for byte. Skus that always have
//! enough answer.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    outputs,
    resources::{orders_view, payments_view},
    testing::{
        START, deliver, delivery, document, message, order_created, order_message, state,
        tester_with,
    },
};

const ORDERS: [&str; 3] = ["o1", "o2", "o3"];
/// Orders link and unlink these.
const PAYMENTS: [&str; 3] = ["p1", "p2", "p3"];
/// Past every grace.
const END_MS: i64 = 20 * 86_400_000;

#[derive(Clone, Debug)]
struct Delivery {
    resource: usize,
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
            9 => order_message(
                sequence,
                "OrderPaymentRemoved",
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

/// A payment of several transactions, of which some are in another currency, some come to no end
/// and some were never added.
fn payment(id: &str, choices: &[u8]) -> Vec<Value> {
    let amount = |cents: i64, currency: &str| {
        json!({"type": "centPrecision", "currencyCode": currency, "centAmount": cents,
               "fractionDigits": 2})
    };
    let resource = ("payment", id);
    let method = json!({"method": if id == "p2" { "INVOICE" } else { "CARD" }});
    let created = json!({"id": id, "amountPlanned": amount(5_000, "EUR"), "transactions": [],
                         "paymentMethodInfo": method});
    let mut messages = vec![message(resource, 1, "PaymentCreated", json!({"payment": created}))];
    let states = ["Initial", "Pending", "Success", "Failure"];
    let kinds = ["Authorization", "Charge", "Refund", "Chargeback", "CancelAuthorization"];
    for (choice, sequence) in choices.iter().zip(2u64..) {
        let state = states[usize::from(choice / 16) % states.len()];
        let one = match choice % 8 {
            0..=3 => {
                let currency = if choice % 16 == 11 { "USD" } else { "EUR" };
                let cents = 2_500 * i64::from(choice / 64 + 1);
                let kind = kinds[usize::from(choice / 4) % kinds.len()];
                let transaction = json!({"id": format!("t{sequence}"), "type": kind,
                                         "amount": amount(cents, currency), "state": state});
                let body = json!({"transaction": transaction});
                message(resource, sequence, "PaymentTransactionAdded", body)
            }
            4..=5 => {
                let of = sequence.saturating_sub(u64::from(choice % 3) + 1);
                let body = json!({"transactionId": format!("t{of}"), "state": state});
                message(resource, sequence, "PaymentTransactionStateChanged", body)
            }
            6 if choice / 32 > 6 => {
                messages.push(json!({"notificationType": "ResourceDeleted", "version": sequence,
                    "projectKey": "acme", "resource": {"typeId": "payment", "id": id},
                    "modifiedAt": crate::time::format(START)}));
                break;
            }
            6 => message(resource, sequence, "PaymentMethodInfoMethodSet", json!({"method": "X"})),
            _ => message(resource, sequence, "PaymentTransactionAdded", json!({"odd": 1})),
        };
        messages.push(one);
    }
    messages
}

fn renamed(message: &Value, order: &str) -> Value {
    let text = message.to_string().replace("\"o1", &format!("\"{order}"));
    serde_json::from_str(&text).expect("JSON")
}

fn in_form(message: &Value, form: u8) -> Value {
    match form {
        0 if message["notificationType"] == "Message" => {
            json!({"specversion": "1.0", "id": message["id"], "type": "t", "source": "s",
                    "data": message})
        }
        _ => message.clone(),
    }
}

/// Every message at least once, in any order, some of them again.
fn deliveries(lengths: Vec<usize>) -> impl Strategy<Value = Vec<Delivery>> {
    let all: Vec<_> = lengths
        .iter()
        .enumerate()
        .flat_map(|(resource, length)| (0..*length).map(move |message| (resource, message)))
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
        both.map(|((resource, message), (wait_ms, form))| Delivery {
            resource,
            message,
            form,
            wait_ms,
        })
        .collect()
    })
}

fn histories() -> impl Strategy<Value = (Vec<Vec<Value>>, Vec<Delivery>)> {
    let choices = |of: usize| prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), of);
    let both = (choices(ORDERS.len()), choices(PAYMENTS.len()));
    both.prop_flat_map(|(orders, payments)| {
        let orders = orders.iter().enumerate().map(|(order, choices)| history(order, choices));
        let payments = PAYMENTS.iter().zip(&payments).map(|(id, choices)| payment(id, choices));
        let histories: Vec<_> = orders.chain(payments).collect();
        let lengths = histories.iter().map(Vec::len).collect();
        (Just(histories), deliveries(lengths))
    })
}

fn views(tester: &aplomb_state::tester::Tester) -> Vec<Option<String>> {
    let orders = ORDERS.iter().map(|id| (outputs::ORDER_VIEW, id));
    let payments = PAYMENTS.iter().map(|id| (outputs::PAYMENT_VIEW, id));
    let view = |(topic, id): (&str, &&str)| tester.latest(topic, &format!("acme:{id}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    orders.chain(payments).map(|place| view(place).map(text)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_interleaving_and_repetition_ends_in_the_same_views(
        (histories, deliveries) in histories()
    ) {
        let mut document = document();
        document["rules"] = json!({"payments": {"pay_later": ["INVOICE"]}});
        let tester = || tester_with(&document, vec![orders_view(), payments_view()]);
        let mut straight = tester();
        for message in histories.iter().flatten() {
            deliver(&mut straight, message, 0);
        }
        straight.advance(START.plus_ms(END_MS)).expect("no fault");
        let mut shuffled = tester();
        let mut at_ms = 0;
        for delivery in &deliveries {
            at_ms += delivery.wait_ms;
            let message = &histories[delivery.resource][delivery.message];
            deliver(&mut shuffled, &in_form(message, delivery.form), at_ms);
        }
        shuffled.advance(START.plus_ms(at_ms + END_MS)).expect("no fault");
        for (found, expected) in views(&shuffled).iter().zip(views(&straight)) {
            prop_assert_eq!(found, &expected);
        }
        for order in ORDERS {
            let shown = shuffled.view("orders", &format!("acme/{order}")).expect("a view");
            let latest = shuffled.latest(outputs::ORDER_VIEW, &format!("acme:{order}"));
            prop_assert_eq!(shown.as_deref().map(str::as_bytes), latest);
        }
        for payment in PAYMENTS {
            let shown = shuffled.view("payments", &format!("acme/{payment}")).expect("a view");
            let latest = shuffled.latest(outputs::PAYMENT_VIEW, &format!("acme:{payment}"));
            prop_assert_eq!(shown.as_deref().map(str::as_bytes), latest);
        }
    }
}
