use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use super::*;
use crate::config::KafkaSecurity;

const TOPIC: &str = "price-events";
const TIMEOUT: Duration = Duration::from_secs(20);

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 3, 1).unwrap();
    cluster
}

fn backlog_at(bootstrap_servers: &str, topic: &str) -> KafkaBacklog {
    let kafka = Kafka {
        bootstrap_servers: bootstrap_servers.to_owned(),
        security: KafkaSecurity::Plaintext,
        price_topic: topic.to_owned(),
        dead_letter_topic: "price-events.dlt".to_owned(),
    };
    KafkaBacklog::new(&kafka, topic, "averager")
}

fn produce(cluster: &MockCluster<'_, DefaultProducerContext>, partition: i32, timestamps: &[i64]) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("linger.ms", "0");

    let producer: BaseProducer = config.create().unwrap();
    for timestamp in timestamps {
        let record = BaseRecord::<(), str>::to(TOPIC)
            .partition(partition)
            .payload("{}");
        producer
            .send(record.timestamp(*timestamp))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

fn commit(cluster: &MockCluster<'_, DefaultProducerContext>, offsets: &[(i32, i64)]) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "averager");
    let consumer: BaseConsumer = config.create().unwrap();

    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(TOPIC, *partition, Offset::Offset(*offset))
            .unwrap();
    }
    // The coordinator is found at the second or third attempt.
    let committed = std::iter::repeat_with(|| consumer.commit(&list, CommitMode::Sync))
        .take(50)
        .find(|tried| {
            std::thread::sleep(Duration::from_millis(if tried.is_err() { 100 } else { 0 }));
            tried.is_ok()
        });

    committed.expect("a commit").unwrap();
}

fn at(milliseconds: i64) -> Option<Timestamp> {
    DateTime::from_timestamp_millis(milliseconds)
}

#[tokio::test]
async fn each_partition_tells_how_many_records_are_left_and_the_time_of_the_oldest() {
    let cluster = cluster();
    produce(
        &cluster,
        0,
        &[1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000],
    );
    produce(&cluster, 1, &[1_700_000_003_000]);
    let of = |partition, records, oldest| PartitionBacklog {
        partition,
        records,
        oldest,
    };

    let backlog = backlog_at(&cluster.bootstrap_servers(), TOPIC);
    let untouched = backlog.read(TIMEOUT).await.unwrap();
    let begun = [
        of(0, 3, at(1_700_000_000_000)),
        of(1, 1, at(1_700_000_003_000)),
        of(2, 0, None),
    ];
    assert_eq!(
        untouched, begun,
        "a group without offsets has all before it"
    );

    commit(&cluster, &[(0, 1), (1, 1)]);
    let left = [
        of(0, 2, at(1_700_000_001_000)),
        of(1, 0, None),
        of(2, 0, None),
    ];
    assert_eq!(backlog.read(TIMEOUT).await.unwrap(), left);

    // The same client reads again after a new record.
    produce(&cluster, 2, &[1_700_000_009_000]);
    assert_eq!(
        backlog.read(TIMEOUT).await.unwrap()[2],
        of(2, 1, at(1_700_000_009_000))
    );
    assert_eq!(
        backlog.read(TIMEOUT).await.unwrap()[0],
        left[0],
        "asking changes nothing"
    );
}

#[tokio::test]
async fn an_offset_past_the_end_counts_as_none() {
    let cluster = cluster();
    produce(&cluster, 0, &[1_700_000_000_000]);
    commit(&cluster, &[(0, 500)]);

    let backlog = backlog_at(&cluster.bootstrap_servers(), TOPIC)
        .read(TIMEOUT)
        .await
        .unwrap();
    assert_eq!(backlog[0].records, 1, "the topic was created again");
}

#[tokio::test]
async fn a_broker_that_is_away_or_lacks_the_topic_is_an_error_in_time() {
    let cluster = cluster();
    let missing = backlog_at(&cluster.bootstrap_servers(), "missing")
        .read(TIMEOUT)
        .await;
    assert!(
        matches!(
            missing,
            Err(PublishError::NoTopic(_) | PublishError::Unavailable(_))
        ),
        "{missing:?}"
    );

    let away = backlog_at("127.0.0.1:1", TOPIC)
        .read(Duration::from_millis(300))
        .await;
    assert!(
        matches!(away, Err(PublishError::Unavailable(_))),
        "{away:?}"
    );
}
