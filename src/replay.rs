//! `aplomb replay`: JSON Lines in, every output topic as JSON Lines out. The same input gives the
//! same bytes.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufWriter, Write},
    path::Path,
};

use aplomb_state::{
    envelope::Source,
    ids::{NextOffset, Timestamp, TopicPartition},
    topology::Codec,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    application::{Application, Naming},
    driver::{self, Driver},
    embedded::{Foreign, Kept},
};

/// Lines between two writings of the outputs.
const LINES_PER_FLUSH: usize = 5_000;
/// Bad lines that are told with their reason; all are counted.
const BAD_LINES_NAMED_MAX: usize = 10;
/// 9999-12-31T23:59:59.999Z: a time that nobody can mean would be the last one there is.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// What the topology knows about its input that a replay needs.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// Where a line without a topic goes.
    pub default_topic: &'a str,
    /// The time that a record without a timestamp tells of itself.
    pub own_time: fn(&[u8]) -> Option<Timestamp>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {error}")]
    Read { path: String, error: io::Error },
    #[error("cannot write {path}: {error}; give a folder that can be written")]
    Write { path: String, error: io::Error },
    #[error(transparent)]
    Driver(#[from] driver::Error),
}

/// What was read, for the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub lines: usize,
    /// Lines that were no delivery; each is an exception in the output.
    pub bad_lines: usize,
    /// The first of them, with place and reason.
    pub bad_lines_named: Vec<String>,
    pub outputs: usize,
}

/// One line, taken apart.
struct Line<'a> {
    topic: String,
    key: Option<Vec<u8>>,
    value: Option<Cow<'a, [u8]>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    timestamp: Option<Timestamp>,
}

/// A line that names a topic is a record of it; any other object is a delivery as it stands.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    topic: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped<'a> {
    topic: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    #[serde(default)]
    timestamp: Option<i64>,
}

/// A replay under way.
pub struct Replay {
    driver: Option<Driver>,
    application: Option<Application>,
    naming: Naming,
    default_topic: String,
    own_time: fn(&[u8]) -> Option<Timestamp>,
    outputs: Outputs,
    last_time: Option<Timestamp>,
    summary: Summary,
}

impl Replay {
    /// Writes to `out`, which is created.
    pub fn new(
        application: Application,
        naming: Naming,
        inputs: Inputs<'_>,
        out: &Path,
    ) -> Result<Self, Error> {
        let outputs = Outputs::create(&application, &naming, out)?;
        Ok(Self {
            driver: None,
            application: Some(application),
            naming,
            default_topic: inputs.default_topic.to_owned(),
            own_time: inputs.own_time,
            outputs,
            last_time: None,
            summary: Summary::default(),
        })
    }

