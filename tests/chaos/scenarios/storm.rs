//! One fault after another, as a seed has it.

use std::time::{Duration, Instant};

use rand::{Rng, seq::IndexedRandom};

use crate::{
    live::Outcome,
    proxy::{Action, Api, Moment, Often, Rule},
    round::{Round, Setup},
};

const PER_SECOND: u32 = 400;
const TIME: Duration = Duration::from_secs(60);
const CALLS: [Api; 10] = [
    Api::Produce,
    Api::Fetch,
    Api::JoinGroup,
    Api::SyncGroup,
    Api::Heartbeat,
    Api::InitProducerId,
    Api::AddPartitionsToTxn,
    Api::AddOffsetsToTxn,
    Api::EndTxn,
    Api::TxnOffsetCommit,
];

pub fn storm(round: &mut Round<'_>) -> Outcome {
    let processes = round.random.random_range(2..=3);
    let setup = Setup::new(processes);
    let setup = if round.random.random_bool(0.5) { setup.fixed() } else { setup };
    round.say(&format!("{processes} processes, static: {}", setup.is_static));
    round.begin(&setup)?;
    round.feed(PER_SECOND);
    let until = Instant::now() + TIME;
    let mut frozen: Option<(usize, Instant)> = None;
    while Instant::now() < until {
        let pause = round.random.random_range(300..4_000);
        round.pass(Duration::from_millis(pause));
        if let Some((sleeper, wakes)) = frozen
            && Instant::now() >= wakes
        {
            round.signal(sleeper, libc::SIGCONT)?;
            frozen = None;
        }
        match round.random.random_range(0..12) {
            0..6 => lay_one(round),
            6..9 => {
                let victim = round.random.random_range(0..processes);
                if frozen.is_none_or(|(sleeper, _)| sleeper != victim) {
                    round.kill(victim)?;
                    round.start(victim)?;
                }
            }
            9 => {
                if frozen.is_none() {
                    let sleeper = round.random.random_range(0..processes);
                    round.signal(sleeper, libc::SIGSTOP)?;
                    let time = round.random.random_range(1_000..20_000);
                    frozen = Some((sleeper, Instant::now() + Duration::from_millis(time)));
                }
            }
            10 => {
                let more: &[&str] = if round.random.random_bool(0.5) { &["--kill"] } else { &[] };
                round.broker_of_two("restart", more)?;
            }
            _ => {
                round.say("the network is well");
                round.lift();
            }
        }
    }
    if let Some((sleeper, _)) = frozen {
        round.signal(sleeper, libc::SIGCONT)?;
    }
    round.settle()
}

fn lay_one(round: &mut Round<'_>) {
    let random = &mut round.random;
    let api = CALLS.choose(random).copied().unwrap_or(Api::EndTxn);
    let moment = if random.random_bool(0.5) { Moment::Before } else { Moment::After };
    let (action, most) = match random.random_range(0..5) {
        0 | 1 => (Action::Cut, 5),
        2 | 3 => (Action::Delay(Duration::from_millis(random.random_range(50..9_000))), 2),
        _ => (Action::BlackHole, 1),
    };
    let often = match random.random_range(0..3) {
        0 => Often::Nth(random.random_range(1..20)),
        1 => Often::Every(random.random_range(1..20)),
        _ => Often::Chance(0.1),
    };
    let rule = Rule::new(&[api], moment, action).often(often).at_most(most);
    round.say(&format!("{rule}, {often:?}"));
    round.lay(rule);
}
