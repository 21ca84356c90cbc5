use super::*;

fn point(price: &str, currency: Option<&str>) -> PricePoint {
    let price: Price = price.parse().unwrap();
    PricePoint {
        timestamp: "2024-03-20T10:30:00Z".parse().unwrap(),
        price,
        currency: currency.map(|currency| currency.parse().unwrap()),
        moving_average: price.into(),
        points: 1,
        polled_at: "2024-03-20T10:30:02.000114Z".parse().unwrap(),
    }
}

fn line(format: TextFormat, symbol: &str, point: &PricePoint) -> String {
    let (symbol, provider) = (symbol.parse().unwrap(), "replay".parse().unwrap());
    let series = SeriesName {
        symbol: &symbol,
        provider: &provider,
    };

    let mut out = Vec::new();
    append_line(format, series, point, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_of_csv_has_every_digit_and_no_more() {
    let wide = point("99999999999.999999999999999", Some("USD"));
    assert_eq!(
        line(TextFormat::Csv, "AAPL", &wide),
        "AAPL,replay,2024-03-20T10:30:00Z,99999999999.999999999999999,USD,99999999999.999999999999999,1,\
             2024-03-20T10:30:02.000114Z\n"
    );
    assert!(line(TextFormat::Csv, "AAPL", &point("0.70", None)).contains(",0.7,,0.7,1,"));
}

#[test]
fn a_line_of_ndjson_is_a_point_of_the_json_answer() {
    assert_eq!(
        line(
            TextFormat::Ndjson,
            "A\"B",
            &point("99999999999.999999999999999", None)
        ),
        "{\"symbol\":\"A\\\"B\",\"provider\":\"replay\",\"timestamp\":\"2024-03-20T10:30:00Z\",\
             \"price\":99999999999.999999999999999,\"currency\":null,\
             \"moving_average\":99999999999.999999999999999,\"points\":1,\
             \"polled_at\":\"2024-03-20T10:30:02.000114Z\"}\n"
    );
}

#[test]
fn names_are_quoted_where_csv_needs_it_and_are_never_formulas() {
    for (name, expected) in [
        ("BRK.B", "BRK.B"),
        ("^GSPC", "^GSPC"),
        ("ES=F", "ES=F"),
        ("A,B", "\"A,B\""),
        ("A\"B", "\"A\"\"B\""),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-1", "'-1"),
        ("+1", "'+1"),
        ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
    ] {
        assert_eq!(field(name), expected, "{name}");
    }
}

#[test]
fn only_csv_has_a_header() {
    let (mut csv, mut ndjson) = (Vec::new(), Vec::new());
    append_header(TextFormat::Csv, &mut csv);
    append_header(TextFormat::Ndjson, &mut ndjson);

    let header = "symbol,provider,timestamp,price,currency,moving_average,points,polled_at\n";
    assert_eq!(csv, header.as_bytes());
    assert!(ndjson.is_empty());
}