    /// Delivers every line. `name` is for people; `progress` is told the bytes of each.
    pub fn read(
        &mut self,
        name: &str,
        source: &mut dyn BufRead,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), Error> {
        let mut line = Vec::new();
        for number in 1_usize.. {
            line.clear();
            let read = source.read_until(b'\n', &mut line);
            let read = read.map_err(|error| Error::Read { path: name.to_owned(), error })?;
            if read == 0 {
                break;
            }
            progress(read);
            let bytes = without_line_end(&line);
            if !bytes.trim_ascii().is_empty() {
                self.line(bytes, || format!("{name}:{number}"))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, bytes: &[u8], place: impl Fn() -> String) -> Result<(), Error> {
        let line = self.take_apart(bytes).unwrap_or_else(|reason| {
            self.summary.bad_lines += 1;
            if self.summary.bad_lines_named.len() < BAD_LINES_NAMED_MAX {
                self.summary.bad_lines_named.push(format!("{}: {reason}", place()));
            }
            Line::raw(self.default_topic.clone(), bytes)
        });
        let own_time = || {
            let value = line.value.as_deref()?;
            (self.own_time)(value).filter(|time| is_possible(*time))
        };
        let time = line.timestamp.or_else(own_time).or(self.last_time).unwrap_or_default();
        self.last_time = Some(time);
        let driver = self.driver(time)?;
        let headers: Vec<_> =
            line.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect();
        driver.deliver(&Foreign {
            key: line.key.as_deref(),
            value: line.value.as_deref(),
            headers: &headers,
            timestamp: Some(time),
            ..Foreign::to(&line.topic)
        })?;
        self.summary.lines += 1;
        if self.summary.lines.is_multiple_of(LINES_PER_FLUSH) {
            self.write_outputs()?;
        }
        Ok(())
    }

    /// The driver, started at the time of the first line.
    fn driver(&mut self, at: Timestamp) -> Result<&mut Driver, Error> {
        if let Some(application) = self.application.take() {
            self.driver = Some(Driver::start(application, &self.naming, at)?);
        }
        self.driver.as_mut().ok_or(Error::Driver(driver::Error::Endless))
    }

    /// `Err`: why the line is no delivery. It is handed on as it is, and ends in an exception.
    fn take_apart<'a>(&self, bytes: &'a [u8]) -> Result<Line<'a>, String> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err("not a JSON object".to_owned());
        }
        let head = serde_json::from_slice(bytes).map_err(|error| format!("broken JSON: {error}"));
        let head: Head = head?;
        if head.topic.is_none() {
            return Ok(Line::raw(self.default_topic.clone(), bytes));
        }
        let told = |error: serde_json::Error| {
            format!("not {{topic, key, value, headers, timestamp}}: {error}")
        };
        let wrapped: Wrapped<'_> = serde_json::from_slice(bytes).map_err(told)?;
        let topic = self.known_topic(&wrapped.topic).ok_or_else(|| {
            format!("no flow reads the topic {}; known are {}", wrapped.topic, self.known_topics())
        })?;
        let timestamp = wrapped.timestamp.map(Timestamp);
        if let Some(time) = timestamp.filter(|time| !is_possible(*time)) {
            return Err(format!("the timestamp {} is no epoch milliseconds", time.0));
        }
        let text = wrapped.value.get();
        let value = if text == "null" {
            None
        } else if text.starts_with('"') {
            let raw: String = serde_json::from_str(text).map_err(told)?;
            Some(raw.into_bytes().into())
        } else {
            Some(text.as_bytes().into())
        };
        let headers = wrapped.headers.into_iter();
        Ok(Line {
            topic,
            key: wrapped.key.map(String::into_bytes),
            value,
            headers: headers.map(|(name, value)| (name.into(), value.map(Into::into))).collect(),
            timestamp,
        })
    }

    /// With or without the prefix.
    fn known_topic(&self, name: &str) -> Option<String> {
        let prefix = &self.naming.output_prefix;
        let same = |topic: &str| {
            topic == name
                || topic.strip_prefix(prefix.as_str()) == Some(name)
                || name.strip_prefix(prefix.as_str()) == Some(topic)
        };
        self.sources().iter().map(|source| &source.topic).find(|topic| same(topic)).cloned()
    }

    fn known_topics(&self) -> String {
        let topics = self.sources().iter().map(|source| source.topic.as_str());
        topics.collect::<Vec<_>>().join(", ")
    }

    fn sources(&self) -> &[Source] {
        let running = self.driver.as_ref().map(|driver| &*driver.application);
        let application = running.or(self.application.as_ref());
        application.map_or(&[], |application| &application.configuration.sources)
    }

    /// Time goes on to `until`, if that is later, and everything due by then happens.
    pub fn finish(mut self, until: Option<Timestamp>) -> Result<Summary, Error> {
        let start = self.last_time.or(until).unwrap_or_default();
        let driver = self.driver(start)?;
        if let Some(until) = until.filter(|until| *until >= driver.now()) {
            driver.advance(until)?;
            driver.finish()?;
        }
        self.write_outputs()?;
        self.outputs.flush()?;
        self.summary.outputs = self.outputs.written;
        Ok(self.summary)
    }

    fn write_outputs(&mut self) -> Result<(), Error> {
        let Some(driver) = &self.driver else { return Ok(()) };
        self.outputs.write(driver)?;
        driver.trim()?;
        Ok(())
    }
}

