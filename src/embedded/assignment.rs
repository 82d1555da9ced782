//! Who gets which partition: balanced, and as little moved as possible. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use aplomb_state::ids::TopicPartition;

/// What one member brings to the division. Claims come in the order of the member ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub topics: &'a [Arc<str>],
    /// What it has now.
    pub owned: &'a BTreeSet<TopicPartition>,
    /// What it was to have: it is preferred for these where nobody owns them.
    pub meant: &'a BTreeSet<TopicPartition>,
}

/// Divides all partitions among the claims. No two loads differ by more than one, as far as the
/// subscriptions allow.
pub(super) fn divide(
    partitions: &BTreeSet<TopicPartition>,
    claims: &[Claim<'_>],
) -> Vec<BTreeSet<TopicPartition>> {
    let mut shares = vec![BTreeSet::new(); claims.len()];
    for partition in partitions {
        let wants = |claim: &Claim<'_>| claim.topics.contains(&partition.topic);
        let owner = claims.iter().position(|claim| wants(claim) && claim.owned.contains(partition));
        let meant =
            || claims.iter().position(|claim| wants(claim) && claim.meant.contains(partition));
        if let Some(share) = owner.or_else(meant).and_then(|index| shares.get_mut(index)) {
            share.insert(partition.clone());
        }
    }
    let taken: BTreeSet<TopicPartition> = shares.iter().flatten().cloned().collect();
    for partition in partitions.difference(&taken) {
        let least = shares
            .iter_mut()
            .zip(claims)
            .filter(|(_, claim)| claim.topics.contains(&partition.topic))
            .min_by_key(|(share, _)| share.len());
        if let Some((share, _)) = least {
            share.insert(partition.clone());
        }
    }
    while let Some((from, to, partition)) = next_move(&shares, claims) {
        if let Some(share) = shares.get_mut(from) {
            share.remove(&partition);
        }
        if let Some(share) = shares.get_mut(to) {
            share.insert(partition);
        }
    }
    shares
}

/// For each claim, the part of its share that nobody else still owns. What is withheld can be
/// given once its owner has let it go.
pub(super) fn withhold_owned(
    shares: Vec<BTreeSet<TopicPartition>>,
    claims: &[Claim<'_>],
) -> Vec<BTreeSet<TopicPartition>> {
    let mut owners = HashMap::new();
    for (index, claim) in claims.iter().enumerate() {
        for partition in claim.owned {
            owners.entry(partition).or_insert(index);
        }
    }
    let is_free = |index: usize, partition: &TopicPartition| {
        owners.get(partition).is_none_or(|owner| *owner == index)
    };
    shares
        .into_iter()
        .enumerate()
        .map(|(index, share)| share.into_iter().filter(|held| is_free(index, held)).collect())
        .collect()
}

/// A move from a share to one that is smaller by two or more. Each makes the sum of the squared
/// loads smaller, so that there is a last one.
fn next_move(
    shares: &[BTreeSet<TopicPartition>],
    claims: &[Claim<'_>],
) -> Option<(usize, usize, TopicPartition)> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|index| shares.get(*index).map_or(0, BTreeSet::len));
    for from in order.iter().rev() {
        for to in &order {
            let (giver, taker) = (shares.get(*from)?, shares.get(*to)?);
            if giver.len() < taker.len() + 2 {
                break;
            }
            let claim = claims.get(*to)?;
            if let Some(partition) = most_lopsided(giver, taker, claim) {
                return Some((*from, *to, partition.clone()));
            }
        }
    }
    None
}

/// The last partition of the topic of which the giver has most more than the taker: so each topic
/// stays spread, not only the sum.
fn most_lopsided<'a>(
    giver: &'a BTreeSet<TopicPartition>,
    taker: &BTreeSet<TopicPartition>,
    claim: &Claim<'_>,
) -> Option<&'a TopicPartition> {
    let mut excess: BTreeMap<&str, i64> = BTreeMap::new();
    for partition in giver {
        *excess.entry(&partition.topic).or_default() += 1;
    }
    for partition in taker {
        *excess.entry(&partition.topic).or_default() -= 1;
    }
    giver
        .iter()
        .filter(|partition| claim.topics.contains(&partition.topic))
        .max_by_key(|partition| excess.get(&*partition.topic).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(topics: &[(&str, i32)]) -> BTreeSet<TopicPartition> {
        topics
            .iter()
            .flat_map(|(topic, count)| {
                (0..*count).map(|number| TopicPartition::new(*topic, number))
            })
            .collect()
    }

    #[test]
    fn shares_are_balanced_and_moves_are_few() {
        let topics = [Arc::from("a"), Arc::from("b")];
        let all = partitions(&[("a", 5), ("b", 4)]);
        let none = BTreeSet::new();
        for members in 1..=12 {
            let fresh = vec![Claim { topics: &topics, owned: &none, meant: &none }; members];
            let before = divide(&all, &fresh);
            let loads: Vec<usize> = before.iter().map(BTreeSet::len).collect();
            let (least, most) = (loads.iter().min().copied(), loads.iter().max().copied());
            assert!(most <= least.map(|load| load + 1), "{loads:?}");

            let mut claims: Vec<Claim<'_>> =
                before.iter().map(|owned| Claim { topics: &topics, owned, meant: &none }).collect();
            claims.push(Claim { topics: &topics, owned: &none, meant: &none });
            let after = divide(&all, &claims);
            let newcomer = after.last().map_or(0, BTreeSet::len);
            let moved: usize =
                before.iter().zip(&after).map(|(old, new)| old.difference(new).count()).sum();
            assert_eq!(moved, newcomer, "only what the newcomer gets moves, of {members} members");
            let given = withhold_owned(after, &claims);
            assert!(given.last().is_some_and(BTreeSet::is_empty));
        }
    }

    #[test]
    fn a_member_gets_only_what_it_subscribed_to() {
        let (both, one) = ([Arc::from("a"), Arc::from("b")], [Arc::from("b")]);
        let none = BTreeSet::new();
        let claims = [
            Claim { topics: &both, owned: &none, meant: &none },
            Claim { topics: &one, owned: &none, meant: &none },
        ];
        let shares = divide(&partitions(&[("a", 3), ("b", 3)]), &claims);
        assert_eq!(shares, [partitions(&[("a", 3)]), partitions(&[("b", 3)])]);
    }

    #[test]
    fn what_a_member_was_meant_to_have_comes_back_to_it() {
        let topics = [Arc::from("a")];
        let (none, meant) = (BTreeSet::new(), partitions(&[("a", 2)]));
        let claims = [
            Claim { topics: &topics, owned: &none, meant: &none },
            Claim { topics: &topics, owned: &none, meant: &meant },
        ];
        let all = partitions(&[("a", 4)]);
        let shares = divide(&all, &claims);
        assert_eq!(shares.last(), Some(&meant));
    }
}
