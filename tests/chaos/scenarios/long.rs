//! The long form of the test that runs with all others: 300,000 notifications, five minutes.

use std::time::{Duration, Instant};

use rand::Rng;

use crate::{
    live::{Outcome, feed::Pace},
    round::{Round, Setup},
};

const NOTIFICATIONS: usize = 300_000;
const PER_SECOND: u32 = 1_000;
const KILLS: u64 = 20;
const FROZEN: Duration = Duration::from_secs(25);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Freeze,
    Thaw,
    RestartBroker,
}

/// What happens at a second of the feed: `kill -9` every twelve seconds, about, and between them
/// two processes frozen and two restarts of the broker.
fn schedule(round: &mut Round<'_>) -> Vec<(u64, Fault)> {
    let mut all = vec![(85, Fault::RestartBroker), (215, Fault::RestartBroker)];
    for at in [40, 150] {
        all.extend([(at, Fault::Freeze), (at + FROZEN.as_secs(), Fault::Thaw)]);
    }
    for kill in 0..=KILLS {
        all.push((8 + kill * 13 + round.random.random_range(0..8), Fault::Kill));
    }
    all.sort_by_key(|(second, _)| *second);
    all
}

pub fn long(round: &mut Round<'_>) -> Outcome {
    round.application.partitions = 8;
    round.begin(&Setup::new(2).with("KAFKA__SESSION_TIMEOUT_MS", 10_000))?;
    let schedule = schedule(round);
    let started = Instant::now();
    let (most, seed) = (NOTIFICATIONS, round.seed);
    round.feed_with(Pace { most, per_second: PER_SECOND, skus: 500, seed });
    let mut frozen = None;
    for (second, fault) in schedule {
        let due = started + Duration::from_secs(second);
        round.pass(due.saturating_duration_since(Instant::now()));
        let victim = round.random.random_range(0..2);
        match fault {
            Fault::Kill => {
                // A frozen one must wake.
                let victim = frozen.map_or(victim, |frozen: usize| 1 - frozen);
                round.kill(victim)?;
                round.start(victim)?;
            }
            Fault::Freeze => {
                round.signal(victim, libc::SIGSTOP)?;
                frozen = Some(victim);
            }
            Fault::Thaw => {
                round.signal(frozen.take().unwrap_or(victim), libc::SIGCONT)?;
            }
            Fault::RestartBroker => {
                round.broker_of_two("restart", &["--kill"])?;
            }
        }
    }
    round.join_feed()?;
    if round.fed != NOTIFICATIONS {
        return Err(format!("{} were fed", round.fed).into());
    }
    round.settle_within(Duration::from_secs(240))
}
