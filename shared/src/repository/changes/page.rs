//! Chooses which changes a page has, and where the next one begins.
//!
//! The page is shared among the series that have changes, so that one with a long past does not
//! delay the others. Those that were served longest ago come first.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;

use super::fences::Fences;
use super::points::{self, LateFrom, NewFrom};
use super::{Change, Changes, Kind, Position, SeriesPosition, StoredSeries};
use crate::market::Timestamp;
use crate::repository::Error;
use crate::repository::price_points::PricePoint;

/// A page without changes, whose position is after all that is stored.
pub(super) fn nothing(series: &[StoredSeries], fences: &Fences) -> Changes {
    let at_newest = |series: &StoredSeries| {
        let position = SeriesPosition {
            newest: series.last_at,
            version: fences.version(series.shard),
            within: None,
        };
        (series.series_id, position)
    };
    let mut page = Changes::of(series, fences);
    page.position.series = series.iter().map(at_newest).collect();
    page
}

/// Reads up to `limit` changes after `position`.
pub(super) async fn read(
    connection: &mut PgConnection,
    series: &[StoredSeries],
    fences: &Fences,
    position: &Position,
    limit: usize,
) -> Result<Changes, Error> {
    let mut page = Changes::of(series, fences);

    let mut due = Vec::new();
    for series in series {
        let known = position.series.get(&series.series_id).copied();
        page.position
            .series
            .extend(known.map(|known| (series.series_id, known)));

        let served = known.is_some_and(|known| {
            known.version == fences.version(series.shard)
                && known.within.is_none()
                && known.newest >= series.last_at
        });
        if !served {
            due.push((known, series));
        }
    }

    due.sort_by_key(|(known, series)| (known.map(|known| known.version), series.series_id));
    page.more = due.len() > limit;
    due.truncate(limit);

    let share = limit / due.len().max(1);
    let due = page.add_late(connection, &due, fences, share).await?;
    page.add_new(connection, &due, fences, limit).await?;
    Ok(page)
}

/// A series with changes, and how far the client has got in it.
type Due<'a> = (Option<SeriesPosition>, &'a StoredSeries);

impl Changes {
    fn of(series: &[StoredSeries], fences: &Fences) -> Self {
        let epochs = series.iter().map(|series| series.shard);
        let position = Position {
            epochs: epochs.map(|shard| (shard, fences.epoch(shard))).collect(),
            series: BTreeMap::new(),
        };
        Self {
            items: Vec::new(),
            position,
            more: false,
            series: series.len(),
            counts: fences.counts(),
        }
    }

    /// Adds up to `share` changed points of each series that were known before. Returns the series
    /// of which none is left.
    async fn add_late<'a>(
        &mut self,
        connection: &mut PgConnection,
        due: &[Due<'a>],
        fences: &Fences,
        share: usize,
    ) -> Result<Vec<Due<'a>>, Error> {
        let from: Vec<LateFrom> = due
            .iter()
            .filter_map(|(known, series)| Some((known.as_ref()?, series)))
            .filter(|(known, series)| {
                known.within.is_some() || known.version < fences.version(series.shard)
            })
            .map(|(known, series)| LateFrom {
                series_id: series.series_id,
                known: *known,
            })
            .collect();
        let mut found = points::late(connection, &from, share + 1).await?;

        let mut complete = Vec::with_capacity(due.len());
        for (known, series) in due {
            let mut late = found.remove(&series.series_id).unwrap_or_default();
            let is_cut = late.len() > share;
            late.truncate(share);

            let known = known.map(|known| match late.last().filter(|_| is_cut) {
                Some(last) => SeriesPosition {
                    version: last.version,
                    within: Some(last.quoted_at),
                    ..known
                },
                None => SeriesPosition {
                    version: fences.version(series.shard),
                    within: None,
                    ..known
                },
            });
            self.position
                .series
                .extend(known.map(|known| (series.series_id, known)));

            let stored = late.into_iter().filter_map(|late| late.point);
            self.items
                .extend(stored.map(|point| change(series, Kind::Late, point)));

            self.more |= is_cut;
            if !is_cut {
                complete.push((known, *series));
            }
        }
        Ok(complete)
    }

    /// Fills the page up to `limit` with points that come after the newest known one.
    async fn add_new(
        &mut self,
        connection: &mut PgConnection,
        due: &[Due<'_>],
        fences: &Fences,
        limit: usize,
    ) -> Result<(), Error> {
        let newest = |known: &Option<SeriesPosition>| known.map(|known| known.newest);
        let mut due: Vec<&Due<'_>> = due
            .iter()
            .filter(|(known, series)| newest(known).is_none_or(|newest| newest < series.last_at))
            .collect();

        let room = limit.saturating_sub(self.items.len());
        self.more |= due.len() > room;
        due.truncate(room);
        if due.is_empty() {
            return Ok(());
        }

        let share = room / due.len();
        let from: Vec<NewFrom> = due
            .iter()
            .map(|(known, series)| NewFrom {
                series_id: series.series_id,
                after: newest(known),
            })
            .collect();
        let mut found = points::new(connection, &from, share).await?;

        for (_, series) in due {
            let new = found.remove(&series.series_id).unwrap_or_default();

            // Fewer than asked for are all that retention has left of them.
            let last = new.last().filter(|_| new.len() == share);
            let newest: Timestamp = last.map_or(series.last_at, |last| last.timestamp);
            self.more |= newest < series.last_at;

            let position = SeriesPosition {
                newest,
                version: fences.version(series.shard),
                within: None,
            };
            self.position.series.insert(series.series_id, position);
            self.items.extend(
                new.into_iter()
                    .map(|point| change(series, Kind::New, point)),
            );
        }
        Ok(())
    }
}

fn change(series: &StoredSeries, kind: Kind, point: PricePoint) -> Change {
    Change {
        symbol: series.symbol.clone(),
        provider: series.provider.clone(),
        kind,
        point,
    }
}
