//! Changes of paymentState that payments must bear out.
//!
//! ```text
//!   change ──► legal with a warning ── borne out ────────────► legal, or as warned of
//!                        └── not so, the grace is over ──► violation ── borne out ──┘
//! ```
//!
//! Every step is a verdict that supersedes the one before.

use aplomb_state::{context::Context, rejection::Rejection};
use serde::{Deserialize, Serialize};

use super::{
    OrderRow,
    fold::Claim,
    outcomes::{Code, Judgement, Verdict},
    publish::Before,
    records,
    transitions::{Dimension, State},
};
use crate::resources::notices::Subject;

/// The last verdict on a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The claim's message.
    sequence: u64,
    judgement: Judgement,
    verdict_id: String,
}

impl OrderRow {
    /// Whether the payments, or an edit that raised the total, explain the change.
    pub(super) fn is_borne_out(&self, claim: &Claim) -> bool {
        let mut statements = self.statements().map(|(_, statement)| statement);
        if claim.to == State::Paid {
            return statements.any(|statement| statement.succeeded);
        }
        let total = self.order.due().map(|total| total.cent_amount);
        let raised = claim.to == State::BalanceDue && total > self.order.placed_total;
        raised || statements.any(|statement| statement.totals.charged_back > 0)
    }

    fn judgement_of(&self, claim: &Claim) -> Judgement {
        if self.is_borne_out(claim) {
            let legal = claim.to == State::BalanceDue;
            return if legal { Judgement::Legal } else { Judgement::LegalWithWarning };
        }
        if self.is_disproved() { Judgement::Violation } else { Judgement::LegalWithWarning }
    }

    fn is_disproved(&self) -> bool {
        self.watches.open().any(|condition| condition.code == Code::Unproven)
    }

    /// The verdict on a change as far as the payments are known at once.
    pub(super) fn claim_now(
        &mut self,
        before: &Before,
        verdict: &Verdict,
        subject: &Subject<'_>,
    ) -> Verdict {
        let mut verdict = verdict.clone();
        let new = self.order.claim.as_ref().filter(|claim| Some(claim.sequence) != before.claim);
        let Some(claim) = new.filter(|_| verdict.dimension == Dimension::Payment.name()) else {
            return verdict;
        };
        if self.is_borne_out(claim) && claim.to == State::BalanceDue {
            verdict.judgement = verdict.judgement.min(Judgement::Legal);
        }
        self.claimed = Some(Claimed {
            sequence: claim.sequence,
            judgement: verdict.judgement,
            verdict_id: records::verdict_id(subject, &verdict),
        });
        verdict
    }

    /// Judges the claim again: a verdict that is another one is told.
    pub(super) fn settle_claim(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &Subject<'_>,
    ) -> Result<(), Rejection> {
        let Some(claim) = self.order.claim.clone() else {
            self.claimed = None;
            return Ok(());
        };
        let (dimension, rule) = (Dimension::Payment.name(), "transition");
        let (from, to) = (Some(claim.from.name().into()), Some(claim.to.name().into()));
        let mut verdict =
            Verdict { dimension, from, to, judgement: Judgement::LegalWithWarning, rule };
        let known = self.claimed.take().filter(|known| known.sequence == claim.sequence);
        // Folded in by healing: its own verdict was told then.
        let known = known.unwrap_or_else(|| Claimed {
            sequence: claim.sequence,
            judgement: verdict.judgement,
            verdict_id: records::verdict_id(&Subject { cause: &claim.cause, ..*subject }, &verdict),
        });
        verdict.judgement = self.judgement_of(&claim);
        if verdict.judgement == known.judgement {
            self.claimed = Some(known);
            return Ok(());
        }
        let (sequence, judgement) = (claim.sequence, verdict.judgement);
        let verdict_id = records::verdict_id(subject, &verdict);
        self.claimed = Some(Claimed { sequence, judgement, verdict_id });
        records::verdict(ctx, self, subject, &verdict, Some(known.verdict_id))
    }

    /// By [`Dimension`]. A change that was not borne out was never legal.
    pub(super) fn last_legal(&self) -> [Option<State>; 3] {
        let mut legal = self.order.legal;
        if let (Some(claim), true) = (&self.order.claim, self.is_disproved())
            && let Some(payment) = legal.get_mut(Dimension::Payment as usize)
        {
            *payment = claim.legal_before;
        }
        legal
    }
}
