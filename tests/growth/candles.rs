//! Random late, repeated and corrected points, folded in between and not: every candle is what
//! Postgres folds from the points, by its own time zones.

use chrono::TimeDelta;
use proptest::prelude::{Just, Strategy, prop, prop_assert_eq, prop_oneof};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use shared::candle::{Grid, Interval};
use shared::market::Timestamp;
use shared::price_event::PriceEvent;
use shared::repository::candles;
use shared::repository::ingest::Ingest;
use shared::repository::price_points::Range;
use sqlx::PgPool;
use uuid::Uuid;

use crate::folding::{database, fold};
use crate::world::at;

/// What happens between two looks at the candles.
#[derive(Clone, Debug)]
enum Step {
    /// A batch arrives.
    Store(Vec<PriceEvent>),
    /// Upkeep folds.
    Fold,
}

/// Moments around which clocks change, or the calendar does.
const MOMENTS: [(&str, &str); 8] = [
    ("America/New_York", "2024-03-10T07:00:00Z"),
    ("America/New_York", "2024-11-03T06:00:00Z"),
    ("Europe/London", "2024-03-31T01:00:00Z"),
    ("Australia/Lord_Howe", "2024-04-06T15:00:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Asia/Kathmandu", "2024-03-20T00:00:00Z"),
    ("Asia/Kolkata", "2024-02-29T18:30:00Z"),
];

/// Quotes within three days around the moment, so few that later polls often correct earlier ones.
fn quotes(moment: Timestamp) -> impl Strategy<Value = Vec<PriceEvent>> {
    let unit = prop_oneof![12 => Just(Some("USD")), 1 => Just(Some("GBp")), 1 => Just(None)];
    let quote = (-216_i64..216, 0_i64..400, 1_u32..5_000, unit);

    prop::collection::vec(quote, 1..60).prop_map(move |quotes| {
        let event = |(tenths, polled, cents, unit): (i64, i64, u32, Option<&str>)| PriceEvent {
            id: Uuid::from_u128(cents.into()),
            symbol: "AAPL".parse().unwrap(),
            price: format!("{}.{:02}", 1 + cents / 100, cents % 100)
                .parse()
                .unwrap(),
            currency: unit.map(|unit| unit.parse().unwrap()),
            // Every ten minutes, and some just before.
            timestamp: moment + TimeDelta::minutes(10 * tenths)
                - TimeDelta::microseconds(i64::from(cents % 2)),
            provider: "yahoo".parse().unwrap(),
            polled_at: moment + TimeDelta::days(4) + TimeDelta::seconds(polled),
            raw_response_id: None,
        };
        quotes.into_iter().map(event).collect()
    })
}

/// A zone, and what happens to a series around the moment of the zone.
fn stories() -> impl Strategy<Value = (&'static str, Vec<Step>)> {
    prop::sample::select(&MOMENTS[..]).prop_flat_map(|(zone, moment)| {
        let step = prop_oneof![
            3 => quotes(at(moment)).prop_map(Step::Store),
            2 => Just(Step::Fold),
        ];
        (Just(zone), prop::collection::vec(step, 1..8))
    })
}

/// A candle as text: unit, open, high, low, close, points.
type Told = (Option<String>, String, String, String, String, i64);

async fn read(pool: &PgPool, series: i32, grid: Grid, limit: usize) -> Vec<Told> {
    let mut connection = pool.acquire().await.unwrap();
    let candles = candles::newest(&mut connection, series, grid, Range::default(), limit);

    let told = |candle: shared::candle::Candle| {
        let [open, high, low, close] =
            [candle.open, candle.high, candle.low, candle.close].map(|price| price.to_string());
        let unit = candle.currency.map(|unit| unit.to_string());
        (
            unit,
            open,
            high,
            low,
            close,
            i64::try_from(candle.points).unwrap(),
        )
    };
    candles.await.unwrap().into_iter().map(told).collect()
}

/// Postgres's own fold of the points, by `period`, an expression of `quoted_at`.
async fn naive(pool: &PgPool, period: &str, zone: &str) -> Vec<Told> {
    let select = format!(
        "select currency,
                trim_scale((array_agg(price order by quoted_at))[1])::text,
                trim_scale(max(price))::text, trim_scale(min(price))::text,
                trim_scale((array_agg(price order by quoted_at desc))[1])::text, count(*)
         from prices where $1 <> ''
         group by {period}, currency
         order by {period} desc, currency collate \"C\" nulls last"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(select))
        .bind(zone)
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn compare(pool: &PgPool, zone: &str) -> Result<(), TestCaseError> {
    let series: Option<i32> = sqlx::query_scalar("select series_id from series")
        .fetch_optional(pool)
        .await
        .unwrap();
    let Some(series) = series else { return Ok(()) };

    for interval in Interval::ALL {
        let period = match interval.length() {
            Some(length) => format!(
                "floor(extract(epoch from quoted_at) / {})",
                length.num_seconds()
            ),
            None => "(quoted_at at time zone $1)::date".to_owned(),
        };
        let grid = Grid {
            interval,
            zone: zone.parse().unwrap(),
        };
        let expected = naive(pool, &period, zone).await;
        prop_assert_eq!(
            read(pool, series, grid, 1_000).await,
            expected,
            "{:?}",
            grid
        );
    }
    Ok(())
}

#[test]
fn every_candle_is_the_fold_of_the_stored_points_whatever_came_late_and_was_folded() {
    let seed = seed();
    println!("seed {seed}; repeat with PROPTEST_RNG_SEED={seed}");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pool = runtime.block_on(database());
    let config = Config {
        cases: 60,
        failure_persistence: None,
        max_shrink_iters: 64,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };

    let case = async |(zone, steps): (&str, Vec<Step>)| {
        sqlx::query(
            "truncate series, price_points, units, folded_series, folded_quarters, stale_quarters",
        )
        .execute(&pool)
        .await
        .unwrap();

        let ingest = Ingest::new(pool.clone());
        for step in steps {
            match step {
                Step::Store(events) => {
                    ingest.store(&events, &[]).await.unwrap();
                }
                Step::Fold => {
                    fold(&pool).await;
                }
            }
            compare(&pool, zone).await?;
        }
        Ok(())
    };
    TestRunner::new(config)
        .run(&stories(), |story| runtime.block_on(case(story)))
        .unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "proptest's own variable, so that a failed seed can be repeated"
)]
fn seed() -> u64 {
    let asked = std::env::var("PROPTEST_RNG_SEED").ok();
    asked
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0)
}
