-- Means of three points get as many places as readers expect: two more than the most precise price has, and at least six.
--
-- A third has no last digit, so that mean alone is rounded. It had two places more than the prices: 10.33 of 10, 10
-- and 11. The rows that were stored so are computed again. A row is of three points where it is the third of its
-- series; where retention dropped one of the three, the row stays as it is. One statement looks at three rows of each
-- series, by the primary key, so it does not take long however many points there are.

-- No writer of points works meanwhile, and those that remember averages read them again.
update ingest_fences set version = version + 1
where shard_id in (select shard_id from ingest_fences order by shard_id for no key update);

with third as (
    select p.series_id, p.quoted_at,
           -- More places than are kept: the quotient is rounded once here and once below, and no third of a decimal
           -- comes near to half a unit of the last place kept.
           round(w.total::numeric(60, 30) / 3, greatest(6, w.places + 2)) as mean
    from series s
    cross join lateral (
        select sum(price) as total, max(min_scale(price)) as places, max(quoted_at) as newest, count(*) as number
        from (select price, quoted_at from price_points where series_id = s.series_id
              order by quoted_at limit 3) oldest
    ) w
    join price_points p on p.series_id = s.series_id and p.quoted_at = w.newest
    where w.number = 3 and p.points = 3
        -- It is the mean of these three, and of no others that are gone.
        and p.moving_average = round(w.total::numeric(60, 30) / 3, w.places + 2)
), repaired as (
    update price_points p set moving_average = trim_scale(third.mean)
    from third where p.series_id = third.series_id and p.quoted_at = third.quoted_at
)
update series s set last_average = trim_scale(third.mean)
from third where s.series_id = third.series_id and s.last_at = third.quoted_at and s.last_points = 3;
