//! The start: backing services while the functions are built, then the functions, then what brings
//! work to them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::current_host::CurrentHost;
use super::default_provider::DefaultProvider;
use super::functions::Functions;
use super::functions_file::FunctionsFile;
use super::listeners::Listeners;
use super::prepare::{self, Addresses};
use super::waiting::Wait;
use super::{
    Stack, default_provider, dependencies, deployment, first_steps, parts, readiness,
    remote_functions, schedule_groups,
};
use crate::Unusable;
use crate::backing::broker::Broker;
use crate::backing::postgres;
use crate::cli::StackArguments;
use crate::data_directory::DataDirectory;
use crate::function_host::{FunctionHost, HostSettings};
use crate::invoker::FunctionError;
use crate::remote_host::RemoteHost;
use crate::settings::Settings;
use crate::template::Template;

/// Each relay occupies one instance of the poller, and two where one invocation follows on another.
const MAX_INSTANCES: u32 = 64;
/// Used where the default provider does not answer: it plays recorded prices.
const REPLAY: &str = "replay";
const DEFAULT_PROVIDER: &str = "DEFAULT_PROVIDER";
const FIRST_REQUEST: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(10);
/// How long invocations that are in flight may take when the functions are started again with other
/// variables.
const REPLACEMENT: Duration = Duration::from_secs(2);

impl Stack {
    /// Starts everything. Returns once a request has passed through the gateway and the api.
    pub(super) async fn start(
        &mut self,
        arguments: &StackArguments,
        settings: &Settings,
        data: &DataDirectory,
    ) -> anyhow::Result<()> {
        let (template, parts) = parts::select(
            prepare::template(arguments, settings)?,
            &arguments.only,
            settings,
        )?;

        // Ports first: if one is taken, the start fails before anything runs.
        let mut listeners = Listeners::open(arguments, &parts, data).await?;

        // Before this start's own instances, which note their processes in the same directory.
        self.end_leftovers(data).await?;

        let (binaries, addresses) = self
            .prepare(arguments, settings, data, &template, &listeners)
            .await?;

        let host = HostSettings {
            functions: template.functions.clone(),
            binary_directory: binaries.unwrap_or_default(),
            run_directory: data.run_directory(),
            overrides: prepare::overrides(&template, settings, &addresses),
            max_instances: MAX_INSTANCES,
        };

        let functions = functions(arguments, &host).await?;
        // From here on `Stack::stop` ends the functions, even if a later step fails.
        self.functions = Some(functions.clone());
        let invoker = functions.invoker();

        // Served before the deployment, which needs both: upkeep reconciles the scheduler's
        // schedules, and the default provider is asked through the gateway.
        let schedules = self.serve(&mut listeners, data, &template, &invoker)?;
        self.serve_invoke_api(listeners.invoke_api, &template, &invoker);

        // Before anything waits for Postgres or Kafka, so that a function that rejects its
        // configuration fails the start at once.
        self.find_functions(&functions, &template, &host, data)
            .await?;

        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(REQUEST)
            .build()?;
        dependencies::look_for_scheduler(&parts, &addresses, self.announcements).await;

        // The event source mappings need topics and schema, which another emulator may have to
        // create.
        dependencies::wait(
            &parts,
            &template,
            &functions,
            &addresses,
            &client,
            self.announcements,
        )
        .await?;

        // Before the deployment: upkeep creates schedules in these groups.
        schedule_groups::make_elsewhere(&template, &addresses, &client, self.announcements).await;

        let wanted = default_provider(&host, &template);
        let provider = self
            .deploy(&template, &functions, &addresses, &wanted, &client, data)
            .await?;

        let provider = self
            .usable_provider(provider, &functions, &template, host)
            .await?;

        // No schedule fires earlier. Firings need the schema and the final default provider, and
        // replacing the functions leaves them only `REPLACEMENT` to finish.
        self.run_schedules(&template, schedules)?;

        if let Some(gateway) = &addresses.gateway {
            readiness::wait(&client, gateway, FIRST_REQUEST).await?;
        }

        self.tell_what_runs(&template, &addresses, &functions);

        // Noted before it is announced: a program that reads `ready` may run `emulator health` at
        // once.
        let gateway = addresses.gateway.as_deref().unwrap_or_default();
        data.note_ready(gateway)
            .context("cannot note in the data directory that all is ready")?;
        self.ready(&template, &addresses, provider.as_deref(), data, &functions);

        Ok(())
    }

