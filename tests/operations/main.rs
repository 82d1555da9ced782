//! What an operator does, on real Apache Kafka: a process drained, lost offsets restored, a new
//! generation begun, inboxes trimmed. Each command is run as its user runs it, and `aplomb verify`
//! has the last word.
#![cfg(feature = "commerce")]

mod letters;
#[path = "../live/mod.rs"]
#[expect(dead_code, reason = "the tests of faults use the rest of it")]
mod live;
mod service;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use aplomb::log::{Isolation, Log};
use aplomb_state::ids::{NextOffset, TopicPartition};
use rdkafka::{ClientConfig, admin::AdminClient, client::DefaultClientContext};
use serde_json::Value;

use crate::{
    live::{
        Application, Outcome,
        broker::Broker,
        feed::{Feed, Pace},
    },
    service::Service,
};

const NOTIFICATIONS: usize = 1_500;
const PER_SECOND: u32 = 1_500;
const HANDLED: Duration = Duration::from_secs(60);
/// Far less than the session time-out of the services: what moves by then was given up.
const AT_ONCE: Duration = Duration::from_secs(30);
/// Eight partitions of the input, eight of each of three inboxes.
const TASKS: usize = 32;

#[test]
fn drained_restored_and_reset_an_application_is_right() -> Outcome {
    let Some((broker, _)) = Broker::start("operations", &[])? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let application = application();
    broker.create_input(&application)?;
    let mut first = Service::configure(&broker, &application, folder.path(), 0)?;
    let mut second = Service::configure(&broker, &application, folder.path(), 1)?;
    first.aplomb(&["topics", "create"])?.ends(0, "")?;
    first.start()?;
    second.start()?;
    feed(&broker, 1)?;
    drain(&mut first, &mut second)?;
    offsets(&broker, &mut second)?;
    reset(&broker, &mut second, &mut first)?;
    trim(&broker, &mut first, folder.path())?;
    letters::sent_again_once(&broker, &mut first)
}

fn application() -> Application {
    Application { prefix: "aplomb.".to_owned(), ..Application::alone("operations", 8) }
}

fn feed(broker: &Broker, seed: u64) -> Outcome {
    let pace = Pace { most: NOTIFICATIONS, per_second: PER_SECOND, skus: 500, seed };
    let fed = Feed::start(broker, &application(), pace).join()?;
    broker.wait_until_handled(&application(), HANDLED)?;
    println!("{fed} notifications handled");
    Ok(())
}

/// A static member that is drained leaves nothing behind.
fn drain(first: &mut Service, second: &mut Service) -> Outcome {
    second.until_tasks(HANDLED, |tasks| !tasks.is_empty() && tasks.len() < TASKS)?;
    let started = Instant::now();
    first.aplomb(&["drain"])?.ends(0, "it has ended")?;
    first.ended_well()?;
    second.until_tasks(AT_ONCE, |tasks| running(tasks) == TASKS)?;
    println!("drained: its tasks run elsewhere after {:?}", started.elapsed());
    first.aplomb(&["drain"])?.ends(1, "no process runs")
}

fn running(tasks: &[Value]) -> usize {
    tasks.iter().filter(|task| task["state"] == "running").count()
}

fn offsets(broker: &Broker, service: &mut Service) -> Outcome {
    service.aplomb(&["offsets", "restore"])?.ends(1, "has members")?;
    service.aplomb(&["drain"])?.ends(0, "")?;
    service.ended_well()?;
    let before = service.aplomb(&["offsets", "show"])?.json()?;
    assert_eq!(before["offsets"].as_array().map(Vec::len), Some(TASKS), "{before}");

    delete_group(broker)?;
    let none = service.aplomb(&["offsets", "show"])?.json()?;
    assert_eq!(none["offsets"].as_array().map(Vec::len), Some(0), "{none}");
    service.start()?;
    service.until_tasks(HANDLED, |tasks| {
        let names_it = |task: &Value| {
            let detail = task["detail"].to_string();
            task["state"] == "parked" && detail.contains("aplomb offsets restore")
        };
        tasks.len() == TASKS && tasks.iter().all(names_it)
    })?;
    service.aplomb(&["drain"])?.ends(0, "")?;
    service.ended_well()?;

    service.aplomb(&["offsets", "restore", "--dry-run"])?.ends(0, "nothing was written")?;
    let none = service.aplomb(&["offsets", "show"])?.json()?;
    assert_eq!(none["offsets"].as_array().map(Vec::len), Some(0), "{none}");
    service.aplomb(&["offsets", "restore"])?.ends(0, "written")?;
    let after = service.aplomb(&["offsets", "show"])?.json()?;
    assert_eq!(positions(&after), positions(&before));
    service.aplomb(&["offsets", "restore"])?.ends(0, "nothing to write")?;

    service.start()?;
    feed(broker, 2)?;
    service.aplomb(&["drain"])?.ends(0, "")?;
    service.ended_well()?;
    service.aplomb(&["verify"])?.ends(0, "0 missing, 0 doubled, 0 different, 0 unexpected")
}

