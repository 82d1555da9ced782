//! `aplomb verify`, run as people run it.

use std::process::Command;

use super::{Outcome, broker::Broker, process::Service};

const CLEAN: &str = "0 missing, 0 doubled, 0 different, 0 unexpected";

/// What it said.
pub struct Verified {
    pub inputs: usize,
    /// The whole answer.
    pub text: String,
}

/// An error unless every record is there once, as it must be. Asks the broker itself, whatever
/// stands between it and the processes.
pub fn verify(broker: &Broker, service: &Service) -> Outcome<Verified> {
    let output = Command::new(env!("CARGO_BIN_EXE_aplomb"))
        .arg("verify")
        .arg("--config")
        .arg(&service.config)
        .env("APLOMB_KAFKA__BOOTSTRAP", &broker.bootstrap)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !text.contains(CLEAN) {
        let tail: Vec<&str> = text.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("verify: {} {errors}\n{}", output.status, tail.join("\n")).into());
    }
    let inputs = text.lines().find_map(|line| line.strip_suffix(" inputs folded again"));
    let inputs = inputs.and_then(|count| count.parse().ok()).ok_or("verify counted no inputs")?;
    Ok(Verified { inputs, text })
}
