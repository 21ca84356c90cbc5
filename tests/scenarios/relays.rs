//! Many jobs with a short interval through the whole stack.

use std::time::Duration;

use e2e::processes;
use e2e::stack::Stack;
use e2e::waiting::until;
use nix::sys::signal::Signal;
use sqlx::PgPool;

const JOBS: i64 = 60;

/// Jobs with at least this many runs that succeeded after the run of `tick`.
async fn jobs_with_runs(database: &PgPool, runs: i64, after: Option<&str>) -> i64 {
    let query = "select count(*) from (
                     select from polling_runs
                     where status = 'succeeded' and tick_time > coalesce($2::timestamptz, '-infinity')
                     group by job_id having count(*) >= $1
                 ) served";
    sqlx::query_scalar(query)
        .bind(runs)
        .bind(after)
        .fetch_one(database)
        .await
        .unwrap()
}

#[tokio::test]
async fn sixty_jobs_at_two_seconds_share_a_poller_and_survive_its_end() {
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    for _ in 0..JOBS {
        stack.poll(&["AAPL", "IBM"], 2).await;
    }
    let database = stack.database().unwrap();
    let minute = Duration::from_secs(60);

    until("third run of each job", minute, async || {
        (jobs_with_runs(&database, 3, None).await == JOBS).then_some(())
    })
    .await;
    let pollers = processes::instances(&stack.ready.data_directory, "poller");
    assert!(
        pollers.len() <= 2,
        "one, or two where an invocation follows on another: {pollers:?}"
    );

    for poller in pollers {
        processes::signal(poller, Signal::SIGKILL);
    }
    let killed_at: String = sqlx::query_scalar("select now()::text")
        .fetch_one(&database)
        .await
        .unwrap();
    let two_minutes = Duration::from_secs(120);
    until("two further runs of each job", two_minutes, async || {
        (jobs_with_runs(&database, 2, Some(&killed_at)).await == JOBS).then_some(())
    })
    .await;

    // Every tick from the first to the newest is in exactly one row.
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from polling_jobs job
         join lateral (
             select sum(ticks) as covered, max(tick_time) as newest
             from polling_runs where polling_runs.job_id = job.job_id
         ) runs on true
         where covered <> extract(epoch from newest - start_at) / 2 + 1",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(wrong, 0);
}
