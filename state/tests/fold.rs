//! What one task does with its inbox: the invariants of `fold` and `context`, row by row.

mod places;
mod script;

use aplomb_state::{
    codec, effect::Target, envelope::Envelope, fold::TIMERS_PER_TICK_MAX, ids::Timestamp,
    store::StoreId,
};
use script::{EXPIRING_ID, ITEMS_ID, LIMITS, Rig, configuration, message};

/// The exception of a rejected record: what goes to the cases, and to the output.
fn exception(at: i64, text: &str) -> Vec<String> {
    vec![format!("Message at {at} hop 1: {text}"), format!("exception {text}")]
}

#[test]
fn every_input_yields_its_effects_whole_or_one_exception() {
    let long = "x".repeat(600);
    let half = "x".repeat(300);
    // (script, effects or exception)
    let rows: Vec<(String, Result<Vec<&str>, &str>)> = vec![
        ("put a 1; emit a 1; show a".into(), Ok(vec!["a=1", "a=1"])),
        ("put a 2; emit a 2; reject rule".into(), Err("CODE rule of actor")),
        ("put a 2; emit a 2; schedule 9 emit t 1; panic oh no".into(), Err("Panic panic of actor")),
        ("large 97; delete a; ignore large 101".into(), Err("Limit value_bytes_max of actor")),
        ("put a 2; ignore flood 9 x".into(), Err("Limit effects_max of actor")),
        (format!("put a 2; ignore emit a {long}"), Err("Limit record_bytes_max of actor")),
        (format!("put a 2; flood 7 {half}; show a"), Err("Limit effects_bytes_max of actor")),
        ("put a 2; ignore fill 17".into(), Err("Limit writes_max of actor")),
        ("put a 2; schedule 9 t; ignore fill 15".into(), Err("Limit writes_max of actor")),
        (format!("put a 2; ignore put {long} x"), Err("Limit key_bytes_max of actor")),
        ("large 101; panic after a limit".into(), Err("Limit value_bytes_max of actor")),
        (format!("flood {} x; show a", LIMITS.effects_max - 1), {
            let mut effects = vec!["flood=x"; LIMITS.effects_max - 1];
            effects.push("a=1");
            Ok(effects)
        }),
    ];
    let mut rig = Rig::new();
    for (script, expected) in rows {
        let step = rig.step(&message(5, 0, &script)).unwrap();
        let effects = rig.commit();
        match expected {
            Ok(expected) => assert_eq!(effects, expected, "{script}"),
            Err(text) => assert_eq!(effects, exception(5, text), "{script}"),
        }
        assert_eq!(step.rejections, u32::from(expected_is_rejection(&effects)), "{script}");
        assert_eq!(rig.state(ITEMS_ID), [("a".into(), "1".into())].into(), "{script}");
        assert_eq!(rig.timers(), 0, "{script}");
    }
}

fn expected_is_rejection(effects: &[String]) -> bool {
    effects.iter().any(|effect| effect.starts_with("exception"))
}

#[test]
fn an_attempt_is_a_savepoint_of_its_own() {
    // (script, effects, what the store then holds of `a`, `b` and the last attempt)
    type Row<'a> = (&'a str, Vec<String>, [Option<&'a str>; 3]);
    let failed = |text: &str| exception(5, text);
    let both = |first: &str, text: &str, last: &str| {
        [vec![first.to_owned()], failed(text), vec![last.to_owned()]].concat()
    };
    let rows: Vec<Row<'_>> = vec![
        (
            "put a 1; try put b 1, emit b 1",
            vec!["b=1".into()],
            [Some("1"), Some("1"), Some("done")],
        ),
        (
            "put a 2; emit a 2; try put b 2, emit b 2, reject inner; emit last 1",
            both("a=2", "CODE inner of buffered", "last=1"),
            [Some("2"), Some("1"), Some("failed")],
        ),
        (
            "emit a 3; try put b 3, panic inner; emit last 1",
            both("a=3", "Panic panic of buffered", "last=1"),
            [Some("2"), Some("1"), Some("failed")],
        ),
        (
            "emit a 4; try put b 4, ignore large 101; emit last 1",
            both("a=4", "Limit value_bytes_max of buffered", "last=1"),
            [Some("2"), Some("1"), Some("failed")],
        ),
        // The limit that the caller broke is the caller's, and takes the attempt with it.
        (
            "put a 5; ignore large 101; try put b 5",
            failed("Limit value_bytes_max of actor"),
            [Some("2"), Some("1"), Some("failed")],
        ),
        (
            "put a 6; try put b 6; reject outer",
            failed("CODE outer of actor"),
            [Some("2"), Some("1"), Some("failed")],
        ),
        // An exception is written although the input's own effects are at their limit.
        (
            "flood 8 x; ignore try emit over 1",
            [vec!["flood=x".into(); 8], failed("Limit effects_max of buffered")].concat(),
            [Some("2"), Some("1"), Some("failed")],
        ),
    ];
    let mut rig = Rig::new();
    for (script, effects, [a, b, attempt]) in rows {
        assert_eq!(rig.record(5, script), effects, "{script}");
        let state = rig.state(ITEMS_ID);
        let found = ["a", "b", "attempt"].map(|key| state.get(key).map(String::as_str));
        assert_eq!(found, [a, b, attempt], "{script}");
    }
}

