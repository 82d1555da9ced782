//! Every command beside `replay`.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{NOTIFICATIONS, Outcome, aplomb};

#[test]
fn the_demo_tells_what_an_operations_lead_asks_for() -> Outcome {
    let day = |seed: &str| aplomb(["demo", "--once", "--orders", "80", "--seed", seed])?.well();
    let text = day("7")?.out;
    let all = ["80 orders", "Reserved", "Oversold", "Drifts", "Open cases, by who answers", "due "];
    for word in all {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    assert_eq!(text, day("7")?.out, "the same seed is the same day");
    assert_ne!(text, day("8")?.out, "another seed is another day");
    assert!(!text.contains('\u{1b}'), "escape sequences outside a terminal");
    Ok(())
}

#[test]
fn the_demo_says_when_its_port_is_taken() -> Outcome {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let ended = aplomb(["demo", "--orders", "1", "--port", &port])?;
    ended.fails(1, &[&port, "--port"]);
    Ok(())
}

#[test]
fn the_topology_is_printed_for_people_for_diagrams_and_for_programs() -> Outcome {
    let print = |format: &str| {
        Ok::<_, Box<dyn std::error::Error>>(aplomb(["topology", "--format", format])?.well()?.out)
    };
    let (text, mermaid) = (print("text")?, print("mermaid")?);
    assert_eq!(text, aplomb(["topology"])?.well()?.out);
    assert!(mermaid.starts_with("flowchart"), "{mermaid}");
    let json: Value = serde_json::from_str(&print("json")?)?;
    let names = |key: &str, name: &str| -> Vec<String> {
        let all = json[key].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|one| one[name].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(names("stages", "name"), ["intake", "resources", "skus", "cases"]);
    for topic in names("outputs", "topic") {
        assert!(mermaid.contains(&topic) && text.contains(&topic), "{topic}");
    }
    Ok(())
}

#[test]
fn the_plan_of_topics_needs_no_broker() -> Outcome {
    let (_folder, path) = unreachable()?;
    let plan = aplomb(["topics", "plan", "--config", &path])?.well()?.out;
    for line in [
        "trial.inbox.resources  partitions=3",
        "trial.skus.changelog  partitions=3",
        "aplomb.order.view.v1  partitions=8",
        "    cleanup.policy=compact\n",
    ] {
        assert!(plan.contains(line), "{line} is not in\n{plan}");
    }
    assert!(!plan.contains(NOTIFICATIONS), "inputs are not ours");
    Ok(())
}

#[test]
fn a_broker_that_is_not_there_is_an_answer_in_bounded_time() -> Outcome {
    let (_folder, path) = unreachable()?;
    let ask = |command: &[&str]| aplomb(command.iter().chain(&["--config", &path]));
    // One beside the other: each waits for its own time out.
    let rows: [(&[&str], i32, &str); 7] = [
        (&["verify"], 2, "cannot verify: kafka"),
        (&["run"], 1, "kafka"),
        (&["topics", "check"], 1, "kafka"),
        (&["topics", "create"], 1, "kafka"),
        (&["offsets", "show"], 1, "kafka"),
        (&["offsets", "restore"], 1, "kafka"),
        (&["reset", "--inputs", "earliest", "--yes"], 1, "kafka"),
    ];
    std::thread::scope(|scope| {
        let asked = rows.map(|(command, code, words)| {
            let ended = scope.spawn(move || ask(command).map_err(|error| error.to_string()));
            (ended, code, words)
        });
        for (ended, code, words) in asked {
            ended.join().map_err(|_| "the thread panicked")??.fails(code, &[words]);
        }
        Ok(())
    })
}

/// A configuration whose broker refuses every connection, in a folder that goes with it.
fn unreachable() -> Outcome<(TempDir, String)> {
    configured(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A configuration whose broker is at this port.
fn configured(port: u16) -> Outcome<(TempDir, String)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("aplomb.toml");
    let text = format!(
        "[application]\nid = \"trial\"\nstate_dir = {state:?}\n\
         [kafka]\nbootstrap = \"127.0.0.1:{port}\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n\
         [topics]\npartitions = 3\n\
         [[flows]]\nname = \"notifications\"\ntopic = \"{NOTIFICATIONS}\"\n",
        state = folder.path().join("state"),
    );
    fs::write(&path, text)?;
    Ok((folder, path.to_string_lossy().into_owned()))
}

#[test]
fn sigterm_counts_while_the_broker_does_not_answer() -> Outcome {
    // Takes connections, and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0")?;
    let (_folder, path) = configured(mute.local_addr()?.port())?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_aplomb"));
    command.args(["run", "--config", &path]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn()?;
    // It asks its questions.
    let _asked = mute.accept()?;
    let told = Instant::now();
    assert!(Command::new("kill").arg(child.id().to_string()).status()?.success());
    let status = child.wait()?;
    assert!(status.success(), "{status}");
    assert!(told.elapsed() < Duration::from_secs(5), "a question waits for 10 s");
    Ok(())
}

#[test]
fn every_command_explains_itself_with_an_example() -> Outcome {
    let whole = aplomb(["--help"])?.well()?.out;
    for command in [
        "run", "demo", "replay", "verify", "cases", "dlq", "inspect", "drain", "offsets", "reset",
        "topics", "topology",
    ] {
        assert!(whole.contains(&format!("\n  {command} ")), "{command} is not in\n{whole}");
        let text = aplomb([command, "--help"])?.well()?.out;
        let example = text.split("Example").nth(1).unwrap_or_default();
        assert!(example.contains(&format!("  aplomb {command}")), "{text}");
        assert_eq!(text, aplomb(["help", command])?.well()?.out);
    }
    Ok(())
}

#[test]
fn draining_needs_a_process_that_runs_the_service() -> Outcome {
    let (folder, path) = unreachable()?;
    let drain = || aplomb(["drain", "--config", &path]);
    drain()?.fails(1, &["no process runs on this state folder"]);
    let state = folder.path().join("state");
    fs::create_dir(&state)?;
    // A number that was left behind, and would be this test's.
    let file = state.join("lock");
    fs::write(&file, std::process::id().to_string())?;
    drain()?.fails(1, &["no process runs"]);
    // Locked by somebody else than who left the number: process 1 has no such file open.
    let held = fs::File::open(&file)?;
    held.try_lock()?;
    fs::write(&file, "1")?;
    drain()?.fails(1, &["process 1", "not here"]);
    fs::write(&file, "")?;
    drain()?.fails(1, &["another command is at work"]);
    Ok(())
}
