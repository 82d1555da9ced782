//! Batches of a feed: when one has ended in every partition, what it does not name is not there.
//!
//! A batch whose record was refused proves nothing, and neither do deltas.

use std::collections::BTreeSet;

use aplomb_state::{
    codec::{self, Format},
    context::Context,
    ids::Timestamp,
    rejection::Rejection,
    store::Expiring,
};
use serde::{Deserialize, Serialize};

use std::sync::Arc;

use crate::{
    messages::skus::{BatchBroken, BatchEnded, Cause},
    settings::Settings,
};

use super::{
    COMMERCETOOLS,
    refill::{self, Continuation},
    site::{Occasion, Site},
    state::{LEDGER, LocationKey},
    stock::{Count, count},
};

/// Ledgers looked at in one step.
const LEDGERS_PER_STEP_MAX: usize = 1_000;
/// A batch whose markers do not all come is forgotten.
const KEEP_MS: i64 = 7 * 86_400_000;

/// By project, system and batch; without a batch, what broke all that had not ended.
pub const BATCHES: Expiring<[u8], Batch> = Expiring::new("batches");

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    ended: BTreeSet<i32>,
    broken: bool,
    /// Its end was acted upon.
    closed: bool,
}

impl Format for Batch {
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

pub fn ended(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    ended: BatchEnded,
) -> Result<(), Rejection> {
    let key = key(&ended.project, &ended.system, &ended.batch_id);
    let mut batch = ctx.get_expiring(&BATCHES, key.as_slice())?.unwrap_or_default();
    batch.ended.insert(ended.partition);
    let until = ctx.now().plus_ms(KEEP_MS);
    let wanted = 0..ended.partitions;
    let whole = wanted.into_iter().all(|partition| batch.ended.contains(&partition));
    let all = self::key(&ended.project, &ended.system, "");
    let broken = batch.broken || ctx.get_expiring(&BATCHES, all.as_slice())?.is_some();
    let acts = whole && !batch.closed;
    batch.closed |= whole;
    ctx.put_expiring(&BATCHES, key.as_slice(), &batch, until)?;
    if !acts {
        return Ok(());
    }
    ctx.delete_expiring(&BATCHES, all.as_slice())?;
    if broken {
        return Ok(());
    }
    let BatchEnded { project, system, flow, batch_id, as_of, cause, .. } = ended;
    if system == COMMERCETOOLS {
        return refill::entries_complete(ctx, settings, &project, cause);
    }
    let absence = Absence { project, system, flow, batch_id, as_of, after: None, cause };
    look_for(ctx, settings, absence)
}

pub fn broken(ctx: &mut Context<'_>, broken: &BatchBroken) -> Result<(), Rejection> {
    let batch_id = broken.batch_id.as_deref().unwrap_or_default();
    let key = key(&broken.project, &broken.system, batch_id);
    let mut batch = ctx.get_expiring(&BATCHES, key.as_slice())?.unwrap_or_default();
    batch.broken = true;
    let until = ctx.now().plus_ms(KEEP_MS);
    ctx.put_expiring(&BATCHES, key.as_slice(), &batch, until)
}

/// One step: what the system counted before, and not in this batch, is not there any more.
pub fn look_for(
    ctx: &mut Context<'_>,
    settings: &Arc<Settings>,
    absence: Absence,
) -> Result<(), Rejection> {
    let page = ctx.scan(&LEDGER, &[], absence.after.as_deref(), LEDGERS_PER_STEP_MAX)?;
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

fn key(project: &str, system: &str, batch_id: &str) -> Vec<u8> {
    [project, system, batch_id].join("\0").into_bytes()
}
