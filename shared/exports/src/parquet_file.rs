//! Parquet: columns with types. DECIMAL columns keep every digit.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use shared::exact_decimal::ExactDecimal;
use shared::market::{Currency, Timestamp};
use shared::repository::price_points::PricePoint;

use crate::{Error, SeriesName};

/// The columns. A price has at most 11 digits before the point and 20 after it; the mean of four
/// has two more after it. 13 and 14 bytes are the fewest that hold 31 and 33 digits.
const SCHEMA: &str = "message points {
    required byte_array symbol (string);
    required byte_array provider (string);
    required int64 timestamp (timestamp(micros,true));
    required fixed_len_byte_array(13) price (decimal(31,20));
    optional byte_array currency (string);
    required fixed_len_byte_array(14) moving_average (decimal(33,22));
    required int32 points;
    required int64 polled_at (timestamp(micros,true));
}";

const PRICE: Decimals = Decimals {
    places: 20,
    bytes: 13,
};
const AVERAGE: Decimals = Decimals {
    places: 22,
    bytes: 14,
};

/// A Parquet file that is being written, row group by row group.
pub struct ParquetFile<W: Write + Send>(SerializedFileWriter<W>);

impl<W: Write + Send> fmt::Debug for ParquetFile<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetFile").finish_non_exhaustive()
    }
}

impl<W: Write + Send> ParquetFile<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When `out` does not take its beginning.
    pub fn begin(out: W) -> Result<Self, Error> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            // The version of the library would change the bytes of unchanged points.
            .set_created_by("market-data".to_owned())
            .build();
        let schema = parse_message_type(SCHEMA)?;

        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
        Ok(Self(writer))
    }

    /// Appends the points of a series as a row group.
    ///
    /// # Errors
    /// When the file does not take them, or a number is wider than its column.
    pub fn write(&mut self, series: SeriesName<'_>, points: &[PricePoint]) -> Result<(), Error> {
        if points.is_empty() {
            return Ok(());
        }

        let symbol = vec![ByteArray::from(series.symbol.as_str()); points.len()];
        let provider = vec![ByteArray::from(series.provider.as_str()); points.len()];
        let prices = PRICE.column(points.iter().map(|point| point.price.into()))?;
        let averages = AVERAGE.column(points.iter().map(|point| point.moving_average))?;
        let (currencies, is_named) = currencies(points);
        let counts: Vec<i32> = points.iter().map(|point| point.points.into()).collect();

        let mut rows = self.0.next_row_group()?;
        column::<ByteArrayType, _>(&mut rows, &symbol, None)?;
        column::<ByteArrayType, _>(&mut rows, &provider, None)?;
        column::<Int64Type, _>(&mut rows, &times(points, |point| point.timestamp), None)?;
        column::<FixedLenByteArrayType, _>(&mut rows, &prices, None)?;
        column::<ByteArrayType, _>(&mut rows, &currencies, Some(&is_named))?;
        column::<FixedLenByteArrayType, _>(&mut rows, &averages, None)?;
        column::<Int32Type, _>(&mut rows, &counts, None)?;
        column::<Int64Type, _>(&mut rows, &times(points, |point| point.polled_at), None)?;
        rows.close()?;
        Ok(())
    }

    /// Ends the file and returns what it was written to.
    ///
    /// # Errors
    /// When the file does not take its end.
    pub fn finish(self) -> Result<W, Error> {
        Ok(self.0.into_inner()?)
    }
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        Self::Encoding(error.to_string())
    }
}

/// Writes the next column of a row group. `levels` are 1 where an optional column has a value.
fn column<T: DataType, W: Write + Send>(
    rows: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), Error> {
    let Some(mut column) = rows.next_column()? else {
        return Err(Error::Encoding(
            "there are more columns than in the schema".to_owned(),
        ));
    };

    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()?;
    Ok(())
}

fn times(points: &[PricePoint], time: impl Fn(&PricePoint) -> Timestamp) -> Vec<i64> {
    let times = points.iter().map(time);
    times.map(|time| time.timestamp_micros()).collect()
}

