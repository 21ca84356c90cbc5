//! One-by-one storing: selects the last five points, inserts one and updates the newest, each in a
//! transaction of its own.

use async_trait::async_trait;
use rust_decimal::Decimal;
use shared::moving_average::average;
use shared::price::Price;
use shared::price_event::PriceEvent;
use sqlx::postgres::PgConnection;

use super::contender::{Contender, decode};
use super::copy::UNIT;
use super::tables::{SeriesIds, Tables};
use crate::postgres::Server;

#[derive(Debug)]
pub(super) struct Naive {
    connection: PgConnection,
    ids: SeriesIds,
}

impl Naive {
    pub(super) async fn open(server: &Server, tables: &Tables) -> anyhow::Result<Self> {
        Ok(Self {
            connection: server.connection().await?,
            ids: tables.ids(),
        })
    }

    async fn store(&mut self, event: &PriceEvent) -> anyhow::Result<()> {
        let series_id = self.ids.of(event)?;

        let last: Vec<Decimal> = sqlx::query_scalar(
            "select price from bench_naive where series_id = $1 order by quoted_at desc limit 5",
        )
        .bind(series_id)
        .fetch_all(&mut self.connection)
        .await?;

        let mut window = vec![event.price];
        for price in last.into_iter().take(4) {
            window.push(Price::try_from(price)?);
        }

        let Some(average) = average(&window) else {
            anyhow::bail!("a window of no prices")
        };

        sqlx::query(
            "insert into bench_naive (quoted_at, polled_at, event_id, series_id, points, price, moving_average,
                                      unit_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
        )
        .bind(event.timestamp)
        .bind(event.polled_at)
        .bind(event.id)
        .bind(series_id)
        .bind(i16::from(average.points))
        .bind(event.price.value())
        .bind(average.value)
        .bind(UNIT)
        .execute(&mut self.connection)
        .await?;

        sqlx::query(
            "insert into bench_naive_latest (series_id, quoted_at, price, moving_average) values ($1, $2, $3, $4)
             on conflict (series_id) do update set quoted_at = excluded.quoted_at, price = excluded.price,
                                                   moving_average = excluded.moving_average",
        )
        .bind(series_id)
        .bind(event.timestamp)
        .bind(event.price.value())
        .bind(average.value)
        .execute(&mut self.connection)
        .await?;

        Ok(())
    }
}

#[async_trait]
impl Contender for Naive {
    async fn take(&mut self, event: &str) -> anyhow::Result<()> {
        for event in decode(event)? {
            self.store(&event).await?;
        }
        Ok(())
    }
}
