//! `GET /prices/history` as a file: CSV, NDJSON and Parquet, whose bytes stay while points arrive.

use serde_json::json;
use shared::price_event::PriceEvent;

use crate::fixture::{Answered, Api, event};

mod ranges;

const WIDEST: &str = "99999999999.999999999999999";

/// Points with the prices 1 to `count`, a second apart.
fn points(count: i64) -> Vec<PriceEvent> {
    (1..=count)
        .map(|number| event("AAPL", "quoter", &number.to_string(), number))
        .collect()
}

async fn ask(api: &Api, method: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
    api.send_with(method, path, String::new(), headers).await
}

/// The path of the same file with a fixed end, which the answer to a request without one names.
async fn fixed(api: &Api, query: &str) -> String {
    let answered = api.get(&format!("/prices/history?{query}")).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    let path = answered.header("content-location").to_owned();

    let same = api.get(&path).await;
    assert_eq!(same.bytes, answered.bytes);
    assert_eq!(same.header("etag"), answered.header("etag"));
    assert_eq!(same.header("link"), answered.header("link"));
    assert_eq!(same.header("content-location"), "", "{path}");
    path
}

/// Lets `seconds` pass for the ends that are held.
async fn pass(api: &Api, seconds: f64) {
    let past = "update export_ends set used_at = used_at - make_interval(secs => $1),
                    found_at = found_at - make_interval(secs => $1)";
    sqlx::query(past)
        .bind(seconds)
        .execute(&api.pool)
        .await
        .expect("an update");
}

/// The target of the `Link` to the next page.
fn next(answered: &Answered) -> Option<String> {
    let link = answered.header("link").strip_suffix(">; rel=\"next\"")?;
    link.strip_prefix('<').map(str::to_owned)
}

