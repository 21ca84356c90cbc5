//! The declarations of a template as plain values: every intrinsic function resolved, every default
//! filled in.

use std::collections::BTreeMap;
use std::time::Duration;

/// The whole wiring.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    /// The Lambda functions.
    pub(crate) functions: Vec<FunctionDefinition>,
    /// The routes from requests to functions.
    pub(crate) http_routes: Vec<HttpRoute>,
    /// The topics and the functions that their records invoke.
    pub(crate) event_source_mappings: Vec<EventSourceMapping>,
    /// The schedules that the template itself declares.
    pub(crate) schedules: Vec<TemplateSchedule>,
    /// The groups besides `default` in which functions may create schedules.
    pub(crate) schedule_groups: Vec<String>,
    /// The functions that the deployment invokes, by name.
    pub(crate) custom_resources: Vec<String>,
}

/// One Lambda function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionDefinition {
    /// Its full name, such as `market-data-api`.
    pub(crate) name: String,
    /// Its binary's name, such as `api`: the last component of `CodeUri`.
    pub(crate) binary: String,
    /// Its ARN.
    pub(crate) arn: String,
    /// How long one invocation may take.
    pub(crate) timeout: Duration,
    /// Its memory, which is reported to the function and not enforced.
    pub(crate) memory_mb: u32,
    /// The most instances at a time, if the template limits them.
    pub(crate) reserved_concurrency: Option<u32>,
    /// Its variables, without those that refer to a parameter that has no value.
    pub(crate) environment: BTreeMap<String, String>,
    /// How often a failed asynchronous invocation is retried.
    pub(crate) async_retry_attempts: u32,
    /// How old an asynchronous invocation may become before it is dropped.
    pub(crate) async_max_age: Duration,
}

/// One route of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpRoute {
    /// The method in upper case; `None` for any.
    pub(crate) method: Option<String>,
    /// The path pattern; `None` for `$default`.
    pub(crate) path: Option<String>,
    /// The function that answers, by name.
    pub(crate) function: String,
}

/// One Kafka event source mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventSourceMapping {
    /// A name for logs and files, such as `averager-prices`.
    pub(crate) id: String,
    /// The function that the batches invoke, by name.
    pub(crate) function: String,
    /// The cluster's ARN, which events contain.
    pub(crate) event_source_arn: String,
    /// The topic that is read.
    pub(crate) topic: String,
    /// The consumer group that holds the offsets.
    pub(crate) consumer_group: String,
    /// Where a group without committed offsets begins.
    pub(crate) starting_position: StartingPosition,
    /// The most records in a batch.
    pub(crate) batch_size: usize,
    /// How long a batch may gather records.
    pub(crate) batching_window: Duration,
    /// How often a failed batch is retried; `None` for ever.
    pub(crate) max_retry_attempts: Option<u32>,
    /// Whether a failed batch is split in two.
    pub(crate) bisect_on_error: bool,
    /// How old a record may be and still be delivered; `None` for any age.
    pub(crate) max_record_age: Option<Duration>,
    /// Whether the function's answer names the records that failed.
    pub(crate) report_batch_item_failures: bool,
    /// The topic for records that were not processed in any attempt.
    pub(crate) on_failure_topic: Option<String>,
}

/// Where a consumer group without committed offsets begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartingPosition {
    /// At the oldest record.
    TrimHorizon,
    /// After the newest record.
    Latest,
}

/// A schedule that the template declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateSchedule {
    /// Its name within its group.
    pub(crate) name: String,
    /// The name of its group.
    pub(crate) group: String,
    /// Its expression, such as `rate(10 minutes)`.
    pub(crate) expression: String,
    /// The payload, if the template gives one.
    pub(crate) input: Option<String>,
    /// The function it invokes, by name.
    pub(crate) function: String,
    /// The function's ARN.
    pub(crate) target_arn: String,
    /// How often a delivery that did not reach the function is retried.
    pub(crate) retry_attempts: u32,
}
