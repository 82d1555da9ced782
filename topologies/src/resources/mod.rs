//! One actor per resource: drop duplicates, put in sequence, fold, judge, tell other actors.
//!
//! - [`sequencer`]: which message comes next, and what becomes of gaps. Pure.
//! - [`actor`]: the same for every type of resource: buffer, savepoints, deadlines, healing.
//! - [`orders`], [`payments`], [`entries`], [`plain`]: what the messages of a type mean.
//! - [`identifiers`]: whose an order number is, and what waits for that to be known.
//! - [`watches`]: conditions that count only once they have held for a while.
//! - [`drifts`]: those of them that compare two sides.

mod actor;
mod checkouts;
mod delivered;
mod drifts;
mod entries;
mod identifiers;
mod notices;
mod orders;
mod payments;
mod plain;
pub mod sequencer;
mod watches;

use aplomb_state::{
    context::Context,
    record::{Record, Subject, Timer},
    rejection::Rejection,
    stage::{Inbox, Limits, Stage, StageDefinition},
};

use self::{
    actor::{Deletion, Erased},
    delivered::Delivered,
    entries::EntryRow,
    notices::Who,
    orders::OrderRow,
    payments::PaymentRow,
    plain::PlainRow,
};
use crate::{
    exceptions,
    messages::resources::{Notification, NotificationBody, ResourceMessage},
    outputs,
};

pub use drifts::rows::ROWS as DRIFTS;
pub use orders::orders_view;
pub use payments::payments_view;

pub const NAME: &str = "resources";

pub struct Resources;

/// Which handler an actor has, by the type in its key.
enum Handler {
    Order,
    Payment,
    Entry,
    Identifier,
    Plain,
}

impl Handler {
    fn of(type_id: &str) -> Self {
        match type_id {
            "order" => Self::Order,
            "payment" => Self::Payment,
            "inventory-entry" => Self::Entry,
            identifiers::TYPE_ID => Self::Identifier,
            _ => Self::Plain,
        }
    }
}

impl Stage for Resources {
    fn define(&self) -> StageDefinition {
        StageDefinition {
            name: NAME,
            inbox: Inbox::Internal,
            stores: vec![
                orders::ORDERS.definition(),
                payments::PAYMENTS.definition(),
                entries::ENTRIES.definition(),
                plain::OTHERS.definition(),
                identifiers::IDENTIFIERS.definition(),
                actor::BUFFER.definition(),
                actor::CHECKPOINTS.definition(),
                drifts::rows::OPEN.definition(),
            ],
            outputs: vec![
                outputs::ORDER_VIEW,
                outputs::ORDER_EVENTS,
                outputs::ORDER_VERDICTS,
                outputs::PAYMENT_VIEW,
                outputs::PAYMENT_EVENTS,
                outputs::IDENTIFIERS,
                outputs::DRIFT_EVENTS,
                outputs::DRIFT_OPEN,
                outputs::REFETCH_REQUESTS,
                outputs::DLQ,
            ],
            sends: vec![NAME, "skus", "cases"],
            limits: Limits::default(),
        }
    }

    fn handle(&self, ctx: &mut Context<'_>, record: &Record<'_>) -> Result<(), Rejection> {
        match ctx.decode(record.body)? {
            ResourceMessage::Notification(notification) => notify(ctx, record, notification),
            ResourceMessage::HoldState(hold) => orders::hold_state(ctx, record.key, &hold),
            ResourceMessage::PaymentLink(link) => payments::link(ctx, record.key, &link),
            ResourceMessage::PaymentState(state) => orders::payment_state(ctx, record.key, &state),
            ResourceMessage::SystemOrder(told) => match Who::of(record.key)?.type_id {
                identifiers::TYPE_ID => identifiers::told(ctx, record.key, told),
                _ => orders::told(ctx, record.key, told),
            },
            ResourceMessage::Identify(identify) => {
                identifiers::identify(ctx, record.key, &identify)
            }
            ResourceMessage::CheckoutFailed(failed) => {
                payments::checkout_failed(ctx, record.key, &failed)
            }
        }
    }

    fn on_timer(&self, ctx: &mut Context<'_>, timer: &Timer<'_>) -> Result<(), Rejection> {
        match Handler::of(Who::of(timer.key.get(1..).unwrap_or_default())?.type_id) {
            Handler::Order => actor::on_timer::<OrderRow>(ctx, timer),
            Handler::Payment => actor::on_timer::<PaymentRow>(ctx, timer),
            Handler::Entry => actor::on_timer::<EntryRow>(ctx, timer),
            Handler::Identifier => identifiers::on_timer(ctx, timer),
            Handler::Plain => actor::on_timer::<PlainRow>(ctx, timer),
        }
    }

    fn on_rejection(
        &self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
        rejection: &Rejection,
    ) -> Result<(), Rejection> {
        exceptions::reject(ctx, subject, rejection)
    }
}

fn notify(
    ctx: &mut Context<'_>,
    record: &Record<'_>,
    notification: Notification,
) -> Result<(), Rejection> {
    let handler = Handler::of(&notification.type_id);
    match &notification.body {
        NotificationBody::Message { .. } => {}
        // Changes carry no content: the messages beside them do. They are known facts.
        NotificationBody::Created { .. } | NotificationBody::Updated { .. } => return Ok(()),
        NotificationBody::Deleted { version, modified_at, data_erasure } => {
            let erased = if *data_erasure { Erased::Yes } else { Erased::No };
            let deletion = Deletion { version: *version, at: *modified_at, erased };
            return match handler {
                Handler::Order => actor::delete::<OrderRow>(ctx, record.key, deletion),
                Handler::Payment => actor::delete::<PaymentRow>(ctx, record.key, deletion),
                Handler::Entry => actor::delete::<EntryRow>(ctx, record.key, deletion),
                Handler::Identifier => Ok(()),
                Handler::Plain => actor::delete::<PlainRow>(ctx, record.key, deletion),
            };
        }
        NotificationBody::Event { event_type, .. } => {
            let is_new = plain::event(ctx, record.key, event_type)?;
            if is_new && event_type == checkouts::ORDER_CREATION_FAILED {
                checkouts::tell_payments(ctx, record, &notification)?;
            }
            return Ok(());
        }
    }
    let Some(delivered) = Delivered::of_record(record, notification) else { return Ok(()) };
    match handler {
        Handler::Order => actor::deliver::<OrderRow>(ctx, &delivered),
        Handler::Payment => actor::deliver::<PaymentRow>(ctx, &delivered),
        Handler::Entry => actor::deliver::<EntryRow>(ctx, &delivered),
        Handler::Identifier => Ok(()),
        Handler::Plain => actor::deliver::<PlainRow>(ctx, &delivered),
    }
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    let parts =
        [orders::schemas(), payments::schemas(), identifiers::schemas(), notices::schemas()];
    parts.concat()
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
