//! Turns of a group that a broker takes too long for.

use std::sync::Arc;

use aplomb::log::{Committed, Consumer, GroupEvent, Log, Producer, TopicDescription};
use aplomb_state::ids::{NextOffset, TopicPartition};

use super::Embedded;
use crate::suite::{Outcome, Party, ROUND, WAIT, equal, partitions_of, producer, topic};

#[test]
fn a_member_without_partitions_changes_only_the_generation() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 1, &[])?;
    let mut first = Party::join(&fixture.log, "group", None, &name)?;
    first.until_owning(&fixture, 1, &mut || Ok(()))?;
    first.events.clear();
    let mut second = Party::join(&fixture.log, "group", None, &name)?;
    second.until_owning(&fixture, 0, &mut || first.turn(ROUND))?;
    first.turn(ROUND)?;
    let nothing = [GroupEvent::Assigned(Vec::new())];
    equal("the first", first.events.as_slice(), &nothing)?;
    equal("the second", second.events.as_slice(), &nothing)
}

#[test]
fn a_new_topic_is_divided() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let later: Arc<str> = "later".into();
    let mut party = Party::join(&fixture.log, "group", None, &later)?;
    party.until_owning(&fixture, 0, &mut || Ok(()))?;
    let description = TopicDescription { name: later, partitions: 3, config: Vec::new() };
    fixture.log.create_topics(&[description])?;
    party.until_owning(&fixture, 3, &mut || Ok(()))
}

#[test]
fn who_unsubscribes_gives_up_all_and_leaves() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 2, &[])?;
    let mut party = Party::join(&fixture.log, "group", None, &name)?;
    party.until_owning(&fixture, 2, &mut || Ok(()))?;
    party.consumer.subscribe(&[])?;
    party.until_owning(&fixture, 0, &mut || Ok(()))?;
    let all = GroupEvent::Revoked(partitions_of(&name, 2));
    equal("the last event", party.events.last(), Some(&all))?;
    party.turn(ROUND)?;
    equal("no member", party.consumer.group()?.1, String::new())
}

#[test]
fn offsets_of_a_crashed_transaction_stay_unstable_until_it_is_settled() -> Outcome {
    let fixture = Embedded::on_virtual_clock();
    let name = topic(&fixture, 1, &[])?;
    let of = partitions_of(&name, 1);
    let mut party = Party::join(&fixture.log, "group", None, &name)?;
    party.until_owning(&fixture, 1, &mut || Ok(()))?;
    let mut crashed = producer(&fixture, "id")?;
    crashed.begin()?;
    let (group, _) = party.consumer.group()?;
    let offsets = [(TopicPartition::new(name, 0), NextOffset(1), String::new())];
    crashed.send_offsets(&offsets, &group, WAIT)?;
    drop(crashed);
    equal("pending", fixture.log.committed("group", &of, WAIT)?, vec![Committed::Unstable])?;
    producer(&fixture, "id")?;
    equal("settled", fixture.log.committed("group", &of, WAIT)?, vec![Committed::None])
}
