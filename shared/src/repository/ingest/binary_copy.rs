//! `COPY price_points FROM STDIN` in Postgres' binary format, the fastest way to append many rows.
//!
//! Format: <https://www.postgresql.org/docs/15/sql-copy.html#id-1.9.3.55.9.4>.

use sqlx::postgres::PgConnection;

use super::{Error, Point};
use crate::exact_decimal::ExactDecimal;
use crate::market::Timestamp;
use crate::repository::numeric;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Postgres counts microseconds from 2000-01-01; this is that moment in Unix time.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Size of a typical row in bytes, to allocate the buffer once.
const ROW_BYTES: usize = 116;

/// Appends the points in one COPY.
pub(super) async fn points(connection: &mut PgConnection, points: &[Point]) -> Result<(), Error> {
    let mut data = Vec::with_capacity(SIGNATURE.len() + 10 + points.len() * ROW_BYTES);
    data.extend_from_slice(SIGNATURE);
    data.extend_from_slice(&[0; 8]); // no flags, no header extension

    for point in points {
        put_point(&mut data, point);
    }
    data.extend_from_slice(&(-1_i16).to_be_bytes());

    let mut copy = connection
        .copy_in_raw(
            "copy price_points (quoted_at, polled_at, event_id, series_id, points, price, moving_average, unit_id)
             from stdin (format binary)",
        )
        .await?;

    copy.send(data).await?;
    copy.finish().await?;
    Ok(())
}

fn put_point(data: &mut Vec<u8>, point: &Point) {
    data.extend_from_slice(&8_i16.to_be_bytes());
    put_field(data, &micros(point.quoted_at).to_be_bytes());
    put_field(data, &micros(point.polled_at).to_be_bytes());
    put_field(data, point.event_id.as_bytes());
    put_field(data, &point.series_id.to_be_bytes());
    put_field(data, &i16::from(point.average.points).to_be_bytes());
    put_numeric(data, point.price.into());
    put_numeric(data, point.average.value);
    put_field(data, &point.unit_id.to_be_bytes());
}

fn put_field(data: &mut Vec<u8>, bytes: &[u8]) {
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    data.extend_from_slice(&length.to_be_bytes());
    data.extend_from_slice(bytes);
}

fn micros(time: Timestamp) -> i64 {
    time.timestamp_micros() - POSTGRES_EPOCH_MICROS
}

/// Writes a `numeric` field. Its length is filled in at the end, when it is known.
fn put_numeric(data: &mut Vec<u8>, value: ExactDecimal) {
    let start = data.len();
    data.extend_from_slice(&[0; 4]);

    numeric::put(data, value.mantissa(), value.scale());
    let length = i32::try_from(data.len() - start - 4).unwrap_or(i32::MAX);
    data[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
