-- Failures are shared like quotes: who waited for a fetch that failed does not fetch the same again.
alter table fetch_leases
    -- Why the last fetch failed, as JSON, and when. It is told for a second, to those who were waiting.
    add column failure   text,
    add column failed_at timestamptz;
