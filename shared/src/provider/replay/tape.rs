//! The recorded prices. `shared/data/README.md` documents their origin.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::market::{Currency, Symbol};
use crate::price::Price;

const CSV: &str = include_str!("../../../data/replay_us_equities_open_close.csv");
const HEADER: &str = "symbol,timestamp,price,currency,source_field";

/// The recorded rows of each symbol, oldest first.
pub(super) type Tape = HashMap<Symbol, Vec<Row>>;

/// One recorded price.
#[derive(Debug)]
pub(super) struct Row {
    /// When it was recorded, in the file's notation.
    pub(super) recorded_at: &'static str,
    pub(super) price: Price,
    pub(super) currency: Currency,
    /// `open` or `close`.
    pub(super) source_field: &'static str,
}

/// The tape that is compiled in; a test parses all of it.
pub(super) static TAPE: LazyLock<Tape> =
    LazyLock::new(|| parse(CSV).expect("the tape that is built in is sound"));

/// The row of `symbol` that is replayed in `step`; `None` if the tape does not have the symbol.
pub(super) fn row_at<'a>(tape: &'a Tape, symbol: &Symbol, step: i64) -> Option<&'a Row> {
    let rows = tape.get(symbol)?;
    let index = step.checked_rem_euclid(i64::try_from(rows.len()).ok()?)?;
    rows.get(usize::try_from(index).ok()?)
}

/// Parses a tape: plain columns without quoting. The error names the line.
fn parse(csv: &'static str) -> Result<Tape, String> {
    let mut lines = csv.lines().enumerate();
    if lines.next().is_none_or(|(_, header)| header != HEADER) {
        return Err(format!("line 1 is not {HEADER}"));
    }

    let mut tape = Tape::new();
    for (index, line) in lines {
        let (symbol, row) =
            row(line).ok_or_else(|| format!("line {} is not a recorded price", index + 1))?;
        tape.entry(symbol).or_default().push(row);
    }

    Ok(tape)
}

fn row(line: &'static str) -> Option<(Symbol, Row)> {
    let columns: Vec<&'static str> = line.split(',').collect();
    let [symbol, recorded_at, price, currency, source_field] = columns[..] else {
        return None;
    };

    let (price, currency) = (price.parse().ok()?, currency.parse().ok()?);
    Some((
        symbol.parse().ok()?,
        Row {
            recorded_at,
            price,
            currency,
            source_field,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Timestamp;

    #[test]
    fn the_tape_that_is_built_in_has_392_prices_of_each_of_five_symbols_in_order_of_time() {
        let tape = parse(CSV).unwrap();
        let mut symbols: Vec<&str> = tape.keys().map(Symbol::as_str).collect();
        symbols.sort_unstable();
        assert_eq!(symbols, ["AAPL", "FB", "GOOG", "IBM", "MSFT"]);

        for (symbol, rows) in &tape {
            assert_eq!(rows.len(), 392, "{symbol}");

            let times: Vec<Timestamp> = rows
                .iter()
                .map(|row| row.recorded_at.parse().unwrap())
                .collect();
            assert!(
                times.is_sorted_by(|earlier, later| earlier < later),
                "{symbol}"
            );
            assert!(
                rows.iter().all(|row| row.currency.as_str() == "USD"),
                "{symbol}"
            );
        }
    }

    #[test]
    fn a_damaged_tape_is_refused_by_line() {
        assert_eq!(
            parse("symbol,price\n").unwrap_err(),
            format!("line 1 is not {HEADER}")
        );

        let damaged =
            "symbol,timestamp,price,currency,source_field\nIBM,2012-05-18T13:30:00Z,-1,USD,open\n";
        assert_eq!(
            parse(damaged).unwrap_err(),
            "line 2 is not a recorded price"
        );
    }
}
