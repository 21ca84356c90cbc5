//! Bare binary COPY by a client that sets `TCP_NODELAY`: the fastest way to insert, and the measure
//! of every other.

use async_trait::async_trait;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::SinkExt as _;
use rust_decimal::Decimal;
use shared::market::Timestamp;
use shared::price_event::PriceEvent;
use tokio_postgres::{Client, NoTls, Statement};

use super::contender::{Contender, decode};
use super::tables::{SeriesIds, Tables};
use crate::postgres::Server;

/// Postgres counts microseconds from 2000-01-01, which is this many after the Unix epoch.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
/// The number that the averager has given the single unit of the events.
pub(super) const UNIT: i16 = 1;
/// Takes what [`rows`] gives.
pub(crate) const STATEMENT: &str =
    "copy bench_copy (quoted_at, polled_at, event_id, series_id, points, price, moving_average, unit_id)
     from stdin (format binary)";
/// More than a row takes.
const ROW_BYTES: usize = 128;

pub(super) struct Copy {
    client: Client,
    statement: Statement,
    ids: SeriesIds,
}

impl Copy {
    pub(super) async fn open(server: &Server, tables: &Tables) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(&server.url, NoTls).await?;
        tokio::spawn(connection);

        let statement = client.prepare(STATEMENT).await?;

        Ok(Self {
            client,
            statement,
            ids: tables.ids(),
        })
    }
}

#[async_trait]
impl Contender for Copy {
    async fn take(&mut self, event: &str) -> anyhow::Result<()> {
        let rows = rows(&decode(event)?, &self.ids)?;

        let sink = self.client.copy_in::<_, Bytes>(&self.statement).await?;
        let mut sink = std::pin::pin!(sink);

        sink.send(rows).await?;
        sink.finish().await?;
        Ok(())
    }
}

/// The events in Postgres's binary COPY format. The price also fills the average's column, which
/// has as many digits.
pub(crate) fn rows(events: &[PriceEvent], ids: &SeriesIds) -> anyhow::Result<Bytes> {
    let mut data = BytesMut::with_capacity(32 + events.len() * ROW_BYTES);
    data.put_slice(b"PGCOPY\n\xff\r\n\0");
    data.put_slice(&[0; 8]);

    for event in events {
        data.put_i16(8);
        put_field(&mut data, &micros(event.timestamp).to_be_bytes());
        put_field(&mut data, &micros(event.polled_at).to_be_bytes());
        put_field(&mut data, event.id.as_bytes());
        put_field(&mut data, &ids.of(event)?.to_be_bytes());
        put_field(&mut data, &1_i16.to_be_bytes());
        put_numeric(&mut data, event.price.value())?;
        put_numeric(&mut data, event.price.value())?;
        put_field(&mut data, &UNIT.to_be_bytes());
    }

    data.put_i16(-1);
    Ok(data.freeze())
}

fn put_field(data: &mut BytesMut, bytes: &[u8]) {
    data.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    data.put_slice(bytes);
}

fn micros(time: Timestamp) -> i64 {
    time.timestamp_micros() - POSTGRES_EPOCH
}

/// Appends a positive price of up to four decimals, as base-10,000 digits, of which only the last
/// is after the point.
fn put_numeric(data: &mut BytesMut, value: Decimal) -> anyhow::Result<()> {
    let scale = value.scale();
    anyhow::ensure!(
        scale <= 4,
        "the benchmark's prices have four decimals at most"
    );

    let scaled = u64::try_from(value.mantissa())? * 10_u64.pow(4 - scale);
    let (mut whole, fraction) = (scaled / 10_000, scaled % 10_000);

    let mut digits = [0; 6];
    let mut first = digits.len() - 1;
    digits[first] = u16::try_from(fraction)?;

    while whole > 0 {
        first -= 1;
        digits[first] = u16::try_from(whole % 10_000)?;
        whole /= 10_000;
    }

    let last = if fraction == 0 {
        digits.len() - 1
    } else {
        digits.len()
    };

    let sent = digits.get(first..last).unwrap_or_default();
    data.put_i32(i32::try_from(8 + 2 * sent.len())?);
    data.put_i16(i16::try_from(sent.len())?);
    data.put_i16(i16::try_from(digits.len() - 1 - first)? - 1);
    data.put_i16(0);
    data.put_u16(u16::try_from(scale)?);

    for digit in sent {
        data.put_u16(*digit);
    }
    Ok(())
}
