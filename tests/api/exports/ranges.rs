//! Parts of a file, and the tags by which a reader knows that they belong together.

use chrono::TimeDelta;

use super::{ask, fixed, points};
use crate::fixture::{Api, at, polled};

#[tokio::test]
async fn a_file_is_read_in_ranges() {
    let api = Api::start().await;
    api.store(&points(50)).await;

    for format in ["csv", "ndjson", "parquet"] {
        let path = fixed(&api, &format!("symbol=AAPL&format={format}")).await;
        let head = ask(&api, "HEAD", &path, &[]).await;
        let whole = api.get(&path).await;
        let size = whole.bytes.len();

        assert_eq!(head.header("content-length"), size.to_string());
        assert_eq!(head.header("accept-ranges"), "bytes");
        assert_eq!(head.header("etag"), whole.header("etag"));

        let mut pieces = Vec::new();
        for start in (0..size).step_by(100) {
            let range = format!("bytes={start}-{}", start + 99);
            // A range is one of the uncompressed bytes, for every accepted encoding.
            let headers = [("range", range.as_str()), ("accept-encoding", "gzip")];
            let part = ask(&api, "GET", &path, &headers).await;
            assert_eq!(part.status, 206);
            let end = (start + 99).min(size - 1);
            assert_eq!(
                part.header("content-range"),
                format!("bytes {start}-{end}/{size}")
            );
            assert_eq!(part.header("content-length"), part.bytes.len().to_string());
            assert_eq!(part.header("etag"), whole.header("etag"));
            pieces.extend(part.bytes);
        }
        assert_eq!(pieces, whole.bytes, "{format}");

        let tail = ask(&api, "GET", &path, &[("range", "bytes=-8")]).await;
        assert_eq!(tail.bytes, whole.bytes[size - 8..]);

        let beyond = ask(&api, "GET", &path, &[("range", &format!("bytes={size}-"))]).await;
        assert_eq!(beyond.status, 416, "{}", beyond.text);
        assert_eq!(beyond.header("content-range"), format!("bytes */{size}"));
        assert_eq!(beyond.header("content-type"), "application/problem+json");

        for ignored in ["bytes=5-1", "rows=0-1", "bytes=0-1,4-5"] {
            let answered = ask(&api, "GET", &path, &[("range", ignored)]).await;
            assert_eq!(
                (answered.status, answered.bytes.len()),
                (200, size),
                "{ignored}"
            );
        }
    }
}

#[tokio::test]
async fn late_and_revised_points_change_the_tag_so_that_no_reader_mixes_two_versions() {
    let api = Api::start().await;
    api.store(&points(5)).await;
    let path = fixed(&api, "symbol=AAPL&format=csv").await;
    let known = api.get(&path).await;
    let tag = known.header("etag").to_owned();

    let late = polled(
        "AAPL",
        "quoter",
        "9",
        at(2) + TimeDelta::milliseconds(5),
        at(9),
    );
    let revised = polled("AAPL", "quoter", "3.5", at(3), at(99));
    for change in [late, revised] {
        let before = api.get(&path).await;
        api.store(&[change]).await;
        let now = api.get(&path).await;
        assert_ne!(now.header("etag"), before.header("etag"));

        let headers = [("range", "bytes=0-99"), ("if-range", tag.as_str())];
        let anew = ask(&api, "GET", &path, &headers).await;
        assert_eq!(
            (anew.status, &anew.bytes),
            (200, &now.bytes),
            "all of the new version"
        );

        let headers = [("range", "bytes=0-99"), ("if-match", tag.as_str())];
        assert_eq!(ask(&api, "GET", &path, &headers).await.status, 412);

        let headers = [("range", "bytes=0-99"), ("if-range", now.header("etag"))];
        assert_eq!(ask(&api, "GET", &path, &headers).await.status, 206);

        let headers = [
            ("range", "bytes=0-99"),
            ("if-range", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ];
        assert_eq!(
            ask(&api, "GET", &path, &headers).await.status,
            200,
            "there are no dates"
        );
    }
}

#[tokio::test]
async fn text_is_compressed_for_those_who_accept_it_and_has_a_tag_of_its_own() {
    let api = Api::start().await;
    api.store(&points(200)).await;
    let path = fixed(&api, "symbol=AAPL&format=csv").await;

    let plain = api.get(&path).await;
    for method in ["GET", "HEAD"] {
        let compressed = ask(&api, method, &path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(compressed.header("content-encoding"), "gzip");
        assert_ne!(compressed.header("etag"), plain.header("etag"));
        let size: usize = compressed.header("content-length").parse().expect("a size");
        assert!(size < plain.bytes.len() / 3);
    }
}
