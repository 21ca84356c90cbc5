//! What every function needs before it can start: wiring, backing services, binaries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Url;
use tokio::net::TcpListener;

use super::Stack;
use super::listeners::{Listeners, url_of};
use crate::backing::broker::{Broker, BrokerSettings, Topic};
use crate::backing::postgres::{Postgres, PostgresSettings};
use crate::cli::StackArguments;
use crate::data_directory::{self, DataDirectory};
use crate::function_host::leftovers;
use crate::settings::Settings;
use crate::template::Template;
use crate::{Unusable, function_binaries};

const PRICE_PARTITIONS: i32 = 6;
const DEAD_LETTER_PARTITIONS: i32 = 1;

/// The addresses of all parts.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) database_url: Url,
    pub(super) bootstrap_servers: String,
    /// The emulator's own scheduler, if it runs here.
    pub(super) scheduler: Option<String>,
    /// The scheduler that the functions use: the emulator's own, or another that the user named.
    pub(super) scheduler_of_functions: Option<String>,
    /// The HTTP API, if it is served here.
    pub(super) gateway: Option<String>,
    pub(super) invoke_api: String,
}

/// Loads the template with the parameters that the environment sets.
pub(super) fn template(
    arguments: &StackArguments,
    settings: &Settings,
) -> anyhow::Result<Template> {
    let path = match &arguments.template {
        Some(path) => path.clone(),
        None => data_directory::project_directory()?.join("template.yaml"),
    };

    let template = Template::load(&path, &settings.template_parameters());
    template.map_err(|error| Unusable(format!("{:#}", anyhow::Error::new(error))).into())
}

/// The variables that replace those of the template in every function.
pub(super) fn overrides(
    template: &Template,
    settings: &Settings,
    addresses: &Addresses,
) -> BTreeMap<String, String> {
    let named = template
        .functions
        .iter()
        .flat_map(|function| function.environment.keys().map(String::as_str));

    let mut overrides = settings.passed_on(named);

    for (variable, value) in [
        ("DATABASE_URL", Some(addresses.database_url.as_str())),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            Some(&addresses.bootstrap_servers),
        ),
        // The template sets the protocol of MSK.
        ("KAFKA_SECURITY_PROTOCOL", Some("PLAINTEXT")),
        (
            "AWS_ENDPOINT_URL_SCHEDULER",
            addresses.scheduler_of_functions.as_deref(),
        ),
        (
            "AWS_ENDPOINT_URL_LAMBDA",
            settings
                .invoke_url
                .as_deref()
                .or(Some(&addresses.invoke_api)),
        ),
    ] {
        overrides.extend(value.map(|value| (variable.to_owned(), value.to_owned())));
    }

    overrides
}

/// The topics that the mappings read, and those for records that cannot be processed.
fn topics(template: &Template) -> Vec<Topic> {
    let mut topics = BTreeMap::new();
    for mapping in &template.event_source_mappings {
        topics.insert(mapping.topic.clone(), PRICE_PARTITIONS);
        if let Some(name) = &mapping.on_failure_topic {
            topics.entry(name.clone()).or_insert(DEAD_LETTER_PARTITIONS);
        }
    }
    topics
        .into_iter()
        .map(|(name, partitions)| Topic { name, partitions })
        .collect()
}

impl Stack {
    /// Ends the functions that an earlier emulator left running because it was killed.
    pub(super) async fn end_leftovers(&self, data: &DataDirectory) -> anyhow::Result<()> {
        let run_directory = data.run_directory();
        let ended =
            tokio::task::spawn_blocking(move || leftovers::end_leftovers(&run_directory)).await?;

        for leftover in ended {
            self.announcements.notice(&format!(
                "ended {leftover}, which an earlier emulator left running"
            ));
        }
        Ok(())
    }

    /// Starts the backing services while the functions are built. Returns the directory of the
    /// binaries (`None` if the functions run elsewhere) and the addresses of all parts.
    pub(super) async fn prepare(
        &mut self,
        arguments: &StackArguments,
        settings: &Settings,
        data: &DataDirectory,
        template: &Template,
        listeners: &Listeners,
    ) -> anyhow::Result<(Option<PathBuf>, Addresses)> {
        let postgres_settings = PostgresSettings {
            data_directory: data.path(),
            source: arguments.common.postgres,
            port: None,
            environment: settings,
            announcements: self.announcements,
        };
        let broker_settings = BrokerSettings {
            kind: arguments.broker,
            data_directory: data.path(),
            project: data_directory::project_directory()?,
            topics: topics(template),
        };

        let Self {
            postgres,
            broker,
            request,
            ..
        } = self;

        // Each service is kept as soon as it runs, so that the stop ends it if another part fails.
        let database = async {
            match &settings.database_url {
                Some(url) => Ok(url.clone()),
                None => {
                    let own = Postgres::start(postgres_settings, request.hurry.clone()).await?;
                    Ok(postgres.insert(own).url().clone())
                }
            }
        };

        let kafka = async {
            match &settings.bootstrap_servers {
                Some(servers) => Ok(servers.clone()),
                None => {
                    let own = Broker::start(broker_settings, request.hurry.clone()).await?;
                    Ok(broker.insert(own).bootstrap_servers().to_owned())
                }
            }
        };

        let (database_url, bootstrap_servers, binaries) =
            tokio::try_join!(database, kafka, binaries(arguments, settings, template))?;

        let url = |listener: &Option<TcpListener>| {
            listener
                .as_ref()
                .map(|listener| listener.local_addr().map(url_of))
                .transpose()
        };
        let scheduler = url(&listeners.scheduler)?;
        let addresses = Addresses {
            database_url,
            bootstrap_servers,
            scheduler_of_functions: settings.scheduler_url.clone().or_else(|| scheduler.clone()),
            scheduler,
            gateway: url(&listeners.gateway)?,
            invoke_api: url_of(listeners.invoke_api.local_addr()?),
        };

        Ok((binaries, addresses))
    }
}

async fn binaries(
    arguments: &StackArguments,
    settings: &Settings,
    template: &Template,
) -> anyhow::Result<Option<PathBuf>> {
    if arguments.functions.is_some() {
        return Ok(None);
    }

    if let Some(directory) = &arguments.bin_dir {
        let missing = template
            .functions
            .iter()
            .find(|function| !function_binaries::path(directory, &function.binary).is_file());
        return match missing {
            Some(function) => Err(Unusable(format!(
                "--bin-dir: no {} in {}",
                function.binary,
                directory.display()
            ))
            .into()),
            None => Ok(Some(directory.clone())),
        };
    }

    let function = template
        .functions
        .first()
        .context("the template has no functions")?;

    let project = data_directory::project_directory()?;
    function_binaries::build(&settings.cargo, &project, &function.binary)
        .await
        .map(Some)
}
