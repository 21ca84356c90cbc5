//! Price points as files: CSV, NDJSON and Parquet, all with the same columns.
//!
//! Every digit is kept. CSV and NDJSON contain the decimals as text, without trailing zeros; in
//! Parquet they are DECIMAL columns, as wide as the widest price and average that can be stored.
//! The same points always make the same bytes.

use std::io::{self, Write};

use shared::market::{ProviderName, Symbol};
use shared::repository::price_points::PricePoint;

mod parquet_file;
mod text;

pub use parquet_file::ParquetFile;
pub use text::{TextFormat, append_header, append_line};

/// The columns of every export, in this order.
pub const COLUMNS: [&str; 8] = [
    "symbol",
    "provider",
    "timestamp",
    "price",
    "currency",
    "moving_average",
    "points",
    "polled_at",
];

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of text.
    Text(TextFormat),
    /// Columns with types, compressed by Snappy.
    Parquet,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [
        Self::Text(TextFormat::Csv),
        Self::Text(TextFormat::Ndjson),
        Self::Parquet,
    ];

    /// The format's name, which is also the extension of its files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text(TextFormat::Csv) => "csv",
            Self::Text(TextFormat::Ndjson) => "ndjson",
            Self::Parquet => "parquet",
        }
    }
}

/// The series that points belong to.
#[derive(Clone, Copy, Debug)]
pub struct SeriesName<'a> {
    /// The symbol that is priced.
    pub symbol: &'a Symbol,
    /// The provider of the series.
    pub provider: &'a ProviderName,
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not take what is written.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
    /// The points cannot be encoded.
    #[error("cannot encode points: {0}")]
    Encoding(String),
}

/// A file that is being written, piece by piece.
#[derive(Debug)]
pub struct PointFile<W: Write + Send>(Inner<W>);

#[derive(Debug)]
enum Inner<W: Write + Send> {
    Text(TextFormat, W),
    Parquet(ParquetFile<W>),
}

impl<W: Write + Send> PointFile<W> {
    /// Begins a file in this format.
    ///
    /// # Errors
    /// When `out` does not take its beginning.
    pub fn begin(format: Format, mut out: W) -> Result<Self, Error> {
        let inner = match format {
            Format::Text(format) => {
                let mut header = Vec::new();
                append_header(format, &mut header);
                out.write_all(&header)?;
                Inner::Text(format, out)
            }
            Format::Parquet => Inner::Parquet(ParquetFile::begin(out)?),
        };
        Ok(Self(inner))
    }

    /// Appends points of one series, in their order. In Parquet they become a row group: tens of
    /// thousands of points in each call make files that are quick to read.
    ///
    /// # Errors
    /// When the file does not take them.
    pub fn write(&mut self, series: SeriesName<'_>, points: &[PricePoint]) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Text(format, out) => {
                let mut lines = Vec::new();
                for point in points {
                    append_line(*format, series, point, &mut lines)?;
                }
                Ok(out.write_all(&lines)?)
            }
            Inner::Parquet(file) => file.write(series, points),
        }
    }

    /// Ends the file and returns what it was written to.
    ///
    /// # Errors
    /// When the file does not take its end.
    pub fn finish(self) -> Result<W, Error> {
        match self.0 {
            Inner::Text(_, mut out) => {
                out.flush()?;
                Ok(out)
            }
            Inner::Parquet(file) => file.finish(),
        }
    }
}
