//! Batches of a feed: when one has ended in every partition, what it does not name is not there.
//!
//! A marker says how many records of its batch lie in its partition. Every task counts those that
//! came to it and, at the marker, tells the batch's own actor, which adds them up: a batch is whole
//! once every partition's count is reached. A batch whose record was refused proves nothing, and
//! neither do deltas. One that is not whole in time is a case, until a later one is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aplomb_state::{
    codec::{self, Format},
    context::Context,
    ids::Timestamp,
    rejection::Rejection,
    scan::Scan,
    store::Expiring,
};
use serde::{Deserialize, Serialize};

use crate::{
    exceptions,
    messages::cases::{CaseKey, Clear, Raise},
    messages::skus::{BatchBroken, BatchComplete, BatchCounted, BatchEnded, Cause, SkuMessage},
    settings::Settings,
};

use super::{
    BATCH_TIMER, COMMERCETOOLS, SKUS,
    refill::{self, Continuation},
    site::{Occasion, Site},
    state::{LEDGER, LocationKey},
    stock::{Count, count},
};

/// Ledgers looked at in one step.
const LEDGERS_PER_STEP_MAX: usize = 1_000;
/// A batch whose markers do not all come is forgotten.
const KEEP_MS: i64 = 7 * 86_400_000;

/// What this task knows, by project, system and batch.
pub const BATCHES: Expiring<[u8], Batch> = Expiring::new("batches");
/// Of a batch's own actor: what all tasks counted.
pub const SUMS: Expiring<[u8], Sum> = Expiring::new("batch-sums");
/// By project and system: refused records that named no batch.
pub const REFUSALS: Expiring<[u8], Refusal> = Expiring::new("batch-refusals");

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// By the feed's partition: records that came to this task.
    counted: BTreeMap<i32, u64>,
    broken: bool,
    complete: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// By the feed's partition.
    parts: BTreeMap<i32, Part>,
    told: bool,
    /// By when it should be whole.
    due: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    ended: BatchEnded,
    /// By the task's partition.
    counted: BTreeMap<i32, u64>,
}

/// The last refused record that named no batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    at: Timestamp,
    /// No batch was completed since.
    open: bool,
}

impl Format for Batch {
    const VERSION: u8 = 2;
}

impl Format for Sum {
    const VERSION: u8 = 2;
}

impl Format for Refusal {
    const VERSION: u8 = 1;
}

/// An absence that a batch has proven, and how far it was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    project: String,
    system: String,
    flow: String,
    batch_id: String,
    as_of: Timestamp,
    after: Option<Vec<u8>>,
    cause: Cause,
}

/// A record of a batch came to this task, for the first time.
pub fn told(
    ctx: &mut Context<'_>,
    project: &str,
    system: &str,
    batch_id: &str,
) -> Result<(), Rejection> {
    let partition = ctx.trace().partition;
    change(ctx, &key(project, system, batch_id), |batch| {
        *batch.counted.entry(partition).or_default() += 1;
    })
}

/// No more of the batch will come from a partition.
pub fn ended(ctx: &mut Context<'_>, ended: BatchEnded) -> Result<(), Rejection> {
    let key = key(&ended.project, &ended.system, &ended.batch_id);
    let batch = ctx.get_expiring(&BATCHES, key.as_slice())?.unwrap_or_default();
    let counted = batch.counted.get(&ended.partition).copied().unwrap_or(0);
    let actor = format!("{}:{}:{}", ended.project, ended.system, ended.batch_id).into_bytes();
    let task = ctx.task().input.partition;
    let counted = SkuMessage::BatchCounted(BatchCounted { ended, task, counted });
    ctx.send(SKUS, actor, &codec::encode(&counted))
}

