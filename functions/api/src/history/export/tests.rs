use super::*;

fn series(symbol: &str) -> Series {
    let time = "2024-03-20T10:30:00.123456Z".parse().unwrap();
    let price = "99999999999.999999999999999".parse().unwrap();
    Series {
        series_id: 1,
        symbol: symbol.parse().unwrap(),
        provider: "replay".parse().unwrap(),
        timestamp: time,
        polled_at: time,
        price,
        currency: None,
        moving_average: price.into(),
        points: 1,
    }
}

#[test]
fn the_largest_file_of_each_format_fits_into_an_answer_of_lambda() {
    let series = series(&"\"".repeat(32));
    let point = PricePoint {
        timestamp: series.timestamp,
        price: series.price,
        currency: Some("\"".repeat(16).parse().unwrap()),
        moving_average: series.moving_average,
        points: 5,
        polled_at: series.polled_at,
    };
    let points = vec![point; MAX_POINTS];

    for format in [TextFormat::Csv, TextFormat::Ndjson] {
        let (bytes, count) = lines(format, &series, &points).unwrap();
        assert!(count < MAX_POINTS && bytes.len() <= MAX_BYTES, "{format:?}");
        assert!(bytes.len() > MAX_BYTES - 1_000 && bytes.ends_with(b"\n"));
    }
    let (bytes, count) = columns(&series, &points).unwrap();
    assert!(count == MAX_POINTS && bytes.len() <= MAX_BYTES);
}

#[test]
fn a_file_s_name_is_harmless() {
    for (symbol, name) in [
        ("AAPL", "AAPL-replay.csv"),
        ("^GSPC", "^GSPC-replay.csv"),
        ("../x\"y", ".._x_y-replay.csv"),
    ] {
        let value = disposition(&series(symbol), Format::Text(TextFormat::Csv));
        assert_eq!(value, format!("attachment; filename=\"{name}\""));
    }
}
