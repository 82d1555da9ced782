//! The summary as text, for somebody who runs a shop and not a stream processor.

use std::collections::BTreeMap;

use super::{
    advice,
    summary::{OpenCode, Owner, Summary},
    text::{Colours, Page, Tone, minute, money, number, plural},
};
use crate::commerce::traffic::Channel;

/// So many of what a code's cases are about are named.
const ABOUT_MAX: usize = 3;

/// `address`: where the HTTP API answers, if it does.
pub(super) fn render(
    summary: &Summary,
    heading: &str,
    address: Option<&str>,
    colours: Colours,
) -> String {
    let mut page = Page::new(colours);
    page.title(heading);
    page.rule();
    deliveries(&mut page, summary);
    orders(&mut page, summary);
    payments(&mut page, summary);
    stock(&mut page, summary);
    drifts(&mut page, summary);
    cases(&mut page, summary);
    look(&mut page, summary, address);
    page.finish()
}

fn deliveries(page: &mut Page, summary: &Summary) {
    let inputs = &summary.inputs;
    let came = format!(
        "{}, {} and {} of the order management",
        plural(inputs.notifications, "notification"),
        plural(inputs.counts, "warehouse record"),
        number(inputs.statuses),
    );
    page.entry("Came in", &came);
    let repeated = format!("{} told nothing new, and changed nothing", number(inputs.repeated));
    page.entry("Duplicates", &repeated);
    if !summary.dead_letters.is_empty() {
        let all: usize = summary.dead_letters.values().sum();
        let codes = summary.dead_letters.iter().map(|(code, count)| format!("{code} {count}"));
        let codes: Vec<String> = codes.collect();
        let text = format!("{all} kept as they came: {}", codes.join(", "));
        page.entry("Dead letters", &text);
    }
}

fn orders(page: &mut Page, summary: &Summary) {
    let orders = &summary.orders;
    page.title("Orders");
    let worth: Vec<String> =
        orders.worth.iter().map(|(currency, cents)| money(currency, *cents)).collect();
    page.entry("Placed", &format!("{}, worth {}", number(orders.placed), worth.join(" and ")));
    let at_work = orders.placed
        - (orders.completed + orders.cancelled + orders.shipping + orders.incomplete)
            .min(orders.placed);
    let mut states = format!(
        "{} completed, {} cancelled, {} on the way, {} in preparation",
        number(orders.completed),
        number(orders.cancelled),
        number(orders.shipping),
        number(at_work),
    );
    if orders.incomplete > 0 {
        states.push_str(&format!(", {} waiting for data", number(orders.incomplete)));
    }
    page.entry("Now", &states);
    let judged = &summary.transitions;
    let violations = plural(judged.violations, "violation");
    let tone = if judged.violations > 0 { Tone::Warn } else { Tone::Good };
    let steps = format!(
        "{} legal, {} with a warning, {}",
        number(judged.legal),
        number(judged.warnings),
        page.tone(tone, &violations),
    );
    page.entry("State changes", &steps);
}

fn payments(page: &mut Page, summary: &Summary) {
    let payments = &summary.payments;
    if payments.count == 0 {
        return;
    }
    page.title("Payments");
    let sum = |sums: &BTreeMap<String, i64>| {
        let each: Vec<String> =
            sums.iter().map(|(currency, cents)| money(currency, *cents)).collect();
        if each.is_empty() { "nothing".to_owned() } else { each.join(" and ") }
    };
    let captured = format!("{} in {}", sum(&payments.captured), plural(payments.count, "payment"));
    page.entry("Captured", &captured);
    page.entry("Refunded", &sum(&payments.refunded));
}

fn stock(page: &mut Page, summary: &Summary) {
    let stock = &summary.stock;
    page.title("Stock");
    let reserved = format!(
        "{} for orders, {} of them after a backorder",
        plural(stock.reserved, "unit"),
        number(stock.backfilled),
    );
    page.entry("Reserved", &reserved);
    let since = format!(
        "{} shipped, {} given back, {} held now",
        number(stock.shipped),
        number(stock.released),
        number(stock.held_now),
    );
    page.entry("Of these", &since);
    page.entry("Backordered", &format!("{} now", plural(stock.backordered_now, "unit")));
    if summary.oversold.is_empty() {
        let none = page.tone(Tone::Good, "nothing");
        page.entry("Oversold", &none);
    }
    let mut name = "Oversold";
    for oversold in &summary.oversold {
        let units = page.tone(Tone::Bad, &plural(oversold.units, "unit"));
        let place = place(&oversold.location);
        let text = format!(
            "{units} of {} {place}: orders need {}, {} there",
            oversold.sku,
            number(oversold.needed),
            there(oversold.on_hand),
        );
        page.entry(name, &text);
        name = "";
    }
}