/// The batch's own actor: what one task counted.
pub fn counted(
    ctx: &mut Context<'_>,
    settings: &Settings,
    counted: BatchCounted,
) -> Result<(), Rejection> {
    let BatchCounted { ended, task, counted } = counted;
    let key = key(&ended.project, &ended.system, &ended.batch_id);
    let mut sum = ctx.get_expiring(&SUMS, key.as_slice())?.unwrap_or_default();
    if sum.parts.is_empty() {
        sum.due = ctx.now().plus_ms(settings.rules.batch_within_ms);
        ctx.schedule(sum.due, &timer_key(&key));
    }
    let part = Part { ended: ended.clone(), counted: BTreeMap::new() };
    let part = sum.parts.entry(ended.partition).or_insert(part);
    part.counted.insert(task, counted);
    let complete = sum.complete().filter(|_| !sum.told);
    sum.told |= complete.is_some();
    let until = ctx.now().plus_ms(KEEP_MS);
    ctx.put_expiring(&SUMS, key.as_slice(), &sum, until)?;
    let Some(complete) = complete else { return Ok(()) };
    ctx.cancel(sum.due, &timer_key(&key));
    let (case, at) = (stale(&ended), complete.as_of);
    exceptions::clear(ctx, &Clear { key: case, at, cause: ended.cause })?;
    let actor = format!("{}:{}", ended.project, ended.system).into_bytes();
    ctx.broadcast(SKUS, actor, &codec::encode(&SkuMessage::BatchComplete(complete)))
}

/// The batch's own actor: it should be whole by now. `key` is what follows the timer's tag.
pub fn overdue(ctx: &mut Context<'_>, key: &[u8], deadline: Timestamp) -> Result<(), Rejection> {
    let Some(sum) = ctx.get_expiring(&SUMS, key)? else { return Ok(()) };
    let Some(part) = sum.parts.values().next().filter(|_| !sum.told) else { return Ok(()) };
    let BatchEnded { project, system, flow, batch_id, .. } = &part.ended;
    let raise = Raise {
        key: stale(&part.ended),
        flow: flow.clone(),
        detail: sum.lacks(system, batch_id),
        at: deadline,
        cause: Cause {
            id: format!("t:batch:{project}:{system}:{batch_id}:{deadline}"),
            ..Cause::default()
        },
        ..Raise::default()
    };
    exceptions::raise(ctx, &raise)
}

/// One case for a system's batches: a later one that is whole ends it.
fn stale(ended: &BatchEnded) -> CaseKey {
    CaseKey {
        project: ended.project.clone(),
        code: "STALE_SNAPSHOT".to_owned(),
        entity_type: "flow".to_owned(),
        entity_id: ended.flow.clone(),
        discriminator: ended.system.clone(),
    }
}

fn timer_key(key: &[u8]) -> Vec<u8> {
    [&[BATCH_TIMER], key].concat()
}

/// All of the batch has come, to whatever task.
pub fn complete(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    complete: BatchComplete,
) -> Result<(), Rejection> {
    let BatchComplete { project, system, flow, batch_id, as_of, cause } = complete;
    let mut is_new = false;
    change(ctx, &key(&project, &system, &batch_id), |batch| {
        is_new = !std::mem::replace(&mut batch.complete, true);
    })?;
    if !is_new {
        return Ok(());
    }
    let absence = Absence { project, system, flow, batch_id, as_of, after: None, cause };
    let broken = is_broken(ctx, settings, &absence)?;
    close_refusal(ctx, &absence)?;
    if broken {
        return Ok(());
    }
    if absence.system == COMMERCETOOLS {
        return refill::entries_complete(ctx, settings, &absence.project, absence.cause);
    }
    look_for(ctx, settings, absence)
}

pub fn broken(ctx: &mut Context<'_>, broken: &BatchBroken) -> Result<(), Rejection> {
    let BatchBroken { project, system, batch_id } = broken;
    if let Some(batch_id) = batch_id {
        return change(ctx, &key(project, system, batch_id), |batch| batch.broken = true);
    }
    let until = ctx.now().plus_ms(KEEP_MS);
    let refusal = Refusal { at: ctx.now(), open: true };
    ctx.put_expiring(&REFUSALS, key(project, system, "").as_slice(), &refusal, until)
}

/// One step: what the system counted before, and not in this batch, is not there any more.
pub fn go_on(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    absence: Absence,
) -> Result<(), Rejection> {
    if is_broken(ctx, settings, &absence)? {
        return Ok(());
    }
    look_for(ctx, settings, absence)
}

