//! The overlay over a store equals a plain map, whatever is written, rolled back and applied.

mod places;

use std::collections::BTreeMap;

use aplomb_state::{
    backend::{Database, Reads, memory::MemoryDatabase},
    ids::NextOffset,
    overlay::{Mark, Overlay},
    scan::Scan,
    store::StoreId,
};
use places::{FIRST, SECOND, STORES, position, task};
use proptest::prelude::*;

type Model = BTreeMap<(StoreId, Vec<u8>), Vec<u8>>;

#[derive(Clone, Debug)]
enum Action {
    Put(StoreId, Vec<u8>, Vec<u8>),
    Delete(StoreId, Vec<u8>),
    Mark,
    RollBack,
    Settle,
    ForgetAbsent,
    Apply,
    Clear,
}

fn store() -> impl Strategy<Value = StoreId> {
    prop_oneof![3 => Just(FIRST), 1 => Just(SECOND)]
}

/// Few keys, with each other's prefixes among them.
fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0), Just(7), Just(255)], 0..4)
}

fn action() -> impl Strategy<Value = Action> {
    let value = proptest::collection::vec(any::<u8>(), 0..30);
    prop_oneof![
        8 => (store(), key(), value).prop_map(|(store, key, value)| Action::Put(store, key, value)),
        5 => (store(), key()).prop_map(|(store, key)| Action::Delete(store, key)),
        2 => Just(Action::Mark),
        2 => Just(Action::RollBack),
        1 => Just(Action::Settle),
        2 => Just(Action::ForgetAbsent),
        2 => Just(Action::Apply),
        1 => Just(Action::Clear),
    ]
}

fn scan_of(
    model: &Model,
    id: StoreId,
    prefix: &[u8],
    after: Option<&[u8]>,
    max: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let wanted = |(store, key): &(StoreId, Vec<u8>)| {
        *store == id && key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after)
    };
    let found = model.iter().filter(|(key, _)| wanted(key));
    found.map(|((_, key), value)| (key.clone(), value.clone())).take(max).collect()
}

/// Forwards and backwards.
type Scans = [Vec<(Vec<u8>, Vec<u8>)>; 2];

/// What a plain map says.
fn scans_of(model: &Model, id: StoreId, prefix: &[u8], past: Option<&[u8]>, max: usize) -> Scans {
    let rising = scan_of(model, id, prefix, past, max);
    let mut falling = scan_of(model, id, prefix, None, usize::MAX);
    falling.retain(|(key, _)| past.is_none_or(|before| key.as_slice() < before));
    [rising, falling.into_iter().rev().take(max).collect()]
}

/// What the overlay over the store says.
fn scans(
    (overlay, below): (&Overlay, &dyn Reads),
    id: StoreId,
    prefix: &[u8],
    past: Option<&[u8]>,
    max: usize,
) -> Scans {
    [
        overlay.scan(below, id, Scan::rising(prefix, past, max)).unwrap(),
        overlay.scan(below, id, Scan::falling(prefix, past, max)).unwrap(),
    ]
}

/// What the overlay should say it takes: the sum over its entries.
fn bytes_of(overlay: &Overlay) -> usize {
    let empty = {
        let mut one = Overlay::default();
        one.put(FIRST, b"", Vec::new());
        one.bytes()
    };
    let entries = overlay.writes();
    entries.map(|write| write.key.len() + write.value.map_or(0, <[u8]>::len) + empty).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overlay_over_store_equals_a_plain_map(
        actions in proptest::collection::vec(action(), 1..80),
        (prefix, after, max) in (key(), proptest::option::of(key()), 0..9_usize),
    ) {
        let database = MemoryDatabase::default();
        let mut below = database.open(&task("skus", 0), STORES).unwrap();
        let mut overlay = Overlay::default();
        let (mut model, mut committed) = (Model::new(), Model::new());
        let mut marks: Vec<(Mark, Model)> = Vec::new();
        for (action, offset) in actions.into_iter().zip(1_i64..) {
            match action {
                Action::Put(id, key, value) => {
                    overlay.put(id, &key, value.clone());
                    model.insert((id, key), value);
                }
                Action::Delete(id, key) => {
                    overlay.delete(id, &key);
                    model.remove(&(id, key));
                }
                Action::Mark => marks.push((overlay.mark(), model.clone())),
                Action::RollBack => {
                    if let Some((mark, before)) = marks.pop() {
                        overlay.roll_back(mark);
                        model = before;
                    }
                }
                Action::Settle => {
                    overlay.settle();
                    marks.clear();
                }
                Action::ForgetAbsent => {
                    overlay.settle();
                    marks.clear();
                    overlay.forget_absent(&*below);
                    for write in overlay.writes().filter(|write| write.value.is_none()) {
                        prop_assert!(below.get(write.store, write.key).unwrap().is_some());
                    }
                }
                Action::Apply => {
                    let base = below.position().map(|position| position.inbox);
                    below.apply(base, &mut overlay.writes(), &position(offset)).unwrap();
                    prop_assert_eq!(below.position().unwrap().inbox, NextOffset(offset));
                    overlay.clear();
                    marks.clear();
                    committed = model.clone();
                }
                Action::Clear => {
                    overlay.clear();
                    marks.clear();
                    model = committed.clone();
                }
            }
            prop_assert_eq!(overlay.bytes(), bytes_of(&overlay));
            prop_assert_eq!(overlay.len(), overlay.writes().count());
            for id in [FIRST, SECOND] {
                let both = (&overlay, &*below as &dyn Reads);
                for (prefix, past, max) in [(&*prefix, after.as_deref(), max), (b"", None, usize::MAX)] {
                    let found = scans(both, id, prefix, past, max);
                    prop_assert_eq!(found, scans_of(&model, id, prefix, past, max));
                }
                let read = match overlay.get(id, &prefix) {
                    Some(slot) => slot.map(<[u8]>::to_vec),
                    None => below.get(id, &prefix).unwrap(),
                };
                prop_assert_eq!(read.as_ref(), model.get(&(id, prefix.clone())));
            }
        }
        overlay.clear();
        prop_assert_eq!((overlay.bytes(), overlay.len()), (0, 0));
    }
}
