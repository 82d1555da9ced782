//! The records of the drift topics, and the row that operators look through.

use aplomb_state::{context::Context, rejection::Rejection};

use super::{Compared, Open, Shown, rows};
use crate::{
    drifts::{Drift, Entity, Side, SideTrace},
    exceptions, outputs,
    outputs::Emission,
    resources::notices::Subject,
    time::Iso,
};

/// Whose drifts these are, and why they are told.
pub(super) struct Telling<'a> {
    pub(super) subject: &'a Subject<'a>,
    /// Of the actor's row.
    pub(super) revision: u64,
}

impl Telling<'_> {
    /// `DriftOpened` or `DriftUpdated`.
    pub(super) fn open(
        &self,
        ctx: &mut Context<'_>,
        event: &'static str,
        compared: &Compared,
        open: &Open,
    ) -> Result<(), Rejection> {
        let id = self.id(compared);
        let record = self.record(event, &id, compared, open);
        let sender = self.subject.who.actor();
        for output in [outputs::DRIFT_EVENTS, outputs::DRIFT_OPEN] {
            outputs::emit(ctx, &self.line(output, &id, event, &sender), &record)?;
        }
        ctx.put(&rows::OPEN, &rows::key(&sender, compared), &rows::Row::of(compared, open))
    }

    pub(super) fn resolved(
        &self,
        ctx: &mut Context<'_>,
        compared: &Compared,
        open: &Open,
    ) -> Result<(), Rejection> {
        let event = "DriftResolved";
        let id = self.id(compared);
        let record = Drift {
            status: "resolved",
            resolved_at: Some(Iso(self.subject.at)),
            ..self.record(event, &id, compared, open)
        };
        let sender = self.subject.who.actor();
        let line = self.line(outputs::DRIFT_EVENTS, &id, event, &sender);
        outputs::emit(ctx, &line, &record)?;
        let line = self.line(outputs::DRIFT_OPEN, &id, event, &sender);
        outputs::tombstone(ctx, &line)?;
        ctx.delete(&rows::OPEN, &rows::key(&sender, compared))
    }

    fn id(&self, compared: &Compared) -> String {
        exceptions::case_id(&self.subject.who.case(compared.code, &compared.discriminator))
    }

    fn record<'a>(
        &'a self,
        event: &'static str,
        id: &'a str,
        compared: &'a Compared,
        open: &Open,
    ) -> Drift<'a> {
        let who = self.subject.who;
        Drift {
            event,
            drift_id: id,
            project_key: who.project,
            kind: compared.code,
            code: compared.code,
            status: "open",
            entity: Entity { kind: who.type_id, id: who.id },
            location: None,
            field: compared.field,
            sides: compared.sides.each_ref().map(side),
            tolerance: 0,
            flaps: open.flaps,
            first_seen: Iso(open.first_seen),
            opened_at: Iso(open.opened_at),
            resolved_at: None,
        }
    }

    fn line<'a>(
        &'a self,
        output: &'static str,
        key: &'a str,
        effect: &'static str,
        sender: &'a str,
    ) -> Emission<'a> {
        let Subject { who, cause, at } = *self.subject;
        Emission {
            output,
            key,
            effect,
            sender,
            revision: self.revision,
            cause,
            subject: who.id,
            at,
        }
    }
}

fn side(shown: &Shown) -> Side<'_> {
    Side {
        system: &shown.source.system,
        value: shown.value.shown(),
        as_of: Iso(shown.as_of),
        trace: SideTrace::of(&shown.source),
    }
}
