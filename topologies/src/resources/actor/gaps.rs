//! Gaps: their deadline, giving up, the window in which a late message is folded in after all.

use aplomb_state::{
    codec, context::Context, ids::Timestamp, record::Timer, rejection::Rejection, scan::Scan,
};
use serde_bytes::ByteBuf;

use super::{
    BUFFER, CHECKPOINTS, Checkpoint, Resource, buffer_key, buffer_prefix, drain, end_by_message,
    ended, rules,
};
use crate::{
    messages::skus::Cause,
    resources::{
        delivered::{Bytes, Delivered, Kept},
        notices::{self, Reason, Who},
        sequencer::GivenUp,
        watches::DUE,
    },
    settings::{Rules, SequenceMode, Settings},
};

const SEQUENCE_GAP: &str = "SEQUENCE_GAP";
const HISTORY_MISSING: &str = "HISTORY_MISSING";
const PII_ERASURE_PENDING: &str = "PII_ERASURE_PENDING";

/// First byte of a timer's key; the actor's key follows.
const GAP: u8 = b'g';
const WINDOW: u8 = b'w';
pub(super) const MARKER: u8 = b'm';

/// More rows than a window and a buffer can hold together.
const ROWS_MAX: usize = 4_096;

pub(super) fn timer_key(tag: u8, key: &[u8]) -> Vec<u8> {
    [&[tag], key].concat()
}

pub fn on_timer<R: Resource>(ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection> {
    let Some((tag, key)) = timer.key.split_first() else { return Ok(()) };
    let Some(mut row) = ctx.get(&R::STORE, key)? else { return Ok(()) };
    match *tag {
        GAP => gap_over(ctx, key, row, timer.deadline),
        WINDOW if row.sequence().heal_until() == Some(timer.deadline) => {
            if row.ended().is_some() {
                ended::forget(ctx, key, &mut row)?;
            } else {
                close_window(ctx, key, &mut row)?;
            }
            ctx.put(&R::STORE, key, &row)
        }
        DUE => {
            row.due(ctx, Who::of(key)?, timer.deadline)?;
            ctx.put(&R::STORE, key, &row)
        }
        MARKER => marker_over(ctx, key, row, timer.deadline),
        _ => Ok(()),
    }
}

/// Moves the gap's timer to where the sequence says.
pub(super) fn set_timer<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    row: &mut R,
    rules: &Rules,
) {
    let sequence = row.sequence();
    let deadline = sequence.deadline(rules.gap_timeout_ms);
    let (cancel, schedule) = sequence.set_timer(deadline);
    if let Some(deadline) = cancel {
        ctx.cancel(deadline, &timer_key(GAP, key));
    }
    if let Some(deadline) = schedule {
        ctx.schedule(deadline, &timer_key(GAP, key));
    }
}

fn gap_over<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    mut row: R,
    deadline: Timestamp,
) -> Result<(), Rejection> {
    let rules = rules(ctx)?;
    row.sequence().timer_fired(deadline);
    let due = row.sequence().deadline(rules.gap_timeout_ms);
    if due.is_none_or(|due| due > deadline) {
        set_timer(ctx, key, &mut row, &rules);
        return ctx.put(&R::STORE, key, &row);
    }
    let actor = String::from_utf8_lossy(key);
    let cause = Cause { id: format!("t:gap:{actor}:{deadline}"), ..Cause::default() };
    give_up(ctx, key, row, &cause)?;
    drain::<R>(ctx, key)
}