fn there(on_hand: i64) -> String {
    let verb = if on_hand == 1 { "is" } else { "are" };
    format!("{} {verb}", number(on_hand))
}

fn drifts(page: &mut Page, summary: &Summary) {
    let drifts = &summary.drifts;
    page.title("Systems that disagree");
    let counts = format!(
        "{} opened, {} resolved by themselves, {} open",
        number(drifts.opened),
        number(drifts.resolved),
        number(drifts.open.len() + summary.oversold.len()),
    );
    page.entry("Drifts", &counts);
    for drift in &drifts.open {
        let [(ours, our_value), (theirs, their_value)] = &drift.sides;
        // A system that contradicts itself: its changes do not add up to what it says, or its
        // orders and payments do not go together.
        let says = match (&drift.location, ours == theirs) {
            (Some(_), true) => {
                format!("{ours} says {our_value}, its changes make it {their_value}")
            }
            (None, true) => format!("{} {our_value} beside {their_value}", drift.field),
            (_, false) => format!("{ours} says {our_value}, {theirs} makes it {their_value}"),
        };
        let place = drift.location.as_deref().map(place).unwrap_or_default();
        let about = [drift.entity.as_str(), &place].join(" ");
        let text = format!("{}: {says}, since {}", about.trim_end(), minute(&drift.since));
        page.entry(&drift.kind, &text);
    }
}

fn cases(page: &mut Page, summary: &Summary) {
    let all: usize = summary.owners.iter().map(|owner| owner.cases).sum();
    page.title(&format!("Open cases, by who answers for them: {all}"));
    for owner in &summary.owners {
        self::owner(page, owner);
    }
    if all == 0 {
        page.entry("None", "nobody has to do anything");
    }
}

fn owner(page: &mut Page, owner: &Owner) {
    page.blank();
    let name = page.tone(Tone::Strong, &owner.name);
    page.line(&format!("  {name}, {}", plural(owner.cases, "case")));
    for open in &owner.codes {
        code(page, open);
    }
}

fn code(page: &mut Page, open: &OpenCode) {
    let tone = match open.severity.as_str() {
        "critical" => Tone::Bad,
        "high" => Tone::Warn,
        _ => Tone::Quiet,
    };
    let severity = page.tone(tone, &format!("{:8}", open.severity));
    let name = format!("{} x {}", open.cases, open.code);
    page.line(&format!("    {severity}  {name:38}  due {}", minute(&open.due_at)));
    about(page, open);
    page.paragraph(14, Tone::Quiet, &open.effect);
    page.paragraph(14, Tone::Quiet, &format!("Next: {}", advice::next_action(&open.code)));
}

/// What the cases are about, the most urgent first.
fn about(page: &mut Page, open: &OpenCode) {
    for (kind, id) in open.about.iter().take(ABOUT_MAX) {
        page.paragraph(14, Tone::Quiet, &format!("{kind} {id}"));
    }
    let more = open.about.len().saturating_sub(ABOUT_MAX);
    if more > 0 {
        page.paragraph(14, Tone::Quiet, &format!("and {more} more"));
    }
}

fn look(page: &mut Page, summary: &Summary, address: Option<&str>) {
    let look = &summary.look;
    let rows = [
        ("An oversold sku", &look.sku),
        ("An order that broke a rule", &look.order),
        ("The most urgent case", &look.case),
    ];
    page.title("Where to look next");
    for (name, path) in rows {
        let Some(path) = path else { continue };
        page.line(&format!("  {name}"));
        page.line(&format!("  {}{path}", address.unwrap_or_default()));
    }
    if address.is_none() {
        page.paragraph(
            2,
            Tone::Quiet,
            "These are paths of the HTTP API: leave out --once to have it.",
        );
    }
}

/// The location by the name that people have for it.
fn place(location: &str) -> String {
    match Channel::ALL.into_iter().find(|channel| channel.id() == location) {
        Some(channel) => format!("in {}", channel.name()),
        None if location == "~" => String::new(),
        None => format!("at {location}"),
    }
}
