//! The command line.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use reqwest::Url;

use crate::remote_host;
use crate::visitors::AllowedHosts;

const EXAMPLES: &str = "\
Examples:
  cargo run                                  build and start everything; the API on http://127.0.0.1:8080
  cargo run -- --port 8090 --fresh           another port, and forget everything stored so far
  cargo run -- --postgres fetched            do not use this machine's PostgreSQL: fetch one
  cargo run -- --broker kafka                keep events through crashes: a real Kafka (Java 17 and Maven needed)
  cargo run -- --functions http://127.0.0.1:9000
                                             the functions run in `cargo lambda watch`, or in another emulator
  cargo run -- --only averager               one function; DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS must be set
  DATABASE_URL=postgres://me:secret@127.0.0.1/prices cargo run
  KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092 cargo run
  cargo run -- keys create --name dashboard --scope read --rate 5/s
                                             a key of the HTTP API; from the first one on, every request needs one
  DEFAULT_PROVIDER=replay cargo run          play recorded prices, ask nobody

The variables that the functions understand (see .env.example) are passed on to them.";

/// Runs the whole pipeline on this machine: Postgres, a broker, the functions, and the services
/// that AWS would provide around them.
#[derive(Debug, Parser)]
#[command(name = "emulator", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) stack: StackArguments,
}

/// What the emulator runs in place of the whole stack.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts only the emulator's own PostgreSQL, for tests and to look at the data
    Postgres(PostgresArguments),
    /// Makes, lists and revokes keys of the HTTP API, in the Postgres of the emulator that runs: see
    /// keys --help
    #[command(disable_help_flag = true)]
    Keys(KeysArguments),
    /// Reports whether the emulator that uses a data directory works, also by its exit status: for
    /// container health checks
    Health(HealthArguments),
}

/// How to run the whole stack.
#[derive(Debug, Args)]
pub(crate) struct StackArguments {
    /// Port of the HTTP API; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// Address of the HTTP API; through any address other than loopback, requests need an API key
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(crate) listen: IpAddr,
    /// In a container: the address of its host at which the API's port is published; if that is
    /// loopback, requests need no API key until one is made
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) published_on: Option<IpAddr>,
    /// Template that declares the functions' wiring [default: template.yaml of the project]
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// Takes the function binaries from this directory instead of building them: built by cargo or
    /// cargo-lambda
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Runs only these functions (api, poller, averager, upkeep; separated by commas) and the parts
    /// around them; the others run in other emulators, on the same Postgres and Kafka
    #[arg(long, value_name = "FUNCTIONS", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Starts no functions, but invokes those of the host at this address: `cargo lambda watch`, or
    /// another emulator's Invoke API
    #[arg(long, value_name = "URL", value_parser = remote_host::address, conflicts_with = "bin_dir")]
    pub(crate) functions: Option<Url>,
    /// Address of the scheduler's API, for other emulators; port 0 takes that of the last start, or
    /// a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) scheduler_listen: SocketAddr,
    /// Address of Lambda's Invoke API; port 0 takes that of the last start, or a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) invoke_listen: SocketAddr,
    /// A host, without port, that requests may name in their Host header besides this machine's own
    /// names (may be repeated; * allows all): it keeps pages of other sites out
    #[arg(long = "allowed-host", value_name = "HOST", value_parser = allowed_host)]
    pub(crate) allowed_hosts: Vec<String>,
    /// Broker to run, unless the environment names one: the embedded one loses events that are not
    /// yet processed when it stops; Apache Kafka keeps them, and needs Java and Maven
    #[arg(long, value_enum, default_value_t = BrokerKind::Embedded, value_name = "WHICH")]
    pub(crate) broker: BrokerKind,
    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// How to run the emulator's own PostgreSQL.
#[derive(Debug, Args)]
pub(crate) struct PostgresArguments {
    /// Port of PostgreSQL [default: the one of the last start, or a free one]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    #[command(flatten)]
    pub(crate) common: CommonArguments,
}

/// Arguments of the command `keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    /// Data directory of the emulator [default: .data in the project]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Its arguments, such as: create --name dashboard --scope read
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// The emulator whose health is reported.
#[derive(Debug, Args)]
pub(crate) struct HealthArguments {
    /// Data directory of the emulator [default: .data in the project]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// The arguments that both ways of running have in common.
#[derive(Debug, Args)]
pub(crate) struct CommonArguments {
    /// Directory in which everything is kept [default: .data in the project]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Starts from scratch: deletes all prices, jobs and schedules in the data directory
    #[arg(long)]
    pub(crate) fresh: bool,
    /// PostgreSQL to run: one found on this machine, or one fetched from Maven Central [default:
    /// found, otherwise fetched]
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(crate) postgres: Option<PostgresSource>,
    /// Format of the output [default: text on a terminal, otherwise JSON lines]
    #[arg(long, value_enum)]
    pub(crate) output: Option<OutputFormat>,
    /// Prints the database's URL with its password once everything is ready, for programs that
    /// connect to it
    #[arg(long)]
    pub(crate) show_passwords: bool,
    /// Stops when standard input closes, as well as by Ctrl-C or SIGTERM
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
}

/// The emulator's own broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerKind {
    /// In this process: nothing to install, ready at once, not durable
    Embedded,
    /// Apache Kafka: durable, its data in the data directory; fetched once from Maven Central
    Kafka,
}

/// The origin of the emulator's own PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PostgresSource {
    /// 15 or newer, on PATH or in /usr/lib/postgresql
    Found,
    /// A pinned version, fetched once
    Fetched,
}

/// The format of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

fn allowed_host(host: &str) -> Result<String, &'static str> {
    AllowedHosts::read([host])
        .map(|_| host.to_owned())
        .ok_or("a host without scheme and port, or * for all")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_arguments_the_api_listens_on_loopback_port_8080() {
        let cli = Cli::try_parse_from(["emulator"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(
            (cli.stack.listen.to_string(), cli.stack.port),
            ("127.0.0.1".to_owned(), 8080)
        );

        assert!(!cli.stack.common.fresh);
        assert_eq!(cli.stack.broker, BrokerKind::Embedded);
    }

    #[test]
    fn postgres_alone_takes_its_own_port_and_directory() {
        let arguments = [
            "emulator",
            "postgres",
            "--data-dir",
            "/tmp/d",
            "--port",
            "5544",
            "--postgres",
            "fetched",
        ];

        let Some(Command::Postgres(postgres)) = Cli::try_parse_from(arguments).unwrap().command
        else {
            panic!("not the postgres command");
        };

        assert_eq!(postgres.port, Some(5544));
        assert_eq!(postgres.common.data_dir, Some(PathBuf::from("/tmp/d")));
        assert_eq!(postgres.common.postgres, Some(PostgresSource::Fetched));
    }

    #[test]
    fn a_port_out_of_range_is_refused_with_its_flag_named() {
        let error = Cli::try_parse_from(["emulator", "--port", "70000"]).unwrap_err();
        assert!(error.to_string().contains("--port"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
