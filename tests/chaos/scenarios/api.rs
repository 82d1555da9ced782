//! Faults by Kafka's API keys, before and after the broker has handled the call.

use std::time::Duration;

use super::Scenario;
use crate::{
    live::Outcome,
    proxy::{
        Action::{self, BlackHole, Cut, Delay},
        Api, Moment, Often, Rule,
    },
    round::{Round, Setup},
};

/// What the workers of the processes call all the time, and what only a change of members makes
/// them call.
const CALLS: [(Api, Rhythm); 8] = [
    (Api::Produce, Rhythm::Steady(7)),
    (Api::Fetch, Rhythm::Steady(29)),
    (Api::JoinGroup, Rhythm::AtRestart),
    (Api::Heartbeat, Rhythm::Steady(1)),
    (Api::InitProducerId, Rhythm::AtRestart),
    (Api::AddPartitionsToTxn, Rhythm::Steady(7)),
    (Api::TxnOffsetCommit, Rhythm::Steady(7)),
    (Api::EndTxn, Rhythm::Steady(7)),
];

#[derive(Clone, Copy)]
enum Rhythm {
    /// So often that every n-th is enough.
    Steady(u64),
    /// Once when a process starts, and when a group changes.
    AtRestart,
}

const PER_SECOND: u32 = 400;
/// So much goes on coming in after the last fault.
const AFTERWARDS: usize = 600;
/// A fault that the traffic brings about.
const FIRED: Duration = Duration::from_secs(60);
/// Beyond the session time-out of six seconds.
const LATE_HEARTBEAT: Duration = Duration::from_secs(8);
/// The longest time-out is that of joining a group.
const HEALED: Duration = Duration::from_secs(120);
const LATE: Duration = Duration::from_secs(2);

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (api, rhythm) in CALLS {
        let late = if api == Api::Heartbeat { LATE_HEARTBEAT } else { LATE };
        for (word, action) in [("cut", Cut), ("delay", Delay(late)), ("black-hole", BlackHole)] {
            let moments: &[(&str, &'static [Moment])] = match api {
                // The two cases of a commit are told apart.
                Api::EndTxn => &[("-before", &[Moment::Before]), ("-after", &[Moment::After])],
                _ => &[("", &[Moment::Before, Moment::After])],
            };
            for (suffix, moments) in moments {
                let name = format!("{api:?}-{word}{suffix}").to_lowercase();
                let run = move |round: &mut Round<'_>| by_api(round, api, rhythm, action, moments);
                all.push(Scenario::new(&name, run));
            }
        }
    }
    all
}

fn by_api(
    round: &mut Round<'_>,
    api: Api,
    rhythm: Rhythm,
    action: Action,
    moments: &[Moment],
) -> Outcome {
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    round.wait_fed(usize::try_from(PER_SECOND)?)?;
    // Each black hole costs a request's time-out.
    let most = match action {
        BlackHole => 1,
        Delay(_) => 3,
        Cut => 6,
    };
    let often = match rhythm {
        Rhythm::Steady(n) => Often::Every(n),
        Rhythm::AtRestart => Often::Every(1),
    };
    for moment in moments {
        let rule = Rule::new(&[api], *moment, action).often(often).at_most(most);
        round.say(&format!("{rule}, up to {most} times"));
        let laid = round.lay(rule);
        match rhythm {
            Rhythm::Steady(_) => round.wait_fired(&laid, most, FIRED)?,
            Rhythm::AtRestart => {
                round.kill(1)?;
                round.start(1)?;
                round.wait_fired(&laid, most.min(2), FIRED)?;
            }
        }
    }
    match action {
        // Nothing but their own time-outs tells the processes. The rules stay: lifting one would.
        BlackHole => {
            round.wait_fed(round.fed_so_far() + AFTERWARDS)?;
            round.end_feed()?;
            round.wait_handled(HEALED)?;
        }
        Delay(late) => {
            round.pass(late);
            round.wait_fed(round.fed_so_far() + AFTERWARDS)?;
        }
        Cut => round.wait_fed(round.fed_so_far() + AFTERWARDS)?,
    }
    round.wait_ready()?;
    round.settle()
}

/// Every call of a transaction meets with a fault three times in ten.
pub fn transactions_by_chance(round: &mut Round<'_>) -> Outcome {
    const WINDOW: Duration = Duration::from_secs(15);
    let calls = [
        Api::InitProducerId,
        Api::AddPartitionsToTxn,
        Api::AddOffsetsToTxn,
        Api::TxnOffsetCommit,
        Api::EndTxn,
    ];
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    round.wait_fed(usize::try_from(PER_SECOND)?)?;
    let short = Delay(Duration::from_millis(200));
    // A rule sees the calls that those before it have left: 0.1, 0.111 of 0.9, 0.125 of 0.8.
    let faults =
        [(Moment::Before, Cut, 0.1), (Moment::After, Cut, 0.111), (Moment::After, short, 0.125)];
    for (moment, action, chance) in faults {
        round.lay(Rule::new(&calls, moment, action).often(Often::Chance(chance)));
    }
    round.say("three in ten calls of transactions meet with a fault");
    round.pass(WINDOW);
    round.lift();
    round.say("no faults any more");
    round.settle()
}

/// One commit is cut before the broker saw it, one after it was handled. `make test` runs it.
pub fn smoke(round: &mut Round<'_>) -> Outcome {
    round.begin(&Setup::new(1))?;
    round.feed(PER_SECOND);
    round.wait_fed(400)?;
    for moment in [Moment::Before, Moment::After] {
        let rule = Rule::new(&[Api::EndTxn], moment, Cut).often(Often::Nth(3));
        let laid = round.lay(rule);
        round.wait_fired(&laid, 1, FIRED)?;
    }
    let seen = round.world.proxy.seen("p0", Api::EndTxn);
    if seen < 6 {
        return Err(format!("only {seen} commits went through the proxy").into());
    }
    round.settle()
}