#[test]
fn only_a_tick_fires_timers_in_order_of_deadline_and_key() {
    let mut rig = Rig::new();
    rig.record(1, "schedule 50 emit b 1; schedule 50 emit a 1; schedule 40 emit c 1");
    rig.record(1, "schedule 50 emit a 1; schedule 60 emit d 1; schedule 45 emit e 1");
    rig.record(1, "cancel 45 emit e 1; schedule -5 emit early 1");
    assert_eq!(rig.timers(), 5);
    assert_eq!(rig.record(1_000, "emit late 1"), ["late=1"], "a record fires nothing");
    assert_eq!(rig.tick(40), ["early=1"], "a deadline must have passed");
    assert_eq!(rig.tick(50), ["c=1"]);
    assert_eq!(rig.tick(50), [""; 0]);
    assert_eq!(rig.tick(45), [""; 0], "a late tick changes nothing");
    assert_eq!(rig.tick(61), ["a=1", "b=1", "d=1"]);
    assert_eq!((rig.timers(), rig.tick(99).len()), (0, 0));
}

#[test]
fn a_timer_that_fired_is_gone_whatever_it_did() {
    let mut rig = Rig::new();
    rig.record(1, "put a 1; schedule 10 put a 2; schedule 10 put a 3; schedule 11 emit ok 1");
    rig.record(1, "schedule 5 put a 9; schedule 12 put a 4; schedule 13 put a 5; cancel 5 put a 9");
    rig.record(1, "schedule 14 panic timer; schedule 15 ignore flood 9 x; schedule 16 reject rule");
    assert_eq!(rig.timers(), 8);
    let expected = [
        vec!["ok=1".to_owned()],
        exception(14, "Panic panic of panic timer"),
        exception(15, "Limit effects_max of ignore flood 9 x"),
        exception(16, "CODE rule of reject rule"),
    ];
    assert_eq!(rig.tick(100), expected.concat());
    assert_eq!(rig.timers(), 0);
    assert_eq!(rig.state(ITEMS_ID)["a"], "5");
    assert_eq!(rig.tick(200), [""; 0]);
}

#[test]
fn a_timer_runs_and_sends_at_its_deadline() {
    let mut rig = Rig::new();
    rig.record(1, "schedule 10 now; schedule 20 send x y");
    assert_eq!(rig.tick(100), ["now=10 at 10", "Message at 20 hop 1: y"]);
    // (at, appended, what `now` and `at` then are), the task's time being 100
    let rows =
        [(50, 1_000, "100 at 50"), (200, 1_000, "200 at 200"), (5_000, 1_000, "1000 at 1000")];
    for (at, appended, expected) in rows {
        rig.appended = appended;
        assert_eq!(rig.record(at, "now"), [format!("now={expected}")]);
    }
}

#[test]
fn a_timer_that_timers_schedule_fires_at_the_same_tick_if_it_is_due() {
    let mut rig = Rig::new();
    rig.record(1, "schedule 50 schedule 20 emit a 1; schedule 50 schedule 70 emit b 1");
    rig.record(1, "schedule 50 schedule 50 emit c 1; schedule 55 emit d 1");
    let effects = rig.tick(60);
    assert_eq!(effects, ["a=1", "c=1", "d=1"]);
    assert_eq!(rig.tick(71), ["b=1"]);
}

