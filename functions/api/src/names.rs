//! Reads the lists of symbols in requests.

use std::collections::HashSet;

use shared::market::{NameError, Symbol};

use crate::problem::Fault;

/// Reads 1 to `most` symbols, which must be different after `spell` has changed their spelling.
/// Adds each fault with its index in the list to `faults`. `None` in `texts` is an item that is not
/// a string.
pub(crate) fn distinct_symbols(
    texts: &[Option<&str>],
    spell: impl Fn(Symbol) -> Symbol,
    location: &str,
    most: usize,
    faults: &mut Vec<Fault>,
) -> Vec<Symbol> {
    if texts.is_empty() || texts.len() > most {
        let message = format!("must have 1 to {most} symbols, not {}", texts.len());
        faults.push(Fault {
            location: location.to_owned(),
            message,
        });
        return Vec::new();
    }

    let mut seen = HashSet::new();
    let mut symbols = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let message = match text.map(|text| text.parse().map(&spell)) {
            None => "must be a string".to_owned(),
            Some(Err(error)) => NameError::to_string(&error),
            Some(Ok(symbol)) if seen.insert(symbol.clone()) => {
                symbols.push(symbol);
                continue;
            }
            Some(Ok(symbol)) => format!("repeats {symbol}"),
        };

        faults.push(Fault {
            location: format!("{location}[{index}]"),
            message,
        });
    }

    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[Option<&str>]) -> (Vec<String>, Vec<String>) {
        let mut faults = Vec::new();
        let upper_cased = |symbol: Symbol| symbol.to_upper_case();
        let symbols = distinct_symbols(texts, upper_cased, "body.symbols", 3, &mut faults);

        let symbols = symbols.iter().map(ToString::to_string).collect();
        (
            symbols,
            faults.into_iter().map(|fault| fault.location).collect(),
        )
    }

    #[test]
    fn symbols_keep_their_order_and_are_spelt_as_wanted() {
        assert_eq!(read(&[Some("msft"), Some("AAPL")]).0, ["MSFT", "AAPL"]);

        let as_given = distinct_symbols(
            &[Some("TpC"), Some("TPC")],
            |symbol| symbol,
            "",
            3,
            &mut Vec::new(),
        );
        assert_eq!(
            as_given.iter().map(Symbol::as_str).collect::<Vec<_>>(),
            ["TpC", "TPC"]
        );
    }

    #[test]
    fn each_fault_has_its_place() {
        assert_eq!(
            read(&[Some(""), None, Some("A B")]).1,
            ["body.symbols[0]", "body.symbols[1]", "body.symbols[2]"]
        );
    }

    #[test]
    fn the_same_symbol_in_another_case_is_a_duplicate() {
        assert_eq!(read(&[Some("AAPL"), Some("aapl")]).1, ["body.symbols[1]"]);
    }

    #[test]
    fn an_empty_list_and_one_too_long_are_one_fault_each() {
        assert_eq!(read(&[]).1, ["body.symbols"]);
        assert_eq!(
            read(&[Some("A"), Some("A"), Some("A"), None]).1,
            ["body.symbols"]
        );
    }
}
