//! What the actors of all resources have in common: duplicates, order, gaps, healing, deletion.
//!
//! A message in order costs one read and one write of the actor's row. The buffer is touched only
//! when there is disorder, and a timer is set only while a gap is open.

use aplomb_state::{
    codec::{self, Format},
    context::Context,
    ids::Timestamp,
    rejection::Rejection,
    store::KeyValue,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use super::{
    delivered::{Bytes, Delivered, Kept},
    notices::{self, Reason, Who},
    sequencer::{Offer, Sequence},
};
use crate::{
    exceptions, message_types,
    messages::{cases::Raise, skus::Cause},
    outputs,
    settings::{Rules, Settings},
};

mod ended;
mod gaps;

pub use ended::Late;
pub use gaps::on_timer;

/// Messages that wait for one before them, and those kept for healing: `key ‖ 0 ‖ sequence`.
pub const BUFFER: KeyValue<[u8], Kept> = KeyValue::new("buffer");

/// The actor's row as it was before the first number that was given up.
pub const CHECKPOINTS: KeyValue<[u8], Checkpoint> = KeyValue::new("checkpoints");

/// So many messages may wait for the content of one before them.
const HELD_MAX: usize = 1_024;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    row: ByteBuf,
}

impl Format for Checkpoint {
    const VERSION: u8 = 1;
}

/// A resource is gone, by the change notification that says so.
#[derive(Clone, Copy, Debug)]
pub struct Deletion {
    pub version: u64,
    pub at: Timestamp,
    pub erased: Erased,
}

/// Whether personal data must go with the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    Yes,
    No,
}

/// The end of a resource, kept until its marker may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub until: Timestamp,
    pub erased: bool,
    /// Messages that came later and were dropped.
    pub dropped: u64,
}

/// What becomes of messages that come after the end of their resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterEnd {
    Dropped,
    /// Others are told what they need to know of them: [`Resource::tell_late`].
    Told,
}

/// What may still come of a resource that has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remainder {
    Nothing,
    /// Messages that its end has overtaken.
    Awaited,
}

/// A type of resource: its row, and what its messages mean.
pub trait Resource: Format + DeserializeOwned + Default {
    const STORE: KeyValue<[u8], Self>;
    /// Whether messages are kept whole to be folded again.
    const BYTES: Bytes;
    const AFTER_END: AfterEnd = AfterEnd::Dropped;