fn look_for(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    absence: Absence,
) -> Result<(), Rejection> {
    let page =
        ctx.scan(&LEDGER, Scan::rising(&[], absence.after.as_deref(), LEDGERS_PER_STEP_MAX))?;
    for (key, ledger) in &page {
        let Some((at, _)) = LocationKey::read(key) else { continue };
        let missing = ledger.physical.as_ref().is_some_and(|physical| {
            physical.system == absence.system
                && physical.batch_id.as_ref() != Some(&absence.batch_id)
                && physical.as_of < absence.as_of
        });
        if at.project() != absence.project || !missing {
            continue;
        }
        let on = Occasion::new(at, absence.cause.clone(), absence.as_of);
        let site = Site::open(ctx, settings, on)?;
        count(
            site,
            Count {
                system: &absence.system,
                flow: &absence.flow,
                batch_id: Some(&absence.batch_id),
                quantity: 0,
                as_of: absence.as_of,
            },
        )?;
    }
    let Some((last, _)) = page.last().filter(|_| page.len() == LEDGERS_PER_STEP_MAX) else {
        return Ok(());
    };
    let next = Continuation::Absence(Absence { after: Some(last.clone()), ..absence });
    ctx.continue_later(&codec::encode(&next))
}

/// A refused record that named no batch may be of any that was under way: of those that were
/// completed first after it, and of those whose count was taken before it, by clocks that may
/// differ.
fn is_broken(
    ctx: &mut Context<'_>,
    settings: &Settings,
    absence: &Absence,
) -> Result<bool, Rejection> {
    let Absence { project, system, batch_id, as_of, .. } = absence;
    let batch = ctx.get_expiring(&BATCHES, key(project, system, batch_id).as_slice())?;
    let refusal = ctx.get_expiring(&REFUSALS, key(project, system, "").as_slice())?;
    let by_any = refusal.is_some_and(|refusal| {
        refusal.open || refusal.at.plus_ms(settings.rules.clock_skew_ms) >= *as_of
    });
    Ok(by_any || batch.is_some_and(|batch| batch.broken))
}

fn close_refusal(ctx: &mut Context<'_>, absence: &Absence) -> Result<(), Rejection> {
    let key = key(&absence.project, &absence.system, "");
    let Some(refusal) = ctx.get_expiring(&REFUSALS, key.as_slice())? else { return Ok(()) };
    if !refusal.open {
        return Ok(());
    }
    let until = ctx.now().plus_ms(KEEP_MS);
    ctx.put_expiring(&REFUSALS, key.as_slice(), &Refusal { open: false, ..refusal }, until)
}

fn change(
    ctx: &mut Context<'_>,
    key: &[u8],
    change: impl FnOnce(&mut Batch),
) -> Result<(), Rejection> {
    let mut batch = ctx.get_expiring(&BATCHES, key)?.unwrap_or_default();
    change(&mut batch);
    let until = ctx.now().plus_ms(KEEP_MS);
    ctx.put_expiring(&BATCHES, key, &batch, until)
}

fn key(project: &str, system: &str, batch_id: &str) -> Vec<u8> {
    [project, system, batch_id].join("\0").into_bytes()
}

// === impl Sum ===

impl Sum {
    fn lacks(&self, system: &str, batch_id: &str) -> String {
        let partitions = self.parts.values().map(|part| part.ended.partitions).max().unwrap_or(0);
        let count: u64 = self.parts.values().map(|part| part.ended.count).sum();
        let came: u64 = self.parts.values().flat_map(|part| part.counted.values()).sum();
        let ended = self.parts.len();
        format!(
            "batch {batch_id} of {system} is not whole: {ended} of {partitions} partitions have \
             ended, with {came} of {count} records"
        )
    }

    /// What there is to tell once every partition's records were counted. Partitions may say
    /// different instants: the earliest is safe.
    fn complete(&self) -> Option<BatchComplete> {
        let partitions = self.parts.values().map(|part| part.ended.partitions).max()?;
        let there: BTreeSet<i32> = self.parts.keys().copied().collect();
        let all = (0..partitions).all(|partition| there.contains(&partition));
        if !all || !self.parts.values().all(Part::is_whole) {
            return None;
        }
        let ended = self.parts.values().map(|part| &part.ended).min_by_key(|ended| ended.as_of)?;
        Some(BatchComplete {
            project: ended.project.clone(),
            system: ended.system.clone(),
            flow: ended.flow.clone(),
            batch_id: ended.batch_id.clone(),
            as_of: ended.as_of,
            cause: ended.cause.clone(),
        })
    }
}

// === impl Part ===

impl Part {
    fn is_whole(&self) -> bool {
        self.counted.values().sum::<u64>() >= self.ended.count
    }
}