/// The known currencies, and for each point whether it has one.
fn currencies(points: &[PricePoint]) -> (Vec<ByteArray>, Vec<i16>) {
    let all = points.iter().map(|point| point.currency.as_ref());
    let is_named = all.clone().map(|currency| i16::from(currency.is_some()));

    (
        all.clone()
            .flatten()
            .map(|currency| ByteArray::from(Currency::as_str(currency)))
            .collect(),
        is_named.collect(),
    )
}

/// A DECIMAL column.
struct Decimals {
    /// Digits after the point.
    places: u32,
    /// Bytes of a value.
    bytes: usize,
}

impl Decimals {
    /// The column's values: two's complement, most significant byte first. All are slices of one
    /// buffer.
    fn column(
        &self,
        values: impl Iterator<Item = ExactDecimal>,
    ) -> Result<Vec<FixedLenByteArray>, Error> {
        let mut buffer = Vec::new();
        for value in values {
            let units = value
                .units(self.places)
                .filter(|units| units >> (8 * self.bytes - 1) == 0);
            let Some(units) = units else {
                let wide = format!("{value} is wider than its column");
                return Err(Error::Encoding(wide));
            };
            buffer.extend_from_slice(&units.to_be_bytes()[size_of::<u128>() - self.bytes..]);
        }

        let buffer = Bytes::from(buffer);
        let starts = (0..buffer.len()).step_by(self.bytes);
        Ok(starts
            .map(|start| ByteArray::from(buffer.slice(start..start + self.bytes)).into())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;
    use shared::price::Price;

    use super::*;

    const WIDEST: &str = "99999999999.999999999999999";

    fn point(second: i64, price: &str, currency: Option<&str>) -> PricePoint {
        let price: Price = price.parse().unwrap();
        PricePoint {
            timestamp: Timestamp::from_timestamp_micros(second * 1_000_000 + 7).unwrap(),
            price,
            currency: currency.map(|currency| currency.parse().unwrap()),
            moving_average: price.into(),
            points: 3,
            polled_at: Timestamp::from_timestamp(second + 1, 0).unwrap(),
        }
    }

    fn file(groups: &[Vec<PricePoint>]) -> Vec<u8> {
        let (symbol, provider) = ("AAPL".parse().unwrap(), "replay".parse().unwrap());
        let series = SeriesName {
            symbol: &symbol,
            provider: &provider,
        };

        let mut file = ParquetFile::begin(Vec::new()).unwrap();
        for points in groups {
            file.write(series, points).unwrap();
        }
        file.finish().unwrap()
    }

    #[test]
    fn every_digit_unit_and_microsecond_reads_back() {
        let groups = [
            vec![point(9, WIDEST, Some("USD")), point(8, "0.7", None)],
            vec![point(-7, "0.00000000000000000001", Some("GBp"))],
        ];
        let bytes = file(&groups);
        assert_eq!(bytes, file(&groups), "the same points make the same bytes");

        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let rows: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(Result::unwrap)
            .collect();

        for (row, point) in rows.iter().zip(groups.iter().flatten()) {
            assert_eq!(row.get_string(0).unwrap(), "AAPL");
            assert_eq!(
                row.get_timestamp_micros(2).unwrap(),
                point.timestamp.timestamp_micros()
            );

            for (index, places, expected) in
                [(3, 20, point.price.into()), (5, 22, point.moving_average)]
            {
                let decimal = row.get_decimal(index).unwrap();
                let bytes = decimal.data();
                let units = bytes
                    .iter()
                    .fold(0_u128, |units, byte| units << 8 | u128::from(*byte));
                assert_eq!(Some(units), ExactDecimal::units(expected, places));
                assert_eq!(decimal.scale(), i32::try_from(places).unwrap());
            }

            let currency = point.currency.as_ref().map(Currency::as_str);
            assert_eq!(row.get_string(4).ok().map(String::as_str), currency);
            assert_eq!(row.get_int(6).unwrap(), 3);
        }
    }

    #[test]
    fn no_points_make_a_file_without_rows() {
        let reader = SerializedFileReader::new(Bytes::from(file(&[vec![]]))).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }
}
