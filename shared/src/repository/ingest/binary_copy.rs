//! `COPY price_points FROM STDIN` in Postgres' binary format, the fastest way in.
//!
//! Format: <https://www.postgresql.org/docs/15/sql-copy.html#id-1.9.3.55.9.4>, and for `numeric` the external form of
//! `numeric_send` in Postgres' `numeric.c`: digits in base 10,000 with the weight of the first one.

use rust_decimal::Decimal;
use sqlx::postgres::PgConnection;

use super::{Error, Point};
use crate::market::Timestamp;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Postgres counts microseconds from 2000-01-01, the Unix epoch plus these many.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Bytes of a typical row, to size the buffer once.
const ROW_BYTES: usize = 110;

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
            "copy price_points (quoted_at, polled_at, event_id, series_id, points, price, moving_average)
             from stdin (format binary)",
        )
        .await?;
    copy.send(data).await?;
    copy.finish().await?;
    Ok(())
}

fn put_point(data: &mut Vec<u8>, point: &Point) {
    data.extend_from_slice(&7_i16.to_be_bytes());
    put_field(data, &micros(point.quoted_at).to_be_bytes());
    put_field(data, &micros(point.polled_at).to_be_bytes());
    put_field(data, point.event_id.as_bytes());
    put_field(data, &point.series_id.to_be_bytes());
    put_field(data, &i16::from(point.average.points).to_be_bytes());
    put_numeric(data, point.price.value());
    put_numeric(data, point.average.value);
}

fn put_field(data: &mut Vec<u8>, bytes: &[u8]) {
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    data.extend_from_slice(&length.to_be_bytes());
    data.extend_from_slice(bytes);
}

fn micros(time: Timestamp) -> i64 {
    time.timestamp_micros() - POSTGRES_EPOCH_MICROS
}

/// Writes a positive decimal as a `numeric` field.
fn put_numeric(data: &mut Vec<u8>, value: Decimal) {
    const BASE: u128 = 10_000;
    let scale = value.scale();
    // Fill the fraction up to whole base-10,000 digits; 28 digits and three more stay far below 2^127.
    let mut number = value.mantissa().unsigned_abs() * 10_u128.pow((4 - scale % 4) % 4);
    let fraction_groups = i16::try_from(scale.div_ceil(4)).unwrap_or(i16::MAX);
    let mut groups = [0_u16; 10];
    let mut count = 0_usize;
    let mut dropped = 0_i16; // trailing groups of zeros are not sent
    while number > 0 {
        let group = u16::try_from(number % BASE).unwrap_or(0);
        number /= BASE;
        if group == 0 && count == 0 {
            dropped += 1;
            continue;
        }
        groups[count] = group;
        count += 1;
    }
    let sent = i16::try_from(count).unwrap_or(i16::MAX);
    let weight = sent + dropped - fraction_groups - 1;
    put_field_header(data, 8 + 2 * count);
    data.extend_from_slice(&sent.to_be_bytes());
    data.extend_from_slice(&weight.to_be_bytes());
    data.extend_from_slice(&0_i16.to_be_bytes()); // sign: positive
    data.extend_from_slice(&u16::try_from(scale).unwrap_or(u16::MAX).to_be_bytes());
    for group in groups[..count].iter().rev() {
        data.extend_from_slice(&group.to_be_bytes());
    }
}

fn put_field_header(data: &mut Vec<u8>, length: usize) {
    data.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
}
