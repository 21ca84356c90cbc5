use super::*;

const EUR: &str = r#""currency":"EUR","regularMarketPrice":0.8571,"regularMarketTime":1767623701"#;

#[tokio::test]
async fn the_chart_of_a_dollar_pair_is_the_asked_symbol_s_though_it_leaves_out_the_dollar() {
    for (asked, named) in [
        ("USDEUR=X", "EUR=X"),
        ("EUR=X", "EUR=X"),
        ("USDEUR=X", "eur=x"),
    ] {
        let server = answering(json_body(chart(&meta(named, EUR)))).await;
        let answer = ask(&client_of(&server), &[asked]).await.unwrap();

        let quote = answer.quotes[0].1.clone().unwrap();
        assert_eq!(
            (quote.symbol.as_str(), quote.price.to_string().as_str()),
            (asked, "0.8571"),
            "{named}"
        );
    }
}

#[tokio::test]
async fn a_chart_of_any_other_name_is_not_the_asked_symbol_s() {
    for (asked, named) in [
        ("KO", "PEP"),
        ("USDEUR=X", "JPY=X"),
        ("EURUSD=X", "USD=X"),
        ("GBPEUR=X", "EUR=X"),
        ("USDKO", "KO"),
        ("USD=X", "=X"),
        ("USDEUR=X", "X"),
    ] {
        let told = one(asked, chart(&meta(named, EUR))).await;
        assert_eq!(
            told,
            format!("yahoo does not know the symbol {asked}"),
            "{named}"
        );
    }
}

#[tokio::test]
async fn in_a_list_each_entry_keeps_its_own_name() {
    let body = spark(&[
        ("EUR=X", meta("EUR=X", EUR)),
        ("USDEUR=X", meta("EUR=X", EUR)),
    ]);
    let server = answering(json_body(body)).await;

    let answer = ask(&client_of(&server), &["USDEUR=X", "KO"]).await.unwrap();

    assert!(answer.quotes[0].1.is_ok(), "{:?}", answer.quotes);
    assert!(
        matches!(answer.quotes[1].1, Err(ProviderError::UnknownSymbol { .. })),
        "{:?}",
        answer.quotes
    );
}

