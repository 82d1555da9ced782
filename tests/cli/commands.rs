//! Every command beside `replay`.

use std::{
    fs,
    net::TcpListener,
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{LIMIT, NOTIFICATIONS, Outcome, aplomb};

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
    thread::scope(|scope| {
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
    let (status, time) = terminate_a_service(Stdio::null())?;
    assert!(status.success(), "{status}");
    assert!(time < Duration::from_secs(5), "a question waits for 10 s");
    Ok(())
}

/// A disk that is full takes no log lines. The service goes on without them.
#[test]
#[cfg(target_os = "linux")]
fn a_log_that_cannot_be_written_ends_no_service() -> Outcome {
    let (status, _) = terminate_a_service(full()?)?;
    assert!(status.success(), "{status}");
    Ok(())
}

/// Starts one whose broker takes connections and never says a word, and ends it by SIGTERM once
/// it asks. How it ended, and how soon.
fn terminate_a_service(log: Stdio) -> Outcome<(ExitStatus, Duration)> {
    let mute = TcpListener::bind("127.0.0.1:0")?;
    let (_folder, path) = configured(mute.local_addr()?.port())?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_aplomb"));
    command.args(["run", "--config", &path]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(log).spawn()?;
    let id = child.id().to_string();
    let (ends, ended) = mpsc::channel();
    let asks = ends.clone();
    // The process may also end before it asks; the connection stays open meanwhile.
    let asking = thread::spawn(move || {
        let connection = mute.accept();
        let _ = asks.send(None);
        connection
    });
    thread::spawn(move || ends.send(Some(child.wait())));
    let mut told = Instant::now();
    loop {
        match ended.recv_timeout(LIMIT)? {
            None => {
                told = Instant::now();
                assert!(Command::new("kill").arg(&id).status()?.success());
            }
            Some(status) => {
                drop(asking);
                return Ok((status?, told.elapsed()));
            }
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() -> Outcome {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let (code, complaint) = topology_to(Stdio::from(writer))?;
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn lines_that_are_lost_are_a_failure() -> Outcome {
    let (code, complaint) = topology_to(full()?)?;
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.starts_with("aplomb: standard output is not whole: No space"), "{complaint}");
    Ok(())
}

fn topology_to(out: Stdio) -> Outcome<(Option<i32>, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aplomb"));
    let ended = command.arg("topology").stdout(out).stderr(Stdio::piped()).output()?;
    Ok((ended.status.code(), String::from_utf8(ended.stderr)?))
}

/// A file on a disk that is full.
#[cfg(target_os = "linux")]
fn full() -> Outcome<Stdio> {
    Ok(Stdio::from(fs::File::options().write(true).open("/dev/full")?))
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