#[test]
fn what_a_rejected_timer_cancelled_or_scheduled_is_as_before() {
    let mut rig = Rig::new();
    rig.record(1, "schedule 10 try cancel 20 emit a 1, schedule 15 emit b 1, reject no");
    rig.record(1, "schedule 20 emit a 1");
    let effects = rig.tick(100);
    assert_eq!(effects, [exception(10, "CODE no of buffered"), vec!["a=1".into()]].concat());
}

#[test]
fn one_tick_fires_five_hundred_timers_and_asks_for_another() {
    let mut rig = Rig::new();
    let timers = 2 * TIMERS_PER_TICK_MAX + 7;
    for number in 0..timers {
        // Most with one deadline. Each emits: a limit for all of them together would be broken.
        let deadline = if number % 3 == 0 { 10 } else { 20 };
        rig.record(1, &format!("schedule {deadline} emit {number:04} 1"));
    }
    let mut effects = rig.tick(100);
    let mut fired = Vec::new();
    let mut ticks = 1;
    while effects.last().is_some_and(|effect| effect == "self tick") {
        effects.pop();
        assert_eq!(effects.len(), TIMERS_PER_TICK_MAX);
        fired.append(&mut effects);
        rig.step(&Envelope::SelfTick).unwrap();
        effects = rig.commit();
        ticks += 1;
    }
    fired.append(&mut effects);
    assert_eq!((fired.len(), ticks), (timers, 3));
    let (first, rest): (Vec<usize>, Vec<usize>) = (0..timers).partition(|number| number % 3 == 0);
    let order = first.into_iter().chain(rest).map(|number| format!("{number:04}=1"));
    assert!(order.eq(fired), "by deadline, then by key");
    assert_eq!(rig.timers(), 0);
}

#[test]
fn an_expiring_entry_ends_at_its_last_deadline() {
    let mut rig = Rig::new();
    rig.record(1, "expire 10 a; expire 10 b; expire 10 c; expire 10 d; expire 10 e");
    rig.record(2, "expire 30 a; expire 5 b; unexpire c; unexpire d; expire 40 d");
    let mut left = |at| {
        rig.tick(at);
        rig.state(EXPIRING_ID).into_keys().collect::<String>()
    };
    // (time, what is left)
    let rows = [(5, "abde"), (6, "ade"), (10, "ade"), (11, "ad"), (31, "d"), (40, "d"), (41, "")];
    for (at, expected) in rows {
        assert_eq!(left(at), expected, "at {at}");
    }
    assert_eq!(rig.timers(), 0);
}

#[test]
fn a_continuation_holds_the_frontier_until_it_was_handled() {
    let mut rig = Rig::new();
    rig.tick(100);
    assert_eq!(rig.frontier(), 100);
    rig.step(&message(70, 3, "continue emit a 1")).unwrap();
    let own = rig.fold.outbox().effects()[0].clone();
    assert_eq!(own.target, Target::Own);
    assert_eq!(rig.frontier(), 70, "before the commit too");
    assert_eq!(rig.commit(), ["Continuation at 70 hop 3: emit a 1"], "no hop");
    rig.record(80, "continue emit b 1");
    rig.tick(200);
    assert_eq!(rig.frontier(), 70);
    assert_eq!(rig.own(&own.key, "emit a 1; reject rule").len(), 2, "one exception");
    assert_eq!(rig.frontier(), 80, "a rejected one was handled too");
    rig.record(300, "schedule 90 emit t 1; reject late");
    assert_eq!(rig.frontier(), 80);
    let left = rig.state(StoreId::TASK).into_keys().find(|key| key.starts_with("cont")).unwrap();
    assert_ne!(left.as_bytes(), own.key);
}

#[test]
fn timers_hold_the_frontier() {
    let mut rig = Rig::new();
    assert_eq!(rig.frontier(), i64::MIN, "before the first tick");
    rig.tick(100);
    rig.record(1, "schedule 150 emit a 1; schedule 300 emit b 1");
    assert_eq!(rig.frontier(), 100);
    rig.tick(150);
    assert_eq!(rig.frontier(), 150);
    rig.tick(200);
    assert_eq!(rig.frontier(), 200, "the one at 150 fired");
    rig.record(1, "schedule 180 emit c 1");
    assert_eq!(rig.frontier(), 180);
    rig.record(1, "cancel 180 emit c 1");
    assert_eq!(rig.frontier(), 200);
}

