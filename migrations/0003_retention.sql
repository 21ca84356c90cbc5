-- What retention has taken away. Upkeep alone writes it, in the transaction that drops the partitions.

-- One row. Quotes before `points_from` have no partition any more: the averager counts them as expired. Null as long
-- as no points were dropped.
create table retention (
    points_from timestamptz,
    only_row    bool primary key default true check (only_row)
);

insert into retention default values;
