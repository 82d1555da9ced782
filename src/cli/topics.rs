//! `aplomb topics`

use clap::ValueEnum;

use super::{Failure, WithConfig, output::Out};
use crate::{
    commerce, runtime,
    topics::{self, Outcome},
};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Action {
    /// What there should be; asks no broker
    Plan,
    /// Create what is missing
    Create,
    /// Say what differs, and what mends it
    Check,
}

pub(super) fn run(action: Action, options: &WithConfig) -> Result<(), Failure> {
    let config = options.load()?;
    let plan = topics::plan(&commerce::topology(), &config.naming());
    let mut out = Out;
    let failed = |error: std::io::Error| Failure::Failed(error.to_string());
    if matches!(action, Action::Plan) {
        return topics::print_plan(&plan, &mut out).map_err(failed);
    }
    let log = runtime::connect(&config)?;
    let inputs = config.external_topics();
    let bootstrap = &config.kafka.bootstrap;
    let kafka = |error: crate::log::Error| Failure::Failed(format!("kafka: {error}"));
    let outcome = match action {
        Action::Create => {
            topics::run_create(&log, &plan, &inputs, bootstrap, &mut out).map_err(kafka)?
        }
        Action::Plan | Action::Check => {
            let differences = topics::differences(&log, &plan, &inputs).map_err(kafka)?;
            topics::print_check(&differences, bootstrap, &mut out).map_err(failed)?
        }
    };
    match outcome {
        Outcome::AsPlanned => Ok(()),
        Outcome::Differs => Err(Failure::Deviates),
    }
}
