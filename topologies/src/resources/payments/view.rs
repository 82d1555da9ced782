//! `payment.view.v1`, rendered from the stored row alone: the topic and the operator's view show
//! the same bytes. No personal data.

use std::collections::BTreeSet;

use aplomb_state::{
    codec,
    topology::{StateView, View},
};
use serde::Serialize;

use super::{PAYMENTS, PaymentRow, fold::Transaction};
use crate::{
    messages::payments::Totals,
    outputs::{self, Money},
    resources::{self, notices::Who},
    time::Iso,
};

/// A payment as commercetools tells of it now. Its sums are absent until an amount was told.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    /// Key of the commercetools project.
    project_key: &'a str,
    /// Id of the commercetools payment.
    payment_id: &'a str,
    /// `key` of commercetools; absent: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// Greatest `resourceVersion` of the messages applied.
    version: u64,
    /// Last applied `sequenceNumber`.
    sequence: u64,
    /// `interfaceId`, the id at the payment service; absent: not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface_id: Option<&'a str>,
    /// `paymentMethodInfo.paymentInterface`, the payment service; absent: not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_interface: Option<&'a str>,
    /// `paymentMethodInfo.method`; absent: not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    /// `amountPlanned`; absent: the payment's creation was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_planned: Option<&'a Money>,
    #[serde(flatten)]
    sums: Option<Sums>,
    /// Its transactions, in the order in which they were told.
    transactions: Vec<TransactionShape<'a>>,
    /// Ids of the orders that name it, for a payment names none.
    order_ids: Vec<&'a str>,
    /// Codes of what is wrong with it now, sorted, whatever a person did to their cases.
    open_codes: BTreeSet<&'static str>,
    /// `createdAt` of commercetools, ISO 8601 UTC; absent: its creation was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Iso>,
    /// Whether its history before the first message seen is missing.
    partial: bool,
    /// Whether a message was rejected or came without its payload.
    incomplete: bool,
    /// Greatest `createdAt` of the messages applied, ISO 8601 UTC; absent: none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Iso>,
    /// Hash of the rules in force; empty before any were read.
    rule_hash: &'a str,
}

/// Sums over its transactions in its own currency.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Sums {
    /// Successful authorizations less what was cancelled of them.
    authorised: Money,
    /// Successful charges.
    captured: Money,
    /// Successful refunds.
    refunded: Money,
    /// Successful chargebacks.
    charged_back: Money,
    /// Transactions of any type that neither succeeded nor failed.
    pending: Money,
}

/// A transaction of the payment.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct TransactionShape<'a> {
    /// Id of the transaction in commercetools.
    transaction_id: &'a str,
    /// `Authorization`, `CancelAuthorization`, `Charge`, `Refund` or `Chargeback`; absent: only its
    /// state was told.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Its amount; absent: only its state was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<&'a Money>,
    /// `Initial`, `Pending`, `Success` or `Failure`.
    state: &'static str,
    /// `interfaceId`, its id at the payment service; absent: not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface_id: Option<&'a str>,
}

/// The payment's JSON. `None`: it was deleted, or no message of it was seen.
pub(super) fn render(row: &PaymentRow, project: &str, payment_id: &str) -> Option<Vec<u8>> {
    if row.ended.is_some() || row.sequence.is_new() {
        return None;
    }
    let payment = &row.payment;
    let conditions = payment.conditions.iter().chain(row.watches.open());
    let mut open_codes: BTreeSet<_> = conditions.map(|condition| condition.code.name()).collect();
    if row.sequence.has_gap() {
        open_codes.insert("SEQUENCE_GAP");
    }
    let shape = Shape {
        project_key: project,
        payment_id,
        key: payment.key.as_deref(),
        version: payment.version,
        sequence: row.sequence.last(),
        interface_id: payment.interface_id.as_deref(),
        payment_interface: payment.interface.as_deref(),
        method: payment.method.as_deref(),
        amount_planned: payment.planned.as_ref(),
        sums: sums(&payment.totals()),
        transactions: payment.transactions.iter().map(transaction).collect(),
        order_ids: row.linked().collect(),
        open_codes,
        created_at: payment.created_at.map(Iso),
        partial: row.sequence.is_partial(),
        incomplete: payment.incomplete,
        as_of: payment.as_of.map(Iso),
        rule_hash: &row.rule_hash,
    };
    outputs::json(&shape).ok()
}

/// Without a currency there are none.
fn sums(totals: &Totals) -> Option<Sums> {
    let money = |cents| totals.money(cents);
    (!totals.currency_code.is_empty()).then(|| Sums {
        authorised: money(totals.authorised),
        captured: money(totals.captured),
        refunded: money(totals.refunded),
        charged_back: money(totals.charged_back),
        pending: money(totals.pending),
    })
}

fn transaction(transaction: &Transaction) -> TransactionShape<'_> {
    let stated = transaction.stated.as_ref();
    TransactionShape {
        transaction_id: &transaction.transaction_id,
        kind: stated.map(|(kind, _)| kind.name()),
        amount: stated.map(|(_, amount)| amount),
        state: transaction.progress.name(),
        interface_id: transaction.interface_id.as_deref(),
    }
}

/// `/payments/{project}/{paymentId}`, also with a colon between: the JSON last written to
/// `payment.view.v1`.
pub fn payments_view() -> View {
    View { name: "payments", stage: resources::NAME, key: view_key, render: render_view }
}

fn view_key(path: &str) -> Result<Vec<u8>, String> {
    match path.split_once(['/', ':']) {
        Some((project, payment)) if !project.is_empty() && !payment.is_empty() => {
            Ok(format!("{project}:payment:{payment}").into_bytes())
        }
        _ => Err("a payment is named by project/paymentId".to_owned()),
    }
}

fn render_view(state: &dyn StateView, key: &[u8]) -> Result<Option<String>, String> {
    let Some(bytes) = state.get(PAYMENTS.name, key)? else { return Ok(None) };
    let row: PaymentRow = codec::decode(&bytes).map_err(|error| error.to_string())?;
    let who = Who::of(key).map_err(|rejection| rejection.detail)?;
    let json = render(&row, who.project, who.id);
    json.map(|json| String::from_utf8(json).map_err(|error| error.to_string())).transpose()
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![crate::schemas::of::<Shape<'_>>(outputs::PAYMENT_VIEW)]
}
