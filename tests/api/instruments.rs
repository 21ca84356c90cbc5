//! Symbols that a provider spells in another way.

use shared::repository::instruments::{Instrument, put, remove_others};

use crate::fixture::Api;

fn instruments() -> [Instrument; 3] {
    let instrument = |symbol: &str, provider: &str, spelling: &str| Instrument {
        symbol: symbol.parse().expect("a symbol"),
        provider: provider.parse().expect("a name"),
        spelling: spelling.parse().expect("a symbol"),
    };
    [
        instrument("BTC-USD", "quoter", "XBTusd"),
        instrument("BITCOIN", "quoter", "XBTusd"),
        instrument("AAPL", "spare", "NOPE"),
    ]
}

#[tokio::test]
async fn a_provider_is_asked_in_its_spelling_and_everything_else_keeps_ours() {
    let pool = e2e::postgres::database().await.unwrap();
    assert_eq!(put(&pool, &instruments()).await.unwrap(), 3);
    let api = Api::spelled(pool).await;

    let symbols = "/prices/latest?max_age=0&symbols=btc-usd,BITCOIN,AAPL";
    let answer = api.get(symbols).await;
    assert_eq!(answer.status, 200);

    // Two of our symbols are one of theirs, which is asked for once.
    let mut asked = api.quoter.asked();
    asked.sort();
    assert_eq!(asked, [["AAPL"], ["XBTusd"]]);
    let events = api.log.events();
    let mut published: Vec<_> = events.iter().map(|event| event.symbol.as_str()).collect();
    published.sort_unstable();
    assert_eq!(published, ["AAPL", "BITCOIN", "BTC-USD"]);

    let unknown = api
        .get("/prices/latest?max_age=0&symbol=AAPL&provider=spare")
        .await;
    assert_eq!(unknown.status, 404);
    assert_eq!(
        unknown.json()["detail"],
        "spare does not know the symbol AAPL"
    );
}

#[tokio::test]
async fn spellings_are_changed_and_removed_as_the_file_says() {
    let pool = e2e::postgres::database().await.unwrap();
    let [mut one, other, third] = instruments();
    put(&pool, &[one.clone(), other, third]).await.unwrap();

    one.spelling = "BTC-PERP".parse().unwrap();
    let file = [one.clone()];
    let mut transaction = pool.begin().await.unwrap();
    assert_eq!(put(&mut *transaction, &file).await.unwrap(), 1);
    assert_eq!(put(&mut *transaction, &file).await.unwrap(), 0);
    assert_eq!(remove_others(&mut transaction, &file).await.unwrap(), 2);
    transaction.commit().await.unwrap();

    let left = shared::repository::instruments::all(&pool).await.unwrap();
    assert_eq!(left, file);
}

#[tokio::test]
async fn spellings_that_cannot_be_read_are_not_the_provider_s_failure() {
    let pool = e2e::postgres::database().await.unwrap();
    let api = Api::spelled(pool.clone()).await;
    let rename = async |from: &str, to: &str| {
        let statement = format!("alter table {from} rename to {to}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .unwrap();
    };

    rename("instruments", "away").await;
    for _ in 0..6 {
        let answered = api.get("/prices/latest?symbol=AAPL&max_age=0").await;
        answered.assert_unavailable("database-unavailable");
    }
    assert!(api.quoter.asked().is_empty());

    rename("away", "instruments").await;
    let answered = api.get("/prices/latest?symbol=AAPL&max_age=0").await;
    assert_eq!(answered.status, 200, "the breaker is closed");
}
