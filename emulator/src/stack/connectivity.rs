//! Names the services among Postgres and Kafka that cannot be reached.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::prepare::Addresses;
use crate::backing::postgres;

const CONNECTION: Duration = Duration::from_secs(1);
const POSTGRES_PORT: u16 = 5432;

/// The services that accept no connections, with their addresses and the variables that set them;
/// if all accept connections, a text that says so.
pub(super) async fn describe(addresses: &Addresses) -> String {
    match of(addresses).await {
        Some(away) => away,
        None => format!(
            "{} and {} take connections, but do not do what is asked of them",
            postgres_of(addresses),
            kafka_of(addresses)
        ),
    }
}

/// The services that accept no connections; `None` if all do.
pub(super) async fn of(addresses: &Addresses) -> Option<String> {
    let url = &addresses.database_url;
    let server = match url.host_str() {
        Some(host) if !host.is_empty() => format!("{host}:{}", url.port().unwrap_or(POSTGRES_PORT)),
        // A Unix socket: the server is on this machine.
        _ => format!("127.0.0.1:{POSTGRES_PORT}"),
    };

    let (postgres_answers, kafka_answers) =
        tokio::join!(connects(&server), connects(&addresses.bootstrap_servers));
    let (postgres, kafka) = (postgres_of(addresses), kafka_of(addresses));

    match (postgres_answers, kafka_answers) {
        (false, true) => Some(format!("{postgres} takes no connections")),
        (true, false) => Some(format!("{kafka} takes no connections")),
        (false, false) => Some(format!("{postgres} and {kafka} take no connections")),
        (true, true) => None,
    }
}

/// Postgres with its address, without the password, and the variables that set it.
pub(super) fn postgres_of(addresses: &Addresses) -> String {
    format!(
        "Postgres at {} (DATABASE_URL or POSTGRES_HOST)",
        postgres::masked(&addresses.database_url)
    )
}

/// Kafka with its address and the variable that sets it.
pub(super) fn kafka_of(addresses: &Addresses) -> String {
    format!(
        "Kafka at {} (KAFKA_BOOTSTRAP_SERVERS)",
        addresses.bootstrap_servers
    )
}

/// Whether at least one of `servers` accepts connections.
async fn connects(servers: &str) -> bool {
    for server in servers.split(',') {
        if matches!(
            timeout(CONNECTION, TcpStream::connect(server.trim())).await,
            Ok(Ok(_))
        ) {
            return true;
        }
    }

    false
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_is_away_is_named_with_its_variable_and_without_its_password() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();

        let addresses = Addresses {
            database_url: "postgres://me:secret@127.0.0.1:1/prices".parse().unwrap(),
            bootstrap_servers: here,
            scheduler: None,
            scheduler_of_functions: None,
            gateway: None,
            invoke_api: String::new(),
        };

        assert_eq!(
            describe(&addresses).await,
            "Postgres at postgres://me@127.0.0.1:1/prices (DATABASE_URL or POSTGRES_HOST) takes no connections"
        );

        let kafka_away = Addresses {
            database_url: format!(
                "postgres://me:secret@{}/prices",
                addresses.bootstrap_servers
            )
            .parse()
            .unwrap(),
            bootstrap_servers: "127.0.0.1:1".to_owned(),
            ..addresses
        };

        assert_eq!(
            describe(&kafka_away).await,
            "Kafka at 127.0.0.1:1 (KAFKA_BOOTSTRAP_SERVERS) takes no connections"
        );
    }
}
