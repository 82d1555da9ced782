use serde_json::{Value, json};

use super::{
    fold::Order,
    outcomes::{Judgement, Outcome, Verdict},
    *,
};
use crate::{
    resources::delivered::Head,
    settings::{Level, Rules},
    testing,
};

fn head(message: &Value) -> Head {
    let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
    Head {
        project: text("projectKey"),
        type_id: "order".to_owned(),
        resource_id: "o1".to_owned(),
        sequence: message["sequenceNumber"].as_u64().unwrap_or_default(),
        resource_version: message["resourceVersion"].as_u64().unwrap_or_default(),
        message_type: text("type"),
        message_id: text("id"),
        created_at: testing::START,
        payload_missing: None,
        identifiers: Vec::new(),
    }
}

fn apply(order: &mut Order, message: &Value, rules: &Rules) -> Vec<Outcome> {
    let head = head(message);
    let fact = facts::read(&head.message_type, &message.to_string()).expect("a fact");
    order.apply(&head, &fact, rules)
}

/// Each row: steps from an order that was just created → the verdict on the last, open codes.
#[test]
fn cross_field_rules_judge_by_their_level() {
    let state = testing::state;
    let (error, warn) = (Judgement::Violation, Judgement::LegalWithWarning);
    let failed = state(2, "paymentState", "Pending", "Failed");
    let shipped = state(3, "shipmentState", "Pending", "Shipped");
    let complete = state(4, "orderState", "Confirmed", "Complete");
    let cancelled = state(4, "orderState", "Open", "Cancelled");
    let some = testing::delivery(5, "d1", "l1", 1);
    let many = testing::delivery(5, "d1", "l1", 4);
    let rows: [(&str, Vec<&Value>, Judgement, &str); 5] = [
        ("x1", vec![&failed, &shipped], error, "ORDER_SHIPPED_UNPAID"),
        ("x1", vec![&shipped, &failed], error, "ORDER_SHIPPED_UNPAID"),
        ("x3", vec![&complete], error, "ORDER_COMPLETE_NOT_SHIPPED"),
        ("x5", vec![&some, &cancelled], error, "ORDER_CANCELLED_AFTER_SHIP"),
        ("x8", vec![&many], error, "ORDER_OVERDELIVERED"),
    ];
    for (rule, steps, judgement, code) in rows {
        for (level, expected) in
            [(Level::Error, Some(judgement)), (Level::Warn, Some(warn)), (Level::Off, None)]
        {
            let mut rules = Rules::default();
            let levels = &mut rules.levels;
            for slot in [&mut levels.x1, &mut levels.x3, &mut levels.x5, &mut levels.x8] {
                *slot = Level::Off;
            }
            match rule {
                "x1" => rules.levels.x1 = level,
                "x3" => rules.levels.x3 = level,
                "x5" => rules.levels.x5 = level,
                _ => rules.levels.x8 = level,
            }
            let mut order = Order::default();
            apply(&mut order, &testing::order_created(1), &rules);
            order.conditions.clear();
            let mut outcomes = Vec::new();
            for step in &steps {
                outcomes = apply(&mut order, step, &rules);
            }
            let crossed = outcomes.iter().find_map(|outcome| match outcome {
                Outcome::Verdict(verdict) if verdict.rule == rule.to_uppercase() => {
                    Some(verdict.judgement)
                }
                _ => None,
            });
            assert_eq!(crossed, expected, "{rule} {level:?}");
            let codes: Vec<_> = order.conditions.iter().map(|open| open.code.name()).collect();
            assert_eq!(codes.contains(&code), level != Level::Off, "{rule} {level:?} {codes:?}");
        }
    }
}

/// (change, verdict, last legal state after it, open code)
#[test]
fn illegal_changes_keep_the_last_legal_state_until_a_legal_one() {
    let rows = [
        (("orderState", "Open", "Complete"), Some(Judgement::LegalWithWarning), "Complete", None),
        (
            ("orderState", "Complete", "Open"),
            Some(Judgement::Violation),
            "Complete",
            Some("ORDER_TERMINAL_LEFT"),
        ),
        (("orderState", "Open", "Open"), None, "Complete", Some("ORDER_TERMINAL_LEFT")),
        (("orderState", "Open", "Confirmed"), Some(Judgement::Legal), "Confirmed", None),
        (
            ("shipmentState", "Pending", "Delivered"),
            Some(Judgement::Violation),
            "Pending",
            Some("ORDER_ILLEGAL_TRANSITION"),
        ),
        (
            ("paymentState", "Pending", "Failed"),
            Some(Judgement::Legal),
            "Failed",
            Some("ORDER_ILLEGAL_TRANSITION"),
        ),
        (
            ("paymentState", "Failed", "Paid"),
            Some(Judgement::LegalWithWarning),
            "Paid",
            Some("ORDER_ILLEGAL_TRANSITION"),
        ),
    ];
    let mut rules = Rules::default();
    rules.levels.x1 = Level::Off;
    rules.levels.x3 = Level::Off;
    rules.levels.x4 = Level::Off;
    let mut order = Order::default();
    apply(&mut order, &testing::order_created(1), &rules);
    for (((field, from, to), judgement, legal, code), sequence) in rows.into_iter().zip(2..) {
        let outcomes = apply(&mut order, &testing::state(sequence, field, from, to), &rules);
        let verdict = outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Verdict(Verdict { judgement, .. }) => Some(*judgement),
            _ => None,
        });
        assert_eq!(verdict, judgement, "{field} {from} {to}");
        let place =
            ["orderState", "paymentState", "shipmentState"].iter().position(|name| *name == field);
        let last = order.legal[place.expect("a dimension")].map(transitions::State::name);
        assert_eq!(last, Some(legal), "{field} {from} {to}");
        let open = order.conditions.iter().map(|open| open.code.name()).next();
        assert_eq!(open, code, "{field} {from} {to}");
    }
}

#[test]
fn digital_orders_need_no_shipping() {
    let mut rules = Rules::default();
    rules.digital_product_types.insert("goods".to_owned());
    let mut order = Order::default();
    apply(&mut order, &testing::order_created(1), &rules);
    apply(&mut order, &testing::state(2, "orderState", "Confirmed", "Complete"), &rules);
    let codes: Vec<_> = order.conditions.iter().map(|open| open.code.name()).collect();
    assert!(!codes.contains(&"ORDER_COMPLETE_NOT_SHIPPED"), "{codes:?}");
}

#[test]
fn unreadable_states_and_quantities_are_refused() {
    let rows = [
        ("OrderStateChanged", json!({"orderState": "Canceled"}), "orderState"),
        ("OrderShipmentStateChanged", json!({"shipmentState": "Cancelled"}), "shipmentState"),
        ("OrderPaymentStateChanged", json!({"paymentState": 1}), "schema"),
        ("OrderStateChanged", json!({}), "schema"),
        (
            "DeliveryAdded",
            json!({"delivery": {"id": "d", "items": [{"id": "l", "quantity": -1}]}}),
            "delivery.items.quantity",
        ),
        (
            "OrderCreated",
            json!({"order": {"lineItems": [{"id": "l", "quantity": -1}]}}),
            "lineItems.quantity",
        ),
    ];
    for (kind, body, rule) in rows {
        let rejection = facts::read(kind, &body.to_string()).expect_err(rule);
        assert_eq!(rejection.rule, rule);
    }
}
