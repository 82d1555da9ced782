//! Mistakes in the configuration.

use crate::{NOTIFICATIONS, Outcome, aplomb, config};

const COMMANDS: [&[&str]; 3] = [&["run"], &["verify"], &["topics", "plan"]];

#[test]
fn every_mistake_is_listed_with_its_key_and_what_is_allowed() -> Outcome {
    let (_folder, path) = config(
        r#"
        strt = "earliest"
        [kafka]
        bootstrap = 5
        group_protocol = "new"
        [kafka.properties]
        "isolation.level" = "read_uncommitted"
        "no.such.property" = "1"
        [topics]
        partitions = 0
        [rules]
        gap_timeout_ms = "soon"
        [[flows]]
        name = "n"
        "#,
    )?;
    for command in COMMANDS {
        let mut arguments = command.to_vec();
        let path = path.to_string_lossy();
        arguments.extend(["--config", &*path]);
        aplomb(arguments)?.fails(
            78,
            &[
                "strt: is not known; did you mean start?",
                "kafka.bootstrap: must be text in quotes",
                "kafka.group_protocol: ",
                "classic",
                "kafka.properties.isolation.level: set by the engine: ",
                "no.such.property",
                "topics.partitions: 0 is out of range: 1 to 1024",
                "rules.gap_timeout_ms: ",
                "flows[0].topic: is missing",
            ],
        );
    }
    Ok(())
}

#[test]
fn a_property_of_the_engine_is_refused_with_the_reason() -> Outcome {
    let flow = format!("[[flows]]\nname = \"n\"\ntopic = \"{NOTIFICATIONS}\"\n");
    let rows = [
        ("enable.auto.commit = \"true\"", "offsets are committed within transactions only"),
        ("enable.idempotence = \"false\"", "set by the engine"),
        ("transactional.id = \"mine\"", "set by the engine"),
        ("group.id = \"mine\"", "it is the application's id"),
        ("bootstrap.servers = \"there:1\"", "kafka.bootstrap"),
        ("transaction.timeout.ms = \"1\"", "kafka.transaction_timeout_ms"),
    ];
    for (property, reason) in rows {
        let (name, value) = property.split_once(" = ").ok_or("a row without =")?;
        let (_folder, path) = config(&format!("[kafka.properties]\n\"{name}\" = {value}\n{flow}"))?;
        let ended = aplomb(["topics", "plan", "--config", &path.to_string_lossy()])?;
        ended.fails(78, &[name, reason]);
    }
    Ok(())
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_a_mistake_too() -> Outcome {
    let (folder, path) = config("[kafka\n")?;
    let missing = folder.path().join("missing.toml").to_string_lossy().into_owned();
    for command in COMMANDS {
        let mut arguments = command.to_vec();
        arguments.extend(["--config", &missing]);
        aplomb(arguments)?.fails(78, &["missing.toml", "No such file"]);
    }
    let ended = aplomb(["topics", "plan", "--config", &path.to_string_lossy()])?;
    ended.fails(78, &["line 1"]);
    Ok(())
}

#[test]
fn a_replay_reads_its_configuration_as_strictly() -> Outcome {
    let (_folder, path) = config("[rules]\nsettle_ms = \"soon\"\n")?;
    let path = path.to_string_lossy();
    let ended = aplomb(["replay", "-", "--out", "nowhere", "--config", &*path])?;
    ended.fails(78, &["rules.settle_ms"]);
    Ok(())
}
