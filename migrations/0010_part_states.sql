-- How the parts that work unseen are doing. Each part writes its own row; `GET /health` reads all of them.

create table part_states (
    -- `upkeep`, or `averager`.
    part         text primary key,
    -- The end of its last run without a failure, and of its last one with a failure, by this server's clock.
    succeeded_at timestamptz,
    failed_at    timestamptz,
    -- What failed at `failed_at`, in words that may be shown to everybody.
    error        text
);
