//! The circuit breaker of a provider, which holds for all instances.

use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use shared::market::{ProviderName, Timestamp};
use shared::repository::breakers::{Failure, OpeningRule, failed, succeeded};
use shared::repository::request_budgets::{Admission, Admitted, Unused, admit, give_back};
use sqlx::PgPool;
use uuid::Uuid;

const RULE: OpeningRule = OpeningRule {
    failures: 3,
    first: Duration::from_secs(30),
    longest: Duration::from_secs(100),
    jitter: 1.0,
};

fn at(seconds: i64) -> Timestamp {
    "2026-03-20T10:30:00Z"
        .parse::<Timestamp>()
        .expect("as in every test")
        + TimeDelta::seconds(seconds)
}

struct Breaker {
    pool: PgPool,
    provider: ProviderName,
}

/// What the breaker says to a request.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Passes,
    Probes(Uuid),
    /// For so many seconds.
    Waits(u64),
}

impl Breaker {
    async fn new() -> Self {
        Self {
            pool: e2e::postgres::database().await.expect("as in every test"),
            provider: "fragile".parse().expect("as in every test"),
        }
    }

    async fn ask(&self, key: Option<&str>, seconds: i64) -> Said {
        self.ask_as(Uuid::new_v4(), key, seconds).await
    }

    async fn ask_as(&self, probe_id: Uuid, key: Option<&str>, seconds: i64) -> Said {
        let admission = Admission {
            provider: &self.provider,
            key,
            limits: [None; 4],
            utc_day: false,
            needed: 1,
            wanted: 1,
            unused: &[],
            probe_id,
            probe_time: Duration::from_secs(15),
            moment: Some(at(seconds)),
        };
        match admit(&self.pool, &admission)
            .await
            .expect("as in every test")
        {
            Admitted::Granted { is_probe: true, .. } => Said::Probes(admission.probe_id),
            Admitted::Granted { .. } => Said::Passes,
            Admitted::Open { wait, reason } => {
                assert_eq!(reason, "as told");
                Said::Waits(wait.as_secs())
            }
            Admitted::Empty { .. } => panic!("there are no limits"),
        }
    }

    async fn probe(&self, seconds: i64) -> Uuid {
        match self.ask(None, seconds).await {
            Said::Probes(probe) => probe,
            said => panic!("at {seconds} no probe, but {said:?}"),
        }
    }

    /// Reports a failure; returns for how many seconds the breaker opened.
    async fn fails(
        &self,
        probe_id: Option<Uuid>,
        pause: Option<Duration>,
        refused_key: Option<&str>,
        seconds: i64,
    ) -> Option<i64> {
        let failure = Failure {
            provider: &self.provider,
            probe_id,
            reason: "as told",
            pause,
            refused_key,
            moment: Some(at(seconds)),
        };
        let until = failed(&self.pool, &failure, &RULE)
            .await
            .expect("as in every test")?;
        Some((until - at(seconds)).num_seconds())
    }

    async fn is_answered(&self, probe_id: Option<Uuid>) -> bool {
        succeeded(&self.pool, &self.provider, probe_id)
            .await
            .expect("as in every test")
    }
}

#[tokio::test]
async fn failures_in_a_row_open_a_breaker_and_a_success_between_them_does_not_let_it() {
    let breaker = Breaker::new().await;

    for second in 0..2 {
        assert_eq!(breaker.fails(None, None, None, second).await, None);
    }
    assert!(!breaker.is_answered(None).await, "it was closed");
    for second in 2..4 {
        assert_eq!(breaker.fails(None, None, None, second).await, None);
        assert_eq!(breaker.ask(None, second).await, Said::Passes);
    }

    assert_eq!(breaker.fails(None, None, None, 4).await, Some(30));
    assert_eq!(breaker.ask(None, 14).await, Said::Waits(20));
}

#[tokio::test]
async fn a_provider_that_says_how_long_is_left_alone_as_long() {
    let breaker = Breaker::new().await;
    let quarter = Some(Duration::from_mins(15));

    assert_eq!(breaker.fails(None, quarter, None, 0).await, Some(900));
    assert_eq!(breaker.ask(None, 899).await, Said::Waits(1));

    // Requests that were under way when it opened.
    assert_eq!(breaker.fails(None, None, None, 1).await, None);
    assert!(!breaker.is_answered(None).await, "it is not closed by them");
    assert_eq!(breaker.ask(None, 899).await, Said::Waits(1));
    let longer = Some(Duration::from_mins(16));
    assert_eq!(breaker.fails(None, longer, None, 2).await, None);
    assert_eq!(breaker.ask(None, 899).await, Said::Waits(63));
}

