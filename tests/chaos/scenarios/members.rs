//! Processes that die, freeze, come, go, and are cut off.

use std::{collections::BTreeSet, time::Duration};

use rand::Rng;

use crate::{
    live::Outcome,
    proxy::{Action, Api, Moment, Often, Rule},
    round::{READY, Round, Setup, client},
};

const PER_SECOND: u32 = 400;
/// Of four stages with four partitions each.
const TASKS: usize = 16;
/// Of each process.
const WORKERS: u64 = 2;

/// `kill -9`, ten times, at moments that the seed decides.
pub fn kill(round: &mut Round<'_>) -> Outcome {
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    for _ in 0..10 {
        let pause = round.random.random_range(200..3_000);
        round.pass(Duration::from_millis(pause));
        let victim = round.random.random_range(0..2);
        round.kill(victim)?;
        round.start(victim)?;
    }
    round.settle()
}

/// A process is frozen beyond its transaction's and its session's time-out, and wakes to find its
/// tasks with another.
pub fn zombie(round: &mut Round<'_>) -> Outcome {
    const FROZEN: Duration = Duration::from_secs(15);
    round.begin(&Setup::new(2))?;
    round.feed(PER_SECOND);
    for sleeper in [0, 1] {
        round.wait_fed(round.fed_so_far() + 400)?;
        round.signal(sleeper, libc::SIGSTOP)?;
        round.pass(FROZEN);
        let heir = round.service(1 - sleeper)?.tasks();
        round.signal(sleeper, libc::SIGCONT)?;
        if heir.len() != TASKS {
            return Err(format!("the other took {} of {TASKS} tasks", heir.len()).into());
        }
        wait_shared(round)?;
    }
    round.settle()
}

/// One process, four, two, three, one, under load.
pub fn scale(round: &mut Round<'_>) -> Outcome {
    let setup = Setup::new(1);
    round.begin(&setup)?;
    round.feed(PER_SECOND);
    for _ in 1..4 {
        round.add_service(&setup)?;
    }
    // From one step to the next these start or stop.
    let steps: [(&[usize], &[usize]); 4] =
        [(&[1, 2, 3], &[]), (&[], &[0, 2]), (&[0], &[]), (&[], &[1, 3])];
    for (starting, stopping) in steps {
        for number in starting {
            round.start(*number)?;
            round.count("start", 1);
        }
        for number in stopping {
            round.stop(*number)?;
            round.count("SIGTERM", 1);
        }
        wait_shared(round)?;
        round.wait_fed(round.fed_so_far() + 800)?;
    }
    round.settle()
}

/// Every task runs on exactly one process, and each process is ready.
fn wait_shared(round: &mut Round<'_>) -> Outcome {
    round.wait("each task has one owner", READY, |round| {
        let owned: Vec<BTreeSet<String>> = round.running().map(|one| one.tasks()).collect();
        let all: BTreeSet<&String> = owned.iter().flatten().collect();
        let count: usize = owned.iter().map(BTreeSet::len).sum();
        Ok(all.len() == TASKS && count == TASKS)
    })?;
    round.wait_ready()
}

/// Static members are stopped and started one by one: no task moves, and the group never
/// rebalances.
pub fn rolling_restart(round: &mut Round<'_>) -> Outcome {
    round.begin(&Setup::new(3).fixed())?;
    round.feed(PER_SECOND);
    wait_shared(round)?;
    round.pass(Duration::from_secs(2));
    wait_shared(round)?;
    let before: Vec<_> = round.running().map(|one| one.tasks()).collect();
    let events = |round: &Round<'_>, but: usize| -> f64 {
        let others = round.services.iter().enumerate().filter(|(number, _)| *number != but);
        others.map(|(_, one)| one.metric("aplomb_rebalances_total")).sum()
    };
    for number in 0..3 {
        let had = events(round, number);
        round.stop(number)?;
        round.start(number)?;
        round.count("SIGTERM and start", 1);
        wait_shared(round)?;
        let has = events(round, number);
        let now: Vec<_> = round.running().map(|one| one.tasks()).collect();
        if now != before {
            return Err(format!("tasks moved: {before:?}, then {now:?}").into());
        }
        #[expect(clippy::float_cmp, reason = "whole numbers")]
        if has != had {
            return Err(format!("{} events of the group at the others", has - had).into());
        }
        round.wait_fed(round.fed_so_far() + 400)?;
    }
    round.settle()
}

/// A static member vanishes from the network while the group rebalances, stays away beyond its
/// session, and comes back as if nothing had been.
pub fn cut_off_in_a_rebalance(round: &mut Round<'_>) -> Outcome {
    cut_off(round, 1)
}

/// As above, after it gave partitions up, and before it joined the round that hands them out.
pub fn cut_off_between_rounds(round: &mut Round<'_>) -> Outcome {
    cut_off(round, 1 + WORKERS)
}

fn cut_off(round: &mut Round<'_>, join: u64) -> Outcome {
    const AWAY: Duration = Duration::from_secs(15);
    let name = client(1);
    rebalance_until(round, join)?;
    round.say("process 1 is cut off");
    round.lay(Rule::new(&[], Moment::Before, Action::BlackHole).of_client(&name));
    round.pass(AWAY);
    round.lift();
    round.say("process 1 is let back");
    wait_shared(round)?;
    round.settle()
}

/// A static member dies after it gave partitions up, and before it joined the round that hands them
/// out; it starts again within its session.
pub fn kill_between_rounds(round: &mut Round<'_>) -> Outcome {
    rebalance_until(round, 1 + WORKERS)?;
    round.kill(1)?;
    round.lift();
    round.start(1)?;
    wait_shared(round)?;
    round.settle()
}

/// Two static members run, a third comes, and of the calls with which process 1 joins the group
/// again the given one is swallowed.
fn rebalance_until(round: &mut Round<'_>, join: u64) -> Outcome {
    let setup = Setup::new(2).fixed();
    round.begin(&setup)?;
    round.feed(PER_SECOND);
    wait_shared(round)?;
    let third = round.add_service(&setup)?;
    let rule = Rule::new(&[Api::JoinGroup], Moment::Before, Action::BlackHole);
    let laid = round.lay(rule.of_client(&client(1)).often(Often::Nth(join)));
    round.start(third)?;
    round.wait_fired(&laid, 1, READY)
}
