//! Random histories of one task's store, with rebuilds and restarts, against a plain map.

mod places;

use std::{collections::BTreeMap, slice};

use aplomb_state::{
    backend::{Rebuild, TaskStore, Write},
    ids::{NextOffset, Timestamp},
    scan::Scan,
    store::StoreId,
};
use places::{FIRST, Place, SECOND, STORES, on_every_backend, position, task};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    Apply(Vec<(u8, u8, Option<u8>)>),
    Rebuild(bool),
    Finish,
    Clear,
    Flush,
    Reopen,
}

fn action() -> impl Strategy<Value = Action> {
    let write = (2..4_u8, 0..12_u8, proptest::option::of(any::<u8>()));
    prop_oneof![
        8 => proptest::collection::vec(write, 0..8).prop_map(Action::Apply),
        1 => any::<bool>().prop_map(Action::Rebuild),
        1 => Just(Action::Finish),
        1 => Just(Action::Clear),
        1 => Just(Action::Flush),
        1 => Just(Action::Reopen),
    ]
}

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct Expected {
    live: (Option<i64>, Model),
    rebuild: Option<(Option<i64>, Model)>,
}

fn check_history(place: &Place, actions: &[Action]) {
    let task = task("skus", 3);
    let mut database = place.open();
    let mut store = database.open(&task, STORES).unwrap();
    let mut expected = Expected::default();
    let mut rebuilding = false;
    for (action, offset) in actions.iter().zip(1_i64..) {
        match action {
            Action::Apply(writes) => {
                let (at, model) = match rebuilding {
                    true => expected.rebuild.get_or_insert_default(),
                    false => &mut expected.live,
                };
                let writes: Vec<_> =
                    writes.iter().map(|(s, k, v)| (*s, vec![*k], v.map(|v| vec![v; 20]))).collect();
                let borrowed = writes.iter().map(|(store, key, value)| Write {
                    store: StoreId(*store),
                    key,
                    value: value.as_deref(),
                });
                let base = at.map(NextOffset);
                store.apply(base, &mut borrowed.into_iter(), &position(offset)).unwrap();
                *at = Some(offset);
                for (store, key, value) in writes {
                    match value {
                        Some(value) => model.insert((store, key), value),
                        None => model.remove(&(store, key)),
                    };
                }
            }
            Action::Rebuild(fresh) => {
                store.begin_rebuild(if *fresh { Rebuild::Fresh } else { Rebuild::Resume }).unwrap();
                if *fresh {
                    expected.rebuild = None;
                }
                rebuilding = true;
            }
            Action::Finish if rebuilding => {
                store.finish_rebuild().unwrap();
                expected.live = expected.rebuild.take().unwrap_or_default();
                rebuilding = false;
            }
            Action::Finish => {}
            Action::Clear => {
                store.clear().unwrap();
                expected = Expected::default();
                rebuilding = false;
            }
            Action::Flush => database.flush(slice::from_ref(&task), Timestamp(offset)).unwrap(),
            Action::Reopen => {
                drop(store);
                drop(database);
                database = place.open();
                store = database.open(&task, STORES).unwrap();
                rebuilding = false;
            }
        }
        check_state(&*store, &expected);
    }
}

fn check_state(store: &dyn TaskStore, expected: &Expected) {
    assert_eq!(store.position().map(|position| position.inbox.0), expected.live.0);
    let rebuild = store.rebuilding().map(|position| position.inbox.0);
    assert_eq!(rebuild, expected.rebuild.as_ref().and_then(|(at, _)| *at));
    for id in [FIRST, SECOND] {
        let of_store = expected.live.1.iter().filter(|((store, _), _)| *store == id.0);
        let model: Vec<_> = of_store.map(|((_, k), v)| (k.clone(), v.clone())).collect();
        assert_eq!(store.scan(id, Scan::rising(b"", None, 99)).unwrap(), model);
        for key in 0..12 {
            let value = expected.live.1.get(&(id.0, vec![key])).cloned();
            assert_eq!(store.get(id, &[key]).unwrap(), value);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_history_equals_a_plain_map(actions in proptest::collection::vec(action(), 1..60)) {
        on_every_backend(|place| check_history(place, &actions));
    }
}
