//! What the messages of a payment say, as far as a rule needs it: a whitelist. Of the method of
//! payment only interface and method are read; customer, token and account are personal.

use std::borrow::Cow;

use aplomb_state::{ids::Timestamp, rejection::Rejection};
use serde::Deserialize;

use super::fold::{Kind, Progress, Transaction};
use crate::{
    outputs::{self, Money},
    resources::delivered::Delivered,
    time,
};

/// A fact with a rule. Everything else about a payment is [`Fact::Other`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Created(Box<Created>),
    Added(Box<Transaction>),
    Changed {
        transaction_id: String,
        progress: Progress,
    },
    TransactionInterfaceId {
        transaction_id: String,
        interface_id: Option<String>,
    },
    InterfaceId(Option<String>),
    Interface(Option<String>),
    Method(Option<String>),
    /// The payload was left out.
    Missing,
    /// Known, without effect on the view.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub key: Option<String>,
    pub interface_id: Option<String>,
    pub interface: Option<String>,
    pub method: Option<String>,
    pub planned: Money,
    pub created_at: Option<Timestamp>,
    pub transactions: Vec<Transaction>,
}

pub fn read(message: &Delivered<'_>) -> Result<Fact, Rejection> {
    if message.head.payload_missing.is_some() {
        return Ok(Fact::Missing);
    }
    match message.head.message_type.as_str() {
        "PaymentCreated" => created(body(message)?).map(|created| Fact::Created(Box::new(created))),
        "PaymentTransactionAdded" => {
            let AddedBody { transaction } = body(message)?;
            read_transaction(transaction).map(|transaction| Fact::Added(Box::new(transaction)))
        }
        "PaymentTransactionStateChanged" => {
            let ChangedBody { transaction_id, state } = body(message)?;
            Ok(Fact::Changed { transaction_id: name(transaction_id)?, progress: progress(&state)? })
        }
        "PaymentTransactionInterfaceIdSet" => {
            let InterfaceIdBody { transaction_id, new_interface_id } = body(message)?;
            let (transaction_id, interface_id) = (name(transaction_id)?, owned(new_interface_id));
            Ok(Fact::TransactionInterfaceId { transaction_id, interface_id })
        }
        "PaymentInterfaceIdSet" => {
            let MethodBody { interface_id, .. } = body(message)?;
            Ok(Fact::InterfaceId(owned(interface_id)))
        }
        "PaymentMethodInfoInterfaceSet" => {
            let MethodBody { interface, .. } = body(message)?;
            Ok(Fact::Interface(owned(interface)))
        }
        "PaymentMethodInfoMethodSet" => {
            let MethodBody { method, .. } = body(message)?;
            Ok(Fact::Method(owned(method)))
        }
        _ => Ok(Fact::Other),
    }
}

fn body<'a, T: Deserialize<'a>>(message: &'a Delivered<'_>) -> Result<T, Rejection> {
    serde_json::from_str(message.payload()?)
        .map_err(|error| Rejection::new("CONTRACT_VIOLATION", "schema", error.to_string()))
}

fn created(CreatedBody { payment }: CreatedBody<'_>) -> Result<Created, Rejection> {
    let method_info = payment.payment_method_info.unwrap_or_default();
    let transactions = payment.transactions.into_iter().map(read_transaction);
    Ok(Created {
        key: owned(payment.key),
        interface_id: owned(payment.interface_id),
        interface: owned(method_info.payment_interface),
        method: owned(method_info.method),
        planned: payment.amount_planned.into(),
        created_at: payment.created_at.and_then(|text| time::parse(&text.0)),
        transactions: transactions.collect::<Result<_, _>>()?,
    })
}

fn read_transaction(draft: TransactionDraft<'_>) -> Result<Transaction, Rejection> {
    let kind = Kind::of(&draft.kind.0);
    let kind = kind.ok_or_else(|| violation("transaction.type", &draft.kind.0))?;
    let amount = Money::from(draft.amount);
    if amount.cent_amount < 0 {
        return Err(violation("transaction.amount", "it is negative"));
    }
    Ok(Transaction {
        transaction_id: name(draft.id)?,
        stated: Some((kind, amount)),
        progress: draft.state.as_ref().map_or(Ok(Progress::Initial), progress)?,
        interface_id: owned(draft.interface_id),
    })
}

fn progress(state: &Text<'_>) -> Result<Progress, Rejection> {
    Progress::of(&state.0).ok_or_else(|| violation("transaction.state", &state.0))
}

fn name(text: Text<'_>) -> Result<String, Rejection> {
    owned(Some(text)).ok_or_else(|| violation("transaction.id", "it is empty"))
}

fn owned(text: Option<Text<'_>>) -> Option<String> {
    text.map(|text| text.0.trim().to_owned()).filter(|text| !text.is_empty())
}

fn violation(rule: &'static str, detail: &str) -> Rejection {
    Rejection::new("CONTRACT_VIOLATION", rule, format!("{rule}: {detail}"))
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct CreatedBody<'a> {
    #[serde(borrow)]
    payment: PaymentDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentDraft<'a> {
    #[serde(default, borrow)]
    key: Option<Text<'a>>,
    #[serde(default, borrow)]
    interface_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    created_at: Option<Text<'a>>,
    #[serde(borrow)]
    amount_planned: MoneyDraft<'a>,
    #[serde(default, borrow)]
    payment_method_info: Option<MethodInfo<'a>>,
    #[serde(default, borrow)]
    transactions: Vec<TransactionDraft<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MethodInfo<'a> {
    #[serde(default, borrow)]
    payment_interface: Option<Text<'a>>,
    #[serde(default, borrow)]
    method: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct AddedBody<'a> {
    #[serde(borrow)]
    transaction: TransactionDraft<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransactionDraft<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    amount: MoneyDraft<'a>,
    #[serde(default, borrow)]
    state: Option<Text<'a>>,
    #[serde(default, borrow)]
    interface_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MoneyDraft<'a> {
    cent_amount: i64,
    #[serde(borrow)]
    currency_code: Text<'a>,
    #[serde(default)]
    fraction_digits: Option<u8>,
}

impl From<MoneyDraft<'_>> for Money {
    fn from(draft: MoneyDraft<'_>) -> Self {
        let currency_code = draft.currency_code.0.into_owned();
        let told = draft.fraction_digits;
        let fraction_digits = told.unwrap_or_else(|| outputs::fraction_digits(&currency_code));
        Self { cent_amount: draft.cent_amount, currency_code, fraction_digits }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangedBody<'a> {
    #[serde(borrow)]
    transaction_id: Text<'a>,
    #[serde(borrow)]
    state: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InterfaceIdBody<'a> {
    #[serde(borrow)]
    transaction_id: Text<'a>,
    #[serde(default, borrow)]
    new_interface_id: Option<Text<'a>>,
}

/// An absent field was removed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MethodBody<'a> {
    #[serde(default, borrow)]
    interface_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    interface: Option<Text<'a>>,
    #[serde(default, borrow)]
    method: Option<Text<'a>>,
}
