//! The sources of work for the functions: the gateway, the scheduler, the event source mappings.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Stack;
use super::functions::Functions;
use super::listeners::Listeners;
use super::prepare::Addresses;
use crate::async_invocation::Retries;
use crate::backing::broker::Broker;
use crate::backing::postgres;
use crate::data_directory::DataDirectory;
use crate::event_source_mapping::{Reader, Status};
use crate::health_note::NoteKeeper;
use crate::invoker::Invoker;
use crate::scheduler::{DeclaredSchedule, Scheduler, SchedulerSettings};
use crate::template::Template;
use crate::{event_source_mapping, gateway, invoke_api};

/// How long the start waits for the mappings to join their groups. One that takes longer joins
/// after the start.
const JOINING: Duration = Duration::from_secs(20);

impl Stack {
    /// Serves the gateway and the scheduler's API. No schedule fires before
    /// [`Self::run_schedules`].
    pub(super) fn serve(
        &self,
        listeners: &mut Listeners,
        data: &DataDirectory,
        template: &Template,
        invoker: &Arc<dyn Invoker>,
    ) -> anyhow::Result<Option<Arc<Scheduler>>> {
        if let Some(listener) = listeners.gateway.take() {
            self.serve_gateway(listener, template, invoker);
        }

        let scheduler = listeners.scheduler.take();
        scheduler
            .map(|listener| self.serve_scheduler(listener, data, template, invoker))
            .transpose()
    }

    pub(super) fn serve_invoke_api(
        &self,
        listener: TcpListener,
        template: &Template,
        invoker: &Arc<dyn Invoker>,
    ) {
        let (functions, invoker) = (template.functions.clone(), Arc::clone(invoker));
        let (stop, allowed_hosts) = (self.no_new_work.clone(), self.allowed_hosts.clone());

        self.sources.spawn(async move {
            let served = invoke_api::serve(listener, &allowed_hosts, &functions, invoker, stop);
            if let Err(error) = served.await {
                tracing::error!("{error:#}");
            }
        });
    }

    fn serve_gateway(
        &self,
        listener: TcpListener,
        template: &Template,
        invoker: &Arc<dyn Invoker>,
    ) {
        let routes = template.http_routes.clone();
        let stop = self.no_new_work.clone();
        let (allowed_hosts, invoker) = (self.allowed_hosts.clone(), Arc::clone(invoker));
        let reached_at = self.reached_at;

        self.sources.spawn(async move {
            let served =
                gateway::serve(listener, reached_at, &allowed_hosts, routes, invoker, stop);
            if let Err(error) = served.await {
                tracing::error!("the gateway failed: {error:#}");
            }
        });
    }

    fn serve_scheduler(
        &self,
        listener: TcpListener,
        data: &DataDirectory,
        template: &Template,
        invoker: &Arc<dyn Invoker>,
    ) -> anyhow::Result<Arc<Scheduler>> {
        let mut settings = SchedulerSettings::new(data.schedules());
        settings.groups.clone_from(&template.schedule_groups);
        settings.retries = template
            .functions
            .iter()
            .map(|function| (function.name.clone(), Retries::from(function)))
            .collect();

        let scheduler = Scheduler::open(settings, Arc::clone(invoker))?;

        let stop = self.no_new_work.clone().cancelled_owned();
        let visitors = self.allowed_hosts.at(listener.local_addr()?);
        let api = axum::serve(listener, scheduler.router(visitors)).with_graceful_shutdown(stop);

        self.sources.spawn(async move {
            if let Err(error) = api.await {
                tracing::error!("the scheduler's API failed: {error}");
            }
        });

        Ok(scheduler)
    }

    /// Declares the template's schedules. Schedules fire from now on.
    pub(super) fn run_schedules(
        &self,
        template: &Template,
        scheduler: Option<Arc<Scheduler>>,
    ) -> anyhow::Result<()> {
        let Some(scheduler) = scheduler else {
            return Ok(());
        };

        for schedule in &template.schedules {
            scheduler.ensure(DeclaredSchedule {
                group: schedule.group.clone(),
                name: schedule.name.clone(),
                expression: schedule.expression.clone(),
                function: schedule.function.clone(),
                input: schedule.input.clone(),
                retry_attempts: schedule.retry_attempts,
            })?;
        }

        self.sources.spawn(scheduler.run(self.no_new_work.clone()));
        Ok(())
    }

