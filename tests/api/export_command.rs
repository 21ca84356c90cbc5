//! The command `export`: whole series as files.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::binaries;
use export::report::JsonLines;
use export::{Options, Outcome, export};
use exports::{Format, TextFormat};
use serde_json::Value;
use shared::repository::price_points::Range;
use sqlx::PgPool;

use crate::fixture::{Api, at, event};

const CSV: Format = Format::Text(TextFormat::Csv);

fn options(directory: &Path, format: Format) -> Options {
    Options {
        symbols: Vec::new(),
        provider: None,
        range: Range::default(),
        format,
        directory: directory.to_owned(),
        overwrite: false,
    }
}

async fn run(pool: &PgPool, options: &Options) -> anyhow::Result<Outcome> {
    export(pool, options, &mut JsonLines(Vec::new())).await
}

/// The files below a directory, hidden ones included, relative to it.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            found.extend(
                files(&path)
                    .into_iter()
                    .map(|file| format!("{name}/{file}")),
            );
        } else {
            found.push(
                path.file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    found.sort();
    found
}

async fn store() -> Api {
    filled(Api::start().await).await
}

async fn filled(api: Api) -> Api {
    api.store(&[
        event("AAPL", "quoter", "99999999999.999999999999999", 1),
        event("AAPL", "quoter", "0.7", 2),
        event("AAPL", "spare", "3", 1),
        event("a/../b", "spare", "4", 1),
    ])
    .await;
    api
}

#[tokio::test]
async fn each_series_becomes_a_file_oldest_point_first() {
    let (api, out) = (store().await, tempfile::tempdir().expect("a directory"));

    for format in Format::ALL {
        let done = run(&api.pool, &options(out.path(), format))
            .await
            .expect("it is done");
        assert_eq!((done.written, done.passed_over, done.points), (3, 0, 4));
    }

    let names = files(out.path());
    assert_eq!(names.len(), 9, "{names:?}");
    assert!(
        names.contains(&"spare/a%2F..%2Fb.csv".to_owned()),
        "{names:?}"
    );

    let csv = fs::read_to_string(out.path().join("quoter/AAPL.csv")).expect("a file");
    assert_eq!(
        csv,
        "symbol,provider,timestamp,price,currency,moving_average,points,polled_at\n\
         AAPL,quoter,2023-11-14T22:13:21Z,99999999999.999999999999999,USD,99999999999.999999999999999,1,2023-11-14T22:13:22Z\n\
         AAPL,quoter,2023-11-14T22:13:22Z,0.7,USD,50000000000.3499999999999995,2,2023-11-14T22:13:23Z\n"
    );
    let parquet = fs::read(out.path().join("quoter/AAPL.parquet")).expect("a file");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

#[tokio::test]
async fn symbols_providers_and_times_choose_what_is_exported() {
    let (api, out) = (store().await, tempfile::tempdir().expect("a directory"));

    let one = Options {
        symbols: vec!["AAPL".parse().expect("a symbol")],
        provider: Some("quoter".parse().expect("a name")),
        range: Range {
            from: Some(at(2)),
            to: Some(at(3)),
        },
        ..options(out.path(), CSV)
    };
    assert_eq!(run(&api.pool, &one).await.expect("it is done").points, 1);
    assert_eq!(files(out.path()), ["quoter/AAPL.csv"]);

    let missing = Options {
        symbols: vec![
            "AAPL".parse().expect("a symbol"),
            "NOPE".parse().expect("a symbol"),
        ],
        overwrite: true,
        ..options(out.path(), CSV)
    };
    let error = run(&api.pool, &missing)
        .await
        .expect_err("one is not stored");
    assert!(error.to_string().contains("not stored: NOPE"), "{error}");
    assert_eq!(files(out.path()), ["quoter/AAPL.csv"], "nothing was begun");
}

#[tokio::test]
async fn a_run_that_was_ended_is_continued_and_no_half_file_has_the_final_name() {
    let (api, out) = (store().await, tempfile::tempdir().expect("a directory"));

    // The series of `spare` cannot be written: a file is where its directory belongs.
    fs::write(out.path().join("spare"), "").expect("a file");
    let error = run(&api.pool, &options(out.path(), CSV)).await;
    assert!(format!("{:#}", error.expect_err("it fails")).contains("spare"));
    assert_eq!(files(out.path()), ["quoter/AAPL.csv", "spare"]);

    // And a killed run left half a file.
    fs::remove_file(out.path().join("spare")).expect("it is gone");
    fs::create_dir(out.path().join("spare")).expect("a directory");
    fs::write(
        out.path().join("spare/.AAPL.csv.partial"),
        "x".repeat(9_999),
    )
    .expect("a file");

    let known = fs::read(out.path().join("quoter/AAPL.csv")).expect("a file");
    api.store(&[event("AAPL", "quoter", "5", 9)]).await;
    let done = run(&api.pool, &options(out.path(), CSV))
        .await
        .expect("it is done");
    assert_eq!((done.written, done.passed_over), (2, 1));
    let names = ["quoter/AAPL.csv", "spare/AAPL.csv", "spare/a%2F..%2Fb.csv"];
    assert_eq!(files(out.path()), names);
    assert_eq!(
        fs::read(out.path().join("quoter/AAPL.csv")).expect("a file"),
        known
    );
    let lines = fs::read_to_string(out.path().join("spare/AAPL.csv")).expect("a file");
    assert_eq!(lines.lines().count(), 2);

    let anew = Options {
        overwrite: true,
        ..options(out.path(), CSV)
    };
    let done = run(&api.pool, &anew).await.expect("it is done");
    assert_eq!((done.written, done.passed_over, done.points), (3, 0, 5));
}

#[tokio::test]
async fn piped_it_prints_json_lines_and_its_status_tells_what_happened() {
    let out = tempfile::tempdir().expect("a directory");
    let url = e2e::postgres::database_url().await.expect("a database");
    let pool = shared::repository::connect(&url, 3).expect("a pool");
    let _api = filled(Api::over(pool).await).await;
    let binary = tokio::task::spawn_blocking(binaries::directory)
        .await
        .expect("it ends")
        .expect("binaries")
        .join("export");

    let run = |arguments: &[&str], url: &str| {
        Command::new(&binary)
            .args(["--out", &out.path().to_string_lossy()])
            .args(arguments)
            .env("DATABASE_URL", url)
            .output()
            .expect("it runs")
    };

    let done = run(&["--format", "ndjson"], &url);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let lines: Vec<Value> = String::from_utf8_lossy(&done.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let events: Vec<_> = lines
        .iter()
        .filter_map(|line| line["event"].as_str())
        .collect();
    assert_eq!(events[..3], ["begin", "progress", "written"]);
    assert_eq!(events.last(), Some(&"done"));
    assert_eq!(lines[1]["percent"], 100.0);
    assert_eq!(lines[events.len() - 1]["outcome"]["points"], 4);

    let unknown = run(&["--symbol", "NOPE"], &url);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("NOPE"),
        "{unknown:?}"
    );

    for wrong in [
        ["--format", "xlsx"],
        ["--from", "yesterday"],
        ["--symbol", "A B"],
    ] {
        assert_eq!(run(&wrong, &url).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(run(&[], "").status.code(), Some(2), "no database is named");
}