#[tokio::test]
async fn csv_and_ndjson_have_every_digit_newest_first() {
    let api = Api::start().await;
    api.store(&[
        event("AAPL", "quoter", "0.70", 1),
        event("AAPL", "quoter", WIDEST, 2),
    ])
    .await;

    let csv = api.get(&fixed(&api, "symbol=AAPL&format=csv").await).await;
    assert_eq!(
        csv.header("content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    assert_eq!(
        csv.header("content-disposition"),
        "attachment; filename=\"AAPL-quoter.csv\""
    );
    assert_eq!(
        csv.text,
        "symbol,provider,timestamp,price,currency,moving_average,points,polled_at\n\
         AAPL,quoter,2023-11-14T22:13:22Z,99999999999.999999999999999,USD,50000000000.3499999999999995,2,2023-11-14T22:13:23Z\n\
         AAPL,quoter,2023-11-14T22:13:21Z,0.7,USD,0.7,1,2023-11-14T22:13:22Z\n"
    );

    let path = fixed(&api, "symbol=AAPL&format=ndjson").await;
    let ndjson = api.get(&path).await;
    assert_eq!(ndjson.header("content-type"), "application/x-ndjson");
    let (first, second) = ndjson.text.split_once('\n').expect("lines");
    assert!(
        first.contains("\"price\":99999999999.999999999999999,"),
        "{first}"
    );
    assert!(
        first.contains("\"moving_average\":50000000000.3499999999999995,"),
        "{first}"
    );
    assert!(
        second.contains("\"price\":0.7,") && second.ends_with("}\n"),
        "{second}"
    );
}

#[tokio::test]
async fn parquet_is_a_file_of_its_own_media_type() {
    let api = Api::start().await;
    api.store(&points(3)).await;

    for (query, headers) in [
        ("symbol=AAPL&format=parquet", vec![]),
        (
            "symbol=AAPL",
            vec![("accept", "application/vnd.apache.parquet")],
        ),
        (
            "symbol=AAPL&format=parquet",
            vec![("accept", "text/html"), ("accept-encoding", "gzip")],
        ),
    ] {
        let answered = ask(&api, "GET", &format!("/prices/history?{query}"), &headers).await;

        assert_eq!(
            answered.header("content-type"),
            "application/vnd.apache.parquet"
        );
        assert_eq!(answered.header("content-encoding"), "");
        assert_eq!(answered.header("vary"), "accept");
        assert!(answered.bytes.starts_with(b"PAR1") && answered.bytes.ends_with(b"PAR1"));
    }
}

#[tokio::test]
async fn the_bytes_at_a_url_stay_the_same_while_points_arrive() {
    let api = Api::start().await;
    api.store(&points(9)).await;

    for format in ["csv", "ndjson", "parquet"] {
        let path = fixed(&api, &format!("symbol=AAPL&format={format}&limit=4")).await;
        let first = api.get(&path).await;
        let second = api.get(&next(&first).expect("a second page")).await;

        let count: i64 = sqlx::query_scalar("select count(*) from price_points")
            .fetch_one(&api.pool)
            .await
            .expect("a count");
        api.store(&[event("AAPL", "quoter", "7.5", 100 + count)])
            .await;

        for (page, known) in [
            (path.clone(), &first),
            (next(&first).expect("a second page"), &second),
        ] {
            let again = api.get(&page).await;
            assert_eq!(again.bytes, known.bytes, "{format}");
            assert_eq!(again.header("etag"), known.header("etag"));
            assert_eq!(again.header("link"), known.header("link"));

            let tag = [("if-none-match", known.header("etag"))];
            let unchanged = ask(&api, "GET", &page, &tag).await;
            assert_eq!(unchanged.status, 304);
        }

        pass(&api, 5.1).await;
        let later = fixed(&api, &format!("symbol=AAPL&format={format}&limit=4")).await;
        assert_ne!(later, path, "a new reader gets the new point");
    }
}

#[tokio::test]
async fn pages_follow_the_link_without_gap_or_repeat() {
    let api = Api::start().await;
    api.store(&points(7)).await;

    for limit in [1, 2, 3, 7, 8] {
        let query = format!("symbol=AAPL&format=csv&limit={limit}&_=17");
        let mut page = Some(fixed(&api, &query).await);
        let mut prices = Vec::new();

        while let Some(path) = page {
            let answered = api.get(&path).await;
            assert_eq!(answered.status, 200, "{}", answered.text);
            let lines = answered.text.lines().skip(1);
            prices.extend(lines.filter_map(|line| Some(line.split(',').nth(3)?.to_owned())));
            page = next(&answered);
        }
        assert_eq!(prices, ["7", "6", "5", "4", "3", "2", "1"], "limit {limit}");
    }
}

#[tokio::test]
async fn without_a_cursor_the_end_is_held_while_requests_follow_each_other() {
    let api = Api::start().await;
    api.store(&points(5)).await;
    let open = "/prices/history?symbol=AAPL&format=csv";
    let known = api.get(open).await;

    // All forms of a series end together, on every instance.
    let mut number = 100;
    for _ in 0..12 {
        number += 1;
        api.store(&[event("AAPL", "quoter", "7.5", number)]).await;
        pass(&api, 3.0).await;
        let head = ask(&api, "HEAD", open, &[]).await;
        assert_eq!(head.header("etag"), known.header("etag"));
        let range = ask(&api, "GET", open, &[("range", "bytes=5-9")]).await;
        assert_eq!(
            (range.status, range.bytes),
            (206, known.bytes[5..10].to_vec())
        );
    }

    sqlx::query("update export_ends set found_at = found_at - interval '25 s'")
        .execute(&api.pool)
        .await
        .expect("an update");
    let minute_later = api.get(open).await;
    assert_eq!(
        minute_later.text.lines().count(),
        1 + 5 + 12,
        "for a minute at most"
    );

    api.store(&[event("AAPL", "quoter", "7.5", 200)]).await;
    assert_eq!(api.get(open).await.bytes, minute_later.bytes);
    pass(&api, 5.1).await;
    assert_eq!(
        api.get(open).await.text.lines().count(),
        1 + 5 + 13,
        "a pause ends it"
    );
}

#[tokio::test]
async fn a_file_that_cannot_grow_is_fixed_already() {
    let api = Api::start().await;
    api.store(&points(5)).await;

    for (query, is_fixed) in [
        ("provider=quoter&to=2023-11-14T22:13:24Z", true),
        ("provider=quoter&to=2023-11-14T22:13:25.000001Z", true),
        ("provider=quoter&to=2023-11-14T22:13:25.000002Z", false),
        ("provider=quoter", false),
        ("to=2023-11-14T22:13:24Z", false),
        ("from=2023-11-14T22:13:24Z", false),
    ] {
        for method in ["GET", "HEAD"] {
            let path = format!("/prices/history?symbol=AAPL&format=csv&{query}");
            let answered = ask(&api, method, &path, &[]).await;
            assert_eq!(answered.status, 200, "{method} {query}");
            assert_eq!(
                answered.header("content-location").is_empty(),
                is_fixed,
                "{query}"
            );
        }
    }

    let bounded = "symbol=AAPL&format=csv&from=2023-11-14T22:13:23Z&to=2023-11-14T22:13:25Z";
    let answered = api.get(&fixed(&api, bounded).await).await;
    assert_eq!(
        answered.text.lines().count(),
        1 + 2,
        "the bounds stay: {}",
        answered.text
    );

    let none = "/prices/history?symbol=AAPL&provider=quoter&to=1970-01-01T00:00:00Z&format=";
    assert_eq!(api.get(&format!("{none}csv")).await.text.lines().count(), 1);
    assert_eq!(api.get(&format!("{none}ndjson")).await.text, "");
    assert!(
        api.get(&format!("{none}parquet"))
            .await
            .bytes
            .starts_with(b"PAR1")
    );
}

#[tokio::test]
async fn each_bad_parameter_of_a_file_is_named() {
    let api = Api::start().await;
    api.store(&points(2)).await;

    for (query, place) in [
        ("format=", "query.format"),
        ("format=xlsx", "query.format"),
        ("format=CSV", "query.format"),
        ("format=%FF", "query.format"),
        ("format=csv&format=csv", "query.format"),
        ("format=csv&limit=0", "query.limit"),
        ("format=csv&limit=50001", "query.limit"),
        ("format=json&limit=1001", "query.limit"),
        ("format=csv&cursor=x", "query.cursor"),
        ("format=csv&colour=red", "query.colour"),
        ("format=csv&to=now", "query.to"),
    ] {
        let answered = api
            .get(&format!("/prices/history?symbol=AAPL&{query}"))
            .await;
        let errors = &answered.json()["errors"];
        assert_eq!(
            (answered.status, &errors[0]["location"]),
            (422, &json!(place)),
            "{query}"
        );
        assert_eq!(
            errors.as_array().map(Vec::len),
            Some(1),
            "{query}: {errors}"
        );
    }

    let refused = ask(
        &api,
        "GET",
        "/prices/history?symbol=AAPL",
        &[("accept", "image/png")],
    )
    .await;
    assert_eq!(refused.status, 406);
    for offered in [
        "application/json",
        "text/csv",
        "application/x-ndjson",
        "application/vnd.apache.parquet",
    ] {
        assert!(refused.text.contains(offered), "{}", refused.text);
    }

    let named = ask(
        &api,
        "GET",
        "/prices/history?symbol=AAPL&format=json",
        &[("accept", "image/png")],
    );
    assert_eq!(named.await.status, 200, "format decides");
    assert_eq!(
        api.get("/prices/history?symbol=NONE&format=csv")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_cursor_of_a_json_page_continues_as_a_file() {
    let api = Api::start().await;
    api.store(&points(5)).await;

    let page = api.get("/prices/history?symbol=AAPL&limit=2").await;
    let link = next(&page).expect("a next page");
    let cursor = page.json()["next_cursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    assert_eq!(
        link,
        format!("/prices/history?symbol=AAPL&limit=2&cursor={cursor}")
    );

    let file = api
        .get(&format!(
            "/prices/history?symbol=AAPL&format=csv&cursor={cursor}"
        ))
        .await;
    assert_eq!(file.status, 200);
    assert_eq!(file.text.lines().count(), 1 + 3);
    assert_eq!(file.header("link"), "", "the last page");
}
