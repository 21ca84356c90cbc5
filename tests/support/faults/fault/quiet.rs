//! Symbols that are quoted only when a fault asks for it.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::Site;
use super::kafka::PARTITIONS;
use crate::raw_records::{RawBatch, RawRecord, send};
use crate::waiting;

/// Enough that some share their fence with no busy symbol.
const SYMBOLS: i32 = 60;
/// The longest time until their points are stored.
const PATIENCE: Duration = Duration::from_secs(120);

/// The quiet symbols, divided among the partitions.
#[derive(Debug)]
pub(super) struct Quiet {
    start: DateTime<Utc>,
}

impl Quiet {
    /// Symbols without a quote so far.
    pub(super) fn new() -> Self {
        Self {
            start: Utc::now() - TimeDelta::hours(1),
        }
    }

    /// Publishes the quote with this number for each symbol, in one batch per partition, and waits
    /// until the quotes are points.
    pub(super) async fn quote(&self, site: &Site<'_>, number: i32) -> anyhow::Result<()> {
        let quoted_at = self.start + TimeDelta::seconds(number.into());
        let text = quoted_at.to_rfc3339_opts(SecondsFormat::Micros, true);

        let record = |symbol| {
            let price = number * number;
            let event = format!(
                r#"{{"symbol":"QUIET{symbol}","price":{price},"timestamp":"{text}","source":"made"}}"#
            );
            RawRecord {
                value: Some(event.into_bytes()),
                ..RawRecord::default()
            }
        };

        {
            let _kafka = site.ground.kafka.lock().await;
            for partition in 0..PARTITIONS {
                let symbols = (0..SYMBOLS).filter(|symbol| symbol % PARTITIONS == partition);
                let records = symbols.map(record).collect();
                let batch = RawBatch {
                    timestamp: Utc::now().timestamp_millis(),
                    codec: 0,
                    records,
                };

                send(
                    site.ground.bootstrap_servers(),
                    &site.topic,
                    partition,
                    &batch,
                )
                .await?;
            }
        }

        let stored = async || {
            let count = "select count(*) from series where symbol like 'QUIET%' and last_at = $1";
            let count: i64 = sqlx::query_scalar(count)
                .bind(quoted_at)
                .fetch_one(&site.pool)
                .await
                .unwrap_or_default();
            (count == i64::from(SYMBOLS)).then_some(())
        };

        waiting::until("points of quiet symbols", PATIENCE, stored).await;
        Ok(())
    }
}
