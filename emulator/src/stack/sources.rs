//! What brings work to the functions: the gateway, the scheduler, the event source mappings.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Stack;
use super::current_host::CurrentHost;
use super::prepare::Addresses;
use crate::backing::broker::Broker;
use crate::backing::postgres;
use crate::data_directory::DataDirectory;
use crate::event_source_mapping::Reader;
use crate::invoker::Invoker;
use crate::scheduler::{DeclaredSchedule, Scheduler, SchedulerSettings, Target};
use crate::template::Template;
use crate::{event_source_mapping, gateway};

/// A mapping that takes longer to join its group goes on joining while everything else is ready.
const JOINING: Duration = Duration::from_secs(20);

impl Stack {
    pub(super) fn serve_gateway(
        &self,
        listener: TcpListener,
        template: &Template,
        invoker: &Arc<dyn Invoker>,
    ) {
        let routes = template.http_routes.clone();
        let stop = self.no_new_work.clone();
        let served = gateway::serve(listener, routes, Arc::clone(invoker), stop);
        self.sources.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!("the gateway failed: {error:#}");
            }
        });
    }

    /// Answers the scheduler's API; nothing fires before [`Self::run_schedules`].
    pub(super) fn serve_scheduler(
        &self,
        listener: TcpListener,
        data: &DataDirectory,
        template: &Template,
        invoker: &Arc<dyn Invoker>,
    ) -> anyhow::Result<Arc<Scheduler>> {
        let mut settings = SchedulerSettings::new(data.schedules());
        settings.groups.clone_from(&template.schedule_groups);
        settings.targets = template
            .functions
            .iter()
            .map(|function| {
                let target = Target {
                    async_retry_attempts: function.async_retry_attempts,
                    async_max_age: function.async_max_age,
                };
                (function.name.clone(), target)
            })
            .collect();
        let scheduler = Scheduler::open(settings, Arc::clone(invoker))?;
        let stop = self.no_new_work.clone().cancelled_owned();
        let api = axum::serve(listener, scheduler.router()).with_graceful_shutdown(stop);
        self.sources.spawn(async move {
            if let Err(error) = api.await {
                tracing::error!("the scheduler's API failed: {error}");
            }
        });
        Ok(scheduler)
    }

    /// Declares the template's schedules, and fires from now on.
    pub(super) fn run_schedules(&self, template: &Template, scheduler: Arc<Scheduler>) -> anyhow::Result<()> {
        for schedule in &template.schedules {
            scheduler.ensure(DeclaredSchedule {
                name: schedule.name.clone(),
                expression: schedule.expression.clone(),
                function: schedule.function.clone(),
                input: schedule.input.clone(),
            })?;
        }
        self.sources.spawn(scheduler.run(self.no_new_work.clone()));
        Ok(())
    }

    /// Starts the mappings and waits until they read, or for a while.
    pub(super) async fn map_event_sources(
        &self,
        template: &Template,
        invoker: &Arc<dyn Invoker>,
        addresses: &Addresses,
    ) {
        let embedded = self.broker.as_ref().is_some_and(Broker::has_topics);
        let reader = Reader {
            bootstrap_servers: addresses.bootstrap_servers.clone(),
            // A broker that ends with this emulator never sees it again.
            member: if embedded { None } else { self.group_member.clone() },
            concurrency: event_source_mapping::concurrency(),
        };
        let mut joined = Vec::new();
        for mapping in &template.event_source_mappings {
            let (ready, reads) = oneshot::channel();
            joined.push(reads);
            let run = event_source_mapping::run(
                mapping.clone(),
                reader.clone(),
                Arc::clone(invoker),
                ready,
                self.no_new_work.clone(),
            );
            let id = mapping.id.clone();
            self.sources.spawn(async move {
                if let Err(error) = run.await {
                    tracing::error!("the event source mapping {id} failed: {error:#}");
                }
            });
        }
        if timeout(JOINING, futures::future::join_all(joined)).await.is_err() {
            self.announcements
                .warning("The price topic is not being read yet: Kafka does not answer. It is tried on.");
        }
    }

    /// The table of what runs and where.
    pub(super) fn tell_what_runs(&self, template: &Template, addresses: &Addresses, functions: &CurrentHost) {
        let tell =
            |part: &str, address: &str, detail: &str| self.announcements.started(part, address, detail);
        let own = self.postgres.as_ref().map(postgres::Postgres::describe);
        let database = postgres::masked(&addresses.database_url);
        tell("postgres", &database, own.as_deref().unwrap_or("yours, from DATABASE_URL"));
        let broker = self.broker.as_ref().map(Broker::describe);
        let broker = broker.as_deref().unwrap_or("yours, from KAFKA_BOOTSTRAP_SERVERS");
        tell("broker", &addresses.bootstrap_servers, broker);
        let names: Vec<_> = template.functions.iter().map(|function| function.binary.as_str()).collect();
        tell("functions", &functions.get().address().to_string(), &names.join(", "));
        tell("scheduler", &addresses.scheduler, "EventBridge Scheduler's API");
        if addresses.scheduler != addresses.scheduler_of_functions {
            tell(
                "scheduler of jobs",
                &addresses.scheduler_of_functions,
                "yours, from AWS_ENDPOINT_URL_SCHEDULER",
            );
        }
        for mapping in &template.event_source_mappings {
            let detail = format!("group {}, to {}", mapping.consumer_group, mapping.function);
            tell("event source mapping", &format!("topic {}", mapping.topic), &detail);
        }
        tell("gateway", &addresses.gateway, "the HTTP API");
    }
}
