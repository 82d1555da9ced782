//! Inventory entries: many of their messages carry neither sku nor channel. The entry's actor
//! knows both and forwards absolute readings to the sku.

use std::borrow::Cow;

use aplomb_state::{
    codec::{self, Format},
    context::Context,
    ids::Timestamp,
    rejection::Rejection,
    store::KeyValue,
};
use serde::{Deserialize, Serialize};

use super::{
    actor::{self, Ended, Resource},
    delivered::{Bytes, Delivered},
    notices::{self, Who},
    sequencer::Sequence,
};
use crate::{
    messages::skus::{CartHolds, Cause, EntryDeleted, EntryReading, NO_CHANNEL, SkuMessage},
    time,
};

pub const ENTRIES: KeyValue<[u8], EntryRow> = KeyValue::new("entries");

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    sequence: Sequence,
    /// Rises with every send, and outlives deletion.
    revision: u64,
    entry: Entry,
    ended: Option<Ended>,
}

impl Format for EntryRow {
    const VERSION: u8 = 4;
}

/// What the messages of an entry amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Absent: no message told yet. Facts wait here until one does.
    sku: Option<String>,
    location: String,
    restockable_in_days: Option<i64>,
    expected_delivery: Option<Timestamp>,
    safety_stock: Option<i64>,
    reading: Option<Reading>,
    /// By the last message that told: it need not be the last reading.
    carts: Option<CartHolds>,
}

/// The last absolute reading. Earlier ones need not wait: each says it all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reading {
    sequence: u64,
    as_of: Timestamp,
    on_stock: i64,
    old_on_stock: Option<i64>,
    cause: Cause,
}

/// What one message does to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Nothing,
    Read,
    Delete,
}

impl Entry {
    fn apply(&mut self, message: &Delivered<'_>) -> Result<Effect, Rejection> {
        let head = &message.head;
        if head.payload_missing.is_some() {
            return Ok(Effect::Nothing);
        }
        let mut old_on_stock = None;
        let (on_stock, available) = match head.message_type.as_str() {
            "InventoryEntryCreated" => {
                let Created { inventory_entry: entry } = read(message)?;
                self.restockable_in_days = entry.restockable_in_days;
                let expected = entry.expected_delivery.as_ref();
                self.expected_delivery = expected.and_then(|text| time::parse(&text.0));
                self.safety_stock = entry.stock_levels.and_then(|levels| levels.safety_stock);
                self.locate(Some(entry.sku), entry.supply_channel);
                (entry.quantity_on_stock, Some(entry.available_quantity))
            }
            "InventoryEntryQuantitySet" => {
                let body: QuantitySet<'_> = read(message)?;
                self.locate(body.sku, body.supply_channel);
                old_on_stock = body.old_quantity_on_stock;
                (body.new_quantity_on_stock, Some(body.new_available_quantity))
            }
            "InventoryEntryOutOfStock" => {
                let body: Place<'_> = read(message)?;
                self.locate(body.sku, body.supply_channel);
                (0, None)
            }
            "InventoryEntrySafetyStock" | "InventoryEntryReorderPoint" => {
                let body: LevelReached<'_> = read(message)?;
                self.locate(body.sku, body.supply_channel);
                (body.quantity_on_stock, None)
            }
            "InventoryEntryDeleted" => {
                let body: Place<'_> = read(message)?;
                self.locate(body.sku, body.supply_channel);
                return Ok(Effect::Delete);
            }
            _ => return Ok(Effect::Nothing),
        };
        if let Some(available) = available {
            let units = on_stock.saturating_sub(available);
            self.carts = Some(CartHolds { units, as_of: head.created_at });
        }
        self.reading = Some(Reading {
            sequence: head.sequence,
            as_of: head.created_at,
            on_stock,
            old_on_stock,
            cause: head.cause(),
        });
        Ok(Effect::Read)
    }

    /// A message with the sku carries the channel too, where there is one.
    fn locate(&mut self, sku: Option<Text<'_>>, channel: Option<Reference<'_>>) {
        let Some(sku) = sku.filter(|sku| !sku.0.trim().is_empty()) else { return };
        self.sku = Some(sku.0.trim().to_owned());
        self.location = channel.map_or(NO_CHANNEL.to_owned(), |channel| channel.id.0.into_owned());
    }
}

impl EntryRow {
    fn forward(&mut self, ctx: &mut Context<'_>, who: Who<'_>) -> Result<(), Rejection> {
        let (Some(sku), Some(reading)) = (&self.entry.sku, &self.entry.reading) else {
            return Ok(());
        };
        self.revision += 1;
        let message = EntryReading {
            project: who.project.to_owned(),
            sku: sku.clone(),
            location: self.entry.location.clone(),
            entry_id: who.id.to_owned(),
            revision: self.revision,
            sequence: reading.sequence,
            as_of: reading.as_of,
            on_stock: reading.on_stock,
            old_on_stock: reading.old_on_stock.filter(|_| !self.sequence.has_gap()),
            carts: self.entry.carts,
            restockable_in_days: self.entry.restockable_in_days,
            expected_delivery: self.entry.expected_delivery,
            safety_stock: self.entry.safety_stock,
            batch_id: None,
            cause: reading.cause.clone(),
        };
        let key = format!("{}:{sku}", who.project).into_bytes();
        ctx.send("skus", key, &codec::encode(&SkuMessage::Reading(message)))
    }

