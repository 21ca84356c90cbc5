//! The text that a person reads when everything is ready: addresses, and commands to try.

use crate::template::FunctionDefinition;

/// The text for people, with commands that work unchanged.
pub(super) fn text(url: &str, provider: &str) -> String {
    format!(
        "
Ready: {url}   (interactive documentation: {url}/docs)
Prices come from '{provider}' unless a request names another provider.

Try next:
  curl '{url}/prices/latest?symbol=AAPL'
  curl -X POST {url}/prices/poll -H 'content-type: application/json' \\
       -d '{{\"symbols\":[\"AAPL\",\"MSFT\"],\"interval\":10}}'
  curl '{url}/prices/average?symbol=AAPL'

Ctrl-C stops everything."
    )
}

/// The text if the HTTP API is left to another emulator.
pub(super) fn without_gateway(functions: &[FunctionDefinition]) -> String {
    let functions: Vec<_> = functions
        .iter()
        .map(|function| function.binary.as_str())
        .collect();

    format!(
        "\nReady: {}\n\nCtrl-C stops everything.",
        functions.join(", ")
    )
}
