//! The day in figures: a pure function of the records in the log.

use std::collections::{BTreeMap, BTreeSet};

use aplomb_topologies::outputs;

use super::{
    inputs::Inputs,
    records::{
        Case, Drift, InventoryEvent, OrderView, PaymentView, Reservation, Topics, Verdict, header,
    },
};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub inputs: Inputs,
    pub orders: Orders,
    pub transitions: Transitions,
    pub payments: Payments,
    pub stock: Stock,
    pub oversold: Vec<Oversold>,
    pub drifts: Drifts,
    /// By owner, the gravest first.
    pub owners: Vec<Owner>,
    /// By code.
    pub dead_letters: BTreeMap<String, usize>,
    pub look: Look,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub placed: usize,
    pub completed: usize,
    pub cancelled: usize,
    /// On their way to the customer, all or in part.
    pub shipping: usize,
    /// Known, but their data has not come.
    pub incomplete: usize,
    /// Minor units by currency.
    pub worth: BTreeMap<String, i64>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Transitions {
    pub legal: usize,
    pub warnings: usize,
    pub violations: usize,
}

/// Minor units by currency.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Payments {
    pub count: usize,
    pub captured: BTreeMap<String, i64>,
    pub refunded: BTreeMap<String, i64>,
}

/// Units.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stock {
    pub reserved: i64,
    /// Of these: when stock came for what had been backordered.
    pub backfilled: i64,
    pub shipped: i64,
    pub released: i64,
    pub held_now: i64,
    pub backordered_now: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Oversold {
    pub sku: String,
    pub location: String,
    pub units: i64,
    /// What orders need, and what there is for them.
    pub needed: i64,
    pub on_hand: i64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Drifts {
    pub opened: usize,
    pub resolved: usize,
    /// But OVERSOLD, which stands apart.
    pub open: Vec<OpenDrift>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct OpenDrift {
    pub kind: String,
    /// With its type, but for a sku.
    pub entity: String,
    pub field: String,
    /// Of stock.
    pub location: Option<String>,
    /// (system, value)
    pub sides: [(String, String); 2],
    pub since: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub name: String,
    pub cases: usize,
    pub codes: Vec<OpenCode>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct OpenCode {
    pub code: String,
    pub severity: String,
    pub effect: String,
    pub cases: usize,
    /// What they are about: (kind, id).
    pub about: Vec<(String, String)>,
    /// The earliest.
    pub due_at: String,
}

/// Paths of the HTTP API that are worth a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub sku: Option<String>,
    pub order: Option<String>,
    pub case: Option<String>,
}

const OVERSOLD: &str = "OVERSOLD";
/// The gravest first.
const SEVERITIES: [&str; 5] = ["critical", "high", "medium", "low", "info"];

pub(super) fn summarise(topics: &Topics) -> Summary {
    let cases = open_cases(topics);
    let open = topics.latest::<Drift>(outputs::DRIFT_OPEN);
    Summary {
        inputs: topics.inputs,
        orders: orders(topics),
        transitions: transitions(topics),
        payments: payments(topics),
        stock: stock(topics),
        oversold: oversold(&open),
        drifts: drifts(topics, &open),
        owners: owners(&cases),
        dead_letters: dead_letters(topics),
        look: look(topics, &open, &cases),
    }
}

fn orders(topics: &Topics) -> Orders {
    let mut orders = Orders::default();
    for view in topics.latest::<OrderView>(outputs::ORDER_VIEW) {
        orders.placed += 1;
        match (view.order_state.as_deref(), view.shipment_state.as_deref()) {
            _ if view.incomplete => orders.incomplete += 1,
            (Some("Complete"), _) => orders.completed += 1,
            (Some("Cancelled"), _) => orders.cancelled += 1,
            (_, Some("Shipped" | "Delivered" | "Partial")) => orders.shipping += 1,
            _ => {}
        }
        if let Some(total) = view.total {
            *orders.worth.entry(total.currency_code).or_default() += total.cent_amount;
        }
    }
    orders
}

/// Verdicts, without those that a later one replaced.
fn verdicts(topics: &Topics) -> Vec<Verdict> {
    let all: Vec<_> = topics.all::<Verdict>(outputs::ORDER_VERDICTS).collect();
    let replaced: BTreeSet<String> =
        all.iter().filter_map(|(_, verdict)| verdict.supersedes.clone()).collect();
    let stands = |kept| header(kept, "ce_id").is_none_or(|id| !replaced.contains(id));
    all.into_iter().filter(|(kept, _)| stands(kept)).map(|(_, verdict)| verdict).collect()
}

fn transitions(topics: &Topics) -> Transitions {
    let mut transitions = Transitions::default();
    for verdict in verdicts(topics) {
        match verdict.verdict.as_str() {
            "violation" => transitions.violations += 1,
            "legal_with_warning" => transitions.warnings += 1,
            _ => transitions.legal += 1,
        }
    }
    transitions
}

fn payments(topics: &Topics) -> Payments {
    let mut payments = Payments::default();
    for view in topics.latest::<PaymentView>(outputs::PAYMENT_VIEW) {
        payments.count += 1;
        for (amount, sums) in
            [(view.captured, &mut payments.captured), (view.refunded, &mut payments.refunded)]
        {
            if let Some(amount) = amount.filter(|amount| amount.cent_amount != 0) {
                *sums.entry(amount.currency_code).or_default() += amount.cent_amount;
            }
        }
    }
    payments
}

fn stock(topics: &Topics) -> Stock {
    let mut stock = Stock::default();
    for (_, event) in topics.all::<InventoryEvent>(outputs::INVENTORY_EVENTS) {
        match event.kind.as_str() {
            "InventoryReserved" => {
                stock.reserved += event.quantity;
                if event.reason.as_deref() == Some("backfill") {
                    stock.backfilled += event.quantity;
                }
            }
            "InventoryShipped" => stock.shipped += event.quantity,
            "InventoryReleased" => stock.released += event.quantity,
            _ => {}
        }
    }
    for hold in topics.latest::<Reservation>(outputs::INVENTORY_RESERVATIONS) {
        stock.held_now += hold.reserved;
        stock.backordered_now += hold.backordered;
    }
    stock
}

fn oversold(open: &[Drift]) -> Vec<Oversold> {
    let mut oversold: Vec<Oversold> = open
        .iter()
        .filter(|drift| drift.kind == OVERSOLD)
        .map(|drift| {
            let [needed, on_hand] = &drift.sides;
            Oversold {
                sku: drift.entity.id.clone(),
                location: drift.location.clone().unwrap_or_default(),
                units: needed.value.units() - on_hand.value.units(),
                needed: needed.value.units(),
                on_hand: on_hand.value.units(),
            }
        })
        .collect();
    oversold.sort_by(|left, right| right.units.cmp(&left.units).then(left.sku.cmp(&right.sku)));
    oversold
}

fn drifts(topics: &Topics, open: &[Drift]) -> Drifts {
    let mut drifts = Drifts::default();
    for (_, drift) in topics.all::<Drift>(outputs::DRIFT_EVENTS) {
        match drift.event.as_str() {
            "DriftOpened" => drifts.opened += 1,
            "DriftResolved" => drifts.resolved += 1,
            _ => {}
        }
    }
    let still_open = open.iter().filter(|drift| drift.kind != OVERSOLD).map(|drift| OpenDrift {
        kind: drift.kind.clone(),
        entity: match drift.entity.kind.as_str() {
            "sku" => drift.entity.id.clone(),
            kind => format!("{kind} {}", drift.entity.id),
        },
        field: drift.field.clone(),
        location: drift.location.clone(),
        sides: drift.sides.each_ref().map(|side| (side.system.clone(), side.value.to_string())),
        since: drift.first_seen.clone(),
    });
    drifts.open.extend(still_open);
    drifts
        .open
        .sort_by(|left, right| (&left.since, &left.entity).cmp(&(&right.since, &right.entity)));
    drifts
}

/// What somebody has to look at, the gravest and the most urgent first.
fn open_cases(topics: &Topics) -> Vec<Case> {
    let mut cases = topics.latest::<Case>(outputs::EXCEPTIONS);
    cases.retain(|case| matches!(case.status.as_str(), "open" | "acknowledged"));
    cases.sort_by(|left, right| {
        let rank = |case: &Case| (gravity(&case.severity), case.sla.due_at.clone());
        rank(left).cmp(&rank(right)).then(left.case_id.cmp(&right.case_id))
    });
    cases
}

fn gravity(severity: &str) -> usize {
    SEVERITIES.iter().position(|known| *known == severity).unwrap_or(SEVERITIES.len())
}

/// `cases`: in the order in which they are to be shown.
fn owners(cases: &[Case]) -> Vec<Owner> {
    let mut owners: Vec<Owner> = Vec::new();
    for case in cases {
        if !owners.iter().any(|owner| owner.name == case.owner) {
            owners.push(Owner { name: case.owner.clone(), cases: 0, codes: Vec::new() });
        }
        let own = owners.iter_mut().find(|owner| owner.name == case.owner);
        let Some(owner) = own else { continue };
        owner.cases += 1;
        let about = (case.entity.kind.clone(), case.entity.id.clone());
        match owner.codes.iter_mut().find(|open| open.code == case.code) {
            Some(open) => {
                open.cases += 1;
                open.about.push(about);
                if case.sla.due_at < open.due_at {
                    open.due_at.clone_from(&case.sla.due_at);
                }
            }
            None => owner.codes.push(OpenCode {
                code: case.code.clone(),
                severity: case.severity.clone(),
                effect: case.business_effect.clone(),
                cases: 1,
                about: vec![about],
                due_at: case.sla.due_at.clone(),
            }),
        }
    }
    owners
}

fn dead_letters(topics: &Topics) -> BTreeMap<String, usize> {
    let mut by_code = BTreeMap::new();
    for letter in topics.records(outputs::DLQ) {
        let code = header(letter, "code").unwrap_or("(no code)");
        *by_code.entry(code.to_owned()).or_default() += 1;
    }
    by_code
}

fn look(topics: &Topics, open: &[Drift], cases: &[Case]) -> Look {
    let worst = oversold(open).into_iter().next();
    let project_of = |sku: &str| open.iter().find(|drift| drift.entity.id == sku);
    let sku = worst.and_then(|worst| {
        let project = &project_of(&worst.sku)?.project_key;
        Some(format!("/skus/{project}/{}", worst.sku))
    });
    let still_open: BTreeSet<String> = topics
        .latest::<OrderView>(outputs::ORDER_VIEW)
        .into_iter()
        .filter(|view| !view.open_codes.is_empty())
        .map(|view| format!("/orders/{}/{}", view.project_key, view.order_id))
        .collect();
    let violations = verdicts(topics).into_iter().filter(|verdict| verdict.verdict == "violation");
    let mut paths = violations.map(|v| format!("/orders/{}/{}", v.project_key, v.order_id));
    // An order whose violation still stands in its view shows more than one that was mended.
    let order = paths.find(|path| still_open.contains(path));
    let case = cases.first().map(|case| {
        format!("/cases/{}/{}", case.project_key.as_deref().unwrap_or("~"), case.case_id)
    });
    Look { sku, order: order.or_else(|| still_open.into_iter().next()), case }
}
