//! The simulator bites: every deliberate break of the protocol is found within so many seeds, and
//! by an invariant that one would expect.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use aplomb_state::mutation::Mutation;

use crate::{
    judged,
    schedules::{self, THREADS},
    switch::Switch,
    trace::Trace,
    violation::Violation,
};

/// A break that survives so many seeds is not found.
const SEEDS_MAX: u64 = 1_500;

/// What became of one mutation.
struct Row {
    mutation: Mutation,
    /// How many seeds it took, and what the last one violated.
    found: Option<(u64, Violation)>,
}

fn hunt(mutation: Mutation) -> Row {
    for seed in 0..SEEDS_MAX {
        let switch = Switch(Some(mutation));
        let run = match mutation {
            Mutation::LossOverlooked => judged::run_losses(seed, switch),
            _ => schedules::run(seed, switch, Trace::default()).map(drop),
        };
        if let Err(violation) = run {
            return Row { mutation, found: Some((seed + 1, violation)) };
        }
    }
    Row { mutation, found: None }
}

fn hunt_all() -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut rows = Vec::new();
        while let Some(mutation) = Mutation::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            rows.push(hunt(*mutation));
        }
        rows
    };
    let mut rows: Vec<Row> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic in there")).collect()
    });
    rows.sort_by_key(|row| Mutation::ALL.iter().position(|one| *one == row.mutation));
    rows
}

#[test]
fn every_mutation_of_the_protocol_is_found() {
    let begun = Instant::now();
    let rows = hunt_all();
    println!("| Mutation | Seeds | Found by |\n|---|---|---|");
    for Row { mutation, found } in &rows {
        match found {
            Some((seeds, by)) => println!("| `{mutation:?}` | {seeds} | `{}` |", by.invariant),
            None => println!("| `{mutation:?}` | > {SEEDS_MAX} | nothing |"),
        }
    }
    println!("\nall in {:.1} s", begun.elapsed().as_secs_f64());
    for Row { mutation, found } in &rows {
        if let Some((seeds, by)) = found {
            println!("{mutation:?}: seed {}: {by}", seeds - 1);
        }
    }
    let escaped: Vec<_> = rows.iter().filter(|row| row.found.is_none()).collect();
    let escaped: Vec<_> = escaped.iter().map(|row| row.mutation).collect();
    assert!(escaped.is_empty(), "not found: {escaped:?}");
}
