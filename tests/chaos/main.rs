//! Exactly once on real Apache Kafka under every fault one can name. See `docs/chaos.md`.
//!
//! Without a word from outside only the proxy and one scenario are tested. `make chaos` runs them
//! all; it sets these variables:
//!
//! - `APLOMB_CHAOS` names of scenarios with commas between them, `all`, `storms`, or `names`
//! - `APLOMB_CHAOS_HOURS` how long storms go on
//! - `APLOMB_CHAOS_SEED` decides everything that is left to chance

#[path = "../live/mod.rs"]
#[expect(dead_code, reason = "other tests and the benches use the rest of it")]
mod live;
mod proxy;
mod report;
mod round;
mod scenarios;
mod watch;
mod world;

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::{
    live::Outcome,
    report::Row,
    round::Round,
    scenarios::{SMOKE, STORM, Scenario},
    world::World,
};

const WHAT: &str = "APLOMB_CHAOS";
const HOURS: &str = "APLOMB_CHAOS_HOURS";
const SEED: &str = "APLOMB_CHAOS_SEED";

#[test]
fn a_commit_cut_before_and_after_the_broker_handled_it() -> Outcome {
    if std::env::var(WHAT).is_ok() {
        println!("SKIPPED: {WHAT} asks for other scenarios");
        return Ok(());
    }
    let Some(world) = World::start(seed())? else { return Ok(()) };
    let scenario = find(SMOKE)?;
    finish(&[run(&world, &scenario, seed())])
}

#[test]
fn every_scenario() -> Outcome {
    let Ok(what) = std::env::var(WHAT) else {
        println!("SKIPPED: the long scenarios; make chaos runs them");
        return Ok(());
    };
    if what == "names" {
        scenarios::all().iter().for_each(|scenario| println!("{}", scenario.name));
        return Ok(());
    }
    let chosen = match what.as_str() {
        "all" => scenarios::all(),
        "storms" => vec![find(STORM)?],
        names => names.split(',').map(find).collect::<Outcome<_>>()?,
    };
    let Some(world) = World::start(seed())? else { return Ok(()) };
    let cluster = chosen.iter().any(|one| one.on_two_brokers);
    let cluster = if cluster { Some(World::start_cluster(seed())?) } else { None };
    let world_of = |scenario: &Scenario| match &cluster {
        Some(cluster) if scenario.on_two_brokers => cluster,
        _ => &world,
    };
    if what == "storms" {
        return storms(cluster.as_ref().unwrap_or(&world), &chosen);
    }
    let commit = report::commit();
    let mut rows = Vec::new();
    for scenario in &chosen {
        rows.push(run(world_of(scenario), scenario, world.seed));
        if what == "all" {
            // Each time, so that a run that is broken off leaves what it has shown.
            report::write_evidence(&rows, chosen.len(), world.seed, &commit)?;
        }
    }
    finish(&rows)
}

/// One storm after another, each with the next seed, until the hours are over. The first that
/// fails ends it: its seed is in its name.
fn storms(world: &World, chosen: &[Scenario]) -> Outcome {
    // A fraction is a short try.
    let hours: f64 = std::env::var(HOURS).ok().map_or(Ok(1.0), |hours| hours.parse())?;
    let until = Instant::now() + Duration::from_secs_f64(hours * 3_600.0);
    let mut rows = Vec::new();
    let mut seed = world.seed;
    while Instant::now() < until {
        for scenario in chosen {
            rows.push(run(world, scenario, seed));
        }
        if rows.last().is_some_and(|row| row.failure.is_some()) {
            break;
        }
        seed += 1;
    }
    finish(&rows)
}

fn run(world: &World, scenario: &Scenario, seed: u64) -> Row {
    println!("── {} (seed {seed})", scenario.name);
    let judged = Round::new(world, &scenario.name, seed).map(|mut round| {
        let outcome = (scenario.run)(&mut round);
        (outcome.err().map(|error| error.to_string()), round)
    });
    let (failure, mut round) = match judged {
        Ok(judged) => judged,
        Err(error) => return Row::failed(&scenario.name, &error.to_string()),
    };
    let row = Row {
        scenario: scenario.name.clone(),
        faults: round.faults(),
        fed: round.fed,
        inputs: round.verified.as_ref().map(|verified| verified.inputs),
        failure,
        seconds: round.seconds(),
    };
    match &row.failure {
        None => {
            let _ = fs::remove_dir_all(&round.folder);
        }
        Some(failure) => {
            println!("FAILED: {failure}\nthe logs are in {}", round.folder.display());
        }
    }
    let prefix = round.application.id.clone();
    drop(round);
    if let Err(error) = world.delete_topics(&format!("{prefix}.")) {
        println!("topics of {prefix} stay: {error}");
    }
    row
}

fn finish(rows: &[Row]) -> Outcome {
    println!("\n{}", report::table(rows));
    let failed: Vec<&str> =
        rows.iter().filter(|row| row.failure.is_some()).map(|row| row.scenario.as_str()).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn find(name: &str) -> Outcome<Scenario> {
    let known = || {
        let names: Vec<String> = scenarios::all().into_iter().map(|one| one.name).collect();
        format!("no scenario {name}; there are {}", names.join(", "))
    };
    let found = scenarios::all().into_iter().find(|scenario| scenario.name == name);
    Ok(found.ok_or_else(known)?)
}

fn seed() -> u64 {
    std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}
