//! The writers of each kind.

use async_trait::async_trait;

use super::averaging::Averaging;
use super::contender::{Contender, decode};
use super::copy::Copy;
use super::insert::Unnest;
use super::kind::Kind;
use super::naive::Naive;
use super::tables::Tables;
use crate::postgres::Server;

/// A writer of this kind, with its own connection.
pub(super) async fn open(
    kind: Kind,
    server: &Server,
    tables: &Tables,
) -> anyhow::Result<Box<dyn Contender>> {
    Ok(match kind {
        Kind::Decode => Box::new(Decoding),
        Kind::Copy => Box::new(Copy::open(server, tables).await?),
        Kind::Unnest => Box::new(Unnest::open(server, tables).await?),
        Kind::Averager => Box::new(Averaging::open(server)?),
        Kind::Naive => Box::new(Naive::open(server, tables).await?),
    })
}

struct Decoding;

#[async_trait]
impl Contender for Decoding {
    async fn take(&mut self, event: &str) -> anyhow::Result<()> {
        std::hint::black_box(decode(event)?);
        Ok(())
    }
}
