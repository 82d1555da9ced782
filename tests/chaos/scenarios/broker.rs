//! The broker goes and comes.

use std::time::Duration;

use crate::{
    live::Outcome,
    round::{Round, Setup},
};

const PER_SECOND: u32 = 400;
/// Beyond every time-out.
const AWAY: Duration = Duration::from_secs(20);
const TIMES: usize = 4;

/// The only one, in order, twice.
pub fn restart(round: &mut Round<'_>) -> Outcome {
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    for _ in 0..2 {
        round.wait_fed(round.fed_so_far() + 800)?;
        round.broker("restart", &[])?;
        round.wait_ready()?;
    }
    round.settle()
}

/// One of two after the other, in order.
pub fn rolling(round: &mut Round<'_>) -> Outcome {
    one_of_two(round, &[])
}

/// One of two by `kill -9`, whatever is under way.
pub fn kill(round: &mut Round<'_>) -> Outcome {
    one_of_two(round, &["--kill"])
}

fn one_of_two(round: &mut Round<'_>, more: &[&str]) -> Outcome {
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    for _ in 0..TIMES {
        round.wait_fed(round.fed_so_far() + 800)?;
        round.broker_of_two("restart", more)?;
        round.wait_ready()?;
    }
    round.settle()
}

/// One of two answers nothing and closes nothing, and wakes when the other leads everything.
pub fn one_frozen(round: &mut Round<'_>) -> Outcome {
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    round.wait_fed(800)?;
    let frozen = round.broker_of_two("pause", &[])?;
    round.pass(AWAY);
    round.world.broker.command(frozen, "resume", &[])?;
    round.wait_ready()?;
    round.settle()
}

/// The broker is gone for longer than transactions and sessions live; one process is killed
/// meanwhile, and starts again when the broker does.
pub fn away(round: &mut Round<'_>) -> Outcome {
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    round.wait_fed(800)?;
    round.broker("halt", &[])?;
    round.pass(AWAY);
    round.kill(1)?;
    round.broker("restart", &[])?;
    round.start(1)?;
    round.wait_ready()?;
    round.settle()
}

/// It answers nothing and closes nothing.
pub fn frozen(round: &mut Round<'_>) -> Outcome {
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    round.wait_fed(800)?;
    round.broker("pause", &[])?;
    round.pass(AWAY);
    round.broker("resume", &[])?;
    round.wait_ready()?;
    round.settle()
}
