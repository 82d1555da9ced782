use super::*;

fn identity(sequence: u64) -> Identity {
    Identity::new(sequence, &format!("id-{sequence}"), "T", sequence)
}

fn taken(up_to: u64) -> Sequence {
    let mut sequence = Sequence::default();
    (1..=up_to).for_each(|number| sequence.take(identity(number)));
    sequence
}

#[test]
fn offers_are_judged_by_number_id_and_fact() {
    let mut sequence = taken(3);
    sequence.keep(identity(6), Timestamp(10));
    let rows = [
        (identity(4), Offer::Next),
        (identity(5), Offer::Ahead),
        (identity(7), Offer::Ahead),
        (identity(2), Offer::Duplicate),
        (identity(6), Offer::Duplicate),
        (Identity::new(2, "id-2", "U", 2), Offer::DuplicateConflict),
        (Identity::new(2, "id-2", "T", 9), Offer::DuplicateConflict),
        (Identity::new(4, "id-2", "T", 2), Offer::DuplicateConflict),
        (Identity::new(4, "id-6", "T", 6), Offer::DuplicateConflict),
        (Identity::new(2, "other", "T", 2), Offer::SequenceConflict),
        (Identity::new(6, "other", "T", 6), Offer::SequenceConflict),
    ];
    for (offered, expected) in rows {
        assert_eq!(sequence.offer(offered), expected, "{offered:?}");
    }
}

#[test]
fn kept_messages_are_released_in_order_once_the_gap_is_filled() {
    let mut sequence = taken(1);
    for (number, at) in [(4, 10), (3, 20), (6, 30)] {
        sequence.keep(identity(number), Timestamp(at));
    }
    assert_eq!(sequence.release(), None);
    assert_eq!(sequence.deadline(100), Some(Timestamp(110)));
    sequence.take(identity(2));
    assert_eq!(sequence.deadline(100), None, "released first");
    assert_eq!(sequence.release(), Some(3));
    assert_eq!(sequence.release(), Some(4));
    assert_eq!(sequence.release(), None);
    assert_eq!(sequence.deadline(100), Some(Timestamp(130)), "the second gap has its own");
    assert_eq!(sequence.last(), 4);
}

#[test]
fn a_gap_is_given_up_and_heals_inside_its_window() {
    let mut sequence = taken(1);
    sequence.keep(identity(5), Timestamp(10));
    assert_eq!(sequence.give_up(), Some(GivenUp::Gap(Range { from: 2, to: 4 })));
    sequence.open_window(Timestamp(1_000));
    assert_eq!(sequence.release(), Some(5));
    assert!(sequence.has_gap() && !sequence.is_partial());
    assert_eq!(sequence.offer(identity(3)), Offer::Heals);
    sequence.heal(identity(3));
    assert_eq!(sequence.offer(identity(3)), Offer::Duplicate);
    sequence.heal(identity(2));
    assert!(sequence.has_missing());
    sequence.heal(identity(4));
    assert!(!sequence.has_missing());
    assert_eq!(sequence.last(), 5);
}

#[test]
fn a_refused_number_heals_when_told_again_until_the_window_closes() {
    let mut sequence = taken(3);
    sequence.refuse(2);
    sequence.refuse(3);
    sequence.refuse(2);
    sequence.open_window(Timestamp(1_000));
    assert!(sequence.has_missing() && !sequence.has_gap());
    assert_eq!(sequence.offer(identity(2)), Offer::Heals);
    assert_eq!(sequence.offer(Identity::new(2, "other", "T", 2)), Offer::SequenceConflict);
    sequence.heal(identity(2));
    assert_eq!(sequence.offer(identity(2)), Offer::Duplicate);
    sequence.close_window();
    assert_eq!(sequence.offer(identity(3)), Offer::TooLate);
    sequence.note(identity(3));
    assert_eq!(sequence.offer(identity(3)), Offer::Duplicate);
    assert_eq!(sequence, taken(3));
}

#[test]
fn past_the_window_a_missing_number_is_too_late_and_others_are_forgotten() {
    let mut sequence = taken(200);
    sequence.keep(identity(203), Timestamp(10));
    sequence.give_up();
    sequence.open_window(Timestamp(1_000));
    sequence.release();
    sequence.close_window();
    let rows = [
        (202, Offer::TooLate),
        (203, Offer::Duplicate),
        (200, Offer::Duplicate),
        (5, Offer::Forgotten),
        (204, Offer::Next),
    ];
    for (number, expected) in rows {
        assert_eq!(sequence.offer(identity(number)), expected, "{number}");
    }
}

#[test]
fn a_resource_first_seen_above_one_is_adopted() {
    let mut sequence = Sequence::default();
    assert!(sequence.is_new());
    sequence.keep(identity(40), Timestamp(10));
    assert_eq!(sequence.give_up(), Some(GivenUp::Adopted(Range { from: 1, to: 39 })));
    assert_eq!(sequence.release(), Some(40));
    assert!(sequence.is_partial() && !sequence.has_gap());
    sequence.keep(identity(42), Timestamp(20));
    assert_eq!(sequence.give_up(), Some(GivenUp::Gap(Range { from: 41, to: 41 })));
    assert!(sequence.is_partial() && sequence.has_gap());
}

#[test]
fn what_follows_a_held_one_waits_without_a_deadline() {
    let mut sequence = taken(1);
    sequence.hold();
    assert_eq!(sequence.offer(identity(2)), Offer::Ahead);
    sequence.keep(identity(2), Timestamp(10));
    assert_eq!(sequence.deadline(100), None);
    assert_eq!(sequence.release(), None);
    sequence.unhold();
    assert_eq!(sequence.release(), Some(2));
}

#[test]
fn the_timer_is_moved_only_when_the_deadline_moves() {
    let mut sequence = Sequence::default();
    let (five, nine) = (Some(Timestamp(5)), Some(Timestamp(9)));
    assert_eq!(sequence.set_timer(five), (None, five));
    assert_eq!(sequence.set_timer(five), (None, None));
    assert_eq!(sequence.set_timer(nine), (five, nine));
    sequence.timer_fired(Timestamp(5));
    assert_eq!(sequence.set_timer(nine), (None, None), "another timer fired");
    assert_eq!(sequence.set_timer(None), (nine, None));
}

#[test]
fn memory_is_bounded() {
    let mut sequence = taken(10_000);
    assert_eq!(sequence.seen.len(), IDS_KEPT);
    for number in (10_002..10_200).step_by(2) {
        sequence.keep(identity(number), Timestamp(0));
    }
    while sequence.give_up().is_some() {
        while sequence.release().is_some() {}
    }
    assert_eq!(sequence.missing.len(), RANGES_KEPT);
    assert_eq!(sequence.offer(identity(10_199)), Offer::Next);
}
