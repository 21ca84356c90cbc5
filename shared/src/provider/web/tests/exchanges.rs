//! What the answers of the crypto-currency exchanges mean: good ones, and those that report a
//! failure.

use super::answers::{NONE, NOT_PAST, SHAPE, check};
use super::*;

#[test]
fn coinbase() {
    check(
        &Coinbase,
        &[
            (
                200,
                r#"{"ask":"9","bid":"8","price":"63212.9700","size":"1","time":"2026-01-05T14:35:01.5Z"}"#,
                &["BTC-USD"],
                &["63212.97 USD 14:35:01.500"],
            ),
            (200, r#"{"price":"7"}"#, &["BTC-USD"], &[NOT_PAST]),
            (404, r#"{"message":"NotFound"}"#, &["BTC-USD"], &["Unknown"]),
            (
                404,
                r#"{"message":"Route not found"}"#,
                &["BTC-USD"],
                &[r#"whole: Malformed("HTTP status 404")"#],
            ),
            (
                200,
                r#"{"price":"7","time":"2026-01-05T14:35:01Z"}"#,
                &["btc-usd"],
                &["7 USD 14:35:01"],
            ),
            (
                404,
                "<html>",
                &["BTC-USD"],
                &[r#"whole: Malformed("HTTP status 404")"#],
            ),
            (
                429,
                r#"{"message":"Public rate limit exceeded"}"#,
                &["BTC-USD"],
                &["whole: RateLimited { retry_after: None, scope: Some(Second) }"],
            ),
            (
                403,
                r#"{"message":"Forbidden"}"#,
                &["BTC-USD"],
                &["whole: NotAllowed(Blocked)"],
            ),
        ],
    );
}

#[test]
fn kraken() {
    check(
        &Kraken,
        &[
            (
                200,
                r#"{"error":[],"result":{"XXBTZUSD":{"a":["9"],"c":["77726.10000","0.1"],"o":"7"},"XETHXXBT":{"c":[]},"USDTZUSD":{"c":NaN}}}"#,
                &["XBTUSD", "ETHXBT", "USDTUSD", "SOLUSD"],
                &[
                    "77726.1 USD 14:59:58",
                    NONE,
                    r#"Malformed("its entry for USDTUSD")"#,
                    r#"Malformed("its entry for SOLUSD")"#,
                ],
            ),
            (
                200,
                r#"{"error":[],"result":{"ZETAUSD":{"c":["7","1"]},"XTZUSD":{"c":["8","1"]}}}"#,
                &["ETAUSD", "TZUSD", "zetausd"],
                &["Unknown", "Unknown", "7 USD 14:59:58"],
            ),
            (
                200,
                r#"{"error":[],"result":{"XETHZUSD":{"c":["7","1"]},"ETHUSD":{"c":["8","1"]}}}"#,
                &["ETHUSD"],
                &["8 USD 14:59:58"],
            ),
            (
                200,
                r#"{"error":["WDatabase: late"],"result":{"SOLUSD":{"c":["7","1"]}}}"#,
                &["SOLUSD"],
                &["7 USD 14:59:58"],
            ),
            (
                200,
                r#"{"result":{"SOLUSD":{"c":["7","1"]},"ADAUSD":{"c":["8","1"]}},"error":[]}"#,
                &["SOLUSD", "ADAUSD", "XTZUSD"],
                &["7 USD 14:59:58", "8 USD 14:59:58", "Unknown"],
            ),
        ],
    );
}

#[test]
fn krakens_errors_are_told_by_their_words() {
    check(
        &Kraken,
        &[
            (
                200,
                r#"{"error":["EQuery:Unknown asset pair"]}"#,
                &["NOPE"],
                &["whole: Unknown"],
            ),
            (
                200,
                r#"{"error":["EGeneral:Too many requests"]}"#,
                &["SOLUSD"],
                &["whole: RateLimited { retry_after: None, scope: Some(Address) }"],
            ),
            (
                200,
                r#"{"error":["EService:Unavailable"]}"#,
                &["SOLUSD"],
                &[r#"whole: Unavailable("its service is down or busy")"#],
            ),
            (
                200,
                r#"{"error":["EGeneral:Internal error"]}"#,
                &["SOLUSD"],
                &[r#"whole: Unavailable("its service is down or busy")"#],
            ),
            (
                200,
                r#"{"error":["EGeneral:Invalid arguments"]}"#,
                &["SOLUSD"],
                &[r#"whole: Malformed("an error of its own")"#],
            ),
            (200, r#"{"error":[]}"#, &["SOLUSD"], &[SHAPE]),
            (
                200,
                r#"{"error":["EGeneral:Temporary lockout"]}"#,
                &["SOLUSD"],
                &["whole: RateLimited { retry_after: None, scope: Some(Address) }"],
            ),
            // A minute after the answer, a second before it, and no time at all.
            (
                200,
                r#"{"error":["EService:Throttled: 1767625260"]}"#,
                &["SOLUSD"],
                &["whole: RateLimited { retry_after: Some(60s), scope: Some(Address) }"],
            ),
            (
                200,
                r#"{"error":["EService:Throttled: 1767625199"]}"#,
                &["SOLUSD"],
                &["whole: RateLimited { retry_after: None, scope: Some(Address) }"],
            ),
            (
                200,
                r#"{"error":["EService:Throttled"]}"#,
                &["SOLUSD"],
                &["whole: RateLimited { retry_after: None, scope: Some(Address) }"],
            ),
        ],
    );
}

#[test]
fn binance() {
    check(
        &Binance,
        &[
            (
                200,
                r#"[{"symbol":"BTCUSDT","price":"60262.05000000"},{"symbol":"ETHBTC","price":"Infinity"},{"symbol":"SOLXYZ","price":7}]"#,
                &["ETHBTC", "BTCUSDT", "SOLXYZ", "NOPE"],
                &[
                    r#"NoPrice("its price is not a decimal number")"#,
                    "60262.05 USDT 14:59:58",
                    "7 ? 14:59:58",
                    "Unknown",
                ],
            ),
            (
                200,
                r#"[{"symbol":"BTCUSDT","price":"7"}]"#,
                &["btcusdt"],
                &["7 USDT 14:59:58"],
            ),
            (
                400,
                r#"{"code":-1121,"msg":"Invalid symbol."}"#,
                &["NOPE"],
                &["whole: Unknown"],
            ),
            (
                429,
                r#"{"code":-1003,"msg":"Too much request weight used"}"#,
                &["BTCUSDT"],
                &["whole: RateLimited { retry_after: None, scope: Some(Minute) }"],
            ),
            (
                418,
                r#"{"code":-1003,"msg":"banned"}"#,
                &["BTCUSDT"],
                &["whole: RateLimited { retry_after: None, scope: Some(Address) }"],
            ),
            (
                451,
                r#"{"code":0,"msg":"restricted location"}"#,
                &["BTCUSDT"],
                &["whole: NotAllowed(Blocked)"],
            ),
            (
                400,
                r#"{"code":-1102,"msg":"Mandatory parameter"}"#,
                &["BTCUSDT"],
                &[r#"whole: Malformed("an error of its own, code -1102")"#],
            ),
            (
                503,
                r#"{"code":-1008,"msg":"Server is overloaded"}"#,
                &["BTCUSDT"],
                &[r#"whole: Unavailable("its service is down or busy")"#],
            ),
            (200, r#"{"symbol":"BTCUSDT"}"#, &["BTCUSDT"], &[SHAPE]),
        ],
    );
}
