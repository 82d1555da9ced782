//! How the group divides partitions among its members.

use std::{collections::BTreeSet, sync::Arc};

use aplomb::log::{Class, Consumer, GroupEvent, Leave, Log};
use aplomb_state::ids::TopicPartition;

use super::{
    Check, Fixture, Outcome, ROUND, WAIT, equal, holds, partitions_of, party::Party, topic, until,
};

pub fn checks<F: Fixture>() -> Vec<Check<F>> {
    vec![
        ("revoked is answered before it is assigned", revoked_is_answered_before_assigned),
        ("the last member gets all", the_last_member_gets_all),
        ("a static member comes back unnoticed", a_static_member_comes_back_unnoticed),
        ("one identity is one process", one_identity_is_one_process),
        ("who unsubscribes leaves, a static member too", who_unsubscribes_leaves),
    ]
}

/// Two members with two partitions each.
struct Pair<L: Log> {
    first: Party<L>,
    second: Party<L>,
    group: String,
    topic: Arc<str>,
}

fn pair<F: Fixture>(fixture: &F, instances: [Option<&str>; 2]) -> Outcome<Pair<F::Log>> {
    let name = topic(fixture, 4, &[])?;
    let group = fixture.fresh("group");
    let mut first = Party::join(fixture.log(), &group, instances[0], &name)?;
    first.until_owning(fixture, 4, &mut || Ok(()))?;
    let mut second = Party::join(fixture.log(), &group, instances[1], &name)?;
    second.until_owning(fixture, 2, &mut || first.turn(ROUND))?;
    until(fixture, "both to have two", || {
        first.turn(ROUND)?;
        second.turn(ROUND)?;
        Ok((first.owned.len() == 2 && second.owned.len() == 2).then_some(()))
    })?;
    Ok(Pair { first, second, group, topic: name })
}

fn revoked_is_answered_before_assigned<F: Fixture>(fixture: &F) -> Outcome {
    let name = topic(fixture, 4, &[])?;
    let group = fixture.fresh("group");
    let mut first = Party::join(fixture.log(), &group, None, &name)?;
    first.until_owning(fixture, 4, &mut || Ok(()))?;
    let mut second = Party::join(fixture.log(), &group, None, &name)?;
    let revoked = until(fixture, "the revocation", || {
        second.turn(ROUND)?;
        match first.consumer.poll(ROUND)? {
            Some(event @ GroupEvent::Revoked(_)) => Ok(Some(event)),
            Some(event) => first.answer(event).map(|()| None),
            None => Ok(None),
        }
    })?;
    for _ in 0..10 {
        equal("no event before the answer", first.consumer.poll(ROUND)?, None)?;
        second.turn(ROUND)?;
        fixture.settle();
        equal("nothing is given before the answer", second.owned.len(), 0)?;
    }
    first.answer(revoked)?;
    second.until_owning(fixture, 2, &mut || first.turn(ROUND))?;
    let both: BTreeSet<TopicPartition> = first.owned.union(&second.owned).cloned().collect();
    equal("together", both, partitions_of(&name, 4).into_iter().collect())?;
    equal("each", (first.owned.len(), second.owned.len()), (2, 2))
}

fn the_last_member_gets_all<F: Fixture>(fixture: &F) -> Outcome {
    let Pair { first, mut second, .. } = pair(fixture, [None, None])?;
    second.events.clear();
    first.consumer.close(Leave::Leave)?;
    second.until_owning(fixture, 4, &mut || Ok(()))?;
    let is_gain = |event: &GroupEvent| matches!(event, GroupEvent::Assigned(_));
    holds("it only gains", second.events.iter().all(is_gain))
}

fn a_static_member_comes_back_unnoticed<F: Fixture>(fixture: &F) -> Outcome {
    let Pair { first, mut second, group, topic } = pair(fixture, [Some("a"), Some("b")])?;
    let before = first.owned.clone();
    // An event that still tells the last generation is none of the bounce.
    for _ in 0..10 {
        second.turn(ROUND)?;
    }
    second.events.clear();
    first.consumer.close(Leave::Stay)?;
    let mut back = Party::join(fixture.log(), &group, Some("a"), &topic)?;
    back.until_owning(fixture, 2, &mut || second.turn(ROUND))?;
    equal("the same partitions", &back.owned, &before)?;
    for _ in 0..10 {
        second.turn(ROUND)?;
        back.turn(ROUND)?;
    }
    equal("the other saw nothing", second.events, Vec::new())
}

/// And may come back. The group tells who owns what.
fn who_unsubscribes_leaves<F: Fixture>(fixture: &F) -> Outcome {
    let Pair { mut first, mut second, group, topic } = pair(fixture, [Some("a"), Some("b")])?;
    first.consumer.subscribe(&[])?;
    second.until_owning(fixture, 4, &mut || first.turn(ROUND))?;
    until(fixture, "the first to be no member", || {
        first.turn(ROUND)?;
        Ok(first.consumer.group()?.1.is_empty().then_some(()))
    })?;
    equal("what it owns", first.owned.len(), 0)?;
    first.consumer.subscribe(&[topic])?;
    first.until_owning(fixture, 2, &mut || second.turn(ROUND))?;
    let described = until(fixture, "a group at rest", || {
        first.turn(ROUND)?;
        second.turn(ROUND)?;
        let group = fixture.log().describe_group(&group, WAIT)?;
        // The newer protocol tells nothing in this way, and needs none of it.
        let known = group.stable || group.members.is_empty();
        Ok((known && first.owned.len() == 2 && second.owned.len() == 2).then_some(group))
    })?;
    if described.members.is_empty() {
        return Ok(());
    }
    let mut owns: Vec<_> = described.members.iter().map(|member| &member.owns).collect();
    let mut both = vec![&first.owned, &second.owned];
    owns.sort();
    both.sort();
    equal("who owns what", owns, both)?;
    let mut ids = [first.consumer.group()?.1, second.consumer.group()?.1];
    ids.sort();
    let known: Vec<_> = described.members.iter().map(|member| member.id.clone()).collect();
    equal("the members", known, ids.to_vec())
}

/// The classic protocol fences the first of them, the consumer protocol refuses the second.
fn one_identity_is_one_process<F: Fixture>(fixture: &F) -> Outcome {
    let Pair { first, mut second, group, topic } = pair(fixture, [Some("a"), Some("b")])?;
    let usurper = Party::join(fixture.log(), &group, Some("a"), &topic)?;
    let mut rivals = [first, usurper];
    let (loser, error) = until(fixture, "one to be stopped", || {
        second.turn(ROUND)?;
        for (place, rival) in rivals.iter_mut().enumerate() {
            match rival.consumer.poll(ROUND) {
                Ok(Some(event)) => rival.answer(event)?,
                Ok(None) => {}
                Err(error) => return Ok(Some((place, error))),
            }
        }
        Ok(None)
    })?;
    equal("its class", error.class, Class::Fatal)?;
    let [first, usurper] = rivals;
    let mut winner = if loser == 0 { usurper } else { first };
    winner.until_owning(fixture, 2, &mut || second.turn(ROUND))
}