    fn forward_end(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        as_of: Timestamp,
        cause: &Cause,
    ) -> Result<(), Rejection> {
        let entry = std::mem::take(&mut self.entry);
        let Some(sku) = entry.sku else { return Ok(()) };
        self.revision += 1;
        let key = format!("{}:{sku}", who.project).into_bytes();
        let message = EntryDeleted {
            project: who.project.to_owned(),
            sku,
            location: entry.location,
            entry_id: who.id.to_owned(),
            revision: self.revision,
            as_of,
            cause: cause.clone(),
        };
        ctx.send("skus", key, &codec::encode(&SkuMessage::EntryDeleted(message)))
    }
}

impl Resource for EntryRow {
    const STORE: KeyValue<[u8], Self> = ENTRIES;
    const BYTES: Bytes = Bytes::Whole;

    fn sequence(&mut self) -> &mut Sequence {
        &mut self.sequence
    }

    fn ended(&mut self) -> &mut Option<Ended> {
        &mut self.ended
    }

    fn apply(&mut self, ctx: &mut Context<'_>, message: &Delivered<'_>) -> Result<bool, Rejection> {
        let who = Who::of(message.key)?;
        let head = &message.head;
        if let Some(reason) = &head.payload_missing {
            let detail = format!("{} came without its payload: {reason}", head.message_type);
            let case = who.case("PAYLOAD_MISSING", &head.sequence.to_string());
            notices::raise(ctx, case, detail, head.created_at, &head.cause())?;
            actor::payload_missing(ctx, message)?;
        }
        match self.entry.apply(message)? {
            Effect::Nothing => Ok(false),
            Effect::Read => self.forward(ctx, who).map(|()| false),
            Effect::Delete => {
                self.forward_end(ctx, who, head.created_at, &head.cause()).map(|()| true)
            }
        }
    }

    fn skip(&mut self, _: &mut Context<'_>, _: &Delivered<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn refold(
        &mut self,
        ctx: &mut Context<'_>,
        base: Self,
        log: &[Delivered<'_>],
        late: &Delivered<'_>,
    ) -> Result<bool, Rejection> {
        let who = Who::of(late.key)?;
        self.entry = base.entry;
        for message in log {
            let head = &message.head;
            match self.entry.apply(message) {
                Ok(Effect::Delete) => {
                    self.forward_end(ctx, who, head.created_at, &head.cause())?;
                    return Ok(true);
                }
                Err(rejection) if head.sequence == late.head.sequence => return Err(rejection),
                // The others were refused when their turn came.
                Ok(Effect::Nothing | Effect::Read) | Err(_) => {}
            }
        }
        self.forward(ctx, who).map(|()| false)
    }

    fn too_late(&mut self, _: &mut Context<'_>, _: &Delivered<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn delete(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        at: Timestamp,
        cause: &Cause,
    ) -> Result<(), Rejection> {
        self.forward_end(ctx, who, at, cause)
    }
}

fn read<'a, T: Deserialize<'a>>(message: &'a Delivered<'_>) -> Result<T, Rejection> {
    serde_json::from_str(message.payload()?)
        .map_err(|error| Rejection::new("CONTRACT_VIOLATION", "schema", error.to_string()))
}

// --- the payloads

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    #[serde(borrow)]
    inventory_entry: EntryDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryDraft<'a> {
    #[serde(borrow)]
    sku: Text<'a>,
    #[serde(default, borrow)]
    supply_channel: Option<Reference<'a>>,
    quantity_on_stock: i64,
    available_quantity: i64,
    #[serde(default)]
    restockable_in_days: Option<i64>,
    #[serde(default, borrow)]
    expected_delivery: Option<Text<'a>>,
    #[serde(default)]
    stock_levels: Option<StockLevels>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StockLevels {
    #[serde(default)]
    safety_stock: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuantitySet<'a> {
    new_quantity_on_stock: i64,
    new_available_quantity: i64,
    #[serde(default)]
    old_quantity_on_stock: Option<i64>,
    #[serde(default, borrow)]
    sku: Option<Text<'a>>,
    #[serde(default, borrow)]
    supply_channel: Option<Reference<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LevelReached<'a> {
    quantity_on_stock: i64,
    #[serde(default, borrow)]
    sku: Option<Text<'a>>,
    #[serde(default, borrow)]
    supply_channel: Option<Reference<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    #[serde(default, borrow)]
    sku: Option<Text<'a>>,
    #[serde(default, borrow)]
    supply_channel: Option<Reference<'a>>,
}
