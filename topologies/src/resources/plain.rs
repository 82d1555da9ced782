//! Resources without a rule yet: duplicates are dropped and sequence numbers watched, the facts
//! themselves have no effect. Their bytes are not kept.

use aplomb_state::{
    codec::Format, context::Context, ids::Timestamp, rejection::Rejection, store::KeyValue,
};
use serde::{Deserialize, Serialize};

use super::{
    actor::{Ended, Resource},
    delivered::{Bytes, Delivered},
    notices::{self, Who},
    sequencer::{Identity, Offer, Sequence},
};
use crate::{message_types, messages::skus::Cause, settings::Settings};

pub const OTHERS: KeyValue<[u8], PlainRow> = KeyValue::new("others");

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlainRow {
    sequence: Sequence,
    ended: Option<Ended>,
}

impl Format for PlainRow {
    const VERSION: u8 = 2;
}

impl Resource for PlainRow {
    const STORE: KeyValue<[u8], Self> = OTHERS;
    const BYTES: Bytes = Bytes::Dropped;

    fn sequence(&mut self) -> &mut Sequence {
        &mut self.sequence
    }

    fn ended(&mut self) -> &mut Option<Ended> {
        &mut self.ended
    }

    fn apply(&mut self, _: &mut Context<'_>, message: &Delivered<'_>) -> Result<bool, Rejection> {
        Ok(deletes(&message.head.type_id, &message.head.message_type))
    }

    fn skip(&mut self, _: &mut Context<'_>, _: &Delivered<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn refold(
        &mut self,
        _: &mut Context<'_>,
        _: Self,
        _: &[Delivered<'_>],
        _: &Delivered<'_>,
    ) -> Result<bool, Rejection> {
        Ok(false)
    }

    fn too_late(&mut self, _: &mut Context<'_>, _: &Delivered<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    fn delete(
        &mut self,
        _: &mut Context<'_>,
        _: Who<'_>,
        _: Timestamp,
        _: &Cause,
    ) -> Result<(), Rejection> {
        Ok(())
    }
}

/// `CustomerDeleted` ends a customer; `ProductVariantDeleted` ends no product.
fn deletes(type_id: &str, message_type: &str) -> bool {
    let Some(name) = message_type.strip_suffix("Deleted") else { return false };
    let words = type_id.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| {
            first.to_uppercase().collect::<String>() + letters.as_str()
        })
    });
    words.collect::<String>() == name
}

/// An event belongs to no resource: it is an actor of its own, kept as long as a marker is.
/// True: it was not seen before.
pub fn event(ctx: &mut Context<'_>, key: &[u8], event_type: &str) -> Result<bool, Rejection> {
    let mut row = ctx.get(&OTHERS, key)?.unwrap_or_default();
    let who = Who::of(key)?;
    let identity = Identity::new(1, who.id, event_type, 0);
    let cause = Cause { id: format!("e:{}", who.id), ..Cause::default() };
    let at = ctx.at();
    match row.sequence.offer(identity) {
        Offer::Next => {}
        Offer::DuplicateConflict => {
            let detail = format!("event {} came before with another type", who.id);
            let case = who.case("DUPLICATE_CONFLICT", "");
            return notices::raise(ctx, case, detail, at, &cause).map(|()| false);
        }
        _ => return Ok(false),
    }
    row.sequence.take(identity);
    if !message_types::is_known(event_type) {
        let flow = ctx.trace().flow.clone();
        let case = who.flow_case("UNKNOWN_MESSAGE_TYPE", &flow, event_type);
        let detail = format!("events of type {event_type} have no rule here");
        notices::raise(ctx, case, detail, at, &cause)?;
    }
    let kept_ms = ctx.settings::<Settings>()?.rules.deletion_marker_ms;
    let until = ctx.now().plus_ms(kept_ms);
    row.ended = Some(Ended { until, erased: false, dropped: 0 });
    ctx.schedule(until, &super::actor::marker_timer(key));
    ctx.put(&OTHERS, key, &row).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::deletes;

    #[test]
    fn only_the_deletion_of_the_resource_itself_ends_it() {
        let rows = [
            ("customer", "CustomerDeleted", true),
            ("standalone-price", "StandalonePriceDeleted", true),
            ("product", "ProductDeleted", true),
            ("product", "ProductVariantDeleted", false),
            ("customer", "CustomerAddressRemoved", false),
        ];
        for (type_id, message_type, expected) in rows {
            assert_eq!(deletes(type_id, message_type), expected, "{message_type}");
        }
    }
}