/// Topic, partition and offset; every notification has an effect, so all of them are known.
fn positions(shown: &Value) -> Vec<String> {
    let all = shown["offsets"].as_array().cloned().unwrap_or_default();
    all.iter().map(|e| format!("{}/{} {}", e["topic"], e["partition"], e["offset"])).collect()
}

/// As a broker does it when the offsets of an empty group have expired.
fn delete_group(broker: &Broker) -> Outcome {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker.bootstrap).create()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let deleted = admin.delete_groups(&["operations"], &rdkafka::admin::AdminOptions::new());
    for group in runtime.block_on(deleted)? {
        group.map_err(|(name, code)| format!("{name}: {code}"))?;
    }
    Ok(())
}

/// `elder` has state of the generation before.
fn reset(broker: &Broker, service: &mut Service, elder: &mut Service) -> Outcome {
    service.aplomb(&["reset", "--inputs", "earliest"])?.ends(2, "--yes")?;
    service.aplomb(&["reset", "--inputs", "yesterday", "--yes"])?.ends(1, "neither earliest")?;
    let dry = ["reset", "--inputs", "earliest", "--dry-run"];
    service.aplomb(&dry)?.ends(0, "nothing was done")?;
    service.aplomb(&["verify"])?.ends(0, "0 missing")?;

    service.start()?;
    service.until_tasks(HANDLED, |tasks| running(tasks) == TASKS)?;
    service.aplomb(&["reset", "--inputs", "earliest", "--yes"])?.ends(1, "locked")?;
    service.aplomb(&["drain"])?.ends(0, "")?;
    service.ended_well()?;
    service.aplomb(&["reset", "--inputs", "earliest", "--yes"])?.ends(0, "done")?;

    service.start()?;
    elder.start()?;
    service.until_tasks(HANDLED, |tasks| !tasks.is_empty() && running(tasks) == tasks.len())?;
    broker.wait_until_handled(&application(), HANDLED)?;
    feed(broker, 3)?;
    for service in [service, elder] {
        let parked = service.tasks()?.into_iter().filter(|task| task["state"] == "parked");
        assert_eq!(parked.collect::<Vec<_>>(), Vec::<Value>::new());
        service.aplomb(&["drain"])?.ends(0, "")?;
        service.ended_well()?;
        let verified = service.aplomb(&["verify"])?;
        verified.ends(0, "0 missing, 0 doubled, 0 different, 0 unexpected")?;
        verified.ends(0, "of generations before the last reset were left out")?;
        let folded = verified.folded()?;
        assert!(folded > 2 * 3 * NOTIFICATIONS, "{folded} inputs are not all");
    }
    Ok(())
}

/// What a week does, in seconds.
fn trim(broker: &Broker, service: &mut Service, folder: &Path) -> Outcome {
    service.set("APLOMB_INBOX__KEEP_MS", "4000");
    service.set("APLOMB_INBOX__CHECKPOINT_INTERVAL_MS", "2000");
    service.start()?;
    feed(broker, 4)?;
    let inboxes: Vec<_> =
        (0..8).map(|n| TopicPartition::new("operations.inbox.resources", n)).collect();
    let begin = || -> Outcome<Vec<NextOffset>> {
        let marks = broker.log.watermarks(&inboxes, Isolation::ReadUncommitted)?;
        Ok(marks.iter().map(|marks| marks.low).collect())
    };
    let before = begin()?;
    let deadline = Instant::now() + HANDLED;
    while begin()?.iter().zip(&before).any(|(now, before)| now <= before) {
        assert!(Instant::now() < deadline, "not trimmed: {:?}", begin()?);
        std::thread::sleep(Duration::from_millis(200));
    }
    feed(broker, 5)?;
    service.aplomb(&["drain"])?.ends(0, "")?;
    service.ended_well()?;
    let verified = service.aplomb(&["verify"])?;
    verified.ends(0, "0 missing, 0 doubled, 0 different, 0 unexpected")?;
    verified.ends(0, "was folded from a checkpoint")?;
    assert!(verified.folded()? > NOTIFICATIONS, "less than what came last");
    let empty = folder.to_string_lossy().into_owned();
    service.aplomb(&["verify", "--checkpoints", &empty])?.ends(2, "no checkpoint to fold from")
}
