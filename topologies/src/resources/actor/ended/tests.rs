use aplomb_state::{ids::Timestamp, tester::Tester, topology::View};
use serde_json::{Value, json};

use super::{BUFFER, CHECKPOINTS};
use crate::{
    outputs,
    resources::NAME,
    testing::{START, deliver, delivery, document, order_created, order_message, state},
};

const DAY_MS: i64 = 24 * 3_600_000;

/// How many rows of `buffer` and of `checkpoints` there are for an actor.
fn kept_view() -> View {
    View {
        name: "kept",
        stage: NAME,
        key: |actor| Ok(actor.as_bytes().to_vec()),
        render: |state, actor| {
            let count = |store| state.scan(store, actor, 1_000).map(|rows| rows.len());
            Ok(Some(format!("{}+{}", count(BUFFER.name)?, count(CHECKPOINTS.name)?)))
        },
    }
}

fn kept(tester: &Tester) -> String {
    let kept = tester.view("kept", "acme:order:o1").expect("a view");
    kept.expect("a text")
}

fn tester(rules: &Value) -> Tester {
    let mut document = document();
    document["rules"] = rules.clone();
    crate::testing::tester_with(&document, vec![kept_view()])
}

fn removed() -> Value {
    json!({"notificationType": "ResourceDeleted", "projectKey": "acme", "version": 9,
        "resource": {"typeId": "order", "id": "o1"}, "modifiedAt": "2026-03-02T08:00:00.000Z"})
}

fn erased() -> Value {
    let mut erased = removed();
    erased["dataErasure"] = json!(true);
    erased
}

fn deleted(sequence: u64) -> Value {
    order_message(sequence, "OrderDeleted", json!({}))
}

fn confirmed(sequence: u64) -> Value {
    state(sequence, "orderState", "Open", "Confirmed")
}

#[test]
fn what_is_kept_of_an_ended_order_goes_when_nothing_more_can_come() {
    let (default, month) = (json!({}), START.plus_ms(40 * DAY_MS));
    let soon = json!({"deletion_marker_ms": 1_000});
    let two = json!({"heal_window_messages": 2});
    let window = START.plus_ms(8 * DAY_MS);
    // case, rules, deliveries a second apart, rows kept, then until when, rows kept
    #[rustfmt::skip]
    let rows: Vec<(&str, &Value, Vec<Value>, &str, Timestamp, &str)> = vec![
        ("in order", &default, vec![order_created(1), deleted(2)], "0+0", month, "0+0"),
        ("in order, then by the change", &default,
            vec![order_created(1), deleted(2), removed()], "0+0", month, "0+0"),
        ("the change before the message", &default,
            vec![order_created(1), removed(), deleted(2)], "0+0", month, "0+0"),
        ("all of it after the change", &default,
            vec![removed(), deleted(3), confirmed(2), order_created(1)], "0+0", month, "0+0"),
        ("one still waits when the change comes", &default,
            vec![order_created(1), deleted(3), removed(), confirmed(2)], "0+0", month, "0+0"),
        ("awaited until the window is over", &default,
            vec![removed(), confirmed(2)], "1+1", window, "0+0"),
        ("awaited, and doubled", &default,
            vec![removed(), confirmed(2), removed(), confirmed(2)], "1+1", window, "0+0"),
        ("awaited until the marker is over", &soon,
            vec![removed(), confirmed(2)], "1+1", START.plus_ms(9_000), "0+0"),
        ("erased in one", &default,
            vec![confirmed(2), erased(), confirmed(3)], "0+0", month, "0+0"),
        ("erased while awaited", &default,
            vec![removed(), confirmed(2), erased(), confirmed(3)], "0+0", month, "0+0"),
        ("full", &two,
            vec![removed(), confirmed(2), confirmed(3), confirmed(4)], "0+0", month, "0+0"),
    ];
    for (case, rules, deliveries, expected, until, left) in rows {
        let mut tester = tester(rules);
        for (value, second) in deliveries.iter().zip(0..) {
            deliver(&mut tester, value, second * 100);
        }
        assert_eq!(kept(&tester), expected, "{case}");
        assert_eq!(tester.latest(outputs::ORDER_VIEW, "acme:o1"), None, "{case}");
        tester.advance(until).expect("no fault");
        assert_eq!(kept(&tester), left, "{case}, later");
    }
}

#[test]
fn a_deletion_behind_a_gap_that_was_given_up_awaits_the_missing() {
    let mut tester = tester(&json!({}));
    deliver(&mut tester, &order_created(1), 0);
    deliver(&mut tester, &confirmed(3), 0);
    deliver(&mut tester, &deleted(4), 100_000);
    assert_eq!(kept(&tester), "2+1");
    let sent = tester.of_topic(outputs::INVENTORY_EVENTS).count();
    deliver(&mut tester, &delivery(2, "d1", "l1", 1), 100_001);
    assert_eq!(kept(&tester), "0+0");
    let told = tester.of_topic(outputs::INVENTORY_EVENTS).count();
    assert_eq!(told, sent + 1, "the line that was shipped");
    deliver(&mut tester, &delivery(2, "d1", "l1", 1), 100_002);
    deliver(&mut tester, &delivery(5, "d2", "l1", 1), 100_003);
    assert_eq!(tester.of_topic(outputs::INVENTORY_EVENTS).count(), told, "nothing more");
}