    fn sequence(&mut self) -> &mut Sequence;
    fn ended(&mut self) -> &mut Option<Ended>;
    /// Folds a message whose turn it is and tells others. True: the resource is deleted by it.
    fn apply(&mut self, ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<bool, Rejection>;
    /// The message was rejected; its number is consumed.
    fn skip(&mut self, ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<(), Rejection>;
    /// A late message fills a gap. `base` is the row before the gap, `log` everything since in
    /// sequence, the late one included. True: the resource is deleted by one of them.
    fn refold(
        &mut self,
        ctx: &mut Context<'_>,
        base: Self,
        log: &[Delivered<'_>],
        late: &Delivered<'_>,
    ) -> Result<bool, Rejection>;
    /// A late message can no longer be folded in.
    fn too_late(&mut self, ctx: &mut Context<'_>, message: &Delivered<'_>)
    -> Result<(), Rejection>;
    /// Of a resource that has ended: tells others what they would know had all messages come
    /// before. `base` is the row before `log`, which is everything known since. True: a message of
    /// the log says the end.
    fn tell_late(
        &mut self,
        _: &mut Context<'_>,
        _base: Self,
        _log: &[Delivered<'_>],
        _late: &Late<'_>,
    ) -> Result<bool, Rejection> {
        Ok(true)
    }
    /// The timer of its [`super::watches::Watches`] has fired.
    fn due(&mut self, _: &mut Context<'_>, _: Who<'_>, _: Timestamp) -> Result<(), Rejection> {
        Ok(())
    }
    /// The resource is gone, whatever its messages said: nothing but the row's marker stays.
    fn delete(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        at: Timestamp,
        cause: &Cause,
    ) -> Result<(), Rejection>;
}

/// How a message comes to its turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It is the next one.
    Straight,
    /// Out of the buffer.
    Released,
    /// Its number was consumed already, without its payload.
    Content,
}

/// A message arrives.
pub fn deliver<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
) -> Result<(), Rejection> {
    let mut row: R = ctx.get(&R::STORE, message.key)?.unwrap_or_default();
    if row.ended().is_some() {
        return ended::deliver(ctx, message, row);
    }
    match row.sequence().offer(message.head.identity()) {
        Offer::Next => {
            let disorder = row.sequence().waiting() > 0;
            take(ctx, message, row, Turn::Straight)?;
            if disorder { drain::<R>(ctx, message.key) } else { Ok(()) }
        }
        Offer::Ahead => keep(ctx, message, row),
        Offer::Duplicate => {
            // The content of what holds everything up may come in another form.
            let sequence = row.sequence();
            let awaited = sequence.is_held() && sequence.last() == message.head.sequence;
            if awaited && message.head.payload_missing.is_none() {
                take(ctx, message, row, Turn::Content)?;
                return drain::<R>(ctx, message.key);
            }
            Ok(())
        }
        Offer::Forgotten => Ok(()),
        Offer::DuplicateConflict => conflict(ctx, message, "DUPLICATE_CONFLICT"),
        Offer::SequenceConflict => conflict(ctx, message, "SEQUENCE_CONFLICT"),
        Offer::Heals => gaps::heal(ctx, message, row),
        Offer::TooLate => gaps::too_late(ctx, message, row),
    }
}

/// Two versions of one fact: the first is kept, the second goes to the dead letters.
fn conflict(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    code: &'static str,
) -> Result<(), Rejection> {
    let head = &message.head;
    let detail = format!(
        "message {} ({}, sequence {}, version {}) contradicts one that came before",
        head.message_id, head.message_type, head.sequence, head.resource_version
    );
    let rejection = Rejection::new(code, "first_kept", detail.clone());
    exceptions::dead_letter(ctx, &message.subject(), &rejection)?;
    let case = Who::of(message.key)?.case(code, "");
    notices::raise(ctx, case, detail, head.created_at, &head.cause())
}

/// Gives a message its turn, in a savepoint of its own. One that is refused may be told again, once
/// what was wrong with it is mended: from here on all is kept, for it to be folded in at its place.
fn take<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    row: R,
    turn: Turn,
) -> Result<(), Rejection> {
    let mut moved = Some(row);
    let refused = ctx.attempt(&message.subject(), message.at, |ctx| {
        let mut row = moved.take().unwrap_or_default();
        consume(&mut row, message, turn);
        if !message_types::is_known(&message.head.message_type) {
            unknown_type(ctx, message)?;
        }
        let deleted = row.apply(ctx, message)?;
        log(ctx, message, &mut row, turn)?;
        if deleted {
            return end_by_message(ctx, message.key, row);
        }
        ctx.put(&R::STORE, message.key, &row)
    })?;
    if refused.is_none() {
        return Ok(());
    }
    let mut row: R = ctx.get(&R::STORE, message.key)?.unwrap_or_default();
    gaps::keep_for_healing(ctx, message.key, &mut row)?;
    consume(&mut row, message, turn);
    if R::BYTES == Bytes::Whole {
        row.sequence().refuse(message.head.sequence);
    }
    row.skip(ctx, message)?;
    log(ctx, message, &mut row, turn)?;
    ctx.put(&R::STORE, message.key, &row)
}

fn consume<R: Resource>(row: &mut R, message: &Delivered<'_>, turn: Turn) {
    match turn {
        Turn::Straight => row.sequence().take(message.head.identity()),
        Turn::Released => {
            row.sequence().release();
        }
        Turn::Content => row.sequence().unhold(),
    }
}

/// While a gap can still heal, what is applied stays in the buffer.
fn log<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    row: &mut R,
    turn: Turn,
) -> Result<(), Rejection> {
    let buffer_key = buffer_key(message.key, message.head.sequence);
    if !row.sequence().is_healing() {
        if turn == Turn::Released {
            ctx.delete(&BUFFER, &buffer_key)?;
        }
        return Ok(());
    }
    if turn != Turn::Released {
        ctx.put(&BUFFER, &buffer_key, &message.kept(R::BYTES))?;
    }
    let rules = rules(ctx)?;
    if row.sequence().keep_in_window(rules.heal_window_messages) {
        return Ok(());
    }
    gaps::close_window(ctx, message.key, row)
}

