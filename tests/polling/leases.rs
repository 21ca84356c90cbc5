//! Leases on fetches, of many instances at the same time.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use shared::market::{ProviderName, Symbol, Timestamp};
use shared::repository::fetch_leases::{Claim, Lease, Outcome, claim, delete_old, release, renew};
use shared::repository::{self, Error};
use sqlx::PgPool;
use uuid::Uuid;

fn provider() -> ProviderName {
    "shared".parse().expect("as in every test")
}

/// Symbols whose order depends on how they are compared.
fn symbols(count: usize) -> Vec<Symbol> {
    let mark = |number| ["^", "", "-", "."][number % 4];
    let text = |number| format!("{}S{number}", mark(number));
    (0..count)
        .map(|number| text(number).parse().expect("as in every test"))
        .collect()
}

fn of(provider: &ProviderName, holder: Uuid, lease: Duration) -> Claim<'_> {
    Claim {
        provider,
        holder,
        lease,
        accepts: Utc::now(),
        waiting_since: None,
    }
}

async fn granted(
    pool: &PgPool,
    claimed: &Claim<'_>,
    symbols: &[Symbol],
) -> Result<Vec<Symbol>, Error> {
    let (leases, _) = claim(pool, claimed, symbols).await?;
    let granted = leases
        .into_iter()
        .filter(|(_, lease)| *lease == Lease::Granted);
    Ok(granted.map(|(symbol, _)| symbol).collect())
}

/// Claims, releases and deletions of the same rows by many instances, each in an order of its own.
/// The seed is printed.
#[tokio::test(flavor = "multi_thread")]
async fn claims_and_releases_of_the_same_symbols_in_any_order_never_wait_for_each_other_in_a_circle()
-> anyhow::Result<()> {
    const INSTANCES: u64 = 16;
    const ROUNDS: usize = 40;

    let seed: u64 = rand::random();
    println!("seed {seed}");
    let pool = repository::connect(&e2e::postgres::database_url().await?, 20)?;

    let instances = (0..INSTANCES).map(|number| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
            let (provider, mut symbols) = (provider(), symbols(60));
            let mut held = 0;
            for round in 0..ROUNDS {
                symbols.shuffle(&mut random);
                let wanted = &symbols[..40];
                let holder = Uuid::new_v4();
                let claimed = of(&provider, holder, Duration::from_secs(2));
                let granted = granted(&pool, &claimed, wanted).await?;
                held += granted.len();

                let mut ended: Vec<_> = granted
                    .into_iter()
                    .map(|symbol| (symbol, Outcome::Ended))
                    .collect();
                ended.shuffle(&mut random);
                release(&pool, &provider, holder, &ended).await?;
                if round % 8 == 7 {
                    // Those without a quote are old at once.
                    delete_old(&pool).await?;
                }
            }
            anyhow::Ok(held)
        })
    });

    for instance in join_all(instances).await {
        assert!(instance?? > 0, "an instance got nothing");
    }
    Ok(())
}

#[tokio::test]
async fn each_symbol_is_granted_to_one_of_many_claimers_at_the_same_time() -> anyhow::Result<()> {
    let pool = repository::connect(&e2e::postgres::database_url().await?, 20)?;
    let (provider, symbols) = (provider(), symbols(30));

    for _ in 0..5 {
        let claims = (0..20).map(|_| async {
            let claimed = of(&provider, Uuid::new_v4(), Duration::from_secs(60));
            granted(&pool, &claimed, &symbols).await
        });
        let mut all = Vec::new();
        for granted in join_all(claims).await {
            all.extend(granted?);
        }

        all.sort_unstable();
        let mut once = symbols.clone();
        once.sort_unstable();
        assert_eq!(all, once);
        sqlx::query("update fetch_leases set lease_until = '-infinity'")
            .execute(&pool)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_lease_is_renewed_by_its_holder_only_and_not_once_it_was_released() -> anyhow::Result<()>
{
    let pool = e2e::postgres::database().await?;
    let (provider, symbols) = (provider(), symbols(2));
    let minute = Duration::from_secs(60);
    let claims = [(); 3].map(|()| of(&provider, Uuid::new_v4(), minute));
    let [one, other, third] = &claims;
    let expire = async || {
        let expire = "update fetch_leases set lease_until = now() where lease_until > now()";
        sqlx::query(expire).execute(&pool).await
    };

    assert_eq!(granted(&pool, one, &symbols).await?.len(), 2);
    expire().await?;
    renew(&pool, one, &symbols).await?;
    assert_eq!(granted(&pool, other, &symbols).await?, []);

    let ended = [(symbols[0].clone(), Outcome::Ended)];
    release(&pool, &provider, one.holder, &ended).await?;
    renew(&pool, one, &symbols).await?;
    assert_eq!(granted(&pool, other, &symbols).await?, symbols[..1]);

    expire().await?;
    renew(&pool, one, &symbols).await?;
    assert_eq!(granted(&pool, third, &symbols).await?, symbols[..1]);
    Ok(())
}

#[tokio::test]
async fn a_lease_that_a_wrong_clock_wrote_for_far_in_the_future_is_free() -> anyhow::Result<()> {
    let pool = e2e::postgres::database().await?;
    let (provider, symbols) = (provider(), symbols(1));
    let claimed = of(&provider, Uuid::new_v4(), Duration::from_secs(2));
    assert_eq!(granted(&pool, &claimed, &symbols).await?, symbols);
    assert_eq!(granted(&pool, &claimed, &symbols).await?, []);

    let hour: Timestamp = Utc::now() + TimeDelta::hours(1);
    sqlx::query("update fetch_leases set lease_until = $1, polled_at = $1, event = 'x'")
        .bind(hour)
        .execute(&pool)
        .await?;
    assert_eq!(granted(&pool, &claimed, &symbols).await?, symbols);
    Ok(())
}
