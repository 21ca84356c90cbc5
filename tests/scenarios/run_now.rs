//! A job is polled on request, through Lambda's Invoke API.

use std::time::Duration;

use e2e::stack::Stack;
use e2e::waiting::until;
use reqwest::Method;

#[tokio::test]
async fn a_paused_job_is_polled_on_request_and_its_price_becomes_a_point() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let job = stack.poll(&["IBM"], 3_600).await;
    let path = |action: &str| format!("/prices/poll/{job}/{action}");

    let (status, paused) = stack.request(Method::POST, &path("pause"), None).await;
    assert_eq!((status, &paused["status"]), (200, &"paused".into()));

    let (status, asked) = stack.request(Method::POST, &path("run"), None).await;
    assert_eq!(status, 202, "{asked}");
    let run_id = asked["run_id"].as_str().unwrap();
    let run = path(&format!("runs/{run_id}"));

    let ended = until("end of the run", Duration::from_secs(30), async || {
        let (_, run) = stack.get(&run).await;
        (!run["finished_at"].is_null()).then_some(run)
    })
    .await;
    assert_eq!(
        (&ended["status"], &ended["requested"]),
        (&"succeeded".into(), &true.into()),
        "{ended}"
    );

    until("point", Duration::from_secs(10), async || {
        let (status, _) = stack.get("/prices/average?symbol=IBM").await;
        (status == 200).then_some(())
    })
    .await;
    let (_, job) = stack.get(&format!("/prices/poll/{job}")).await;
    assert_eq!(job["status"], "paused", "{job}");
}
