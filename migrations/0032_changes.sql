-- What GET /prices/changes needs besides the points: which points of the past changed, in the order of commits, and whether a
-- client's position belongs to what is stored.
--
-- A fence's count is the order. A batch increments it under the fence's lock, which it holds until its commit; so whoever
-- sees a count sees every batch up to it behind this fence, and none after it. Points that come after their series' newest one
-- are not listed here: a client that knows the newest point which it had finds them by their time. So the averager's short
-- path writes nothing for this.

-- The points that were written at or before their series' newest point: late ones, those polled again or revised, and those
-- whose averages changed with them. Each has one row, with the count of the batch that wrote it last. The averager writes it;
-- upkeep deletes what is older than positions may be. No foreign key: points may be dropped by retention.
create table late_points (
    series_id int4 not null,
    quoted_at timestamptz not null,
    -- The count of the series' fence.
    version   int8 not null,
    primary key (series_id, quoted_at)
) with (fillfactor = 80);

create unique index late_points_in_order on late_points (series_id, version, quoted_at);

-- Epochs: a fence's count is an order only as long as nothing that was counted is lost. A database that is set back counts the
-- same numbers again for other batches. That takes another start of the server, another database or another file of the
-- table, so the first batch after any of these begins an epoch, at the count that it has. A position names the epoch in which
-- it was read. If that epoch is unknown here, or a later one began at or before the position, then the position is of a past
-- that is gone.
create function database_lineage() returns int8 language sql stable parallel safe as $$
    select hashtextextended(
        extract(epoch from pg_postmaster_start_time()) || pg_relation_filepath('ingest_fences'::regclass), 0)
$$;

comment on function database_lineage is 'Differs after a restart, a failover, a restore and a copy of the database.';

alter table ingest_fences
    -- The lineage of the database when the last epoch began.
    add column lineage int8 not null default 0,
    -- Identifies the last epoch: the token of the batch that began it.
    add column epoch uuid not null default gen_random_uuid();

-- Every epoch with the count of its first batch. Writers of points begin them, and upkeep one a day, so that their times tell
-- how old a count is. Upkeep deletes the old ones together with the late points from before the oldest that stays.
create table ingest_epochs (
    shard_id int4 not null,
    version  int8 not null,
    epoch    uuid not null,
    begun_at timestamptz not null default now(),
    primary key (shard_id, version)
);

insert into ingest_epochs (shard_id, version, epoch) select shard_id, version, epoch from ingest_fences;
