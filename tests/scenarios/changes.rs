//! A client that follows the changes while functions are killed has what the history shows.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::processes;
use e2e::stack::Stack;
use e2e::waiting::until;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const SYMBOLS: [&str; 3] = ["S0", "S1", "S2"];
/// Quotes that are published.
const QUOTES: u32 = 600;

/// Publishes quotes in random order of time, of a few times each: new, late, repeated and revised.
async fn produce(stack: &Stack, seed: u64) {
    let producer = stack.producer().unwrap();
    let mut random = StdRng::seed_from_u64(seed);

    for number in 0..QUOTES {
        let symbol = SYMBOLS[random.random_range(0..SYMBOLS.len())];
        let second = random.random_range(0..=number / 2);
        let (minute, second) = (second / 60, second % 60);
        // So many digits that an average which changes twice does not change back.
        let digits = random.random_range(100_000_000..1_000_000_000);
        let event = format!(
            r#"{{"symbol":"{symbol}","price":{number}.{digits},"timestamp":"2024-03-20T10:{minute:02}:{second:02}Z","source":"made"}}"#
        );
        producer.send(symbol, event.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(random.random_range(0..40))).await;
    }
}

/// Kills instances of the api and the averager, one after the other.
async fn kill(stack: &Stack) {
    for function in ["averager", "api"].repeat(4) {
        sleep(Duration::from_millis(900)).await;
        if let Some(pid) = stack.instances(function).first() {
            processes::signal(*pid, Signal::SIGKILL);
        }
    }
}

type Table = BTreeMap<(String, String), Value>;

/// Asks for the changes after `after`, again and again, and keeps them in `table`. Ends with the
/// cursor once `is_enough` and nothing is left. A request that gets no answer is sent again.
async fn follow(
    stack: &Stack,
    mut after: Option<String>,
    table: &mut Table,
    is_enough: impl Fn() -> bool,
) -> Option<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    loop {
        let last_round = is_enough();
        let query = after
            .as_ref()
            .map_or_else(String::new, |after| format!("&after={after}"));
        let path = format!("/prices/changes?symbols=S0,S1,S2&provider=made&wait=1&limit=50{query}");

        let answer = client
            .get(format!("{}{path}", stack.ready.url))
            .send()
            .await;
        let Ok(answer) = answer else { continue };
        let status = answer.status().as_u16();
        let body: Value = match answer.text().await {
            Ok(text) => serde_json::from_str(&text).unwrap_or_default(),
            Err(_) => continue,
        };
        // A provider of which nothing is stored yet is unknown.
        if status >= 500 || status == 400 {
            sleep(Duration::from_millis(100)).await;
            continue;
        }
        assert_eq!(status, 200, "{body}");

        let items = body["items"].as_array().unwrap();
        for item in items {
            let mut item = item.clone();
            item.as_object_mut().unwrap().remove("change");
            let key = (item["symbol"].to_string(), item["timestamp"].to_string());
            assert_ne!(table.insert(key, item.clone()), Some(item), "comes twice");
        }
        after = body["next_cursor"].as_str().map(str::to_owned);

        if items.is_empty() && last_round {
            return after;
        }
    }
}

async fn history(stack: &Stack) -> Table {
    let mut table = Table::new();
    for symbol in SYMBOLS {
        let path = format!("/prices/history?symbol={symbol}&provider=made&limit=1000");
        let (status, page) = stack.get(&path).await;
        assert_eq!(status, 200, "{page}");

        for item in page["items"].as_array().unwrap() {
            let mut item = item.clone();
            item["symbol"] = symbol.into();
            item["provider"] = "made".into();
            table.insert(
                (item["symbol"].to_string(), item["timestamp"].to_string()),
                item,
            );
        }
    }
    table
}

/// Waits until nothing has been stored for two seconds.
async fn until_settled(stack: &Stack) {
    let database = stack.database().unwrap();
    let mut last = (0, Instant::now());
    until("end of the batches", Duration::from_secs(60), async || {
        let batches: i64 = sqlx::query_scalar("select sum(version)::int8 from ingest_fences")
            .fetch_one(&database)
            .await
            .unwrap();
        if batches != last.0 {
            last = (batches, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(2)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_follows_while_functions_are_killed_has_what_the_history_shows() {
    let seed = rand::random();
    println!("seed {seed}");

    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start_in(data.path()).await.unwrap();
    let settled = std::cell::Cell::new(false);
    let mut table = Table::new();

    let published = async {
        tokio::join!(produce(&stack, seed), kill(&stack));
        until_settled(&stack).await;
        settled.set(true);
    };
    let (after, ()) = tokio::join!(
        follow(&stack, None, &mut table, || settled.get()),
        published
    );
    assert_eq!(table, history(&stack).await);

    // The cursor goes on after a restart of everything.
    assert_eq!(stack.stop(Signal::SIGKILL).await, None);
    let stack = Stack::start_in(data.path()).await.unwrap();
    produce(&stack, seed.wrapping_add(1)).await;
    until_settled(&stack).await;
    follow(&stack, after, &mut table, || true).await;
    assert_eq!(table, history(&stack).await);
}
