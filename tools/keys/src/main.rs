//! The command that makes, lists and revokes the keys of the HTTP API.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use chrono::Utc;
use clap::{Args, Parser, Subcommand};
use keys::expiry::Expiry;
use keys::report::Form;
use shared::access::{KeyName, RateLimits, Scope};
use shared::{config, repository};

const EXAMPLES: &str = "\
Examples:
  keys create --name dashboard --scope read --rate 5/s
  keys create --name ci --scope write --expires 90d
  keys create --name auditor --scope read --expires 2027-01-01T00:00:00Z
  keys create --name admin --scope admin --hash-only   the value of FIRST_ADMIN_KEY, for a deployment
  keys list
  keys revoke 8rWPzxxG                                 by its id, which `keys list` shows
  keys revoke dashboard                                by its name, if only one valid key has it

A key is shown once, when it is made; only a SHA-256 of its secret is stored. Clients send it as
`Authorization: Bearer <key>` or `X-API-Key: <key>`. Scope write includes read, and admin includes
write. From the first key on, every request needs one. Instances of the api notice a new or revoked
key within 10 s.

DATABASE_URL names the database. Prints text on a terminal, otherwise a line of JSON.

Exit status:
  0  all done
  1  Postgres failed, or there is no such key
  2  wrong usage or configuration";

/// Makes, lists and revokes keys of the HTTP API
#[derive(Debug, Parser)]
#[command(name = "keys", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a key and shows it, once
    Create(Create),
    /// Lists all keys, without their secrets
    List,
    /// Revokes a key for good
    Revoke {
        /// Its id, or its name if only one valid key has it
        key: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// What logs and lists call it: 1 to 64 letters, digits, dots, hyphens or underscores
    #[arg(long)]
    name: KeyName,
    /// What it allows: read, write or admin; each includes those before it
    #[arg(long)]
    scope: Scope,
    /// How often it may be used, in all instances of the api together: 5/s or 5/s,100/min,1000/h,10000/day
    /// [default: as often as it likes]
    #[arg(long, value_name = "LIMITS")]
    rate: Option<RateLimits>,
    /// From when on it is not valid any more: a time such as 2027-01-01T00:00:00Z, or days or hours
    /// from now such as 90d or 12h [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
    /// Stores nothing, and shows what a deployment is told of its first key; scope admin only
    #[arg(long, conflicts_with_all = ["rate", "expires"])]
    hash_only: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let form = if std::io::stdout().is_terminal() {
        Form::Text
    } else {
        Form::Json
    };

    match run(cli.command, form).await {
        Ok(text) => {
            keys::report::print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            keys::report::complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, form: Form) -> anyhow::Result<String> {
    let pool = || {
        let url = config::or_exit(config::Keys::from_environment())
            .database
            .url;
        repository::connect(&url, 1)
    };

    match command {
        Command::Create(wanted) if wanted.hash_only => {
            keys::first_key(&wanted.name, wanted.scope, form)
        }
        Command::Create(wanted) => {
            let wanted = keys::Wanted {
                name: wanted.name,
                scope: wanted.scope,
                limits: wanted.rate.unwrap_or_default(),
                expires_at: wanted.expires.map(|expiry| expiry.after(Utc::now())),
            };
            keys::create(&pool()?, &wanted, form).await
        }
        Command::List => keys::list(&pool()?, form).await,
        Command::Revoke { key } => keys::revoke(&pool()?, &key, form).await,
    }
}