/// The outcomes for `PAD`, whose entry is `entry`, and for its neighbours `KO` and `PEP`.
async fn beside(entry: &str) -> [Result<Quote, ProviderError>; 3] {
    let neighbour = |symbol| {
        let meta = meta(symbol, KO);
        format!(r#"{{"symbol":"{symbol}","response":[{{"meta":{meta}}}]}}"#)
    };
    let entries = [neighbour("KO"), entry.to_owned(), neighbour("PEP")].join(",");
    let server = answering(json_body(format!(
        r#"{{"spark":{{"result":[{entries}],"error":null}}}}"#
    )))
    .await;

    let answer = ask(&client_of(&server), &["PAD", "KO", "PEP"])
        .await
        .expect("an answer");
    let mut outcomes = answer.quotes.into_iter().map(|(_, outcome)| outcome);
    [(); 3].map(|()| outcomes.next().expect("an outcome for each"))
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_told_of_its_symbol_and_costs_its_neighbours_nothing() {
    for entry in [
        "null",
        "7",
        r#""PAD""#,
        "[]",
        "{}",
        r#"{"symbol":null}"#,
        r#"{"symbol":7,"response":[]}"#,
        r#"{"symbol":["PAD"],"response":{}}"#,
        r#"{"symbol":"PAD"}"#,
        r#"{"symbol":"PAD","response":null}"#,
        r#"{"symbol":"PAD","response":"soon"}"#,
        r#"{"symbol":"PAD","response":[null,7]}"#,
        r#"{"symbol":"PAD","response":[{"meta":null}]}"#,
        r#"{"symbol":"PAD","response":[{"meta":[1]}]}"#,
        r#"{"symbol":"PAD","symbol":"PAD","response":[{"meta":{}}]}"#,
    ] {
        let [pad, ko, pep] = beside(entry).await;

        assert!(
            matches!(pad, Err(ProviderError::Malformed { .. })),
            "{entry}: {pad:?}"
        );
        assert!(ko.is_ok() && pep.is_ok(), "{entry}: {ko:?} {pep:?}");
    }
}

#[tokio::test]
async fn fields_of_an_odd_kind_leave_a_symbol_without_price_and_its_neighbours_with_theirs() {
    for field in [
        r#""regularMarketPrice":{"raw":7},"regularMarketTime":1767623701"#,
        r#""regularMarketPrice":[7],"regularMarketTime":1767623701"#,
        r#""regularMarketPrice":true,"regularMarketTime":1767623701"#,
        r#""regularMarketPrice":7,"regularMarketTime":{"raw":1767623701}"#,
        r#""regularMarketPrice":7,"regularMarketTime":null"#,
        r#""symbol":null,"currency":{}"#,
    ] {
        let entry = format!(r#"{{"symbol":"PAD","response":[{{"meta":{{{field}}}}}]}}"#);

        let [pad, ko, pep] = beside(&entry).await;

        assert!(
            matches!(pad, Err(ProviderError::NoPrice { .. })),
            "{entry}: {pad:?}"
        );
        assert!(ko.is_ok() && pep.is_ok(), "{entry}: {ko:?} {pep:?}");
    }
}

#[tokio::test]
async fn a_chart_of_another_symbol_gives_an_entry_no_price_whatever_that_symbol_is() {
    let of = |symbol: &str, named: &str, price: &str| {
        let quote = format!(r#""regularMarketPrice":{price},"regularMarketTime":1767623701"#);
        format!(
            r#"{{"symbol":"{symbol}","response":[{{"meta":{}}}]}}"#,
            meta(named, &quote)
        )
    };

    for (entry, pad_is_malformed) in [
        (of("PAD", "PEP", "9"), true),
        (of("PAD", "pep", "9"), true),
        (of("PAD", "USDPAD", "9"), true),
        (of("PEP", "PAD", "9"), false),
        (of("KO", "PAD", "9"), false),
    ] {
        let [pad, ko, pep] = beside(&entry).await;

        assert_eq!(
            matches!(pad, Err(ProviderError::Malformed { .. })),
            pad_is_malformed,
            "{entry}: {pad:?}"
        );
        assert!(pad.is_err(), "{entry}: {pad:?}");
        for neighbour in [ko, pep] {
            assert_eq!(
                neighbour.unwrap().price.to_string(),
                "71.123456789012345",
                "{entry}"
            );
        }
    }
}

/// The price of `KO`, or its error, if its entries have these prices.
async fn priced(prices: &[&str]) -> String {
    let entry = |price: &&str| {
        let quote = format!(r#""regularMarketPrice":{price},"regularMarketTime":1767623701"#);
        ("KO", meta("KO", &quote))
    };
    let mut entries: Vec<_> = prices.iter().map(entry).collect();
    entries.push(("PEP", meta("PEP", KO)));
    let server = answering(json_body(spark(&entries))).await;

    let answer = ask(&client_of(&server), &["KO", "PEP"]).await.unwrap();
    assert!(answer.quotes[1].1.is_ok(), "{:?}", answer.quotes);
    answer.quotes[0]
        .1
        .as_ref()
        .map_or_else(ToString::to_string, |quote| quote.price.to_string())
}

#[tokio::test]
async fn of_several_entries_for_a_symbol_no_quote_is_chosen_where_two_differ() {
    assert_eq!(priced(&["null", "71"]).await, "71");
    assert_eq!(priced(&["71", "null"]).await, "71");
    assert_eq!(priced(&["71", "71.0"]).await, "71");

    for differing in [
        &["71", "72"][..],
        &["72", "71", "72"],
        &["71", "null", "72"],
        &["71", "72", "null"],
    ] {
        let told = priced(differing).await;
        assert_eq!(
            told, "yahoo gave an answer we cannot read: two entries for KO differ",
            "{differing:?}"
        );
    }
}

#[test]
fn a_market_time_up_to_five_minutes_ahead_of_our_clock_is_a_time() {
    let received_at: Timestamp = "2026-01-05T10:30:00Z".parse().unwrap();

    for (ahead, is_a_time) in [
        (-1, true),
        (0, true),
        (1, true),
        (299, true),
        (300, true),
        (301, false),
    ] {
        let time = received_at.timestamp() + ahead;
        let quote = format!(r#""regularMarketPrice":71,"regularMarketTime":{time}"#);
        let chart = format!(r#"{{"meta":{}}}"#, meta("KO", &quote));

        let entry = Entry::of_chart(serde_json::from_str(&chart).unwrap());
        let quote = entry.quote(&"KO".parse().unwrap(), received_at);

        assert_eq!(
            quote.map(|quote| quote.timestamp.timestamp()).ok(),
            is_a_time.then_some(time),
            "{ahead}"
        );
    }
}
