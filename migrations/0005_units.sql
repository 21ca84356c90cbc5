-- Units: what a price is counted in, such as USD, or GBp for pence. An average never mixes two of them.

-- Names are written once and points refer to them by number, which the averager gives out one by one: an identity would
-- lose numbers to transactions that come to nothing, and there are 32,767. An event that would need one more is put into
-- quarantine. A price without a unit has none here.
create table units (
    unit_id int2 primary key check (unit_id > 0),
    unit    text not null unique
);

-- No writer of points works meanwhile, and those that remember series read them again.
update ingest_fences set version = version + 1
where shard_id in (select shard_id from ingest_fences order by shard_id for no key update);

insert into units (unit_id, unit)
select row_number() over (order by unit), unit
from (select distinct last_currency as unit from series where last_currency is not null order by 1 limit 32767) known;

-- The unit of a point: 0 where its price has none, null where the point is older than this column. Such a point has the
-- unit that its series had then, in `old_unit_id` (null like 0). So no point has to be written again, which would take
-- minutes where there are many, and the averager would wait.
alter table series add column old_unit_id int2;
update series set old_unit_id = unit_id from units where unit = last_currency;
alter table price_points add column unit_id int2;
