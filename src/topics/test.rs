use std::sync::Arc;

use super::*;

fn description(name: &str, partitions: i32, config: &[(&str, &str)]) -> TopicDescription {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    TopicDescription { name: name.into(), partitions, config: config.collect() }
}

#[test]
fn the_plan_has_inboxes_changelogs_and_outputs() {
    let topology = crate::example::topology();
    let naming = Naming {
        application_id: "app".into(),
        output_prefix: "shop.".into(),
        inbox_partitions: 4,
        output_partitions: 6,
    };
    let planned = plan(&topology, &naming);
    let expected = [
        description(
            "app.inbox.count",
            4,
            &[
                ("cleanup.policy", "delete"),
                ("max.message.bytes", "2162688"),
                ("message.timestamp.type", "LogAppendTime"),
                ("retention.bytes", "-1"),
                ("retention.ms", "-1"),
                ("segment.bytes", "67108864"),
            ],
        ),
        description(
            "app.count.changelog",
            4,
            &[
                ("cleanup.policy", "compact"),
                ("delete.retention.ms", "86400000"),
                ("max.message.bytes", "1114112"),
                ("segment.bytes", "67108864"),
            ],
        ),
        description(
            "shop.totals.v1",
            6,
            &[("cleanup.policy", "compact"), ("max.message.bytes", "1048576")],
        ),
        description(
            "shop.events.v1",
            6,
            &[
                ("cleanup.policy", "delete"),
                ("max.message.bytes", "1048576"),
                ("message.timestamp.type", "LogAppendTime"),
                ("retention.ms", "86400000"),
            ],
        ),
        description(
            "shop.cases.v1",
            6,
            &[
                ("cleanup.policy", "compact,delete"),
                ("max.message.bytes", "4259840"),
                ("message.timestamp.type", "LogAppendTime"),
                ("retention.ms", "1000"),
            ],
        ),
    ];
    assert_eq!(planned, expected);
}

#[test]
fn what_differs_is_said_with_the_command_that_mends_it() {
    let wanted = description(
        "t",
        8,
        &[
            ("cleanup.policy", "compact,delete"),
            ("max.message.bytes", "100"),
            ("retention.ms", "5"),
        ],
    );
    let found = |partitions, policy, bytes, retention| {
        let config =
            [("cleanup.policy", policy), ("max.message.bytes", bytes), ("retention.ms", retention)];
        Some(description("t", partitions, &config))
    };
    // actual, what is said, the mend
    let rows: [(Option<TopicDescription>, &[&str], &str); 8] = [
        (found(8, "compact,delete", "100", "5"), &[], ""),
        (found(8, "delete,compact", "101", "5"), &[], ""),
        (None, &["t does not exist"], "aplomb topics create"),
        (found(4, "compact,delete", "100", "5"), &["has 4 partitions"], "--partitions 8"),
        (
            found(9, "compact,delete", "100", "5"),
            &["has 9 partitions"],
            "set the count in [topics]",
        ),
        (
            found(8, "delete", "100", "5"),
            &["cleanup.policy is delete"],
            "'cleanup.policy=[compact,delete]'",
        ),
        (
            found(8, "compact,delete", "99", "5"),
            &["max.message.bytes is 99"],
            "max.message.bytes=100",
        ),
        (
            found(8, "compact,delete", "100", "604800000"),
            &["retention.ms is 604800000, it must be 5"],
            "--entity-name t --add-config 'retention.ms=5'",
        ),
    ];
    for (actual, said, mend) in rows {
        let plan = std::slice::from_ref(&wanted);
        let differences = check(plan, &[], &[actual]);
        assert_eq!(differences.len(), said.len(), "{differences:?}");
        for (difference, said) in differences.iter().zip(said) {
            assert!(difference.to_string().contains(said), "{difference}");
            assert!(difference.mend("b:1").contains(mend), "{}", difference.mend("b:1"));
        }
    }
}

#[test]
fn inputs_must_exist_but_are_not_created() {
    let inputs: [Arc<str>; 2] = ["orders".into(), "stock".into()];
    let there = Some(description("orders", 3, &[]));
    let differences = check(&[], &inputs, &[there, None]);
    assert_eq!(differences, [Difference::MissingInput { topic: "stock".into() }]);
}
