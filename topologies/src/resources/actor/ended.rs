//! Messages that come after the end of their resource. They are counted and dropped: the end is
//! final. Only what others must know whatever the order of arrival is told all the same, as if the
//! messages had come in order before it ([`Resource::tell_late`]).
//!
//! ```text
//!   OrderDeleted in sequence ───────────────────────────► whole: nothing can come
//!   OrderDeleted behind a gap given up, ResourceDeleted ─► awaited, for the heal window
//!   awaited ── every number up to OrderDeleted ──────────► whole
//!   awaited ── window or marker over, or full ───────────► dropped
//!   data erasure ── nothing is kept, so each message is told for itself
//! ```
//!
//! What is awaited stands where a gap that can heal stands: the row as it was in `checkpoints`,
//! messages since in `buffer`.

use std::ops::RangeInclusive;

use aplomb_state::{context::Context, ids::Timestamp, rejection::Rejection};
use serde_bytes::ByteBuf;

use super::{
    AfterEnd, BUFFER, CHECKPOINTS, Checkpoint, Deletion, Erased, Remainder, Resource, buffer_key,
    end,
    gaps::{self, kept_rows},
    rules,
};
use crate::{
    messages::skus::Cause,
    resources::{delivered::Delivered, notices::Who, sequencer::Offer},
};

/// What others have not heard yet of a resource that has ended, and why they do now.
pub struct Late<'a> {
    pub who: Who<'a>,
    /// The messages that are new.
    pub news: RangeInclusive<u64>,
    pub cause: &'a Cause,
    pub at: Timestamp,
}

/// A resource has ended by a change. `before` is its row without that, in its stored form.
pub(super) fn begin<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    mut row: R,
    before: Vec<u8>,
    deletion: &Deletion,
    cause: &Cause,
) -> Result<(), Rejection> {
    if R::AFTER_END == AfterEnd::Dropped {
        return end(ctx, key, row, deletion.erased, Remainder::Nothing);
    }
    if !row.sequence().is_healing() {
        ctx.put(&CHECKPOINTS, key, &Checkpoint { row: ByteBuf::from(before) })?;
        let until = ctx.now().plus_ms(rules(ctx)?.heal_window_ms);
        gaps::open_window(ctx, key, &mut row, until);
    }
    let mut whole = false;
    if row.sequence().waiting() > 0 {
        let news = row.sequence().last() + 1..=u64::MAX;
        let late = Late { who: Who::of(key)?, news, cause, at: deletion.at };
        whole = tell(ctx, key, &mut row, &late)?;
    }
    let dropped = whole || deletion.erased == Erased::Yes;
    let remainder = if dropped { Remainder::Nothing } else { Remainder::Awaited };
    end(ctx, key, row, deletion.erased, remainder)
}

/// A message of an ended resource arrives.
pub(super) fn deliver<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    mut row: R,
) -> Result<(), Rejection> {
    let mut erased = false;
    if let Some(ended) = row.ended() {
        ended.dropped = ended.dropped.saturating_add(1);
        erased = ended.erased;
    }
    if erased && R::AFTER_END == AfterEnd::Told {
        tell_alone(ctx, message, &mut row)?;
    } else if row.sequence().is_healing() && take(ctx, message, &mut row)? {
        let buffer_key = buffer_key(message.key, message.head.sequence);
        ctx.put(&BUFFER, &buffer_key[..], &message.kept(R::BYTES))?;
        let cause = message.head.cause();
        let whole = tell(ctx, message.key, &mut row, &Late::of(message, &cause)?)?;
        let room = rules(ctx)?.heal_window_messages;
        if whole || !row.sequence().keep_in_window(room) {
            forget(ctx, message.key, &mut row)?;
        }
    }
    ctx.put(&R::STORE, message.key, &row)
}

/// Whether the message says something new.
fn take<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    row: &mut R,
) -> Result<bool, Rejection> {
    let identity = message.head.identity();
    let now = ctx.now();
    let sequence = row.sequence();
    match sequence.offer(identity) {
        Offer::Next | Offer::Ahead => sequence.keep(identity, now),
        Offer::Heals => sequence.heal(identity),
        Offer::Duplicate => return brings_content(ctx, message, row),
        Offer::DuplicateConflict | Offer::SequenceConflict | Offer::TooLate | Offer::Forgotten => {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a message that came without its payload is here in another form, with it.
fn brings_content<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    row: &mut R,
) -> Result<bool, Rejection> {
    let head = &message.head;
    if head.payload_missing.is_some() {
        return Ok(false);
    }
    let sequence = row.sequence();
    if sequence.is_held() && sequence.last() == head.sequence {
        sequence.unhold();
        return Ok(true);
    }
    let Some(kept) = ctx.get(&BUFFER, &buffer_key(message.key, head.sequence)[..])? else {
        return Ok(false);
    };
    let kept = Delivered::of_kept(ctx, message.key, &kept)?;
    Ok(kept.head.payload_missing.is_some())
}

/// Of an erased resource nothing is kept, so a message counts for what it says alone.
fn tell_alone<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    row: &mut R,
) -> Result<(), Rejection> {
    let identity = message.head.identity();
    if !matches!(row.sequence().offer(identity), Offer::Next | Offer::Ahead | Offer::TooLate) {
        return Ok(());
    }
    row.sequence().note(identity);
    let cause = message.head.cause();
    let late = Late::of(message, &cause)?;
    row.tell_late(ctx, R::default(), std::slice::from_ref(message), &late).map(|_| ())
}

/// True: nothing is missing up to the message that ended the resource.
fn tell<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    row: &mut R,
    late: &Late<'_>,
) -> Result<bool, Rejection> {
    let Some(checkpoint) = ctx.get(&CHECKPOINTS, key)? else { return Ok(true) };
    let base: R = ctx.decode(&checkpoint.row)?;
    let kept = kept_rows(ctx, key)?;
    let mut log = Vec::with_capacity(kept.len());
    for (_, kept) in &kept {
        log.push(Delivered::of_kept(ctx, key, kept)?);
    }
    let ended = row.tell_late(ctx, base, &log, late)?;
    let sequence = row.sequence();
    while sequence.release().is_some() {}
    Ok(ended && !sequence.has_missing() && sequence.waiting() == 0)
}

/// Nothing of the resource is awaited any more.
pub(super) fn forget<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    row: &mut R,
) -> Result<(), Rejection> {
    gaps::close_window(ctx, key, row)?;
    if row.sequence().waiting() > 0 {
        for (sequence, _) in kept_rows(ctx, key)? {
            ctx.delete(&BUFFER, &buffer_key(key, sequence)[..])?;
        }
    }
    row.sequence().drop_waiting();
    Ok(())
}

impl<'a> Late<'a> {
    fn of(message: &Delivered<'a>, cause: &'a Cause) -> Result<Self, Rejection> {
        let (sequence, at) = (message.head.sequence, message.head.created_at);
        Ok(Self { who: Who::of(message.key)?, news: sequence..=sequence, cause, at })
    }
}

#[cfg(test)]
mod tests;