#[tokio::test]
async fn one_of_many_instances_probes_and_its_failure_opens_the_breaker_for_longer_each_time() {
    let breaker = Breaker::new().await;
    let mut now = 0;
    for _ in 0..3 {
        breaker.fails(None, None, None, now).await;
    }

    for (pause, next) in [(30, 60), (60, 100), (100, 100)] {
        now += pause;
        let said = join_all((0..50).map(|_| breaker.ask(None, now))).await;
        let probes: Vec<Uuid> = said
            .iter()
            .filter_map(|said| match said {
                Said::Probes(probe) => Some(*probe),
                _ => None,
            })
            .collect();
        let [probe] = probes[..] else {
            panic!("{} probes", probes.len());
        };
        let waiting = said.iter().filter(|said| **said == Said::Waits(15));
        assert_eq!(waiting.count(), 49);

        assert_eq!(
            breaker.fails(Some(probe), None, None, now).await,
            Some(next)
        );
    }
}

#[tokio::test]
async fn the_probe_s_success_closes_the_breaker_and_a_probe_that_is_never_answered_gives_way() {
    let breaker = Breaker::new().await;
    let minute = Some(Duration::from_mins(1));
    breaker.fails(None, minute, None, 0).await;

    let lost = breaker.probe(60).await;
    assert_eq!(breaker.ask(None, 74).await, Said::Waits(1));
    let probe = breaker.probe(75).await;

    assert!(!breaker.is_answered(Some(lost)).await, "too late");
    assert_eq!(breaker.ask(None, 76).await, Said::Waits(14));
    assert!(breaker.is_answered(Some(probe)).await);
    assert_eq!(breaker.ask(None, 76).await, Said::Passes);

    for second in 80..82 {
        assert_eq!(breaker.fails(None, None, None, second).await, None);
    }
    assert_eq!(
        breaker.fails(None, None, None, 82).await,
        Some(30),
        "from the first pause on"
    );
}

#[tokio::test]
async fn a_refused_key_keeps_the_breaker_open_until_another_one_is_configured() {
    let breaker = Breaker::new().await;
    let hour = Some(Duration::from_hours(1));

    assert_eq!(breaker.fails(None, hour, Some("old"), 0).await, Some(3_600));
    assert_eq!(breaker.ask(Some("old"), 10).await, Said::Waits(3_590));
    assert_eq!(breaker.ask(Some("new"), 10).await, Said::Passes);
    assert_eq!(
        breaker.ask(Some("old"), 10).await,
        Said::Passes,
        "it is closed"
    );
}

#[tokio::test]
async fn a_key_that_is_refused_while_the_breaker_is_open_is_noted_and_another_one_closes_it() {
    let breaker = Breaker::new().await;
    let (minute, hour) = (Some(Duration::from_mins(1)), Some(Duration::from_hours(1)));
    breaker.fails(None, minute, None, 0).await;

    // It was under way.
    assert_eq!(breaker.fails(None, hour, Some("old"), 1).await, None);

    assert_eq!(breaker.ask(Some("old"), 61).await, Said::Waits(3_540));
    assert_eq!(breaker.ask(Some("new"), 61).await, Said::Passes);
}

#[tokio::test]
async fn a_breaker_that_a_wrong_clock_opened_far_in_the_future_half_opens() {
    let breaker = Breaker::new().await;
    let month = 31 * 86_400;
    let quarter = Some(Duration::from_mins(15));

    breaker.fails(None, quarter, None, month).await;
    let lost = breaker.probe(0).await;

    // The clock is set back once more, while the probe is under way.
    assert!(matches!(breaker.ask(None, -month).await, Said::Probes(_)));
    assert_eq!(breaker.fails(None, quarter, None, -month).await, None);
    assert!(!breaker.is_answered(Some(lost)).await);
    let day = Some(Duration::from_hours(24));
    let breaker = Breaker::new().await;
    let longest = Some(Duration::from_hours(24 * 30));
    assert_eq!(breaker.fails(None, longest, None, 0).await, Some(86_400));
    assert_eq!(breaker.fails(None, day, None, 60).await, None);
    assert_eq!(breaker.ask(None, 60).await, Said::Waits(86_400));
}

#[tokio::test]
async fn a_probe_that_was_not_sent_gives_way_at_once_and_one_whose_answer_was_lost_is_repeated() {
    let breaker = Breaker::new().await;
    breaker
        .fails(None, Some(Duration::from_mins(1)), None, 0)
        .await;
    let probe = breaker.probe(60).await;
    assert_eq!(breaker.ask(None, 60).await, Said::Waits(15));
    assert_eq!(
        breaker.ask_as(probe, None, 61).await,
        Said::Probes(probe),
        "the same request, repeated"
    );

    let unused = Unused {
        tokens: 1,
        until: at(60),
    };
    let other = Some(Uuid::new_v4());
    for (id, expected) in [(other, false), (Some(probe), true)] {
        give_back(&breaker.pool, &breaker.provider, unused, id)
            .await
            .expect("as in every test");
        let is_free = matches!(breaker.ask(None, 62).await, Said::Probes(_));
        assert_eq!(is_free, expected);
    }
}
