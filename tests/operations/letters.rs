//! Dead letters looked at and sent again, each once.

use aplomb::log::{Isolation, Log};
use aplomb_state::ids::TopicPartition;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, Producer},
};

use crate::{
    Broker, HANDLED, Outcome, Service, application, feed,
    live::{feed::hand_over, http},
};

pub fn sent_again_once(broker: &Broker, service: &mut Service) -> Outcome {
    let application = application();
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &broker.bootstrap).create()?;
    for value in ["no JSON", "neither is this"] {
        hand_over(&producer, &application.input, 2, value.as_bytes())?;
    }
    producer.flush(HANDLED)?;
    service.start()?;
    broker.wait_until_handled(&application, HANDLED)?;
    let (status, text) = http::get(service.port(), "dlq?code=MALFORMED_JSON").ok_or("no answer")?;
    assert_eq!((status, text.matches("__streams.errors.offset").count()), (200, 2), "{text}");
    service.aplomb(&["dlq", "list", "--code", "MALFORMED_JSON"])?.ends(0, "MALFORMED_JSON from")?;
    service.aplomb(&["drain"])?.ends(0, "")?;
    service.ended_well()?;

    let before = records(broker)?;
    let replay = ["dlq", "replay", "--code", "MALFORMED_JSON"];
    let dry_run = [&replay[..], &["--dry-run"]].concat();
    service.aplomb(&dry_run)?.ends(0, "2 would be sent")?;
    assert_eq!(records(broker)?, before);
    let one = [&replay[..], &["--limit", "1"]].concat();
    service.aplomb(&one)?.ends(0, "1 sent")?;
    service.aplomb(&replay)?.ends(0, "1 sent")?;
    // Neither again: not with this code, nor with all.
    service.aplomb(&replay)?.ends(0, "0 sent")?;
    service.aplomb(&["dlq", "replay"])?.ends(0, "0 sent")?;
    // Two records and three ends of transactions.
    assert_eq!(records(broker)?, before + 2, "sent again");

    service.start()?;
    // The last record of the partition is the end of a transaction, which nobody commits beyond.
    feed(broker, 6)?;
    service.aplomb(&["drain"])?.ends(0, "")?;
    service.ended_well()?;
    service.aplomb(&["verify"])?.ends(0, "0 missing, 0 doubled, 0 different, 0 unexpected")
}

/// Records of the input, control records left out.
fn records(broker: &Broker) -> Outcome<usize> {
    let application = application();
    let topic = application.input.as_str();
    let all = 0..application.partitions;
    let partitions: Vec<_> = all.map(|partition| TopicPartition::new(topic, partition)).collect();
    let marks = broker.log.watermarks(&partitions, Isolation::ReadCommitted)?;
    let mut count = 0;
    for (partition, marks) in partitions.iter().zip(marks) {
        aplomb::scan::range(&broker.log, partition, marks.low, marks.high, &mut |_| {
            count += 1;
            aplomb::scan::Next::On
        })?;
    }
    Ok(count)
}
