-- Views for people and tools that read the database directly. Later migrations keep their columns, types and order, even
-- if the tables behind them change. docs/sql.md tells readers how to use them.

-- Every point with its average. A condition on `symbol` (and `provider`) finds the series by its unique index, and the one
-- on `quoted_at` then searches the primary key of the partitions that it needs. A condition on other columns alone reads
-- the whole table.
create view prices as
select s.symbol, s.provider, p.quoted_at, p.price, u.unit as currency, p.moving_average, p.points, p.polled_at
from series s
join price_points p on p.series_id = s.series_id
-- 0, a price without unit, finds no row. Null is a point older than units: it has the unit that its series had then.
left join units u on u.unit_id = coalesce(p.unit_id, s.old_unit_id);

comment on view prices is 'Every stored price with its moving average. Select by symbol and quoted_at.';
comment on column prices.symbol is 'What is priced, as its producer spells it.';
comment on column prices.provider is 'Who gave the price; "replay" marks recorded prices.';
comment on column prices.quoted_at is 'Market time of the quote.';
comment on column prices.price is 'The price, exact, in units of currency.';
comment on column prices.currency is 'Unit of the price, such as USD, or GBp for pence; null if unknown.';
comment on column prices.moving_average is 'Mean of this point and of up to four before it in the same unit.';
comment on column prices.points is 'The number of points in moving_average: 1 to 5.';
comment on column prices.polled_at is 'When the quote was last polled.';

-- The newest point of each series. It reads `series` only, never the points.
create view latest_prices as
select s.symbol, s.provider, s.last_at as quoted_at, s.last_price as price, s.last_currency as currency,
       s.last_average as moving_average, s.last_points as points, s.last_polled_at as polled_at
from series s
where s.last_at is not null;

comment on view latest_prices is 'The newest price of each series with its moving average; the columns are those of prices.';
