//! The start: backing services while the functions are built, then the functions, then what brings them work.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::current_host::CurrentHost;
use super::default_provider::DefaultProvider;
use super::prepare::{self, Addresses, Listeners};
use super::{Stack, default_provider, deployment, first_steps};
use crate::Unusable;
use crate::backing::broker::Broker;
use crate::backing::postgres;
use crate::cli::StackArguments;
use crate::data_directory::DataDirectory;
use crate::function_host::{FunctionHost, HostSettings};
use crate::invoker::{FunctionError, Invoker};
use crate::settings::Settings;
use crate::template::Template;

/// Relays keep one instance of the poller busy per job.
const MAX_INSTANCES: u32 = 64;
/// Played where the default provider cannot be reached.
const REPLAY: &str = "replay";
const DEFAULT_PROVIDER: &str = "DEFAULT_PROVIDER";
const FIRST_REQUEST: Duration = Duration::from_secs(30);
const BETWEEN_REQUESTS: Duration = Duration::from_millis(100);
const REQUEST: Duration = Duration::from_secs(10);
/// For invocations that are in flight when the functions get other variables.
const REPLACEMENT: Duration = Duration::from_secs(2);

impl Stack {
    /// Starts everything, and returns when a request went through.
    pub(super) async fn start(
        &mut self,
        arguments: &StackArguments,
        settings: &Settings,
        data: &DataDirectory,
    ) -> anyhow::Result<()> {
        let template = prepare::template(arguments, settings)?;
        let listeners = Listeners::open(arguments).await?;
        self.end_leftovers(data).await?;
        let (binaries, addresses) = self.prepare(arguments, settings, data, &template, &listeners).await?;
        let mut host = HostSettings {
            functions: template.functions.clone(),
            binary_directory: binaries,
            run_directory: data.run_directory(),
            overrides: prepare::overrides(&template, settings, &addresses),
            max_instances: MAX_INSTANCES,
        };
        let functions = CurrentHost::new(FunctionHost::start(host.clone()).await?);
        self.host = Some(Arc::clone(&functions));
        let invoker: Arc<dyn Invoker> = Arc::<CurrentHost>::clone(&functions);
        self.serve_gateway(listeners.gateway, &template, &invoker);
        let schedules = self.serve_scheduler(listeners.scheduler, data, &template, &invoker)?;

        // Before anything waits for Postgres or Kafka: a function that refuses its configuration is told at once.
        warm(&template, &functions.get()).await?;
        let client = reqwest::Client::builder().no_proxy().timeout(REQUEST).build()?;
        let wanted = default_provider(&host, &template);
        let DefaultProvider { name, trouble } =
            self.deploy(&template, &invoker, &addresses, &wanted, &client).await?;
        let provider = match trouble {
            Some(trouble) => {
                self.warn_of_replay(&name, &trouble);
                host.overrides.insert(DEFAULT_PROVIDER.to_owned(), REPLAY.to_owned());
                functions.replace(FunctionHost::start(host).await?, REPLACEMENT).await;
                warm(&template, &functions.get()).await?;
                REPLAY.to_owned()
            }
            None => name,
        };
        self.run_schedules(&template, schedules)?;
        goes_through(&client, &addresses.gateway).await?;
        self.tell_what_runs(&template, &addresses, &functions);
        self.ready(&addresses, &provider, data, &functions);
        Ok(())
    }

    /// Deploys, asks after the default provider, and feeds the functions from their topics: at once where the topics
    /// are there, since joining a group takes seconds; else after the deployment, which makes them.
    async fn deploy(
        &self,
        template: &Template,
        invoker: &Arc<dyn Invoker>,
        addresses: &Addresses,
        provider: &str,
        client: &reqwest::Client,
    ) -> anyhow::Result<DefaultProvider> {
        let deployed = async {
            for function in &template.custom_resources {
                deployment::create(function, invoker.as_ref(), addresses, &self.announcements).await?;
            }
            match provider {
                REPLAY => Ok(DefaultProvider { name: REPLAY.to_owned(), trouble: None }),
                other => Ok(default_provider::ask(other, client, &addresses.gateway).await),
            }
        };
        if self.broker.as_ref().is_some_and(Broker::has_topics) {
            tokio::join!(deployed, self.map_event_sources(template, invoker, addresses)).0
        } else {
            let provider = deployed.await?;
            self.map_event_sources(template, invoker, addresses).await;
            Ok(provider)
        }
    }

    fn warn_of_replay(&self, wanted: &str, trouble: &str) {
        self.announcements.warning(&format!(
            "The default provider '{wanted}' does not answer from here: {trouble}\n\
             For this run the default is '{REPLAY}': RECORDED prices of 2012 and 2013, played at present times.\n\
             Everything they show up in says \"provider\": \"{REPLAY}\"; '{wanted}' is asked where a request names it."
        ));
    }

    fn ready(&self, addresses: &Addresses, provider: &str, data: &DataDirectory, functions: &CurrentHost) {
        let fields = json!({
            "url": addresses.gateway,
            "database_url": postgres::shown(&addresses.database_url, self.show_passwords),
            "kafka_bootstrap_servers": addresses.bootstrap_servers,
            "scheduler_url": addresses.scheduler,
            "runtime_api": functions.get().address().to_string(),
            "default_provider": provider,
            "data_directory": data.path(),
        });
        self.announcements.ready(fields, &first_steps::text(&addresses.gateway, provider));
    }
}

/// The provider that the functions ask where a request names none.
fn default_provider(host: &HostSettings, template: &Template) -> String {
    let declared = template.functions.iter().find_map(|function| function.environment.get(DEFAULT_PROVIDER));
    host.overrides.get(DEFAULT_PROVIDER).or(declared).cloned().unwrap_or_default()
}

/// Starts an instance of every function, so that one that cannot start is told now: one after the other, since what is
/// wrong with a variable of several functions is to be read once.
async fn warm(template: &Template, functions: &FunctionHost) -> anyhow::Result<()> {
    for function in &template.functions {
        let binary = &function.binary;
        functions.warm(&function.name).await.map_err(|error| {
            match error.downcast_ref::<FunctionError>() {
                Some(failure) if failure.is_of_configuration() => {
                    Unusable(format!("{binary} refuses its configuration; its message stands above")).into()
                }
                _ => error.context(format!("{binary} does not start")),
            }
        })?;
    }
    Ok(())
}

/// Waits until a request makes it through the gateway, the api and what it needs.
async fn goes_through(client: &reqwest::Client, gateway: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + FIRST_REQUEST;
    loop {
        let response = client.get(format!("{gateway}/health")).send().await;
        let failure = match response.map(reqwest::Response::error_for_status) {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(failure)) | Err(failure) => failure,
        };
        if Instant::now() > deadline {
            return Err(failure).context("no request goes through");
        }
        sleep(BETWEEN_REQUESTS).await;
    }
}
