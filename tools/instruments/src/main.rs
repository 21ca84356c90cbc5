//! The command that loads and lists how providers spell our symbols.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use shared::{config, repository};

const EXAMPLES: &str = "\
Examples:
  instruments load instruments.json              adds and changes what the file names
  instruments load --replace instruments.json    the same, and removes all other spellings
  instruments list > instruments.json            prints what is stored, in the same form

A file names each of our symbols with the spelling of each provider that has another one:
  {\"BRK.B\": {\"yahoo\": \"BRK-B\", \"tiingo\": \"BRK-B\"}, \"BTC-USD\": {\"kraken\": \"XBTUSD\"}}

DATABASE_URL names the database. Functions use a change within a minute.

Exit status:
  0  all done
  1  Postgres failed, or the file cannot be used; nothing was changed
  2  wrong usage or configuration";

/// Loads and lists how providers spell our symbols
#[derive(Debug, Parser)]
#[command(name = "instruments", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Loads spellings from a file
    Load {
        /// Removes the spellings that the file does not name
        #[arg(long)]
        replace: bool,
        /// The file
        file: PathBuf,
    },
    /// Prints all spellings
    List,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let url = config::or_exit(config::Instruments::from_environment())
        .database
        .url;

    let done = async {
        let pool = repository::connect(&url, 1)?;
        match &cli.command {
            Command::Load { replace, file } => instruments::load(&pool, file, *replace).await,
            Command::List => instruments::list(&pool).await,
        }
    };

    match done.await {
        Ok(text) => {
            instruments::print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            instruments::complain(&error);
            ExitCode::FAILURE
        }
    }
}
