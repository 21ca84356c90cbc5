use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use uuid::Uuid;

use super::*;
use crate::config::KafkaSecurity;
use crate::price_event::RecordCoordinates;

const TOPIC: &str = "price-events";
const PARTITIONS: i32 = 6;

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    cluster
}

fn log_at(bootstrap_servers: String) -> KafkaPriceLog {
    KafkaPriceLog::new(&Kafka {
        bootstrap_servers,
        security: KafkaSecurity::Plaintext,
        price_topic: TOPIC.to_owned(),
        dead_letter_topic: "price-events.dlt".to_owned(),
    })
}

fn event(symbol: &str, price: &str) -> PriceEvent {
    PriceEvent {
        id: Uuid::now_v7(),
        symbol: symbol.parse().unwrap(),
        price: price.parse().unwrap(),
        currency: None,
        timestamp: "2024-03-20T10:30:00Z".parse().unwrap(),
        provider: "yahoo".parse().unwrap(),
        polled_at: "2024-03-20T10:30:01Z".parse().unwrap(),
        raw_response_id: None,
    }
}

/// The first `count` records of the topic, from all partitions.
fn read(bootstrap_servers: &str, count: usize) -> Vec<OwnedMessage> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "test")
        .set("fetch.wait.max.ms", "20");
    let consumer: BaseConsumer = config.create().unwrap();

    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions
            .add_partition_offset(TOPIC, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&partitions).unwrap();

    let next = || {
        consumer
            .poll(Duration::from_secs(10))
            .expect("a record within 10 s")
            .unwrap()
            .detach()
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The hash with which the Java client chooses partitions, implemented from its definition.
fn java_murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(key.len()).unwrap();
    let words = key.chunks_exact(4);
    let rest = words.remainder();

    for word in words {
        let mixed = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (mixed ^ (mixed >> 24)).wrapping_mul(M);
    }

    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }

    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[tokio::test]
async fn appended_events_are_on_the_topic_keyed_by_symbol_where_the_java_client_would_put_them() {
    assert_eq!(
        java_murmur2(b"foobar").cast_signed(),
        -790_332_482,
        "the published value"
    );
    let (cluster, symbols) = (
        cluster(),
        ["AAPL", "BRK-B", "^GSPC", "EURUSD=X", "M&M.NS", "A"],
    );

    let events = symbols.map(|symbol| event(symbol, "150.250000000000001"));
    let results = log_at(cluster.bootstrap_servers()).append(&events).await;
    assert_eq!(results, vec![Ok(()); events.len()]);

    let mut found: Vec<PriceEvent> = Vec::new();
    for record in read(&cluster.bootstrap_servers(), events.len()) {
        let key = record.key().unwrap();
        let partition = (java_murmur2(key) & 0x7fff_ffff) % PARTITIONS.cast_unsigned();
        assert_eq!(
            record.partition().cast_unsigned(),
            partition,
            "{}",
            String::from_utf8_lossy(key)
        );

        let timestamp = crate::market::Timestamp::from_timestamp_millis(
            record.timestamp().to_millis().unwrap(),
        );
        let (partition, offset) = (record.partition(), record.offset());
        let place = RecordCoordinates {
            topic: TOPIC,
            partition,
            offset,
            timestamp,
        };

        found.push(PriceEvent::decode(record.payload(), &place, chrono::Utc::now()).unwrap());
        assert_eq!(found.last().unwrap().symbol.as_str().as_bytes(), key);
    }

    found.sort_by_key(|event| event.id);
    assert_eq!(found, events);
}

#[test]
fn the_client_knows_every_codec_that_brokers_do() {
    let features = ClientConfig::new()
        .create_native_config()
        .unwrap()
        .get("builtin.features")
        .unwrap();

    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        assert!(
            features.split(',').any(|feature| feature == codec),
            "{codec} is not among {features}"
        );

        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("compression.type", codec);
        assert!(config.create::<BaseProducer>().is_ok(), "{codec}");
    }
}

#[tokio::test]
async fn a_symbols_events_keep_their_order() {
    let cluster = cluster();
    let events: Vec<_> = (1..=500)
        .map(|price| event("AAPL", &price.to_string()))
        .collect();

    let results = log_at(cluster.bootstrap_servers()).append(&events).await;
    assert!(results.iter().all(Result::is_ok));

    let ids = read(&cluster.bootstrap_servers(), events.len())
        .into_iter()
        .map(|record| {
            let value: serde_json::Value =
                serde_json::from_slice(record.payload().unwrap()).unwrap();
            value["id"].as_str().unwrap().parse::<Uuid>().unwrap()
        });

    assert!(ids.eq(events.iter().map(|event| event.id)));
}

#[tokio::test]
async fn an_event_that_the_broker_refuses_fails_and_its_successor_passes() {
    let cluster = cluster();
    let log = log_at(cluster.bootstrap_servers());

    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    let refused = log.append(&[event("AAPL", "1")]).await;
    assert!(
        matches!(refused[..], [Err(PublishError::NotAcknowledged(_))]),
        "{refused:?}"
    );

    assert_eq!(log.append(&[event("AAPL", "2")]).await, [Ok(())]);
}

#[tokio::test]
async fn appending_fails_while_the_broker_is_away_and_works_once_it_is_back() {
    let cluster = cluster();
    let log = log_at(cluster.bootstrap_servers());
    assert_eq!(log.append(&[event("AAPL", "1")]).await, [Ok(())]);

    cluster.broker_down(1).unwrap();
    let away = log.append(&[event("AAPL", "2"), event("MSFT", "2")]).await;
    assert!(
        away.iter()
            .all(|result| matches!(result, Err(PublishError::NotAcknowledged(_)))),
        "{away:?}"
    );
    assert!(log.check(Duration::from_millis(300)).await.is_err());

    cluster.broker_up(1).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while log.append(&[event("AAPL", "3")]).await != [Ok(())] {
        assert!(Instant::now() < deadline, "the log did not recover");
    }
    assert_eq!(log.check(Duration::from_secs(5)).await, Ok(()));
}

#[tokio::test]
async fn a_broker_without_the_topic_fails_the_check_and_gets_no_topic_by_it() {
    let cluster = MockCluster::new(1).unwrap();
    let log = log_at(cluster.bootstrap_servers());
    for _ in 0..2 {
        assert_eq!(
            log.check(Duration::from_secs(5)).await,
            Err(PublishError::NoTopic(TOPIC.to_owned()))
        );
    }
}

#[tokio::test]
async fn making_a_log_opens_no_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let log = log_at(listener.local_addr().unwrap().to_string());
    assert!(log.producer.lock().unwrap().is_none());

    let _ = log.check(Duration::from_millis(100)).await;
    assert!(log.producer.lock().unwrap().is_some());
}