    /// Makes sure that the functions can be invoked: starts an instance of each, or waits for the
    /// host that runs them.
    async fn find_functions(
        &self,
        functions: &Functions,
        template: &Template,
        host: &HostSettings,
        data: &DataDirectory,
    ) -> anyhow::Result<()> {
        match functions {
            Functions::Own(own) => warm(template, &own.get()).await,
            Functions::Elsewhere(elsewhere) => {
                let file = FunctionsFile::write(data.path(), template, &host.overrides)
                    .context("cannot write the functions' variables into the data directory")?;
                remote_functions::wait(elsewhere, &file, self.announcements).await
            }
        }
    }

    /// The name of the default provider, or of the one used in its place because it does not
    /// answer.
    async fn usable_provider(
        &self,
        provider: Option<DefaultProvider>,
        functions: &Functions,
        template: &Template,
        mut host: HostSettings,
    ) -> anyhow::Result<Option<String>> {
        let Some(DefaultProvider { name, trouble }) = provider else {
            return Ok(None);
        };
        let Some(trouble) = trouble else {
            return Ok(Some(name));
        };

        match functions {
            Functions::Own(own) => {
                self.warn_of_replay(&name, &trouble);

                host.overrides
                    .insert(DEFAULT_PROVIDER.to_owned(), REPLAY.to_owned());
                own.replace(FunctionHost::start(host).await?, REPLACEMENT)
                    .await;

                // A new host has no instances, and one that cannot start must fail the start.
                warm(template, &own.get()).await?;
                Ok(Some(REPLAY.to_owned()))
            }
            Functions::Elsewhere(_) => {
                self.warn_of_provider(&name, &trouble);
                Ok(Some(name))
            }
        }
    }

    /// Runs the deployment, asks the api for the default provider (if the api runs here), and
    /// starts the event source mappings.
    ///
    /// The mappings start at once if the topics exist, because joining a group takes seconds.
    /// Otherwise they start after the deployment, which creates the topics.
    async fn deploy(
        &self,
        template: &Template,
        functions: &Functions,
        addresses: &Addresses,
        provider: &str,
        client: &reqwest::Client,
        data: &DataDirectory,
    ) -> anyhow::Result<Option<DefaultProvider>> {
        let deployed = async {
            for function in &template.custom_resources {
                deployment::create(function, functions, addresses, self.announcements).await?;
            }

            let Some(gateway) = &addresses.gateway else {
                return Ok(None);
            };

            if let Functions::Elsewhere(_) = functions {
                let wait = Wait {
                    patience: functions.patience(FIRST_REQUEST),
                    announcements: self.announcements,
                    failure: "no request went through",
                };
                let answered = readiness::wait(client, gateway, wait.patience);
                wait.until(answered, async || functions.trouble(addresses).await)
                    .await?;
            }

            Ok(Some(match provider {
                REPLAY => DefaultProvider {
                    name: REPLAY.to_owned(),
                    trouble: None,
                },
                other => default_provider::ask(other, client, gateway).await,
            }))
        };

        let mapped = self.map_event_sources(template, functions.invoker(), addresses, data);

        if self.broker.as_ref().is_some_and(Broker::has_topics) {
            tokio::join!(deployed, mapped).0
        } else {
            let provider = deployed.await?;
            mapped.await;
            Ok(provider)
        }
    }

