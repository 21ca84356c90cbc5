-- Failures are shared like quotes: who waited for a fetch that failed does not fetch the same again.
alter table fetch_leases
    -- Why the last fetch failed, as JSON, and when. It is told to those who were waiting.
    add column failure   text,
    add column failed_at timestamptz;

-- A lease is over within seconds. Its commits, two for each request, do not wait for the disk, and a crash of the server
-- empties the table.
alter table fetch_leases set unlogged;
