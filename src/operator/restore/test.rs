use super::*;

const GENERATION: Generation = Generation(7);
const FOLD: FoldVersion = FoldVersion(1);

fn metadata(generation: Generation, partitions: i32, start: Option<i64>) -> Metadata {
    Metadata { generation, fold_version: FOLD, partitions, start: start.map(NextOffset) }
}

fn at(next: i64, metadata: &Metadata) -> Committed {
    Committed::At { next: NextOffset(next), metadata: metadata.to_string() }
}

fn entry(offset: i64) -> Entry {
    Entry { topic: "t".to_owned(), partition: 0, offset, metadata: None }
}

fn marks(low: i64, high: i64) -> Watermarks {
    Watermarks { low: NextOffset(low), high: NextOffset(high) }
}

/// One word, and what the reason must name.
fn told(outcome: Result<Change, Problem>) -> (String, String) {
    match outcome {
        Ok(Change::Keep) => ("keep".into(), String::new()),
        Ok(Change::First) => ("first".into(), String::new()),
        Ok(Change::Set { next, metadata, .. }) => (format!("set {next}"), metadata.to_string()),
        Err(Problem::Refused(why)) => ("refused".into(), why),
        Err(Problem::CannotKnow(why)) => ("unknown".into(), why),
    }
}

#[test]
fn an_internal_offset_is_the_last_position_of_its_changelog() {
    let ours = metadata(GENERATION, 3, None);
    let other = metadata(Generation(8), 3, None);
    let wider = metadata(GENERATION, 4, None);
    let foreign = Committed::At { next: NextOffset(5), metadata: "x".into() };
    let resetting =
        Committed::At { next: NextOffset(5), metadata: crate::position::RESETTING.into() };
    let none = Committed::None;
    let position = |inbox| {
        Some(PositionRecord {
            inbox: NextOffset(inbox),
            generation: GENERATION,
            fold_version: FOLD,
        })
    };
    let (right, wrong) = (entry(9), entry(8));
    // committed, position, inbox, file, expected, named
    let rows = [
        (none.clone(), None, marks(0, 4), None, "first", ""),
        (none.clone(), None, marks(2, 4), None, "refused", "aplomb reset"),
        (at(4, &ours), None, marks(0, 4), None, "refused", "no position"),
        (none.clone(), position(9), marks(0, 20), None, "set 9", "partitions=3"),
        (none.clone(), position(9), marks(9, 20), None, "set 9", ""),
        (none.clone(), position(9), marks(10, 20), None, "refused", "aplomb reset"),
        (none.clone(), position(9), marks(0, 8), None, "refused", "0 to 8"),
        (none.clone(), position(9), marks(0, 20), Some(&right), "set 9", ""),
        (none, position(9), marks(0, 20), Some(&wrong), "refused", "take the line out"),
        (at(9, &ours), position(9), marks(0, 20), None, "keep", ""),
        (at(5, &ours), position(9), marks(0, 20), None, "set 9", ""),
        (at(9, &other), position(9), marks(0, 20), None, "set 9", "generation=0000000000000007"),
        (at(9, &wider), position(9), marks(0, 20), None, "refused", "topics.partitions"),
        (foreign, position(9), marks(0, 20), None, "refused", "not Aplomb's"),
        (resetting, position(9), marks(0, 20), None, "refused", "run it again"),
    ];
    for (number, (committed, position, inbox, given, expected, named)) in
        rows.into_iter().enumerate()
    {
        let facts = Inner {
            committed: &committed,
            position: position.as_ref(),
            inbox,
            partitions: 3,
            given,
        };
        let (word, why) = told(inner(&facts));
        assert_eq!(word, expected, "row {number}: {why}");
        assert!(why.contains(named), "row {number}: {why}");
    }
}

#[test]
fn an_external_offset_is_what_it_caused_where_nothing_of_that_is_gone() {
    let ours = metadata(GENERATION, 2, Some(1));
    let noted = metadata(Generation(3), 2, Some(4));
    let inbox = TopicPartition::new("inbox", 0);
    let nothing = Seen::default();
    let caused = Seen {
        causes: Some((aplomb_state::ids::Offset(2), aplomb_state::ids::Offset(8))),
        ..Seen::default()
    };
    let both = Seen {
        note: Some((NextOffset(12), noted)),
        noted_at: Some(Timestamp(5)),
        noted_in: [inbox.clone()].into(),
        ..caused.clone()
    };
    let gone = [Lost { partition: inbox, before: None }];
    let (early, late, beyond) = (entry(8), entry(10), entry(31));
    let none = Committed::None;
    // committed, what is seen, what is gone, the topic, file, expected, named
    let rows: [(&Committed, &Seen, &[Lost], Watermarks, Option<&Entry>, &str, &str); 19] = [
        (&none, &caused, &[], marks(0, 30), None, "set 9", "start=2"),
        (&none, &caused, &gone, marks(0, 30), None, "unknown", "inbox/0"),
        (&none, &both, &gone, marks(0, 30), None, "set 12", "0003;fold=1;partitions=2;start=4"),
        (&none, &nothing, &[], marks(0, 30), None, "unknown", "--from"),
        (&none, &nothing, &gone, marks(0, 0), None, "set 0", "start=0"),
        (&none, &caused, &[], marks(0, 8), None, "refused", "aplomb reset"),
        (&none, &nothing, &gone, marks(0, 30), Some(&late), "set 10", "start=10"),
        (&none, &caused, &gone, marks(0, 30), Some(&late), "set 10", "start=2"),
        (&none, &caused, &[], marks(0, 30), Some(&early), "refused", "twice"),
        (&none, &nothing, &[], marks(0, 30), Some(&beyond), "refused", "0 to 30"),
        (&none, &nothing, &[], marks(20, 30), Some(&late), "refused", "20 to 30"),
        (&at(9, &ours), &caused, &gone, marks(0, 30), None, "keep", ""),
        (&at(15, &ours), &caused, &gone, marks(0, 30), Some(&late), "keep", ""),
        (&at(9, &ours), &caused, &gone, marks(10, 30), None, "refused", "deleted unread"),
        (&at(9, &ours), &caused, &gone, marks(10, 30), Some(&late), "set 10", "start=1"),
        (&at(9, &ours), &caused, &gone, marks(11, 30), Some(&late), "refused", "11 to 30"),
        (&at(9, &ours), &caused, &gone, marks(0, 8), Some(&early), "refused", "aplomb reset"),
        (&at(5, &ours), &caused, &[], marks(0, 30), None, "set 9", ""),
        (&at(5, &ours), &caused, &gone, marks(0, 30), None, "unknown", ""),
    ];
    for (number, (committed, seen, lost, marks, given, expected, named)) in
        rows.into_iter().enumerate()
    {
        let facts = Outer {
            committed,
            seen,
            lost,
            marks,
            partitions: 2,
            given,
            generation: GENERATION,
            fold_version: FOLD,
        };
        let (word, why) = told(outer(&facts));
        assert_eq!(word, expected, "row {number}: {why}");
        assert!(why.contains(named), "row {number}: {why}");
    }
}
