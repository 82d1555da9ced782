//! The binary as its user meets it: arguments in; files, text and an exit code out. No network
//! beyond a loopback port that nobody listens on.
#![cfg(feature = "commerce")]

mod ask;
mod commands;
mod configuration;
mod lines;
mod replay;
mod times;

use std::{
    collections::BTreeMap,
    error::Error,
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/topologies/corpus/messages.jsonl");
const NOTIFICATIONS: &str = "commercetools.notifications.v1";
const STOCK: &str = "sor.wms.stock.v1";
/// Far more than any command here needs, far less than a hanging one would take.
const LIMIT: Duration = Duration::from_secs(60);

/// How a command ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn aplomb<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Outcome<Ended> {
    aplomb_fed(arguments, b"")
}

/// With something on standard input.
fn aplomb_fed<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S>,
    input: &[u8],
) -> Outcome<Ended> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aplomb"));
    command.args(arguments);
    // Nothing of the developer's own configuration may count.
    let ours = |name: &OsStr| name.to_string_lossy().starts_with("APLOMB_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let id = child.id();
    let stdin = child.stdin.take();
    let input = input.to_vec();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        let feed = thread::spawn(move || {
            // A command that ends early closes its side.
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(&input);
            }
        });
        let _ = sender.send(child.wait_with_output());
        let _ = feed.join();
    });
    let Ok(output) = ended.recv_timeout(LIMIT) else {
        Command::new("kill").args(["-KILL", &id.to_string()]).status()?;
        return Err(format!("{command:?} hangs").into());
    };
    let Output { status, stdout, stderr } = output?;
    let (out, err) = (String::from_utf8(stdout)?, String::from_utf8(stderr)?);
    Ok(Ended { code: status.code(), out, err })
}

impl Ended {
    /// It did what it should.
    fn well(self) -> Outcome<Self> {
        match self.code {
            Some(0) => Ok(self),
            code => Err(format!("exit {code:?}\n{}\n{}", self.out, self.err).into()),
        }
    }

    /// It failed with `code` and these words on standard error.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word} is not in\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// A replay's output: the bytes of each file, by topic.
#[derive(PartialEq, Eq)]
struct Replayed {
    files: BTreeMap<String, String>,
    err: String,
}

/// Replays `input` as a file, with `more` arguments.
fn replay(input: &[u8], more: &[&str]) -> Outcome<Replayed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("in.jsonl");
    fs::write(&file, input)?;
    let out = folder.path().join("out");
    let mut arguments: Vec<&OsStr> = vec!["replay".as_ref(), file.as_ref(), "--out".as_ref()];
    arguments.push(out.as_ref());
    arguments.extend(more.iter().map(OsStr::new));
    let ended = aplomb(arguments)?.well()?;
    Ok(Replayed { files: files(&out)?, err: ended.err })
}

fn files(out: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let topic = name.strip_suffix(".jsonl").ok_or_else(|| format!("unexpected file {name}"))?;
        files.insert(topic.to_owned(), fs::read_to_string(entry.path())?);
    }
    Ok(files)
}

impl Replayed {
    fn records(&self, topic: &str) -> Outcome<Vec<Value>> {
        let text = self.files.get(topic).ok_or_else(|| format!("no {topic}.jsonl"))?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn all(&self) -> Outcome<Vec<Value>> {
        let mut all = Vec::new();
        for topic in self.files.keys() {
            all.extend(self.records(topic)?);
        }
        Ok(all)
    }

    /// The codes of the cases that were opened.
    fn codes(&self) -> Outcome<Vec<String>> {
        let records = self.records("exceptions.v1")?;
        let code = |record: &Value| record["value"]["code"].as_str().map(str::to_owned);
        Ok(records.iter().filter_map(code).collect())
    }
}

/// A configuration file in a folder of its own.
fn config(text: &str) -> Outcome<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("aplomb.toml");
    fs::write(&path, text)?;
    Ok((folder, path))
}
