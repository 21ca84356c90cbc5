//! The runs of a job over HTTP.

use serde_json::{Value, json};
use shared::market::Symbol;
use shared::repository::polling_jobs;
use shared::repository::polling_runs::{self, Claim, Failure, Outcome, OutcomeGroup, RunResult};
use uuid::Uuid;

use crate::fixture::Api;

/// A job, by the API, with the path of its runs.
async fn job(api: &Api) -> (Uuid, String) {
    let body = json!({"symbols": ["A", "B"], "interval": 60}).to_string();
    let created = api.send("POST", "/prices/poll", body).await;
    let path = created.location.expect("a location");
    let job_id = path.rsplit('/').next().expect("an id").parse();
    (job_id.expect("a UUID"), format!("{path}/runs"))
}

/// Polls the tick of this number with that result, as a poller does.
async fn run(api: &Api, job_id: Uuid, tick: i32, outcomes: Vec<OutcomeGroup>) {
    let job = polling_jobs::get(&api.pool, job_id).await.expect("a job");
    let start = job.expect("the job").start_at;
    let tick = start + chrono::TimeDelta::minutes(tick.into());
    let claim = Claim::new(job_id, tick);
    let result = RunResult {
        published: 1,
        outcomes,
        ..RunResult::default()
    };

    let claimed = polling_runs::claim(&api.pool, &claim, tick).await;
    claimed.expect("a claim");
    let finished = polling_runs::finish(&api.pool, &claim, &result, tick).await;
    assert!(finished.expect("a result"));
}

fn group(outcome: Outcome, symbols: Vec<Symbol>, problem: Option<Failure>) -> OutcomeGroup {
    OutcomeGroup {
        outcome,
        provider: Some("quoter".parse().expect("a name")),
        symbols,
        problem,
    }
}

fn symbol(name: &str) -> Symbol {
    name.parse().expect("a symbol")
}

#[tokio::test]
async fn runs_are_paged_newest_first_with_gaps_and_outcomes() {
    let api = Api::start().await;
    let (job_id, path) = job(&api).await;
    assert_eq!(
        api.get(&path).await.json(),
        json!({"items": [], "next_cursor": null})
    );

    run(&api, job_id, 0, Vec::new()).await;
    let unknown = Failure {
        kind: "unknown-symbol".to_owned(),
        detail: "quoter does not know the symbol B".to_owned(),
    };
    let outcomes = vec![
        group(Outcome::Unchanged, vec![symbol("A")], None),
        group(Outcome::Failed, vec![symbol("B")], Some(unknown)),
    ];
    run(&api, job_id, 3, outcomes).await;

    let first = api.get(&format!("{path}?limit=2")).await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(first.each("status"), ["succeeded", "missed"]);
    assert_eq!(first.each("ticks"), [1, 2]);
    assert_eq!(first.each("started_at")[1], Value::Null);
    assert_eq!(
        first.each("outcomes")[0],
        json!([
            {"outcome": "unchanged", "provider": "quoter", "symbols": ["A"], "problem": null},
            {"outcome": "failed", "provider": "quoter", "symbols": ["B"], "problem": {
                "type": "/docs#unknown-symbol", "detail": "quoter does not know the symbol B"
            }},
        ])
    );

    let cursor = first.json()["next_cursor"].as_str().map(str::to_owned);
    let cursor = cursor.expect("a cursor");
    let rest = api.get(&format!("{path}?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.each("status"), ["succeeded"]);
    assert_eq!(rest.json()["next_cursor"], Value::Null);

    let (_, other) = job(&api).await;
    let foreign = api.get(&format!("{other}?cursor={cursor}")).await;
    assert_eq!(foreign.status, 422, "{}", foreign.text);
}

#[tokio::test]
async fn a_page_of_runs_with_very_many_symbols_is_shorter_and_none_is_lost() {
    let api = Api::start().await;
    let (job_id, path) = job(&api).await;
    let many: Vec<Symbol> = (0..5_000).map(|n| symbol(&format!("S{n}"))).collect();
    for tick in 0..5 {
        let group = group(Outcome::Published, many.clone(), None);
        run(&api, job_id, tick, vec![group]).await;
    }

    let (mut page, mut sizes) = (path.clone(), Vec::new());
    loop {
        let answered = api.get(&page).await.json();
        sizes.push(answered["items"].as_array().expect("runs").len());
        let Some(cursor) = answered["next_cursor"].as_str() else {
            break;
        };
        page = format!("{path}?cursor={cursor}");
    }
    assert_eq!(sizes, [2, 2, 1]);
}

#[tokio::test]
async fn runs_of_no_job_and_pages_beyond_the_limit_are_refused() {
    let api = Api::start().await;
    let (job_id, path) = job(&api).await;

    for query in ["limit=51", "limit=0", "cursor=x", "page=2"] {
        let refused = api.get(&format!("{path}?{query}")).await;
        assert_eq!(refused.status, 422, "{query}: {}", refused.text);
    }

    let nobody = Uuid::new_v4();
    let absent = api.get(&format!("/prices/poll/{nobody}/runs")).await;
    assert_eq!(absent.status, 404);
    api.send("DELETE", &format!("/prices/poll/{job_id}"), String::new())
        .await;
    assert_eq!(api.get(&path).await.status, 404, "a deleted job");
}
