//! `order.view.v1`, rendered from the stored row alone: the topic and the operator's view show the
//! same bytes. No personal data.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{OrderRow, transitions::State};
use crate::{
    messages::skus::NO_CHANNEL,
    outputs::{self, Money},
    time::Iso,
};

/// An order as commercetools, its payments and its stock tell of it now. No personal data.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    /// Key of the commercetools project.
    project_key: &'a str,
    /// Id of the commercetools order.
    order_id: &'a str,
    /// `orderNumber` of commercetools; absent: it has none, or none was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_number: Option<&'a str>,
    /// Greatest `resourceVersion` of the messages applied.
    version: u64,
    /// Last applied `sequenceNumber`.
    sequence: u64,
    #[serde(flatten)]
    states: States,
    /// Id of the custom State of commercetools; absent: it has none, or none was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    /// The last states that no violation led to.
    last_legal: States,
    /// `totalPrice` of commercetools, after edits; absent: the order's content was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<&'a Money>,
    /// Its line items; custom line items are not among them.
    lines: Vec<Line<'a>>,
    /// The payments that commercetools links to it.
    payments: Vec<Payment<'a>>,
    /// Codes of what is wrong with it now, sorted, whatever a person did to their cases.
    open_codes: BTreeSet<&'static str>,
    /// `createdAt` of commercetools, ISO 8601 UTC; absent: its creation was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Iso>,
    /// When it became Complete, ISO 8601 UTC; absent: it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<Iso>,
    /// Key of the commercetools store; absent: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_key: Option<&'a str>,
    /// `country` of commercetools, ISO 3166-1; absent: not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    /// `origin` of commercetools, such as `Customer` or `Merchant`; absent: not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    /// Id of the commercetools customer, a pseudonym; absent: a guest's order, or not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<&'a str>,
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

/// The states of an order in its three dimensions.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct States {
    /// `Open`, `Confirmed`, `Complete` or `Cancelled`; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_state: Option<&'static str>,
    /// `BalanceDue`, `Failed`, `Pending`, `CreditOwed` or `Paid`; absent: not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_state: Option<&'static str>,
    /// `Shipped`, `Delivered`, `Ready`, `Pending`, `Delayed`, `Partial`, `Backorder` or `Canceled`;
    /// absent: not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    shipment_state: Option<&'static str>,
}

/// A line item, in units of stock.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    /// Id of the order's line item.
    line_item_id: &'a str,
    /// `variant.sku` of the line; absent: the variant has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<&'a str>,
    /// Id of the commercetools product; absent: not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
    /// `None`, `TrackOnly`, `ReserveOnOrder` or `ReserveOnCart`; the line's own before the order's.
    inventory_mode: &'static str,
    /// Units ordered, after edits.
    ordered: i64,
    /// Units of stock held for it.
    reserved: i64,
    /// Units of it that stock does not cover yet.
    backordered: i64,
    /// Units that left: by deliveries, or by shipmentState if none was told in time.
    shipped: i64,
    /// Units that will not be shipped because the order was cancelled.
    cancelled: i64,
    /// Units on their way back or here again, of those shipped.
    returned: i64,
    /// Where its units are held, as the skus answered; empty: no answer yet, or nothing to hold.
    allocations: Vec<Allocation<'a>>,
}

/// What a line holds at one location, in units of stock.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Allocation<'a> {
    /// The line's sku.
    sku: &'a str,
    /// Id of the supply channel of the stock; `~` without one.
    location: &'a str,
    /// Units of stock held for it.
    reserved: i64,
    /// Units of it that stock does not cover yet.
    backordered: i64,
    /// Units of the whole line that left.
    shipped: i64,
}

/// A payment of the order. Its sums are absent until it has answered with an amount.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Payment<'a> {
    /// Id of the commercetools payment.
    payment_id: &'a str,
    #[serde(flatten)]
    sums: Option<Sums>,
}

/// Sums over the transactions of a payment, in its currency.
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
}

/// The order's JSON. `None`: it was deleted.
pub(super) fn render(row: &OrderRow, project: &str, order_id: &str) -> Option<Vec<u8>> {
    let (order, stated) = (&row.order, &row.order.stated);
    if row.ended.is_some() {
        return None;
    }
    let view = View {
        project_key: project,
        order_id,
        order_number: order.order_number.as_deref(),
        version: order.version,
        sequence: row.sequence.last(),
        states: states(order.states),
        state: stated.custom_state.as_deref(),
        last_legal: states(row.last_legal()),
        total: stated.total.as_ref(),
        lines: order.lines.iter().map(|line| render_line(row, line)).collect(),
        payments: order.payments.iter().map(|id| render_payment(row, id)).collect(),
        open_codes: row.open_codes(),
        created_at: stated.created_at.map(Iso),
        completed_at: stated.completed_at.map(Iso),
        store_key: stated.store_key.as_deref(),
        country: stated.country.as_deref(),
        origin: stated.origin.as_deref(),
        customer_id: stated.customer_id.as_deref(),
        partial: row.sequence.is_partial(),
        incomplete: order.incomplete,
        as_of: order.as_of.map(Iso),
        rule_hash: &row.rule_hash,
    };
    outputs::json(&view).ok()
}

/// Sums are there once the payment has answered, and told an amount.
fn render_payment<'a>(row: &OrderRow, payment_id: &'a str) -> Payment<'a> {
    let totals = row.statement(payment_id).map(|statement| &statement.totals);
    let sums = totals.filter(|totals| !totals.currency_code.is_empty()).map(|totals| Sums {
        authorised: totals.money(totals.authorised),
        captured: totals.money(totals.captured),
        refunded: totals.money(totals.refunded),
        charged_back: totals.money(totals.charged_back),
    });
    Payment { payment_id, sums }
}

fn render_line<'a>(row: &'a OrderRow, line: &'a super::fold::Line) -> Line<'a> {
    let allocations: Vec<_> = row
        .allocations
        .iter()
        .filter(|allocation| allocation.line_id == line.line_id)
        .map(|allocation| Allocation {
            sku: line.sku.as_deref().unwrap_or_default(),
            location: allocation.location.as_deref().unwrap_or(NO_CHANNEL),
            reserved: allocation.reserved,
            backordered: allocation.backordered,
            shipped: row.shipped(line),
        })
        .collect();
    Line {
        line_item_id: &line.line_id,
        sku: line.sku.as_deref(),
        product_id: line.product_id.as_deref(),
        inventory_mode: line.mode_name(),
        ordered: line.ordered,
        reserved: allocations.iter().map(|allocation| allocation.reserved).sum(),
        backordered: allocations.iter().map(|allocation| allocation.backordered).sum(),
        shipped: row.shipped(line),
        cancelled: line.cancelled,
        returned: line.returned,
        allocations,
    }
}

fn states([order, payment, shipment]: [Option<State>; 3]) -> States {
    States {
        order_state: order.map(State::name),
        payment_state: payment.map(State::name),
        shipment_state: shipment.map(State::name),
    }
}

#[cfg(test)]
pub fn schemas() -> Vec<crate::schemas::Topic> {
    vec![crate::schemas::of::<View<'_>>(outputs::ORDER_VIEW)]
}
