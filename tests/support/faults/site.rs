//! Where a run takes place: a topic and a database of its own, on the Kafka and the Postgres that
//! all runs share, and the stacks that use them.

use std::path::PathBuf;
use std::process::{Child, ChildStdin};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::broker::Broker;
use super::topic_content;
use crate::link::Link;
use crate::stack::{Options, Stack};
use crate::{binaries, postgres};

/// The Kafka and the Postgres of all runs in this process.
#[derive(Debug)]
pub struct Ground {
    /// The broker. A run locks it to restart it, or to prevent other runs from restarting it.
    pub kafka: Arc<Mutex<Broker>>,
    bootstrap_servers: String,
    postgres_url: String,
    // Closing its standard input ends Postgres.
    _postgres: (Child, ChildStdin),
}

impl Ground {
    /// Starts Kafka and Postgres.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        let kafka = tokio::task::spawn_blocking(Broker::start).await??;
        let (postgres_url, child, stdin) =
            tokio::task::spawn_blocking(postgres::start_own).await??;

        let bootstrap_servers = kafka.bootstrap_servers().to_owned();
        let kafka = Arc::new(Mutex::new(kafka));

        Ok(Self {
            kafka,
            bootstrap_servers,
            postgres_url,
            _postgres: (child, stdin),
        })
    }

    /// A connection to Postgres's own database, without a link.
    ///
    /// # Errors
    /// When Postgres is unavailable.
    pub async fn postgres(&self) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::from_str(&self.postgres_url)?.disable_statement_logging();
        Ok(options.connect().await?)
    }

    /// The address of the broker.
    #[must_use]
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }
}

/// How the stacks of a run differ from the product's own template.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wiring {
    /// The averager crashes on certain records, which become dead letters after two retries.
    pub crashing: bool,
}

/// Makes Postgres refuse the series of one symbol. The averager sees an error that does not pass by
/// waiting.
const REFUSE: &str = "create or replace function refuse() returns trigger language plpgsql as
         $$ begin if new.symbol = 'REFUSED' then raise exception 'refused'; end if; return new; end $$;
     create or replace trigger refuse before insert on series for each row execute function refuse()";

/// One run's topic, database and stacks.
#[derive(Debug)]
pub struct Site<'g> {
    /// The Kafka and the Postgres that the site uses.
    pub ground: &'g Ground,
    /// The name of the topic of price events.
    pub topic: String,
    /// The link through which every function reaches Postgres.
    pub link: Link,
    /// The database, reached without the link.
    pub pool: PgPool,
    /// The database's name.
    pub database: String,
    wiring: Wiring,
    members: Vec<Member>,
    data: TempDir,
}

/// A stack as a member of a consumer group.
#[derive(Debug)]
struct Member {
    group: String,
    data: PathBuf,
    stack: Option<Stack>,
}

impl<'g> Site<'g> {
    /// A site without stacks.
    ///
    /// # Errors
    /// When the database cannot be created.
    pub async fn prepare(ground: &'g Ground, name: &str, wiring: Wiring) -> anyhow::Result<Self> {
        let (topic, database) = (format!("faults.{name}"), format!("faults_{name}"));

        let mut connection = ground.postgres().await?;
        let create = AssertSqlSafe(format!("create database {database} template template0"));
        sqlx::query(create)
            .execute(&mut connection)
            .await
            .context("creating the run's database")?;

        let url = postgres::with_database(&ground.postgres_url, &database)?;
        let (link, pool) = (
            Link::open(&url).await?,
            shared::repository::connect(&url, 2)?,
        );

        let data = tempfile::Builder::new()
            .prefix("market-data-faults-")
            .tempdir()?;

        Ok(Self {
            ground,
            topic,
            link,
            pool,
            database,
            wiring,
            members: Vec::new(),
            data,
        })
    }