/// A message ahead of one that is missing waits.
fn keep<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    mut row: R,
) -> Result<(), Rejection> {
    let rules = rules(ctx)?;
    let now = ctx.now();
    let sequence = row.sequence();
    if sequence.is_held() && sequence.waiting() >= HELD_MAX {
        let detail = format!("{HELD_MAX} messages wait for the content of one before them");
        return Err(Rejection::new("PAYLOAD_MISSING", "held_max", detail));
    }
    let room = usize::try_from(rules.heal_window_messages).unwrap_or(HELD_MAX).min(HELD_MAX);
    let full = !sequence.is_held() && sequence.waiting() >= room;
    sequence.keep(message.head.identity(), now);
    let buffer_key = buffer_key(message.key, message.head.sequence);
    ctx.put(&BUFFER, &buffer_key, &message.kept(R::BYTES))?;
    if full {
        // Bounded: waiting longer would need more room than a gap is worth.
        gaps::give_up(ctx, message.key, row, &message.head.cause())?;
        return drain::<R>(ctx, message.key);
    }
    gaps::set_timer(ctx, message.key, &mut row, &rules);
    ctx.put(&R::STORE, message.key, &row)
}

/// Releases what waits as far as it is in sequence, and sets the timer of the gap behind it.
fn drain<R: Resource>(ctx: &mut Context<'_>, key: &[u8]) -> Result<(), Rejection> {
    loop {
        let mut row: R = ctx.get(&R::STORE, key)?.unwrap_or_default();
        if row.ended().is_some() {
            return Ok(());
        }
        let Some(sequence) = row.sequence().peek() else {
            let rules = rules(ctx)?;
            gaps::set_timer(ctx, key, &mut row, &rules);
            return ctx.put(&R::STORE, key, &row);
        };
        let Some(kept) = ctx.get(&BUFFER, &buffer_key(key, sequence)[..])? else {
            let detail = format!("message {sequence} was kept and is not there");
            return Err(Rejection::new("CONTRACT_VIOLATION", "buffer", detail));
        };
        let message = Delivered::of_kept(ctx, key, &kept)?;
        take(ctx, &message, row, Turn::Released)?;
    }
}

/// A message ended the resource. Numbers that were given up before it may still come.
fn end_by_message<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    mut row: R,
) -> Result<(), Rejection> {
    let sequence = row.sequence();
    let awaited = R::AFTER_END == AfterEnd::Told && sequence.is_healing() && sequence.has_missing();
    let remainder = if awaited { Remainder::Awaited } else { Remainder::Nothing };
    end(ctx, key, row, Erased::No, remainder)
}

/// Leaves the marker of a deleted resource: its sequence and revision, nothing else.
fn end<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    mut row: R,
    erased: Erased,
    remainder: Remainder,
) -> Result<(), Rejection> {
    let until = kept_until(ctx, erased)?;
    gaps::end(ctx, key, &mut row)?;
    if remainder == Remainder::Nothing {
        ended::forget(ctx, key, &mut row)?;
    }
    *row.ended() = Some(Ended { until, erased: erased == Erased::Yes, dropped: 0 });
    ctx.schedule(until, &marker_timer(key));
    ctx.put(&R::STORE, key, &row)
}

