//! `order.view.v1`, rendered from the stored row alone: the topic and the operator's view show the
//! same bytes. No personal data.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{OrderRow, transitions::State};
use crate::{messages::skus::NO_CHANNEL, outputs::Money, time::Iso};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    project_key: &'a str,
    order_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_number: Option<&'a str>,
    version: u64,
    sequence: u64,
    #[serde(flatten)]
    states: States,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    last_legal: States,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<&'a Money>,
    lines: Vec<Line<'a>>,
    payments: Vec<Payment<'a>>,
    open_codes: BTreeSet<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Iso>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<Iso>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<&'a str>,
    partial: bool,
    incomplete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Iso>,
    rule_hash: &'a str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct States {
    #[serde(skip_serializing_if = "Option::is_none")]
    order_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shipment_state: Option<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    line_item_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
    inventory_mode: &'static str,
    ordered: i64,
    reserved: i64,
    backordered: i64,
    shipped: i64,
    cancelled: i64,
    returned: i64,
    allocations: Vec<Allocation<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Allocation<'a> {
    sku: &'a str,
    location: &'a str,
    reserved: i64,
    backordered: i64,
    shipped: i64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Payment<'a> {
    payment_id: &'a str,
    #[serde(flatten)]
    sums: Option<Sums>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Sums {
    authorised: Money,
    captured: Money,
    refunded: Money,
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
    serde_json::to_vec(&view).ok()
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
    vec![crate::schemas::of::<View<'_>>(crate::outputs::ORDER_VIEW)]
}
