//! The bare insert: one INSERT of arrays for each batch.

use async_trait::async_trait;
use sqlx::postgres::PgConnection;

use super::contender::{Contender, decode};
use super::copy::UNIT;
use super::tables::{SeriesIds, Tables};
use crate::postgres::Server;

#[derive(Debug)]
pub(super) struct Unnest {
    connection: PgConnection,
    ids: SeriesIds,
}

impl Unnest {
    pub(super) async fn open(server: &Server, tables: &Tables) -> anyhow::Result<Self> {
        Ok(Self {
            connection: server.connection().await?,
            ids: tables.ids(),
        })
    }
}

#[async_trait]
impl Contender for Unnest {
    async fn take(&mut self, event: &str) -> anyhow::Result<()> {
        let events = decode(event)?;

        let ids = events
            .iter()
            .map(|event| self.ids.of(event))
            .collect::<anyhow::Result<Vec<_>>>()?;

        let prices: Vec<_> = events.iter().map(|event| event.price.value()).collect();

        sqlx::query(
            "insert into bench_unnest (quoted_at, polled_at, event_id, series_id, points, price, moving_average, unit_id)
             select * from unnest($1::timestamptz[], $2::timestamptz[], $3::uuid[], $4::int4[], $5::int2[],
                                  $6::numeric[], $7::numeric[], $8::int2[])",
        )
        .bind(events.iter().map(|event| event.timestamp).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.polled_at).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.id).collect::<Vec<_>>())
        .bind(ids)
        .bind(vec![1_i16; events.len()])
        .bind(&prices)
        .bind(&prices)
        .bind(vec![UNIT; events.len()])
        .execute(&mut self.connection)
        .await?;

        Ok(())
    }
}
