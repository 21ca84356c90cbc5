//! The text that a person reads when everything is ready: addresses, and commands to try.

use crate::template::FunctionDefinition;

/// The text for people, with commands that work unchanged. `database` is the URL of the database
/// with its password, if it is to be shown.
pub(super) fn text(url: &str, provider: &str, database: Option<&str>) -> String {
    let database = database_line(database);
    format!(
        "
Ready: {url}   (open it in a browser: prices, charts and jobs; the API's documentation is at {url}/docs)
Prices come from '{provider}' unless a request names another provider.

Try next:
  curl '{url}/prices/latest?symbol=AAPL'
  curl -X POST {url}/prices/poll -H 'content-type: application/json' \\
       -d '{{\"symbols\":[\"AAPL\",\"MSFT\"],\"interval\":10}}'
  curl '{url}/prices/average?symbol=AAPL'

{database}Ctrl-C stops everything."
    )
}

/// The text if the HTTP API is left to another emulator.
pub(super) fn without_gateway(functions: &[FunctionDefinition], database: Option<&str>) -> String {
    let database = database_line(database);
    let functions: Vec<_> = functions
        .iter()
        .map(|function| function.binary.as_str())
        .collect();

    format!(
        "\nReady: {}\n\n{database}Ctrl-C stops everything.",
        functions.join(", ")
    )
}

fn database_line(url: Option<&str>) -> String {
    url.map_or_else(String::new, |url| {
        format!("Database, with its password: psql '{url}'\n\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_shown_with_its_password_only_if_it_is_to_be() {
        let url = "postgres://market:secret@127.0.0.1:5432/market";
        let with_gateway = |database| text("http://127.0.0.1:8080", "replay", database);
        let without = |database| without_gateway(&[], database);

        assert!(with_gateway(Some(url)).contains(&format!("psql '{url}'")));
        assert!(without(Some(url)).contains(&format!("psql '{url}'")));
        assert!(!with_gateway(None).contains("psql") && !without(None).contains("psql"));
    }
}
