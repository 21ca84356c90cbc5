-- Fences: a mark that no two batches have in common.
--
-- A count is not an identity. A database that was set back (restored, or failed over to a replica that lagged) counts the
-- same numbers again for other batches, and a writer that outlived that would go on from averages that are gone. Each
-- batch leaves a random token at the fences it passes, and a writer compares both.
alter table ingest_fences add column token uuid not null default gen_random_uuid();
