//! The schedules of relays follow them; EventBridge is a stub.

use e2e::postgres::database;
use serde_json::{Value, json};
use shared::repository::{polling_jobs, relays};
use upkeep::reconciliation::{Mended, reconcile};
use wiremock::ResponseTemplate;

use crate::event_bridge::*;
use crate::world::{at, new_job};

fn change(method: &str, name: &str, start: Value) -> (String, String, Value) {
    (method.to_owned(), name.to_owned(), start)
}

#[tokio::test]
async fn a_relay_without_a_schedule_gets_one_and_its_jobs_get_none() -> anyhow::Result<()> {
    let pool = database().await?;
    for _ in 0..3 {
        polling_jobs::insert(&pool, &new_job(7), 2).await?;
    }
    let server = event_bridge(&[]).await;

    let mended = reconcile(&pool, &schedules(&server), || at(130)).await?;
    let expected = Mended {
        created: 2,
        ..Mended::default()
    };
    assert_eq!(mended, expected);

    let start = || json!(at(180).timestamp());
    assert_eq!(
        changes(&server).await,
        [
            change("POST", "relay-1", start()),
            change("POST", "relay-2", start())
        ]
    );
    Ok(())
}

#[tokio::test]
async fn what_was_changed_of_a_relay_s_schedule_is_repaired() -> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(7), 50).await?;
    let relay = relays::of_job(&pool, job.job_id).await?.expect("a relay");
    let made = made_for_relay(&relay).await;

    for (member, changed, repaired) in [
        ("/Description", json!("an operator's"), 0),
        ("/State", json!("DISABLED"), 1),
        ("/ScheduleExpression", json!("rate(2 minutes)"), 1),
        ("/StartDate", json!(at(30).timestamp()), 1),
        ("/Target/Input", json!("{}"), 1),
        ("/Target/RoleArn", json!("arn:aws:iam::1:role/other"), 1),
    ] {
        let mut schedule = made.clone();
        match schedule.pointer_mut(member) {
            Some(has) => *has = changed,
            None => schedule[&member[1..]] = changed,
        }
        let server = event_bridge(&["relay-1".to_owned()]).await;
        let shown = ResponseTemplate::new(200).set_body_json(schedule);
        show_named(&server, "relay-1", shown).await;

        let mended = reconcile(&pool, &schedules(&server), || at(130)).await?;
        assert_eq!(mended.repaired, repaired, "{member}");
        let start = json!(at(180).timestamp());
        let expected = vec![change("PUT", "relay-1", start); repaired];
        assert_eq!(changes(&server).await, expected, "{member}");
    }
    Ok(())
}

#[tokio::test]
async fn a_schedule_whose_relay_is_gone_is_removed() -> anyhow::Result<()> {
    let pool = database().await?;
    let names = ["relay-7".to_owned(), "relay-x".to_owned()];
    let server = event_bridge(&names).await;

    let mended = reconcile(&pool, &schedules(&server), || at(0)).await?;
    assert_eq!(mended.removed, 1);
    assert_eq!(
        changes(&server).await,
        [change("DELETE", "relay-7", Value::Null)]
    );
    Ok(())
}

#[tokio::test]
async fn a_job_s_own_schedule_is_removed_only_after_its_relay_has_one() -> anyhow::Result<()> {
    let pool = database().await?;
    let job = polling_jobs::insert(&pool, &new_job(7), 50).await?;
    let relay = relays::of_job(&pool, job.job_id).await?.expect("a relay");
    let own = job.job_id.to_string();

    let server = event_bridge(std::slice::from_ref(&own)).await;
    let mended = reconcile(&pool, &schedules(&server), || at(10)).await?;
    assert_eq!((mended.created, mended.removed), (1, 0));

    let server = event_bridge(&[own.clone(), "relay-1".to_owned()]).await;
    let shown = ResponseTemplate::new(200).set_body_json(made_for_relay(&relay).await);
    show_named(&server, "relay-1", shown).await;
    let mended = reconcile(&pool, &schedules(&server), || at(10)).await?;
    assert_eq!((mended.created, mended.removed), (0, 1));
    assert_eq!(
        changes(&server).await,
        [change("DELETE", &own, Value::Null)]
    );
    Ok(())
}

#[tokio::test]
async fn jobs_that_an_earlier_version_made_get_relays() -> anyhow::Result<()> {
    let pool = database().await?;
    for interval in [7, 7, 60, 13] {
        polling_jobs::insert(&pool, &new_job(interval), 50).await?;
    }
    sqlx::query("update polling_jobs set relay_id = null")
        .execute(&pool)
        .await?;
    relays::remove_empty(&pool).await?;

    upkeep::relays::maintain(&pool, 2).await?;

    let of_relays = "select interval_seconds % 60 = 0, count(distinct relay_id), count(relay_id)
                     from polling_jobs group by 1 order by 1";
    let of_relays: Vec<(bool, i64, i64)> = sqlx::query_as(of_relays).fetch_all(&pool).await?;
    assert_eq!(of_relays, [(false, 2, 3), (true, 0, 0)]);
    Ok(())
}