#[test]
fn hops_end_at_the_limit_and_the_exception_is_still_written() {
    // (hops of the record, hop of what it sends)
    for (hops, sent) in [(0, Some(1)), (13, Some(14)), (14, Some(15)), (15, None), (255, None)] {
        for script in ["put a 1; send x y", "put a 1; ignore send x y"] {
            let mut rig = Rig::new();
            rig.step(&message(5, hops, script)).unwrap();
            let effects = rig.commit();
            match sent {
                Some(sent) => assert_eq!(effects, [format!("Message at 5 hop {sent}: y")]),
                None => {
                    let text = "Hops hops_max of actor";
                    let case = format!("Message at 5 hop 15: {text}");
                    assert_eq!(effects, [case, format!("exception {text}")]);
                    assert!(rig.state(ITEMS_ID).is_empty());
                }
            }
        }
    }
}

#[test]
fn the_greatest_configuration_revision_is_kept() {
    let mut rig = Rig::new();
    // (revision, hash, revision then in force, or a fault)
    let rows = [
        (1, "one", Ok(1)),
        (3, "three", Ok(3)),
        (2, "two", Ok(3)),
        (3, "three", Ok(3)),
        (3, "other", Err("two contents")),
        (4, "four", Ok(4)),
    ];
    for (revision, hash, expected) in rows {
        let outcome = rig.step(&Envelope::Configuration(configuration(revision, hash)));
        match expected {
            Ok(in_force) => {
                outcome.unwrap();
                rig.commit();
                assert_eq!(rig.fold.configuration().unwrap().revision, in_force);
            }
            Err(text) => {
                let fault = outcome.unwrap_err();
                assert!(fault.reason.contains(text), "{fault}");
                rig.fold.reset(rig.store.as_ref()).unwrap();
            }
        }
    }
    rig.fold.reset(rig.store.as_ref()).unwrap();
    assert_eq!(rig.fold.configuration().unwrap().revision, 4, "it is state");
}

#[test]
fn what_no_record_is_to_blame_for_is_a_fault() {
    let mut unknown = codec::encode(&message(5, 0, "emit a 1"));
    unknown[0] = 2;
    let valid = |script: &str| codec::encode(&message(5, 0, script));
    let mut bad = configuration(2, "two");
    bad.body = b"bad".to_vec();
    // (record, the fault says)
    let rows = [
        (unknown, "format version 2 of Envelope is not known"),
        (Vec::new(), "no format version"),
        (valid("put a 2; undeclared"), "sending to nowhere is not declared"),
        (valid("put a 2; ignore undeclared"), "sending to nowhere is not declared"),
        (valid("put a 2; ignore try undeclared"), "sending to nowhere is not declared"),
        (valid("put a 2; reject unwritable"), "the exception itself failed"),
        (codec::encode(&Envelope::Configuration(bad)), "bad settings"),
    ];
    let mut rig = Rig::new();
    rig.record(1, "put a 1");
    for (value, text) in rows {
        let fault = rig.step_bytes(b"actor", &value).unwrap_err();
        assert!(fault.reason.contains(text), "{fault}");
        rig.fold.reset(rig.store.as_ref()).unwrap();
        assert!(rig.fold.overlay().is_empty() && rig.fold.outbox().is_empty());
        assert_eq!(rig.record(5, "show a"), ["a=1"], "it goes on after a reset");
    }
    assert_eq!(rig.fold.configuration().unwrap().revision, 1);
}

#[test]
fn ticks_before_the_configuration_do_nothing() {
    let mut rig = Rig::unconfigured();
    assert_eq!(rig.tick(100), [""; 0]);
    assert_eq!(rig.fold.time(), Timestamp::MIN);
    rig.step(&Envelope::Configuration(configuration(1, "one"))).unwrap();
    rig.tick(100);
    assert_eq!(rig.fold.time(), Timestamp(100));
}

#[test]
fn a_reset_forgets_what_was_not_committed() {
    let mut rig = Rig::new();
    rig.record(1, "put a 1; schedule 10 emit t 1");
    rig.step(&message(5, 0, "put a 2; cancel 10 emit t 1; emit a 2")).unwrap();
    assert_eq!(rig.frontier(), i64::MIN);
    rig.fold.reset(rig.store.as_ref()).unwrap();
    assert_eq!(rig.tick(20), ["t=1"], "and what was known of timers");
    assert_eq!(rig.record(5, "show a"), ["a=1"]);
}
