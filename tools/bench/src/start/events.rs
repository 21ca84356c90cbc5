//! The events that the functions are invoked with, and the parts that the functions need.

use std::fmt;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::json;
use shared::market::Timestamp;
use shared::repository::polling_jobs::{self, NewJob};
use uuid::Uuid;

use crate::feed::{self, Delivery, Feed};
use crate::postgres::Server;

const SYMBOLS: usize = 200;
/// The number of records in a batch.
const BATCH: usize = 100;
/// The seconds between the ticks of the polled job.
const INTERVAL: u32 = 60;
/// The age of the job, which has more ticks than are ever served.
const JOB_AGE: TimeDelta = TimeDelta::minutes(2_000);
const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:poller";

/// Events for each function, each with new work.
pub(super) struct Events {
    kafka: MockCluster<'static, DefaultProducerContext>,
    database_url: String,
    feed: Feed,
    job_id: Uuid,
    next_tick: Timestamp,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("job_id", &self.job_id)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// Creates the topics and a polling job.
    pub(super) async fn prepare(server: &Server) -> anyhow::Result<Self> {
        let kafka = MockCluster::new(1)?;
        kafka.create_topic("price-events", 6, 1)?;
        kafka.create_topic("price-events.dlt", 1, 1)?;

        let job = NewJob {
            job_id: Uuid::new_v4(),
            symbols: vec!["AAPL".parse()?],
            provider: "replay".parse()?,
            interval_seconds: INTERVAL,
            market_hours: false,
            created_at: Utc::now() - JOB_AGE,
        };

        let job = polling_jobs::insert(&server.pool(1)?, &job, 0)
            .await
            .context("making the job")?;

        Ok(Self {
            kafka,
            database_url: server.url.clone(),
            feed: Feed::new(
                &feed::symbols(SYMBOLS),
                feed::start_before_now(2_000)?,
                Delivery::Imperfect,
            )?,
            job_id: job.job_id,
            next_tick: job.start_at,
        })
    }

    /// The variables that the template would set.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables: Vec<(&str, String)> = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "bench"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_SESSION_TOKEN", "bench"),
            ("RUST_LOG", "warn"),
            ("DEFAULT_PROVIDER", "replay"),
            ("SCHEDULE_GROUP", "bench"),
            ("SCHEDULE_TARGET_ARN", ARN),
            ("SCHEDULE_ROLE_ARN", ARN),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();

        variables.push(("DATABASE_URL", self.database_url.clone()));
        variables.push(("KAFKA_BOOTSTRAP_SERVERS", self.kafka.bootstrap_servers()));

        variables
    }

    /// The next event for `function`.
    pub(super) fn next(&mut self, function: &str) -> anyhow::Result<String> {
        match function {
            "api" => Ok(request()),
            "averager" => self.feed.batch(BATCH),
            "poller" => {
                let tick = self.next_tick;
                self.next_tick += TimeDelta::seconds(INTERVAL.into());
                Ok(json!({ "job_id": self.job_id, "scheduled_time": tick }).to_string())
            }
            _ => Ok("{}".to_owned()),
        }
    }
}

/// A request for a price that is fetched, stored and published each time.
fn request() -> String {
    let query = "symbol=AAPL&max_age=0";
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/prices/latest",
        "rawQueryString": query,
        "queryStringParameters": { "symbol": "AAPL", "max_age": "0" },
        "headers": { "host": "localhost" },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "bench",
            "authorizer": { "lambda": { "listener": "loopback" } },
            "domainName": "localhost",
            "http": {
                "method": "GET",
                "path": "/prices/latest",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "bench",
            },
            "requestId": "bench",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_i64,
        },
        "isBase64Encoded": false,
    })
    .to_string()
}
