use super::*;

fn fault(text: &str) -> String {
    format!("{:#}", parse(text).unwrap_err())
}

#[test]
fn a_file_names_our_symbols_and_their_spellings_by_provider() {
    let text = r#"{"btc-usd": {"kraken": "XBTUSD", "Binance": "BTCUSDT"}, "BRK.B": {"yfinance": "BRK-B"}}"#;
    let read: Vec<String> = parse(text)
        .unwrap()
        .iter()
        .map(
            |Instrument {
                 symbol,
                 provider,
                 spelling,
             }| format!("{symbol} {provider} {spelling}"),
        )
        .collect();

    let expected = [
        "BRK.B yahoo BRK-B",
        "BTC-USD binance BTCUSDT",
        "BTC-USD kraken XBTUSD",
    ];
    assert_eq!(read, expected);
}

#[test]
fn what_cannot_be_used_is_named() {
    assert!(fault(r#"{"A": {"bloomberg": "B"}}"#).starts_with(
        "the spelling of A at \"bloomberg\": the provider is not one of yahoo, finnhub"
    ));
    assert!(fault(r#"{"A": {"yahoo": "two words"}}"#).contains("A at \"yahoo\": must be 1 to 32"));
    assert!(fault(r#"{"": {}}"#).starts_with("the symbol \"\""));
    assert!(fault(r#"{"a": {"yahoo": "X"}, "A": {"yahoo": "Y"}}"#).contains("A at yahoo twice"));
    assert!(fault("[]").contains("invalid type"));
}