/// Goes on without the missing numbers. What is applied from here on can be folded again.
pub(super) fn give_up<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    mut row: R,
    cause: &Cause,
) -> Result<(), Rejection> {
    let who = Who::of(key)?;
    let now = ctx.now();
    keep_for_healing(ctx, key, &mut row)?;
    let cause = &Cause { resource: Some(format!("{}:{}", who.type_id, who.id)), ..cause.clone() };
    match row.sequence().give_up() {
        Some(_) if gaps_are_legal(ctx)? => row.sequence().excuse_gaps(),
        Some(GivenUp::Adopted(_)) => {
            let flow = ctx.trace().flow.clone();
            let case = who.flow_case(HISTORY_MISSING, &flow, "");
            let detail = format!("the history of {} is not known from its start", who.actor());
            notices::raise(ctx, case, detail, now, cause)?;
            notices::refetch(ctx, who, Reason::HistoryMissing, now, cause)?;
        }
        Some(GivenUp::Gap(range)) => {
            let detail = format!("messages {} to {} did not come", range.from, range.to);
            notices::raise(ctx, who.case(SEQUENCE_GAP, ""), detail, now, cause)?;
            notices::refetch(ctx, who, Reason::SequenceGap, now, cause)?;
        }
        None => {}
    }
    ctx.put(&R::STORE, key, &row)
}

/// The row as it is becomes what late messages are folded onto, unless an earlier one is that.
pub(super) fn keep_for_healing<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    row: &mut R,
) -> Result<(), Rejection> {
    if R::BYTES == Bytes::Dropped || row.sequence().is_healing() {
        return Ok(());
    }
    let checkpoint = Checkpoint { row: ByteBuf::from(codec::encode(row)) };
    ctx.put(&CHECKPOINTS, key, &checkpoint)?;
    let until = ctx.now().plus_ms(rules(ctx)?.heal_window_ms);
    open_window(ctx, key, row, until);
    Ok(())
}

/// From now on late messages can be folded in, on top of the row in `checkpoints`.
pub(super) fn open_window<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    row: &mut R,
    until: Timestamp,
) {
    row.sequence().open_window(until);
    ctx.schedule(until, &timer_key(WINDOW, key));
}

/// Behind a subscription that leaves message types out, a missing number says nothing. What came
/// is still put in order within the gap's timeout.
fn gaps_are_legal(ctx: &mut Context<'_>) -> Result<bool, Rejection> {
    let settings = ctx.settings::<Settings>()?;
    let flow = settings.flow(&ctx.trace().flow);
    Ok(flow.is_some_and(|flow| flow.sequence == SequenceMode::Monotonic))
}

/// A number that was given up, or refused, came after all: everything since is folded again with
/// it.
pub(super) fn heal<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    row: R,
) -> Result<(), Rejection> {
    let key = message.key;
    let mut moved = Some(row);
    let refused = ctx.attempt(&message.subject(), message.at, |ctx| {
        let mut row = moved.take().unwrap_or_default();
        let Some(checkpoint) = ctx.get(&CHECKPOINTS, key)? else {
            let detail = "the value before the gap is not there";
            return Err(Rejection::new("CONTRACT_VIOLATION", "checkpoint", detail));
        };
        let base: R = ctx.decode(&checkpoint.row)?;
        let sequence = message.head.sequence;
        ctx.put(&BUFFER, &buffer_key(key, sequence)[..], &message.kept(R::BYTES))?;
        filled(ctx, message, &mut row)?;
        let last = row.sequence().last();
        let kept = kept_rows(ctx, key)?;
        let mut log = Vec::with_capacity(kept.len());
        for (_, kept) in kept.iter().filter(|(sequence, _)| *sequence <= last) {
            log.push(Delivered::of_kept(ctx, key, kept)?);
        }
        if row.refold(ctx, base, &log, message)? {
            return end_by_message(ctx, key, row);
        }
        close_if_whole(ctx, key, &mut row)?;
        ctx.put(&R::STORE, key, &row)
    })?;
    if refused.is_none() {
        return Ok(());
    }
    let Some(mut row) = ctx.get(&R::STORE, key)? else { return Ok(()) };
    // Kept like any other: the next late message folds this one, and its refusal, again.
    let buffer_key = buffer_key(key, message.head.sequence);
    ctx.put(&BUFFER, &buffer_key[..], &message.kept(R::BYTES))?;
    filled(ctx, message, &mut row)?;
    row.sequence().refuse(message.head.sequence);
    row.skip(ctx, message)?;
    close_if_whole(ctx, key, &mut row)?;
    ctx.put(&R::STORE, key, &row)
}

