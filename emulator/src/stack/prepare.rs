//! What is needed before any function can start: wiring, ports, backing services, binaries.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Url;
use tokio::net::TcpListener;

use super::Stack;
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

/// Where everything is.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) database_url: Url,
    pub(super) bootstrap_servers: String,
    pub(super) scheduler: String,
    /// What the functions use as scheduler: the emulator's own, or another that the user named.
    pub(super) scheduler_of_functions: String,
    pub(super) gateway: String,
}

/// The ports that are opened first, so that one that is taken is told before anything is started.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) gateway: TcpListener,
    pub(super) scheduler: TcpListener,
}

impl Listeners {
    pub(super) async fn open(arguments: &StackArguments) -> anyhow::Result<Self> {
        let gateway = listen(SocketAddr::new(arguments.listen, arguments.port)).await?;
        let scheduler = TcpListener::bind("127.0.0.1:0").await.context("cannot open the scheduler's port")?;
        Ok(Self { gateway, scheduler })
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Unusable> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            Unusable(format!("port {} is taken; choose another with --port", address.port()))
        }
        _ => {
            Unusable(format!("cannot listen on {address}: {error}; choose another with --listen and --port"))
        }
    })
}

/// The wiring, with the parameters that the environment gives.
pub(super) fn template(arguments: &StackArguments, settings: &Settings) -> anyhow::Result<Template> {
    let path = match &arguments.template {
        Some(path) => path.clone(),
        None => data_directory::project_directory()?.join("template.yaml"),
    };
    let template = Template::load(&path, &settings.template_parameters());
    template.map_err(|error| Unusable(format!("{:#}", anyhow::Error::new(error))).into())
}

/// The variables that the functions get whatever the template says.
pub(super) fn overrides(
    template: &Template,
    settings: &Settings,
    addresses: &Addresses,
) -> BTreeMap<String, String> {
    let named =
        template.functions.iter().flat_map(|function| function.environment.keys().map(String::as_str));
    let mut overrides = settings.passed_on(named);
    for (variable, value) in [
        ("DATABASE_URL", addresses.database_url.as_str()),
        ("KAFKA_BOOTSTRAP_SERVERS", &addresses.bootstrap_servers),
        ("AWS_ENDPOINT_URL_SCHEDULER", &addresses.scheduler_of_functions),
    ] {
        overrides.insert(variable.to_owned(), value.to_owned());
    }
    overrides
}

/// What the mappings read, and where they put what cannot be processed.
fn topics(template: &Template) -> Vec<Topic> {
    let mut topics = BTreeMap::new();
    for mapping in &template.event_source_mappings {
        topics.insert(mapping.topic.clone(), PRICE_PARTITIONS);
        if let Some(name) = &mapping.on_failure_topic {
            topics.entry(name.clone()).or_insert(DEAD_LETTER_PARTITIONS);
        }
    }
    topics.into_iter().map(|(name, partitions)| Topic { name, partitions }).collect()
}

impl Stack {
    /// Ends the functions that a killed emulator left running.
    pub(super) async fn end_leftovers(&self, data: &DataDirectory) -> anyhow::Result<()> {
        let run_directory = data.run_directory();
        let ended = tokio::task::spawn_blocking(move || leftovers::end_leftovers(&run_directory)).await?;
        for leftover in ended {
            self.announcements.notice(&format!("ended {leftover}, which an earlier emulator left running"));
        }
        Ok(())
    }

    /// Starts the backing services while the functions are built; tells where the binaries and everything else are.
    pub(super) async fn prepare(
        &mut self,
        arguments: &StackArguments,
        settings: &Settings,
        data: &DataDirectory,
        template: &Template,
        listeners: &Listeners,
    ) -> anyhow::Result<(PathBuf, Addresses)> {
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
        let Self { postgres, broker, request, .. } = self;
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
        let scheduler = format!("http://{}", listeners.scheduler.local_addr()?);
        let addresses = Addresses {
            database_url,
            bootstrap_servers,
            scheduler_of_functions: settings.scheduler_url.clone().unwrap_or_else(|| scheduler.clone()),
            scheduler,
            gateway: url_of(listeners.gateway.local_addr()?),
        };
        Ok((binaries, addresses))
    }
}

async fn binaries(
    arguments: &StackArguments,
    settings: &Settings,
    template: &Template,
) -> anyhow::Result<PathBuf> {
    if let Some(directory) = &arguments.bin_dir {
        let missing = template.functions.iter().find(|function| !directory.join(&function.binary).is_file());
        return match missing {
            Some(function) => {
                Err(Unusable(format!("--bin-dir: no {} in {}", function.binary, directory.display())).into())
            }
            None => Ok(directory.clone()),
        };
    }
    let function = template.functions.first().context("the template has no functions")?;
    function_binaries::build(&settings.cargo, &data_directory::project_directory()?, &function.binary).await
}

/// Where this machine reaches what listens at `address`, which may stand for all its addresses.
fn url_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{}", v6.port()),
        address => format!("http://{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_flag_that_helps() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let message = listen(address).await.unwrap_err().to_string();
        assert_eq!(message, format!("port {} is taken; choose another with --port", address.port()));
    }

    #[test]
    fn an_address_that_stands_for_all_is_shown_as_one_that_works() {
        assert_eq!(url_of(SocketAddr::from(([0, 0, 0, 0], 8080))), "http://127.0.0.1:8080");
        assert_eq!(url_of(SocketAddr::from(([10, 0, 0, 1], 80))), "http://10.0.0.1:80");
    }
}
