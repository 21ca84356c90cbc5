//! Schedules follow jobs; EventBridge is a stub.

use std::cell::Cell;

use e2e::postgres::database;
use serde_json::{Value, json};
use shared::repository::polling_jobs::{self, NewJob};
use upkeep::reconciliation::{Mended, ReconciliationError, reconcile};
use uuid::Uuid;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{at, new_job};

use crate::event_bridge::*;

#[tokio::test]
async fn a_job_without_a_schedule_gets_it_back_from_the_next_grid_instant_on() -> anyhow::Result<()>
{
    let pool = database().await?;
    let job_id = polling_jobs::insert(&pool, &new_job(120), 50).await?.job_id;
    let server = event_bridge(&[]).await;

    let mended = reconcile(&pool, &schedules(&server), || at(130)).await?;
    assert_eq!(
        mended,
        Mended {
            created: 1,
            ..Mended::default()
        }
    );

    let start = json!(at(240).timestamp());
    assert_eq!(
        changes(&server).await,
        [("POST".to_owned(), job_id.to_string(), start)]
    );
    Ok(())
}

#[tokio::test]
async fn a_schedule_without_a_job_is_removed_and_one_that_is_no_job_s_is_left_alone()
-> anyhow::Result<()> {
    let pool = database().await?;
    let job_id = polling_jobs::insert(&pool, &new_job(60), 50).await?.job_id;
    let orphan = Uuid::now_v7();

    let server = event_bridge(&[
        job_id.to_string(),
        orphan.to_string(),
        "nightly-report".to_owned(),
    ])
    .await;

    let mended = reconcile(&pool, &schedules(&server), || at(0)).await?;
    assert_eq!(
        mended,
        Mended {
            removed: 1,
            ..Mended::default()
        }
    );

    assert_eq!(
        changes(&server).await,
        [("DELETE".to_owned(), orphan.to_string(), Value::Null)]
    );
    Ok(())
}