fn is_possible(time: Timestamp) -> bool {
    (0..=TIME_MS_MAX).contains(&time.0)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl<'a> Line<'a> {
    fn raw(topic: String, bytes: &'a [u8]) -> Self {
        Self { topic, key: None, value: Some(bytes.into()), headers: Vec::new(), timestamp: None }
    }
}

/// The files of the output topics.
struct Outputs {
    files: Vec<OutputFile>,
    written: usize,
}

struct OutputFile {
    partition: TopicPartition,
    codec: Codec,
    next: NextOffset,
    file: usize,
    path: String,
    writer: Option<BufWriter<File>>,
}

impl Outputs {
    fn create(application: &Application, naming: &Naming, out: &Path) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |error| Error::Write { path, error }
        };
        fs::create_dir_all(out).map_err(failed(out))?;
        let mut files = Vec::new();
        for (definition, output) in application.topology.outputs.iter().zip(&application.outputs) {
            let path = out.join(format!("{}.jsonl", definition.topic));
            let file = File::create(&path).map_err(failed(&path))?;
            let mut writer = Some(BufWriter::new(file));
            let first = files.len();
            for partition in 0..naming.output_partitions {
                files.push(OutputFile {
                    partition: TopicPartition { topic: output.topic.clone(), partition },
                    codec: definition.codec,
                    next: NextOffset(0),
                    file: first,
                    path: path.display().to_string(),
                    writer: writer.take(),
                });
            }
        }
        Ok(Self { files, written: 0 })
    }

    fn write(&mut self, driver: &Driver) -> Result<(), Error> {
        for index in 0..self.files.len() {
            let Some(output) = self.files.get_mut(index) else { continue };
            let (records, next) = driver.take_output(&output.partition, output.next)?;
            output.next = next;
            let (topic, codec, file) = (output.partition.topic.clone(), output.codec, output.file);
            let Some(output) = self.files.get_mut(file) else { continue };
            let Some(writer) = &mut output.writer else { continue };
            for record in &records {
                let line = render(&topic, codec, record);
                let outcome = serde_json::to_writer(&mut *writer, &line)
                    .map_err(io::Error::from)
                    .and_then(|()| writer.write_all(b"\n"));
                outcome.map_err(|error| Error::Write { path: output.path.clone(), error })?;
                self.written += 1;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        for output in &mut self.files {
            if let Some(writer) = &mut output.writer {
                let outcome = writer.flush();
                outcome.map_err(|error| Error::Write { path: output.path.clone(), error })?;
            }
        }
        Ok(())
    }
}

/// One record of an output topic, as a line.
#[derive(Serialize)]
struct OutputLine<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Text<'a>>,
    value: Option<OutputValue<'a>>,
    headers: BTreeMap<String, Option<Text<'a>>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OutputValue<'a> {
    Json(&'a RawValue),
    Text(Text<'a>),
}

/// Text as it is, other bytes as base64.
#[derive(Serialize)]
#[serde(untagged)]
enum Text<'a> {
    Utf8(&'a str),
    Bytes { base64: String },
}

fn render<'a>(topic: &'a str, codec: Codec, record: &'a Kept) -> OutputLine<'a> {
    let json = |bytes: &'a [u8]| match codec {
        Codec::Json => serde_json::from_slice(bytes).ok().map(OutputValue::Json),
        Codec::Bytes => None,
    };
    let value = |bytes: &'a [u8]| json(bytes).unwrap_or_else(|| OutputValue::Text(text(bytes)));
    let headers = record.headers.iter().map(|(name, value)| {
        (String::from_utf8_lossy(name).into_owned(), value.as_deref().map(text))
    });
    OutputLine {
        topic,
        partition: record.partition,
        offset: record.offset.0,
        timestamp: record.timestamp.0,
        key: record.key.as_deref().map(text),
        value: record.value.as_deref().map(value),
        headers: headers.collect(),
    }
}

fn text(bytes: &[u8]) -> Text<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Text::Utf8(text),
        Err(_) => Text::Bytes { base64: STANDARD.encode(bytes) },
    }
}
