//! A topology without commerce, for tests of the runtime: it counts words.

use std::sync::Arc;

use aplomb::application::{Application, Naming, Start, Tuning};
use aplomb_state::{
    codec::Format,
    context::Context,
    effect::Headers,
    envelope::{Configuration, Source},
    ids::FoldVersion,
    record::{Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Stage, StageDefinition},
    store::KeyValue,
    topology::{Cleanup, Codec, OutputDefinition, Topology},
};
use serde::{Deserialize, Serialize};

pub const INPUT: &str = "lines";
pub const COUNTS: &str = "counts.v1";
pub const DEAD: &str = "dead.v1";
const DEAD_BYTES_MAX: usize = 1_024;
/// A word whose total is emitted once more when so much time has passed.
pub const REMIND_AFTER_MS: i64 = 5_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count(pub u64);

impl Format for Count {
    const VERSION: u8 = 1;
}

const COUNT: KeyValue<[u8], Count> = KeyValue::new("counts");

struct Split;
struct Counts;

fn dead(ctx: &mut Context<'_>, subject: &Subject<'_>, why: &Rejection) -> Result<(), Rejection> {
    // The beginning is enough: an exception must fit whatever the record was.
    let cut = |bytes: &[u8]| bytes[..bytes.len().min(DEAD_BYTES_MAX)].to_vec();
    let reason = why.detail.clone().into_bytes();
    let key = cut(subject.key.unwrap_or_default());
    let mut headers = Headers::default();
    headers.push("reason", &reason);
    ctx.emit(DEAD, key, subject.value.map(cut), headers)
}

impl Stage for Split {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: "split",
            inbox: Inbox::External,
            stores: vec![],
            outputs: vec![DEAD],
            sends: vec!["counts"],
            limits: Limits::default(),
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let value = record.external.and_then(|external| external.value).unwrap_or_default();
        let text = std::str::from_utf8(value)
            .map_err(|error| Rejection::new("TEXT", "utf8", error.to_string()))?;
        for word in text.split_whitespace() {
            assert!(word != "panic", "a word that no handler survives");
            ctx.send("counts", word.as_bytes().to_vec(), b"1")?;
        }
        Ok(())
    }

    fn on_timer(&self, _: &mut Context<'_>, _: &Timer<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        dead(ctx, subject, rejection)
    }
}

impl Stage for Counts {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: "counts",
            inbox: Inbox::Internal,
            stores: vec![COUNT.definition()],
            outputs: vec![COUNTS, DEAD],
            sends: vec![],
            limits: Limits::default(),
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let count = ctx.get(&COUNT, record.key)?.unwrap_or_default().0 + 1;
        ctx.put(&COUNT, record.key, &Count(count))?;
        ctx.schedule(record.at.plus_ms(REMIND_AFTER_MS), record.key);
        ctx.emit(
            COUNTS,
            record.key.to_vec(),
            Some(count.to_string().into_bytes()),
            Headers::default(),
        )
    }

    fn on_timer(&self, ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection> {
        let count = ctx.get(&COUNT, timer.key)?.unwrap_or_default().0;
        let value = format!("{count}@{}", timer.deadline);
        ctx.emit(COUNTS, timer.key.to_vec(), Some(value.into_bytes()), Headers::default())
    }

    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        dead(ctx, subject, rejection)
    }
}

fn output(topic: &'static str, codec: Codec) -> OutputDefinition {
    OutputDefinition {
        topic,
        cleanup: Cleanup::Delete { retention_ms: 86_400_000 },
        key: "word",
        codec,
        record_bytes_max: 1 << 20,
    }
}

pub fn topology() -> Topology {
    Topology {
        name: "words",
        fold_version: FoldVersion(1),
        stages: vec![Arc::new(Split), Arc::new(Counts)],
        outputs: vec![output(COUNTS, Codec::Bytes), output(DEAD, Codec::Bytes)],
        views: vec![],
        lists: Vec::new(),
        settings: |_| Ok(Arc::new(())),
    }
}

pub fn naming(inbox_partitions: i32) -> Naming {
    Naming {
        application_id: "words".into(),
        output_prefix: "words.".into(),
        inbox_partitions,
        output_partitions: 1,
    }
}

pub fn application(naming: &Naming, input_partitions: i32) -> Application {
    let configuration = Configuration {
        revision: 1,
        hash: "1".into(),
        sources: vec![Source {
            flow: "lines".into(),
            topic: INPUT.into(),
            partitions: input_partitions,
            allowed_disorder_ms: 0,
        }],
        time_hold_ms: 600_000,
        body: vec![],
    };
    Application::new(topology(), naming, configuration, Start::Earliest, Tuning::default())
}
