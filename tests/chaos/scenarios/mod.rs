//! The scenarios, in the order in which they run.

mod api;
mod broker;
mod disk;
mod identity;
mod long;
mod members;
mod pressure;
mod storm;

use crate::{live::Outcome, round::Round};

pub struct Scenario {
    pub name: String,
    /// One of two brokers may go at any moment; else there is one.
    pub on_two_brokers: bool,
    pub run: Box<dyn Fn(&mut Round<'_>) -> Outcome>,
}

impl Scenario {
    fn new(name: &str, run: impl Fn(&mut Round<'_>) -> Outcome + 'static) -> Self {
        Self { name: name.to_owned(), on_two_brokers: false, run: Box::new(run) }
    }

    fn on_two_brokers(name: &str, run: impl Fn(&mut Round<'_>) -> Outcome + 'static) -> Self {
        Self { on_two_brokers: true, ..Self::new(name, run) }
    }
}

/// What `make test` runs too.
pub const SMOKE: &str = "smoke";
/// What the long mode repeats.
pub const STORM: &str = "storm";

pub fn all() -> Vec<Scenario> {
    let mut all = vec![Scenario::new(SMOKE, api::smoke)];
    all.push(Scenario::new("kill", members::kill));
    all.push(Scenario::new("zombie", members::zombie));
    all.push(Scenario::new("scale-1-4-2-3-1", members::scale));
    all.push(Scenario::new("rolling-restart", members::rolling_restart));
    all.push(Scenario::new("cut-off-in-a-rebalance", members::cut_off_in_a_rebalance));
    all.push(Scenario::new("cut-off-between-rounds", members::cut_off_between_rounds));
    all.push(Scenario::new("kill-between-rounds", members::kill_between_rounds));
    all.push(Scenario::new("one-identity-twice", identity::twice));
    all.push(Scenario::new("broker-restart", broker::restart));
    all.push(Scenario::new("broker-away", broker::away));
    all.push(Scenario::new("broker-frozen", broker::frozen));
    all.push(Scenario::on_two_brokers("rolling-brokers", broker::rolling));
    all.push(Scenario::on_two_brokers("broker-kill", broker::kill));
    all.push(Scenario::on_two_brokers("one-broker-frozen", broker::one_frozen));
    all.push(Scenario::new("full-disk", disk::full));
    all.push(Scenario::new("file-size-limit", disk::file_size_limit));
    all.push(Scenario::new("stalled-downstream", pressure::stalled_downstream));
    all.push(Scenario::new("slow-broker", pressure::slow_broker));
    all.push(Scenario::new("hot-key", pressure::hot_key));
    all.push(Scenario::on_two_brokers(STORM, storm::storm));
    all.push(Scenario::on_two_brokers("long", long::long));
    all.push(Scenario::new("transactions-30-percent", api::transactions_by_chance));
    all.extend(api::scenarios());
    all
}
