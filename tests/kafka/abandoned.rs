//! What a test that was aborted leaves behind.

use std::process::Command;

use crate::live::{
    Outcome,
    broker::{Broker, script},
};

#[test]
fn a_broker_whose_owner_is_gone_goes_with_the_next_start() -> Outcome {
    let mut owner = Command::new("true").spawn()?;
    owner.wait()?;
    let name = format!("abandoned-{}", std::process::id());
    let started = script(&["start", &name, "--owner", &owner.id().to_string()])?;
    let Some((_next, _)) = Broker::start("next", &[])? else { return Ok(()) };
    assert!(started.status.success(), "{started:?}");
    let status = script(&["status", &name])?;
    assert_eq!(String::from_utf8_lossy(&status.stdout), "stopped\n");
    let again = script(&["restart", &name])?;
    assert!(String::from_utf8_lossy(&again.stderr).contains("never started"), "{again:?}");
    Ok(())
}
