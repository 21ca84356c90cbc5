//! `GET /prices/changes`: a client that follows it has what the history shows; it waits without a
//! connection, and is told when its cursor is of no use.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::raw_sql;

use crate::fixture::{Answered, Api, at, event, polled};

/// Longest that a test waits for something.
const PATIENCE: Duration = Duration::from_secs(20);

async fn get(api: &Api, query: &str) -> Answered {
    let path = format!("/prices/changes?{query}");
    api.send("GET", &path, String::new()).await
}

/// The page's cursor; the page must be one.
fn cursor(page: &Answered) -> String {
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(page.header("cache-control"), "no-store");
    let cursor = page.json()["next_cursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    let next = format!("after={cursor}>; rel=\"next\"");
    assert!(
        page.header("link").ends_with(&next),
        "{}",
        page.header("link")
    );
    cursor
}

/// Follows from `after` on until nothing is left, into `table`, and returns the last cursor.
async fn follow(api: &Api, after: Option<String>, table: &mut BTreeMap<String, Value>) -> String {
    let mut after = after.map_or_else(String::new, |cursor| format!("&after={cursor}"));

    loop {
        let page = get(
            api,
            &format!("symbols=AAPL,MSFT&provider=quoter&limit=3{after}"),
        )
        .await;
        let cursor = cursor(&page);
        let body = page.json();

        let items = body["items"].as_array().expect("items").clone();
        let is_last = items.is_empty() && body["more"] == false;
        for mut item in items {
            item.as_object_mut().expect("an item").remove("change");
            let key = format!("{} {}", item["symbol"], item["timestamp"]);
            table.insert(key, item);
        }
        if is_last {
            return cursor;
        }
        after = format!("&after={cursor}");
    }
}

/// What the history shows, in the same form.
async fn history(api: &Api) -> BTreeMap<String, Value> {
    let mut table = BTreeMap::new();
    for symbol in ["AAPL", "MSFT"] {
        let path = format!("/prices/history?symbol={symbol}&provider=quoter&limit=1000");
        let page = api.get(&path).await.json();

        // A series without a point is unknown.
        for item in page["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            item["symbol"] = page["symbol"].clone();
            item["provider"] = page["provider"].clone();
            table.insert(format!("{} {}", item["symbol"], item["timestamp"]), item);
        }
    }
    table
}

#[tokio::test]
async fn a_client_that_follows_has_what_the_history_shows() {
    let api = Api::start().await;
    let (mut table, mut after) = (BTreeMap::new(), None);

    let quotes = |symbol, seconds: &[i64]| -> Vec<_> {
        let price = |second: &i64| format!("1{second}.5");
        let quote = |second| event(symbol, "quoter", &price(second), *second);
        seconds.iter().map(quote).collect()
    };
    let revised = polled(
        "AAPL",
        "quoter",
        "99999999999.999999999999999",
        at(20),
        at(500),
    );
    let again = polled("AAPL", "quoter", "1100.5", at(100), at(700));

    for batch in [
        quotes("AAPL", &[0, 10, 20, 30, 40, 100]),
        quotes("MSFT", &[5]),
        quotes("AAPL", &[25, 15, 110]),
        vec![revised, again],
        quotes("MSFT", &[1, 2, 3, 4]),
    ] {
        api.store(&batch).await;
        after = Some(follow(&api, after, &mut table).await);
        assert_eq!(table, history(&api).await);
    }

    assert_eq!(table.len(), 14);
    let mut anew = BTreeMap::new();
    follow(&api, None, &mut anew).await;
    assert_eq!(anew, table);
}

/// Waits until the API has no connection to Postgres.
async fn until_unconnected(api: &Api) {
    let closed = async || (api.pool.size() == 0).then_some(());
    e2e::waiting::until("request without a connection", PATIENCE, closed).await;
}

