//! Walks 2 and 3: a job polls, and averages appear.

use std::time::Duration;

use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use serde_json::Value;
use sqlx::PgPool;

const SYMBOLS: [&str; 5] = ["AAPL", "FB", "GOOG", "IBM", "MSFT"];

/// The number of points whose stored average is not the mean of their price and the up to four
/// before it, or whose stored count is wrong.
async fn wrong_averages(database: &PgPool) -> i64 {
    sqlx::query_scalar(
        "select count(*) from (
             select moving_average, points, sum(price) over w as total, count(*) over w as counted,
                    max(scale(trim_scale(price))) over w as decimals
             from price_points
             window w as (partition by series_id order by quoted_at rows 4 preceding)
         ) p
         where points <> counted
            or trim_scale(moving_average) <> case counted
                   when 3 then round(total::numeric(60, 30) / 3, greatest(6, decimals + 2))
                   else trim_scale(total * (array[1, 0.5, null, 0.25, 0.2])[counted]) end",
    )
    .fetch_one(database)
    .await
    .unwrap()
}

#[tokio::test]
async fn two_minutes_of_ticks_every_two_seconds_give_sixty_points_a_series_each_with_its_exact_average()
 {
    two_minutes_of_ticks(&[]).await;
}

#[tokio::test]
async fn two_minutes_of_ticks_end_the_same_on_a_postgres_of_the_users_own() {
    let url = e2e::postgres::empty_database_url().await.unwrap();
    two_minutes_of_ticks(&[("DATABASE_URL", &url)]).await;
}

async fn two_minutes_of_ticks(database: &[(&str, &str)]) {
    let data = tempfile::tempdir().unwrap();
    let environment = [database, &[("REPLAY_STEP_SECONDS", "2")]].concat();
    let options = Options {
        data_directory: data.path().into(),
        environment: &environment,
        flags: &[],
    };
    let stack = Stack::start(options).await.unwrap();
    let job = stack.poll(&SYMBOLS, 2).await;

    let database = stack.database().unwrap();

    // Two minutes of ticks: from the first to the sixtieth, by the job's own runs.
    let last_tick = "select count(*) from polling_runs where status = 'succeeded'";
    until("sixtieth tick", Duration::from_secs(140), async || {
        sqlx::query_scalar::<_, i64>(last_tick)
            .fetch_one(&database)
            .await
            .ok()
            .filter(|runs| *runs >= 60)
    })
    .await;

    let (status, _) = stack
        .request(
            reqwest::Method::DELETE,
            &format!("/prices/poll/{job}"),
            None,
        )
        .await;
    assert_eq!(status, 204);

    let counts: Vec<(String, i64)> = sqlx::query_as(
        "select symbol, count(*) from series join price_points using (series_id) group by symbol order by symbol",
    )
    .fetch_all(&database)
    .await
    .unwrap();

    assert_eq!(
        counts
            .iter()
            .map(|(symbol, _)| symbol.as_str())
            .collect::<Vec<_>>(),
        SYMBOLS
    );

    for (symbol, count) in counts {
        assert!((59..=62).contains(&count), "{symbol} has {count} points");
    }

    assert_eq!(wrong_averages(&database).await, 0);

    let (_, average) = stack.get("/prices/average?symbol=MSFT").await;
    assert_eq!(
        (&average["points"], &average["provider"]),
        (&5.into(), &"replay".into()),
        "{average}"
    );
}

#[tokio::test]
async fn before_five_ticks_the_average_shows_how_many_points_it_has() {
    let data = tempfile::tempdir().unwrap();
    let environment = [("REPLAY_STEP_SECONDS", "1")];
    let options = Options {
        data_directory: data.path().into(),
        environment: &environment,
        flags: &[],
    };
    let stack = Stack::start(options).await.unwrap();
    let job = stack.poll(&["IBM"], 1).await;

    let mut seen = Vec::new();
    until("5-point average", Duration::from_secs(30), async || {
        let (status, average) = stack.get("/prices/average?symbol=IBM").await;
        let points = average["points"].as_u64().filter(|_| status == 200)?;
        seen.push(points);
        (points == 5).then_some(())
    })
    .await;

    assert!(seen.is_sorted(), "{seen:?}");
    assert!(
        seen.iter().any(|points| *points < 5),
        "the average was shown while it grew: {seen:?}"
    );

    let (_, state) = stack.get(&format!("/prices/poll/{job}")).await;
    assert_eq!(
        (&state["status"], &state["last_run"]["failed"]),
        (&"active".into(), &0.into()),
        "{state}"
    );

    let (_, jobs) = stack.get("/prices/poll").await;
    assert_eq!(jobs["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(jobs["next_cursor"], Value::Null);

    let path = format!("/prices/poll/{job}");
    assert_eq!(
        stack.request(reqwest::Method::DELETE, &path, None).await.0,
        204
    );
    assert_eq!(stack.get(&path).await.0, 404);

    let schedules: Value = reqwest::get(format!(
        "{}/schedules?NamePrefix={job}",
        stack.ready.scheduler_url
    ))
    .await
    .unwrap()
    .text()
    .await
    .map(|text| serde_json::from_str(&text).unwrap())
    .unwrap();

    assert_eq!(
        schedules["Schedules"].as_array().map(Vec::len),
        Some(0),
        "its schedule is gone too"
    );
}
