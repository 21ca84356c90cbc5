-- Candles: the folds of past quarter hours, so that a year of daily candles does not read millions of points. What is here
-- can always be computed from `price_points` again. A candle is the fold of the points that are stored: where a fold is
-- missing or stale, reads compute it.

-- How far the points of a series are folded. Upkeep alone writes it, and locks the row for as long as it folds; a writer
-- that changes points of the past locks it in share mode, so that neither overlooks the other
-- (shared/src/repository/ingest/folding.rs). `folded_to` is never after the quarter hour of the newest point: points that
-- are appended come after it, so the averager need not look at it to append them.
create table folded_series (
    series_id   int4 primary key,
    -- The folds of quarter hours before this are deleted, because retention has dropped their points.
    folded_from timestamptz not null default '-infinity',
    -- The points before this are folded.
    folded_to   timestamptz not null default '-infinity'
) with (fillfactor = 50);

-- One row per quarter hour that has points, and per unit; quarter hours are those of UTC, and the days of all time zones
-- begin and end with one. Written by upkeep. Rows before the oldest bound of `retention` do not count. Columns are ordered
-- against padding.
create table folded_quarters (
    starts_at timestamptz not null,
    series_id int4 not null,
    points    int4 not null,
    -- 0 where the prices have no unit.
    unit_id   int2 not null,
    open      numeric not null,
    high      numeric not null,
    low       numeric not null,
    close     numeric not null,
    primary key (series_id, starts_at, unit_id)
);

-- Folded quarter hours whose points were changed afterwards: by a late quote or a corrected one. The averager writes the
-- mark in the transaction that changes the point; upkeep folds the quarter hour again and removes the mark. Until then
-- reads fold its points.
create table stale_quarters (
    series_id int4 not null,
    starts_at timestamptz not null,
    primary key (series_id, starts_at)
);