#[tokio::test]
async fn a_request_waits_without_a_connection_until_something_is_stored() {
    let api = Api::start().await;
    api.store(&[event("AAPL", "quoter", "10", 0)]).await;
    let mut now = cursor(&get(&api, "symbols=aapl,NEW&after=now&wait=20").await);

    for (stored, symbol) in [
        (event("AAPL", "quoter", "11", 10), "AAPL"),
        (event("AAPL", "quoter", "12", -5), "AAPL"),
        (event("NEW", "spare", "13", 0), "NEW"),
    ] {
        let query = format!("symbols=aapl,NEW&after={now}&wait=20");
        let began = Instant::now();
        let (page, ()) = tokio::join!(get(&api, &query), async {
            until_unconnected(&api).await;
            api.store(std::slice::from_ref(&stored)).await;
        });

        now = cursor(&page);
        assert!(
            page.each("symbol").contains(&Value::from(symbol)),
            "{}",
            page.text
        );
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn a_wait_without_a_change_ends_empty_at_the_same_place() {
    let api = Api::start().await;
    api.store(&[event("AAPL", "quoter", "10", 0)]).await;
    let now = cursor(&get(&api, "symbols=AAPL&after=now").await);

    let began = Instant::now();
    let page = get(&api, &format!("symbols=AAPL&after={now}&wait=2")).await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!((cursor(&page), page.each("symbol")), (now, Vec::new()));
    assert_eq!(page.json()["more"], false);
}

/// Sessions that were opened to the test's database so far.
async fn sessions(observer: &sqlx::PgPool, database: &str) -> i64 {
    sqlx::query_scalar("select sessions from pg_stat_database where datname = $1")
        .bind(database)
        .fetch_one(observer)
        .await
        .expect("a count")
}

#[tokio::test]
async fn all_that_wait_in_an_instance_share_one_look_a_second() {
    let api = Api::start().await;
    let options = api.pool.connect_options();
    let name = options.get_database().expect("a name").to_owned();
    let options = (*options).clone().database("postgres");
    let observer = sqlx::PgPool::connect_with(options)
        .await
        .expect("an observer");

    let waiting = (0..200).map(|_| get(&api, "symbols=AAPL&wait=20"));
    let (answers, opened) = tokio::join!(futures::future::join_all(waiting), async {
        until_unconnected(&api).await;
        let before = sessions(&observer, &name).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let opened = sessions(&observer, &name).await - before;

        api.store(&[event("AAPL", "quoter", "10", 0)]).await;
        opened
    });

    assert!(
        answers
            .iter()
            .all(|answer| answer.each("symbol") == ["AAPL"])
    );
    // A look opens a session. The first ones may still be those of the requests themselves.
    assert!((1..=20).contains(&opened), "{opened} sessions in 5 s");
}

#[tokio::test]
async fn a_cursor_of_a_past_that_a_restore_undid_is_a_410_that_says_what_to_do() {
    let api = Api::start().await;
    api.store(&[event("AAPL", "quoter", "10", 0)]).await;
    let now = cursor(&get(&api, "symbols=AAPL&after=now").await);

    raw_sql("update ingest_fences set version = version - 1, epoch = gen_random_uuid()")
        .execute(&api.pool)
        .await
        .expect("a restore");

    let refused = get(&api, &format!("symbols=AAPL&after={now}&wait=20")).await;
    let problem = refused.json();
    assert_eq!(
        (refused.status, &problem["type"]),
        (410, &"/docs#changes-gone".into())
    );
    assert!(
        problem["detail"]
            .to_string()
            .contains("begin again without after")
    );
}

#[tokio::test]
async fn an_unknown_provider_is_a_400_and_too_many_series_are_a_422() {
    let api = Api::start().await;
    assert_eq!(
        get(&api, "symbols=AAPL&provider=nobody&wait=20")
            .await
            .status,
        400
    );
    assert_eq!(get(&api, "symbols=AAPL&provider=spare").await.status, 200);

    let events: Vec<_> = (0..201)
        .map(|number| event("AAPL", &format!("feed-{number}"), "1", 0))
        .collect();
    api.store(&events).await;

    let refused = get(&api, "symbols=AAPL").await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["errors"][0]["location"], "query.symbols");
    assert_eq!(
        get(&api, "symbols=AAPL&provider=feed-7")
            .await
            .each("provider"),
        ["feed-7"]
    );
}