/// Takes the number out of the missing ones; the last one ends the gap.
fn filled<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    row: &mut R,
) -> Result<(), Rejection> {
    let had_gap = row.sequence().has_gap();
    row.sequence().heal(message.head.identity());
    if had_gap && !row.sequence().has_gap() {
        let case = Who::of(message.key)?.case(SEQUENCE_GAP, "");
        notices::clear(ctx, case, message.head.created_at, &message.head.cause())?;
    }
    Ok(())
}

fn close_if_whole<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    row: &mut R,
) -> Result<(), Rejection> {
    if row.sequence().has_missing() { Ok(()) } else { close_window(ctx, key, row) }
}

/// The number was given up for good, or nothing was kept to fold it into.
pub(super) fn too_late<R: Resource>(
    ctx: &mut Context<'_>,
    message: &Delivered<'_>,
    mut row: R,
) -> Result<(), Rejection> {
    if R::BYTES == Bytes::Dropped {
        // Nothing is folded, so nothing is too late.
        filled(ctx, message, &mut row)?;
        return ctx.put(&R::STORE, message.key, &row);
    }
    row.sequence().note(message.head.identity());
    row.too_late(ctx, message)?;
    let who = Who::of(message.key)?;
    let head = &message.head;
    notices::refetch(ctx, who, Reason::ViewDiverged, head.created_at, &head.cause())?;
    ctx.put(&R::STORE, message.key, &row)
}

/// What was kept for healing goes; what still waits stays.
pub(super) fn close_window<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    row: &mut R,
) -> Result<(), Rejection> {
    let Some(until) = row.sequence().heal_until() else { return Ok(()) };
    ctx.cancel(until, &timer_key(WINDOW, key));
    ctx.delete(&CHECKPOINTS, key)?;
    let last = row.sequence().last();
    for (sequence, _) in kept_rows(ctx, key)? {
        if sequence <= last {
            ctx.delete(&BUFFER, &buffer_key(key, sequence)[..])?;
        }
    }
    row.sequence().close_window();
    Ok(())
}

/// The resource is gone, and so are the case of its gap and the wait for the numbers in it.
pub(super) fn end<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    row: &mut R,
) -> Result<(), Rejection> {
    let now = ctx.now();
    if row.sequence().has_gap() {
        let cause = Cause {
            id: format!("t:gap:{}:{now}", String::from_utf8_lossy(key)),
            ..Cause::default()
        };
        notices::clear(ctx, Who::of(key)?.case(SEQUENCE_GAP, ""), now, &cause)?;
    }
    let (cancel, _) = row.sequence().set_timer(None);
    if let Some(deadline) = cancel {
        ctx.cancel(deadline, &timer_key(GAP, key));
    }
    Ok(())
}

fn marker_over<R: Resource>(
    ctx: &mut Context<'_>,
    key: &[u8],
    mut row: R,
    deadline: Timestamp,
) -> Result<(), Rejection> {
    let Some(ended) = *row.ended() else { return Ok(()) };
    if ended.until != deadline {
        return Ok(());
    }
    if ended.erased {
        let actor = String::from_utf8_lossy(key);
        let cause = Cause { id: format!("t:marker:{actor}:{deadline}"), ..Cause::default() };
        let case = Who::of(key)?.case(PII_ERASURE_PENDING, "");
        notices::clear(ctx, case, deadline, &cause)?;
    }
    ended::forget(ctx, key, &mut row)?;
    ctx.delete(&R::STORE, key)
}

/// Everything in the buffer for that actor, by sequence.
pub(super) fn kept_rows(ctx: &mut Context<'_>, key: &[u8]) -> Result<Vec<(u64, Kept)>, Rejection> {
    let prefix = buffer_prefix(key);
    let page = ctx.scan(&BUFFER, Scan::rising(&prefix, None, ROWS_MAX))?;
    let rows = page.into_iter().filter_map(|(row, kept)| {
        let sequence = row.get(prefix.len()..)?.first_chunk::<8>()?;
        Some((u64::from_be_bytes(*sequence), kept))
    });
    Ok(rows.collect())
}