    fn warn_of_replay(&self, wanted: &str, trouble: &str) {
        self.announcements.warning(&format!(
            "{}\n\
             For this run the default is '{REPLAY}': RECORDED prices of 2012 and 2013, played at present times.\n\
             Everything they show up in says \"provider\": \"{REPLAY}\"; '{wanted}' is asked where a request names it.",
            does_not_answer(wanted, trouble)
        ));
    }

    /// Only a warning: the emulator cannot change the variables of functions that run elsewhere.
    fn warn_of_provider(&self, wanted: &str, trouble: &str) {
        self.announcements.warning(&format!(
            "{}\n\
             To play recorded prices, start emulator and functions again with DEFAULT_PROVIDER={REPLAY}.",
            does_not_answer(wanted, trouble)
        ));
    }

    fn ready(
        &self,
        template: &Template,
        addresses: &Addresses,
        provider: Option<&str>,
        data: &DataDirectory,
        functions: &Functions,
    ) {
        let mut fields = json!({
            "database_url": postgres::shown(&addresses.database_url, self.show_passwords),
            "kafka_bootstrap_servers": addresses.bootstrap_servers,
            "invoke_url": addresses.invoke_api,
            "data_directory": data.path(),
        });

        let (own, elsewhere) = match functions {
            Functions::Own(own) => (Some(own.get().address().to_string()), None),
            Functions::Elsewhere(host) => (None, Some(host.url())),
        };

        for (name, value) in [
            ("url", addresses.gateway.as_deref()),
            ("scheduler_url", addresses.scheduler.as_deref()),
            ("runtime_api", own.as_deref()),
            ("functions_url", elsewhere),
            ("default_provider", provider),
        ] {
            if let Some(value) = value {
                fields[name] = value.into();
            }
        }

        if addresses.gateway.is_some() && !self.reached_at.to_canonical().is_loopback() {
            self.announcements.notice(
                "requests need an API key: cargo run -- keys create --name NAME --scope read (docs/access.md)",
            );
        }

        let database = self.show_passwords.then(|| addresses.database_url.as_str());
        let text = match (&addresses.gateway, provider) {
            (Some(gateway), Some(provider)) => first_steps::text(gateway, provider, database),
            _ => first_steps::without_gateway(&template.functions, database),
        };

        self.announcements.ready(fields, &text);
    }
}

/// The functions: those of the host that `--functions` names, otherwise processes of this emulator,
/// started on demand.
async fn functions(arguments: &StackArguments, host: &HostSettings) -> anyhow::Result<Functions> {
    Ok(match &arguments.functions {
        Some(url) => Functions::Elsewhere(Arc::new(RemoteHost::new(url.clone(), &host.functions)?)),
        None => Functions::Own(CurrentHost::new(FunctionHost::start(host.clone()).await?)),
    })
}

/// The first line of a warning about the default provider, or about a list of several.
fn does_not_answer(wanted: &str, trouble: &str) -> String {
    if wanted.contains(',') {
        format!("None of the default providers '{wanted}' answers from here: {trouble}")
    } else {
        format!("The default provider '{wanted}' does not answer from here: {trouble}")
    }
}

/// The provider that the functions ask if a request names none.
fn default_provider(host: &HostSettings, template: &Template) -> String {
    let declared = template
        .functions
        .iter()
        .find_map(|function| function.environment.get(DEFAULT_PROVIDER));

    host.overrides
        .get(DEFAULT_PROVIDER)
        .or(declared)
        .cloned()
        .unwrap_or_default()
}

/// Starts an instance of every function, so that one that cannot start is reported now. They start
/// one after the other: an invalid variable that several functions have is then reported once.
async fn warm(template: &Template, functions: &FunctionHost) -> anyhow::Result<()> {
    for function in &template.functions {
        let binary = &function.binary;
        functions.warm(&function.name).await.map_err(|error| {
            match error.downcast_ref::<FunctionError>() {
                Some(failure) if failure.is_of_configuration() => Unusable(format!(
                    "{binary} rejected its configuration; see the error above"
                ))
                .into(),
                _ => error.context(format!("{binary} does not start")),
            }
        })?;
    }
    Ok(())
}
