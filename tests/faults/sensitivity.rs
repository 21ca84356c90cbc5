//! The check itself is tested: it must notice each kind of damage.

use e2e::faults::check::{caught_up, check};
use e2e::faults::publisher::Publisher;
use e2e::faults::site::{Site, Wiring};
use e2e::faults::stream::{Record, Stream};

use crate::{BREAKING, ground};

/// What the check must name, the statement that damages it, and the statement that repairs it.
const DAMAGES: [(&str, &str, &str); 5] = [
    (
        "points",
        "update price_points set quoted_at = quoted_at + interval '1 microsecond' where (series_id, quoted_at) in
             (select series_id, max(quoted_at) from price_points group by 1 limit 1)",
        "update price_points set quoted_at = quoted_at - interval '1 microsecond' where (series_id, quoted_at) in
             (select series_id, last_at + interval '1 microsecond' from series)",
    ),
    (
        "points",
        "update price_points set moving_average = moving_average + 0.000000000000001",
        "update price_points set moving_average = trim_scale(moving_average - 0.000000000000001)",
    ),
    (
        "points",
        "update price_points set polled_at = polled_at + interval '1 microsecond'",
        "update price_points set polled_at = polled_at - interval '1 microsecond'",
    ),
    (
        "newest points of the series",
        "update series set last_price = last_price + 1",
        "update series set last_price = last_price - 1",
    ),
    (
        "quarantine",
        "update rejected_events set record_offset = record_offset + 1000000",
        "update rejected_events set record_offset = record_offset - 1000000",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Apache Kafka, and so Java: tools/kafka/start; .ci/run runs these"]
async fn the_check_notices_points_averages_newest_points_and_quarantine_that_are_not_right() {
    let _breaking = BREAKING.lock().await;

    let mut site = Site::prepare(ground().await, "sensitivity", Wiring::default())
        .await
        .expect("a site");
    site.add_stack("averager").await.expect("a stack");

    let mut publisher = Publisher::connect(site.ground.bootstrap_servers(), &site.topic, "none")
        .expect("a publisher");

    for record in Stream::new(1).take(500).collect::<Vec<Record>>() {
        publisher.send(record).await.expect("a queue with room");
    }

    let mut acknowledged = publisher.acknowledged().await;

    caught_up(&site).await;
    check(&site, &acknowledged)
        .await
        .expect("nothing is broken yet");

    for (named, damage, mend) in DAMAGES {
        sqlx::query(damage)
            .execute(&site.pool)
            .await
            .expect("damage");

        let noticed = check(&site, &acknowledged)
            .await
            .expect_err(damage)
            .to_string();

        assert!(noticed.starts_with(named), "{damage}: {noticed}");

        sqlx::query(mend)
            .execute(&site.pool)
            .await
            .expect("mending");
    }

    check(&site, &acknowledged)
        .await
        .expect("everything is repaired");

    acknowledged[0].offset += 1_000_000;
    let noticed = check(&site, &acknowledged)
        .await
        .expect_err("a record that Kafka has not")
        .to_string();
    assert!(noticed.starts_with("Kafka lost"), "{noticed}");

    site.close().await.expect("a clean site");
}
