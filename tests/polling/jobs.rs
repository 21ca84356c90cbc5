//! Jobs in the database.

use e2e::postgres::database;
use shared::repository::polling_jobs::{get, insert, list};
use uuid::Uuid;

use crate::world::{at, new_job};

#[tokio::test]
async fn a_job_reads_back_as_it_was_created_and_starts_at_the_next_whole_second()
-> anyhow::Result<()> {
    let pool = database().await?;
    let job = insert(&pool, &new_job(10), 50).await?;

    assert_eq!(job.start_at, at(0));
    assert_eq!(get(&pool, job.job_id).await?, Some(job));
    assert_eq!(get(&pool, Uuid::nil()).await?, None);
    Ok(())
}

#[tokio::test]
async fn jobs_are_listed_page_by_page_in_the_order_of_their_creation() -> anyhow::Result<()> {
    let pool = database().await?;
    let mut created = Vec::new();
    for second in [3, 1, 2, 2] {
        created.push(
            insert(
                &pool,
                &shared::repository::polling_jobs::NewJob {
                    created_at: at(second),
                    ..new_job(60)
                },
                0,
            )
            .await?,
        );
    }

    created.sort_by_key(|job| (job.created_at, job.job_id));

    let first = list(&pool, None, 3).await?;
    let after = first.last().map(|job| (job.created_at, job.job_id));
    let rest = list(&pool, after, 3).await?;

    assert_eq!((first.len(), [first, rest].concat()), (3, created));
    Ok(())
}
