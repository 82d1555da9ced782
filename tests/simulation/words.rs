//! The small load: a topology without commerce that uses all the contract offers. Three stages,
//! messages in both directions, a broadcast, continuations, expiring entries, timers, deletions,
//! limits, and words that no handler survives.

use std::sync::Arc;

use aplomb_state::{
    codec::Format,
    context::Context,
    effect::Headers,
    ids::FoldVersion,
    record::{Kind, Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Stage, StageDefinition},
    store::{Expiring, KeyValue},
    topology::{Cleanup, Codec, OutputDefinition, Topology},
};
use serde::{Deserialize, Serialize};

pub const INPUT: &str = "lines";
/// Words in a line above which it is refused, after as many messages.
pub const WORDS_MAX: usize = 24;
pub const REMIND_AFTER_MS: i64 = 1_500;
const FORGET_AFTER_MS: i64 = 700;
const VALUE_BYTES_MAX: usize = 200;
/// Steps of one piece of long work.
const STEPS: u8 = 3;

const COUNTS: &str = "counts.v1";
const TOTALS: &str = "totals.v1";
const DEAD: &str = "dead.v1";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count(pub u64, String);

impl Format for Count {
    const VERSION: u8 = 1;
}

pub const COUNT: KeyValue<[u8], Count> = KeyValue::new("counts");
const RECENT: Expiring<[u8], Count> = Expiring::new("recent");
const TOTAL: KeyValue<[u8], Count> = KeyValue::new("totals");

pub fn topology(fold_version: u32) -> Topology {
    let output = |topic, cleanup| OutputDefinition {
        topic,
        cleanup,
        key: "word",
        codec: Codec::Bytes,
        record_bytes_max: 4_096,
    };
    let kept = Cleanup::Delete { retention_ms: 86_400_000 };
    Topology {
        name: "words",
        fold_version: FoldVersion(fold_version),
        stages: vec![Arc::new(Split), Arc::new(Counts), Arc::new(Totals)],
        outputs: vec![output(COUNTS, kept), output(TOTALS, Cleanup::Compact), output(DEAD, kept)],
        views: vec![],
        lists: Vec::new(),
        settings: |_| Ok(Arc::new(())),
    }
}

struct Split;
struct Counts;
struct Totals;

/// The beginning is enough: an exception must fit whatever the record was.
fn dead(ctx: &mut Context<'_>, subject: &Subject<'_>, why: &Rejection) -> Result<(), Rejection> {
    let cut = |bytes: &[u8]| bytes[..bytes.len().min(64)].to_vec();
    let key = cut(subject.key.unwrap_or_default());
    let mut headers = Headers::default();
    headers.push("reason", why.rule.as_bytes());
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
            limits: Limits { effects_max: WORDS_MAX, ..Limits::default() },
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let value = record.external.and_then(|external| external.value).unwrap_or_default();
        // Byte by byte, so that what comes before a bad byte was sent already.
        for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            match std::str::from_utf8(word) {
                Ok("panic") => panic_quietly(),
                Ok("all!") => ctx.broadcast("counts", b"all!".to_vec(), b"")?,
                Ok(_) => ctx.send("counts", word.to_vec(), b"")?,
                Err(error) => return Err(Rejection::new("TEXT", "utf8", error.to_string())),
            }
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

impl Counts {
    fn count(ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let word = record.key;
        let count = Count(ctx.get(&COUNT, word)?.unwrap_or_default().0 + 1, String::new());
        ctx.put(&COUNT, word, &count)?;
        ctx.put_expiring(&RECENT, word, &count, record.at.plus_ms(FORGET_AFTER_MS))?;
        ctx.schedule(record.at.plus_ms(REMIND_AFTER_MS), word);
        let value = count.0.to_string().into_bytes();
        ctx.emit(COUNTS, word.to_vec(), Some(value.clone()), Headers::default())?;
        ctx.send("totals", word.to_vec(), &value)
    }
}

impl Stage for Counts {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: "counts",
            inbox: Inbox::Internal,
            stores: vec![COUNT.definition(), RECENT.definition()],
            outputs: vec![COUNTS, DEAD],
            sends: vec!["counts", "totals"],
            limits: Limits { value_bytes_max: VALUE_BYTES_MAX, ..Limits::default() },
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        if record.kind == Kind::Continuation {
            let (steps, word) = record.body.split_first().unwrap_or((&0, b""));
            let long = Record { key: word, ..record.clone() };
            Self::count(ctx, &long)?;
            return match steps {
                0 => Ok(()),
                steps => ctx.continue_later(&[&[steps - 1], word].concat()),
            };
        }
        Self::count(ctx, record)?;
        match record.key {
            [b'-', word @ ..] => ctx.delete(&COUNT, word),
            b"later" => ctx.continue_later(&[&[STEPS - 1], record.key].concat()),
            b"loop" => ctx.send("totals", b"loop".to_vec(), b"loop"),
            b"big" => {
                let long = Count(0, "x".repeat(VALUE_BYTES_MAX));
                ctx.put(&COUNT, b"big one", &long)
            }
            b"boom" => panic_quietly(),
            _ => Ok(()),
        }
    }

    fn on_timer(&self, ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection> {
        let count = ctx.get(&COUNT, timer.key)?.unwrap_or_default().0;
        let recent = ctx.get_expiring(&RECENT, timer.key)?.is_some();
        let value = format!("{count}@{} {recent}", timer.deadline);
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

impl Stage for Totals {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: "totals",
            inbox: Inbox::Internal,
            stores: vec![TOTAL.definition()],
            outputs: vec![TOTALS, DEAD],
            sends: vec!["counts"],
            limits: Limits::default(),
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        let seen = Count(ctx.get(&TOTAL, record.key)?.unwrap_or_default().0 + 1, String::new());
        ctx.put(&TOTAL, record.key, &seen)?;
        if record.body == b"loop" {
            // Ends when the message has gone through too many actors.
            return ctx.send("counts", b"loop".to_vec(), b"");
        }
        let value = [record.body, b" of ", seen.0.to_string().as_bytes()].concat();
        ctx.emit(TOTALS, record.key.to_vec(), Some(value), Headers::default())
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

/// A panic of a handler, without the message that the default hook prints.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("a word that no handler survives"))
}