    /// The name of the dead-letter topic.
    #[must_use]
    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dlt", self.topic)
    }

    /// Starts another stack in a consumer group, and returns its number.
    ///
    /// # Errors
    /// When the stack does not start.
    pub async fn add_stack(&mut self, group: &str) -> anyhow::Result<usize> {
        let number = self.members.len();
        let data = self.data.path().join(format!("stack-{number}"));

        self.members.push(Member {
            group: format!("{}.{group}", self.topic),
            data,
            stack: None,
        });

        self.start(number).await?;
        // Only after the start, because the stack creates the table `series`.
        sqlx::raw_sql(REFUSE)
            .execute(&self.pool)
            .await
            .context("having Postgres refuse a symbol")?;

        Ok(number)
    }

    /// The number of stacks, running or not.
    #[must_use]
    pub fn stacks(&self) -> usize {
        self.members.len()
    }

    /// The consumer groups of the stacks, each once.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        let mut groups: Vec<_> = self
            .members
            .iter()
            .map(|member| member.group.clone())
            .collect();

        groups.dedup();
        groups
    }

    /// The stack with this number, if it is running.
    #[must_use]
    pub fn stack(&self, number: usize) -> Option<&Stack> {
        self.members.get(number)?.stack.as_ref()
    }

    /// The consumer group of the stack with this number, and the stack's name in it.
    #[must_use]
    pub fn membership(&self, number: usize) -> Option<(String, String)> {
        let Member { group, data, .. } = self.members.get(number)?;
        let member = std::fs::read_to_string(data.join("group-member")).ok()?;
        Some((group.clone(), format!("{member}-averager-prices")))
    }

    /// Starts the stack with this number, on the data that an earlier start left.
    ///
    /// # Errors
    /// When the stack does not start.
    pub async fn start(&mut self, number: usize) -> anyhow::Result<()> {
        let dead_letters = self.dead_letter_topic();
        let member = self.members.get_mut(number).context("no such stack")?;

        let template = self.data.path().join(format!("template-{number}.yaml"));
        std::fs::write(&template, wired(self.wiring, &member.group)?)?;

        let environment = [
            ("DATABASE_URL", self.link.url()),
            ("KAFKA_BOOTSTRAP_SERVERS", self.ground.bootstrap_servers()),
            ("KAFKA_PRICE_TOPIC", &self.topic),
            ("KAFKA_DEAD_LETTER_TOPIC", &dead_letters),
            ("RUST_LOG", &log_filter()),
        ];

        let flags = [
            "--template",
            template
                .to_str()
                .context("a temporary folder that is not UTF-8")?,
        ];

        let options = Options {
            data_directory: member.data.clone(),
            environment: &environment,
            flags: &flags,
        };

        member.stack = Some(Stack::start(options).await?);
        Ok(())
    }

    /// Ends the emulator with this number by sending `signal`.
    pub async fn end(&mut self, number: usize, signal: Signal) {
        if let Some(stack) = self
            .members
            .get_mut(number)
            .and_then(|member| member.stack.take())
        {
            stack.stop(signal).await;
        }
    }

    /// Stops all stacks as a user would, and removes the topics and the database, because many of
    /// them would slow later recoveries.
    ///
    /// # Errors
    /// When a topic or the database cannot be removed.
    pub async fn close(mut self) -> anyhow::Result<()> {
        for number in 0..self.members.len() {
            self.end(number, Signal::SIGTERM).await;
        }

        self.pool.close().await;

        let mut connection = self.ground.postgres().await?;
        let drop = AssertSqlSafe(format!("drop database {} with (force)", self.database));
        sqlx::query(drop)
            .execute(&mut connection)
            .await
            .context("dropping the run's database")?;

        topic_content::delete(
            self.ground.bootstrap_servers(),
            &[&self.topic, &self.dead_letter_topic()],
        )
        .await
    }
}

/// The product's template with the run's consumer group and wiring.
fn wired(wiring: Wiring, group: &str) -> anyhow::Result<String> {
    let mut template = std::fs::read_to_string(binaries::workspace().join("template.yaml"))?;

    let mut replace = |from: &str, to: &str| {
        ensure!(
            template.matches(from).count() == 1,
            "the template does not say '{from}' once"
        );
        template = template.replace(from, to);
        Ok(())
    };

    replace(
        "    Default: averager\n",
        &format!("    Default: {group}\n"),
    )?;

    if wiring.crashing {
        replace(
            "CodeUri: functions/averager",
            "CodeUri: tests/averager-that-crashes",
        )?;
        replace("MaximumRetryAttempts: 40", "MaximumRetryAttempts: 2")?;
    }

    Ok(template)
}

/// The log filter of the stacks: silent unless `RUST_LOG` is set.
#[expect(clippy::disallowed_methods, reason = "the tests' own configuration")]
fn log_filter() -> String {
    std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned())
}
