//! Healing: the messages since a gap are folded twice, without the late one and with it, and only
//! the difference is told.

use aplomb_state::{context::Context, rejection::Rejection};

use super::{
    OrderRow, fact_of,
    fold::Order,
    outcomes::{Outcome, Verdict},
    publish::Before,
    records,
};
use crate::{
    resources::{
        actor::Late,
        delivered::{Delivered, Head},
        notices::{Subject, Who},
    },
    settings::{Rules, Settings},
};

impl OrderRow {
    pub(super) fn refold_order(
        &mut self,
        ctx: &mut Context<'_>,
        base: Order,
        log: &[Delivered<'_>],
        late: &Delivered<'_>,
    ) -> Result<bool, Rejection> {
        let settings = ctx.settings::<Settings>()?;
        let rules = &settings.rules;
        // The late one must be readable; the others were refused already if they were not.
        fact_of(late)?;
        let others = log.iter().filter(|message| message.head.sequence != late.head.sequence);
        let (_, told) = fold(base.clone(), others, rules);
        let (order, all) = fold(base.clone(), log.iter(), rules);
        let before = std::mem::replace(&mut self.order, order);
        self.judged_by(ctx);
        let who = Who::of(late.key)?;
        for (head, outcomes) in &all {
            let same = told.iter().find(|(other, _)| other.sequence == head.sequence);
            let told = same.map(|(_, outcomes)| outcomes.as_slice()).unwrap_or_default();
            self.tell_difference(ctx, who, head, told, outcomes)?;
        }
        let cause = late.head.cause();
        let subject = Subject { who, cause: &cause, at: late.head.created_at };
        let details = all.iter().flat_map(|(_, outcomes)| outcomes);
        for outcome in details {
            if let Outcome::Raised(condition, detail) = outcome
                && self.order.conditions.contains(condition)
                && !before.conditions.contains(condition)
            {
                self.raise(ctx, &subject, condition, detail)?;
            }
        }
        self.end_conditions();
        self.clear_ended(ctx, &subject, &before.conditions)?;
        let told = Before::of(&before);
        if before.known {
            self.revision += 1;
            for line in &self.order.lines {
                self.target(ctx, &subject, line)?;
            }
        } else {
            self.target_each(ctx, who, base, log, rules)?;
            self.revision += 1;
        }
        self.link_changes(ctx, &subject, &told)?;
        self.watch(ctx, &subject)?;
        self.show(ctx, &subject)
    }

    /// The order was deleted, and messages of it came late. The skus are told what they would
    /// know had these come before the deletion; nobody else is told anything.
    pub(super) fn target_late(
        &mut self,
        ctx: &mut Context<'_>,
        base: Order,
        log: &[Delivered<'_>],
        late: &Late<'_>,
    ) -> Result<bool, Rejection> {
        let settings = ctx.settings::<Settings>()?;
        let rules = &settings.rules;
        let news = || log.iter().filter(|message| late.news.contains(&message.head.sequence));
        let rest = || log.iter().filter(|message| message.head.sequence > *late.news.end());
        let before = log.iter().filter(|message| message.head.sequence < *late.news.start());
        let (mut order, _) = fold(base.clone(), before, rules);
        let (mut told, _) = fold(order.clone(), rest(), rules);
        let buried = std::mem::take(&mut self.order);
        let mut whole = told.deleted;
        if told.known {
            for message in news() {
                told.delete();
                (order, _) = fold(order, std::iter::once(message), rules);
                let (now, _) = fold(order.clone(), rest(), rules);
                whole = now.deleted;
                self.order = now;
                self.order.delete();
                let cause = message.head.cause();
                let subject = Subject { who: late.who, cause: &cause, at: message.head.created_at };
                self.target_changes(ctx, &subject, &Before::of(&told))?;
                told = std::mem::take(&mut self.order);
            }
        } else {
            (told, _) = fold(base.clone(), log.iter(), rules);
            whole = told.deleted;
            self.target_each(ctx, late.who, base, log, rules)?;
            self.order.clone_from(&told);
            self.order.delete();
            let at = buried.as_of.max(Some(late.at)).unwrap_or(late.at);
            let subject = Subject { who: late.who, cause: late.cause, at };
            self.target_changes(ctx, &subject, &Before::of(&told))?;
        }
        self.order = buried;
        Ok(whole)
    }

    /// The skus never heard of the order. They are told as if all had come in order, so that every
    /// shipment and release counts at its own instant.
    fn target_each(
        &mut self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        base: Order,
        log: &[Delivered<'_>],
        rules: &Rules,
    ) -> Result<(), Rejection> {
        let healed = std::mem::replace(&mut self.order, base);
        for message in log {
            let Ok(fact) = fact_of(message) else { continue };
            let before = Before::of(&self.order);
            self.order.apply(&message.head, &fact, rules);
            let cause = message.head.cause();
            let subject = Subject { who, cause: &cause, at: message.head.created_at };
            self.target_changes(ctx, &subject, &before)?;
            if self.order.deleted {
                break;
            }
        }
        self.order = healed;
        Ok(())
    }

    /// Events not emitted yet; verdicts that are new or another.
    fn tell_difference(
        &self,
        ctx: &mut Context<'_>,
        who: Who<'_>,
        head: &Head,
        told: &[Outcome],
        outcomes: &[Outcome],
    ) -> Result<(), Rejection> {
        let cause = head.cause();
        let subject = Subject { who, cause: &cause, at: head.created_at };
        for outcome in outcomes {
            match outcome {
                Outcome::Event(event) => {
                    let known = told.iter().any(
                        |other| matches!(other, Outcome::Event(other) if other.kind == event.kind),
                    );
                    if !known {
                        records::event(ctx, self, &subject, event)?;
                    }
                }
                Outcome::Verdict(verdict) => {
                    let replaced = told.iter().find_map(|other| verdict_on(other, verdict));
                    if replaced != Some(verdict) {
                        let replaced =
                            replaced.map(|replaced| records::verdict_id(&subject, replaced));
                        records::verdict(ctx, self, &subject, verdict, replaced)?;
                    }
                }
                Outcome::Raised(..) | Outcome::ContractBroken(..) | Outcome::Held => {}
            }
        }
        Ok(())
    }
}

fn verdict_on<'a>(outcome: &'a Outcome, like: &Verdict) -> Option<&'a Verdict> {
    match outcome {
        Outcome::Verdict(verdict) if verdict.dimension == like.dimension => Some(verdict),
        _ => None,
    }
}

type Told = Vec<(Head, Vec<Outcome>)>;

fn fold<'a, 'b: 'a>(
    mut order: Order,
    log: impl Iterator<Item = &'a Delivered<'b>>,
    rules: &Rules,
) -> (Order, Told) {
    let mut all = Vec::new();
    for message in log {
        if order.deleted {
            break;
        }
        match fact_of(message) {
            Ok(fact) => {
                let outcomes = order.apply(&message.head, &fact, rules);
                all.push((message.head.clone(), outcomes));
            }
            Err(_) => order.skip(),
        }
    }
    (order, all)
}
