-- What GET /symbols says of a series besides its newest point, so that it reads no points. The averager keeps both columns,
-- in the statement that writes the newest point. Null in `point_count`: not counted. That is so for series that are older
-- than this migration, for those that functions of the version before create, and for those whose oldest points retention
-- has dropped. Upkeep counts them; `first_at` has a meaning only beside a count.
alter table series add column point_count int8, add column first_at timestamptz;
