use serde_json::{Value, json};

use crate::{
    outputs,
    resources::payments_view,
    testing::{deliver, document, message, order_body, order_message, state, tester_with},
};

fn created(sequence: u64, transactions: Value) -> Value {
    let amount = json!({"type": "centPrecision", "currencyCode": "EUR", "centAmount": 1000});
    let payment = json!({"id": "p1", "amountPlanned": amount, "transactions": transactions,
                         "customer": {"typeId": "customer", "id": "c1"},
                         "paymentMethodInfo": {"method": "CARD", "token": {"value": "secret"},
                                               "interfaceAccount": "anna@example.com"}});
    message(("payment", "p1"), sequence, "PaymentCreated", json!({"payment": payment}))
}

#[test]
fn the_view_on_demand_is_the_one_on_the_topic_and_has_nothing_personal() {
    let mut tester = tester_with(&document(), vec![payments_view()]);
    deliver(&mut tester, &created(1, json!([])), 0);
    let last = tester.latest(outputs::PAYMENT_VIEW, "acme:p1").expect("a record").to_vec();
    for path in ["acme/p1", "acme:p1"] {
        let shown = tester.view("payments", path).expect("a view").expect("a payment");
        assert_eq!(shown.as_bytes(), last);
        for word in ["c1", "secret", "anna"] {
            assert!(!shown.contains(word), "{word} in {shown}");
        }
    }
    assert_eq!(tester.view("payments", "acme/none"), Ok(None));
    assert!(tester.view("payments", "acme").is_err());
}

#[test]
fn a_transaction_that_cannot_be_read_is_rejected_and_the_view_is_incomplete() {
    let mut tester = tester_with(&document(), vec![payments_view()]);
    deliver(&mut tester, &created(1, json!([])), 0);
    let amount = json!({"currencyCode": "EUR", "centAmount": 1});
    let odd = json!({"transaction": {"id": "t1", "type": "Gift", "amount": amount}});
    let odd = message(("payment", "p1"), 2, "PaymentTransactionAdded", odd);
    deliver(&mut tester, &odd, 0);
    let view = tester.latest(outputs::PAYMENT_VIEW, "acme:p1").expect("a view");
    let view: Value = serde_json::from_slice(view).expect("JSON");
    assert_eq!(view["incomplete"], true);
    assert_eq!(view["sequence"], 2);
    assert_eq!(tester.of_topic(outputs::DLQ).count(), 1);
}

/// Failed → Paid without a payment; that comes when the grace is over.
#[test]
fn each_verdict_on_a_claim_supersedes_the_one_before() {
    let mut tester = tester_with(&document(), vec![payments_view()]);
    let mut order = order_body();
    order["paymentState"] = json!("Failed");
    let linked = json!({"paymentRef": {"typeId": "payment", "id": "p1"}});
    let charge = json!({"id": "t1", "type": "Charge", "state": "Success",
                        "amount": {"currencyCode": "EUR", "centAmount": 5000}});
    for (message, at_ms) in [
        (order_message(1, "OrderCreated", json!({"order": order})), 0),
        (state(2, "paymentState", "Failed", "Paid"), 0),
        (order_message(3, "OrderPaymentAdded", linked), 1_000),
        (created(1, json!([charge])), 70_000),
    ] {
        deliver(&mut tester, &message, at_ms);
    }
    let records: Vec<_> = tester.of_topic(outputs::ORDER_VERDICTS).collect();
    let mut before = None;
    let mut judged = Vec::new();
    for record in records {
        let verdict: Value =
            serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        assert_eq!(verdict["supersedes"].as_str().map(str::to_owned), before);
        let id = record.headers.get("ce_id").expect("an id");
        before = Some(String::from_utf8_lossy(id).into_owned());
        judged.push(verdict["verdict"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(judged, ["legal_with_warning", "violation", "legal_with_warning"]);
}