    /// Starts the mappings, and waits up to [`JOINING`] until all of them read their topic.
    pub(super) async fn map_event_sources(
        &self,
        template: &Template,
        invoker: Arc<dyn Invoker>,
        addresses: &Addresses,
        data: &DataDirectory,
    ) {
        let embedded = self.broker.as_ref().is_some_and(Broker::has_topics);
        let reader = Reader {
            bootstrap_servers: addresses.bootstrap_servers.clone(),
            // An embedded broker forgets its groups when this emulator ends, so no name is needed
            // to return to them.
            member: if embedded {
                None
            } else {
                self.group_member.clone()
            },
            concurrency: event_source_mapping::concurrency(),
        };

        let (mut joined, mut statuses) = (Vec::new(), Vec::new());
        for mapping in &template.event_source_mappings {
            let (ready, reads) = oneshot::channel();
            joined.push(reads);
            let status = Arc::new(Status::new(mapping));
            statuses.push(Arc::clone(&status));

            let run = event_source_mapping::run(
                mapping.clone(),
                reader.clone(),
                Arc::clone(&invoker),
                ready,
                status,
                self.no_new_work.clone(),
            );
            self.sources.spawn(run);
        }

        // Before everything is announced as ready: `emulator health` fails without a first note.
        let note = NoteKeeper::start(data.path(), statuses).await;
        self.sources.spawn(note.run(self.no_new_work.clone()));

        if timeout(JOINING, futures::future::join_all(joined))
            .await
            .is_err()
        {
            self.announcements.warning(
                "The price topic is not being read yet: Kafka does not answer. Retrying in the background.",
            );
        }
    }

    /// Announces the parts that run, with their addresses.
    pub(super) fn tell_what_runs(
        &self,
        template: &Template,
        addresses: &Addresses,
        functions: &Functions,
    ) {
        self.tell_services(addresses);
        self.tell_functions(template, addresses, functions);

        let tell = |part: &str, address: &str, detail: &str| {
            self.announcements.started(part, address, detail);
        };
        if let Some(scheduler) = &addresses.scheduler {
            tell("scheduler", scheduler, "EventBridge Scheduler's API");
        }
        if let Some(scheduler) = &addresses.scheduler_of_functions
            && addresses.scheduler.as_ref() != Some(scheduler)
        {
            tell(
                "scheduler of jobs",
                scheduler,
                "yours, from AWS_ENDPOINT_URL_SCHEDULER",
            );
        }

        for mapping in &template.event_source_mappings {
            let detail = format!("group {}, to {}", mapping.consumer_group, mapping.function);
            tell(
                "event source mapping",
                &format!("topic {}", mapping.topic),
                &detail,
            );
        }

        if let Some(gateway) = &addresses.gateway {
            tell("gateway", gateway, "the HTTP API");
        }
    }

    fn tell_services(&self, addresses: &Addresses) {
        let postgres = self.postgres.as_ref().map(postgres::Postgres::describe);
        self.announcements.started(
            "postgres",
            &postgres::masked(&addresses.database_url),
            postgres
                .as_deref()
                .unwrap_or("yours, from DATABASE_URL or POSTGRES_HOST"),
        );

        let broker = self.broker.as_ref().map(Broker::describe);
        self.announcements.started(
            "broker",
            &addresses.bootstrap_servers,
            broker
                .as_deref()
                .unwrap_or("yours, from KAFKA_BOOTSTRAP_SERVERS"),
        );
    }

    fn tell_functions(&self, template: &Template, addresses: &Addresses, functions: &Functions) {
        let names: Vec<_> = template
            .functions
            .iter()
            .map(|function| function.binary.as_str())
            .collect();
        let names = names.join(", ");

        let invoke_api = &addresses.invoke_api;
        if let Functions::Elsewhere(host) = functions {
            let detail = format!("{names}: yours, from --functions");
            self.announcements.started("functions", host.url(), &detail);
            let detail = "Lambda's Invoke API, passing on to them";
            self.announcements.started("invoke api", invoke_api, detail);
        } else {
            let detail = format!("{names}: Lambda's Invoke API");
            self.announcements.started("functions", invoke_api, &detail);
        }
    }
}