#[tokio::test]
async fn with_event_bridge_away_nothing_is_changed() -> anyhow::Result<()> {
    let pool = database().await?;
    polling_jobs::insert(&pool, &new_job(60), 50).await?;
    let server = MockServer::start().await;

    assert!(
        reconcile(&pool, &schedules(&server), || at(0))
            .await
            .is_err()
    );
    assert!(changes(&server).await.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_is_refused_does_not_stop_the_others() -> anyhow::Result<()> {
    let pool = database().await?;
    let refused = polling_jobs::insert(&pool, &new_job(60), 50).await?.job_id;
    let other = polling_jobs::insert(
        &pool,
        &NewJob {
            created_at: at(10),
            ..new_job(60)
        },
        50,
    )
    .await?
    .job_id;

    let orphan = Uuid::now_v7();
    let server = event_bridge(&[orphan.to_string()]).await;

    let refusal = ResponseTemplate::new(400)
        .insert_header("x-amzn-errortype", "ValidationException")
        .set_body_json(json!({"Message": "no"}));
    let refuse = Mock::given(path(format!("/schedules/{refused}")))
        .respond_with(refusal)
        .with_priority(1);
    refuse.mount(&server).await;

    let mended = reconcile(&pool, &schedules(&server), || at(20)).await;
    assert!(
        matches!(mended, Err(ReconciliationError::Refused { failed: 1 })),
        "{mended:?}"
    );

    let changed: Vec<_> = changes(&server)
        .await
        .into_iter()
        .map(|change| (change.0, change.1))
        .collect();

    let change = |method: &str, job_id: Uuid| (method.to_owned(), job_id.to_string());
    assert_eq!(
        changed,
        [
            change("POST", refused),
            change("POST", other),
            change("DELETE", orphan)
        ]
    );
    Ok(())
}

#[tokio::test]
async fn each_schedule_starts_after_the_time_at_which_it_is_made() -> anyhow::Result<()> {
    let pool = database().await?;
    for created in [0, 0] {
        polling_jobs::insert(
            &pool,
            &NewJob {
                created_at: at(created),
                ..new_job(60)
            },
            50,
        )
        .await?;
    }

    let server = event_bridge(&[]).await;
    let now = Cell::new(0);
    let ten_minutes_each = || at(now.replace(now.get() + 600));

    reconcile(&pool, &schedules(&server), ten_minutes_each).await?;

    let starts: Vec<_> = changes(&server)
        .await
        .into_iter()
        .map(|change| change.2)
        .collect();

    assert_eq!(
        starts,
        [json!(at(1).timestamp()), json!(at(601).timestamp())]
    );
    Ok(())
}

#[tokio::test]
async fn a_schedule_as_its_job_has_it_is_left_alone() -> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(120), 50).await?;

    let mut schedule = made_for(&job).await;
    schedule["Description"] = json!("an operator's");
    schedule["Target"]["DeadLetterConfig"] =
        json!({"Arn": "arn:aws:sqs:us-east-1:000000000000:firings"});

    // A schedule that was repaired or created late starts at a later instant of the grid.
    for start in [0, 240, 1_200] {
        schedule["StartDate"] = json!(at(start).timestamp());
        let server = event_bridge_showing(&job, schedule.clone()).await;
        assert_eq!(
            reconcile(&pool, &schedules(&server), || at(1_111)).await?,
            Mended::default(),
            "{start}"
        );
        assert!(changes(&server).await.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn whatever_was_changed_of_a_schedule_is_repaired_and_fires_on_the_job_s_grid()
-> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(120), 50).await?;

    let made = made_for(&job).await;
    for (member, changed) in [
        ("/State", json!("DISABLED")),
        ("/ScheduleExpression", json!("rate(3 minutes)")),
        ("/ScheduleExpressionTimezone", json!("Europe/Berlin")),
        (
            "/FlexibleTimeWindow",
            json!({"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}),
        ),
        ("/StartDate", json!(at(30).timestamp())),
        ("/StartDate", json!(at(1_320).timestamp())),
        ("/ActionAfterCompletion", json!("DELETE")),
        (
            "/Target/Arn",
            json!("arn:aws:lambda:us-east-1:000000000000:function:other"),
        ),
        (
            "/Target/RoleArn",
            json!("arn:aws:iam::000000000000:role/other"),
        ),
        ("/Target/Input", json!("{}")),
        ("/Target/Input", Value::Null),
        ("/Target/RetryPolicy/MaximumRetryAttempts", json!(0)),
        ("/Target/RetryPolicy/MaximumEventAgeInSeconds", json!(60)),
    ] {
        let mut schedule = made.clone();
        *schedule.pointer_mut(member).expect(member) = changed;
        let server = event_bridge_showing(&job, schedule).await;

        let mended = reconcile(&pool, &schedules(&server), || at(1_111)).await?;
        assert_eq!(
            mended,
            Mended {
                repaired: 1,
                ..Mended::default()
            },
            "{member}"
        );

        let change = (
            "PUT".to_owned(),
            job.job_id.to_string(),
            json!(at(1_200).timestamp()),
        );
        assert_eq!(changes(&server).await, [change], "{member}");

        let requests = server.received_requests().await.expect("requests");
        let mut put: Value = requests.last().expect("a request").body_json()?;
        for member in [
            "GroupName",
            "ScheduleExpression",
            "FlexibleTimeWindow",
            "Target",
        ] {
            assert_eq!(put[member].take(), made[member], "{member}");
        }
        assert_eq!(put["State"], "ENABLED");
    }
    Ok(())
}

#[tokio::test]
async fn an_end_that_a_schedule_was_given_is_taken_away() -> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(60), 50).await?;

    let mut schedule = made_for(&job).await;
    schedule["EndDate"] = json!(at(3_600).timestamp());
    let server = event_bridge_showing(&job, schedule).await;

    let mended = reconcile(&pool, &schedules(&server), || at(61)).await?;
    assert_eq!(
        mended,
        Mended {
            repaired: 1,
            ..Mended::default()
        }
    );

    assert_eq!(changes(&server).await[0].2, json!(at(120).timestamp()));
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_cannot_be_shown_or_repaired_does_not_stop_the_others() -> anyhow::Result<()>
{
    let pool = database().await?;
    let mut jobs = Vec::new();
    for second in 0..3 {
        jobs.push(
            polling_jobs::insert(
                &pool,
                &NewJob {
                    created_at: at(second),
                    ..new_job(60)
                },
                50,
            )
            .await?,
        );
    }

    let names: Vec<String> = jobs.iter().map(|job| job.job_id.to_string()).collect();
    let server = event_bridge(&names).await;
    show(&server, &jobs[0], ResponseTemplate::new(403)).await;

    for job in &jobs[1..] {
        let mut schedule = made_for(job).await;
        schedule["State"] = json!("DISABLED");
        show(
            &server,
            job,
            ResponseTemplate::new(200).set_body_json(schedule),
        )
        .await;
    }

    let refuse = Mock::given(method("PUT")).and(path(format!("/schedules/{}", names[1])));
    refuse
        .respond_with(ResponseTemplate::new(400))
        .with_priority(1)
        .mount(&server)
        .await;

    let mended = reconcile(&pool, &schedules(&server), || at(20)).await;
    assert!(
        matches!(mended, Err(ReconciliationError::Refused { failed: 2 })),
        "{mended:?}"
    );

    let mut changed: Vec<_> = changes(&server)
        .await
        .into_iter()
        .map(|change| change.1)
        .collect();

    changed.sort();
    let mut expected = names[1..].to_vec();
    expected.sort();
    assert_eq!(changed, expected);
    Ok(())
}
