//! More comes in than goes out: memory stays flat, nobody loses the group, the lag shows, and all
//! of it is made up for.

use std::time::Duration;

use crate::{
    live::{Outcome, feed::Pace},
    proxy::{Action, Api, Moment, Rule},
    round::{Round, Setup, client},
};

const LAG: &str = "aplomb_task_lag_records";
const REBALANCES: &str = "aplomb_rebalances_total";
/// The budget of the state database by default, and 128 MiB for all else.
const RSS_MIB_MAX: u64 = 256 + 128;
/// Prefetched records and write buffers fill up in the first third of the pressure, and the records
/// of a long transaction come and go. So what must not grow any more is the lowest of each third.
const GROWTH_MIB_MAX: u64 = 32;

/// What was seen under pressure.
struct Seen {
    rss_mib: Vec<u64>,
    rebalances: f64,
    lag_max: f64,
}

fn watched(round: &mut Round<'_>, time: Duration) -> Outcome<Seen> {
    let events = |round: &Round<'_>| round.running().map(|one| one.metric(REBALANCES)).sum::<f64>();
    let before = events(round);
    let mut seen = Seen { rss_mib: Vec::new(), rebalances: 0.0, lag_max: 0.0 };
    let step = Duration::from_millis(500);
    let begun = std::time::Instant::now();
    while begun.elapsed() < time {
        let rss: Vec<u64> = round.running().map(|one| one.rss_mib()).collect::<Outcome<_>>()?;
        seen.rss_mib.push(rss.into_iter().max().unwrap_or(0));
        let lag = round.running().map(|one| one.metric(LAG)).sum();
        seen.lag_max = seen.lag_max.max(lag);
        round.pass(step);
    }
    seen.rebalances = events(round) - before;
    Ok(seen)
}

fn judge(round: &Round<'_>, seen: &Seen, lag_least: f64) -> Outcome {
    let third = seen.rss_mib.len() / 3;
    let lowest = |rss: &[u64]| rss.iter().min().copied().unwrap_or(0);
    let (_, behind) = seen.rss_mib.split_at(third);
    let (middle, last) = behind.split_at(third);
    let (middle, last) = (lowest(middle), lowest(last));
    let most = seen.rss_mib.iter().max().copied().unwrap_or(0);
    round.say(&format!(
        "memory up to {most} MiB, at least {middle} MiB, then {last} MiB, lag up to {}, {} events \
         of the group",
        seen.lag_max, seen.rebalances
    ));
    if last > middle + GROWTH_MIB_MAX || most > RSS_MIB_MAX {
        return Err(format!("memory grew: {:?} MiB", seen.rss_mib).into());
    }
    if seen.rebalances > 0.0 {
        return Err(format!("{} events of the group", seen.rebalances).into());
    }
    if seen.lag_max < lag_least {
        return Err(format!("/metrics showed a lag of {} at most", seen.lag_max).into());
    }
    Ok(())
}

fn shared_setup() -> Setup {
    Setup::new(2).with("WORKER__INTAKE_LAG_RECORDS_MAX", 2_000)
}

/// One of two processes gets no records, so that its share of the inner stages stands still, while
/// the other goes on feeding them.
pub fn stalled_downstream(round: &mut Round<'_>) -> Outcome {
    let stall = Duration::from_secs(25);
    round.begin(&shared_setup())?;
    round.feed(1_000);
    round.wait_fed(4_000)?;
    let rule = Rule::new(&[Api::Fetch], Moment::Before, Action::Delay(stall));
    round.lay(rule.of_client(&client(1)));
    round.say("process 1 gets no records");
    let seen = watched(round, stall - Duration::from_secs(3))?;
    round.lift();
    judge(round, &seen, 2_000.0)?;
    round.settle()
}

/// Every write takes as long as several commits.
pub fn slow_broker(round: &mut Round<'_>) -> Outcome {
    let slow = Action::Delay(Duration::from_millis(400));
    round.begin(&shared_setup())?;
    round.feed(1_000);
    round.wait_fed(4_000)?;
    round.lay(Rule::new(&[Api::Produce], Moment::Before, slow));
    round.say("every write takes 400 ms longer");
    let seen = watched(round, Duration::from_secs(25))?;
    round.lift();
    judge(round, &seen, 200.0)?;
    round.settle()
}

/// Two skus take all orders of a load that is beyond what one task can do for a while.
pub fn hot_key(round: &mut Round<'_>) -> Outcome {
    round.begin(&shared_setup())?;
    round.feed_with(Pace { most: 40_000, per_second: 4_000, skus: 2, seed: round.seed });
    round.count("two skus for 40,000 notifications at 4,000/s", 1);
    let seen = watched(round, Duration::from_secs(12))?;
    judge(round, &seen, 200.0)?;
    round.join_feed()?;
    round.settle()
}