/// A deletion that has no sequence number is final at once, and the message that tells the same
/// counts as one that came later. With erasure an id-only marker stays as well, and a case until
/// personal data has expired everywhere.
pub fn delete<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    deletion: Deletion,
) -> Result<(), Rejection> {
    let who = Who::of(key)?;
    let mut row: R = ctx.get(&R::STORE, key)?.unwrap_or_default();
    let ended = *row.ended();
    let erases = deletion.erased == Erased::Yes && !ended.is_some_and(|ended| ended.erased);
    let Who { project, type_id, id } = who;
    let cause = Cause {
        id: format!("c:{project}:{type_id}:{id}:ResourceDeleted:{}", deletion.version),
        resource: Some(format!("{type_id}:{id}")),
        version: Some(deletion.version),
        ..Cause::default()
    };
    if erases {
        let detail = "its personal data stays in messages and dead letters until these expire";
        let raise = Raise {
            key: who.case("PII_ERASURE_PENDING", ""),
            flow: ctx.trace().flow.clone(),
            detail: detail.to_owned(),
            // The marker is kept as long as anything personal: it resolves the case.
            due_at: Some(kept_until(ctx, Erased::Yes)?),
            at: deletion.at,
            cause: cause.clone(),
            ..Raise::default()
        };
        exceptions::raise(ctx, &raise)?;
    }
    match ended {
        Some(ended) if erases => {
            ended::forget(ctx, key, &mut row)?;
            ctx.cancel(ended.until, &marker_timer(key));
            let until = kept_until(ctx, Erased::Yes)?;
            ctx.schedule(until, &marker_timer(key));
            *row.ended() = Some(Ended { until, erased: true, ..ended });
            ctx.put(&R::STORE, key, &row)
        }
        Some(_) => Ok(()),
        None => {
            let before = codec::encode(&row);
            row.delete(ctx, who, deletion.at, &cause)?;
            ended::begin(ctx, key, row, before, &deletion, &cause)
        }
    }
}

/// The end of a marker. That of an erasure stays until personal data is nowhere any more:
/// in no buffer, no inbox and no dead letter.
fn kept_until(ctx: &mut Context<'_>, erased: Erased) -> Result<Timestamp, Rejection> {
    let rules = rules(ctx)?;
    let kept = match erased {
        Erased::No => rules.deletion_marker_ms,
        Erased::Yes => {
            rules.deletion_marker_ms.max(rules.heal_window_ms).max(outputs::DLQ_RETENTION_MS)
        }
    };
    Ok(ctx.now().plus_ms(kept))
}

/// The key of the timer that ends a marker.
pub fn marker_timer(key: &[u8]) -> Vec<u8> {
    gaps::timer_key(gaps::MARKER, key)
}

fn unknown_type(ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<(), Rejection> {
    let head = &message.head;
    let flow = message.trace.flow.as_str();
    let case = Who::of(message.key)?.flow_case("UNKNOWN_MESSAGE_TYPE", flow, &head.message_type);
    let detail = format!("messages of type {} have no rule here", head.message_type);
    notices::raise(ctx, case, detail, head.created_at, &head.cause())
}

/// The payload was left out: someone has to fetch the resource.
pub fn payload_missing(ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<(), Rejection> {
    let head = &message.head;
    let who = Who::of(message.key)?;
    notices::refetch(ctx, who, Reason::PayloadMissing, head.created_at, &head.cause())
}

fn rules(ctx: &mut Context<'_>) -> Result<Rules, Rejection> {
    Ok(ctx.settings::<Settings>()?.rules.clone())
}

fn buffer_key(key: &[u8], sequence: u64) -> Vec<u8> {
    [key, &[0], &sequence.to_be_bytes()].concat()
}

fn buffer_prefix(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
