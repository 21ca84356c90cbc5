-- Where the exports of a series end that name no end themselves. Readers of files ask for one file in several requests (HEAD,
-- then ranges), each at the URL that they were given; newer points that arrive in between must not change its bytes. So an
-- end that was found is held while requests follow each other. The api alone writes it. Nothing is lost with it, hence
-- unlogged; a row of a removed series does no harm.
create unlogged table export_ends (
    series_id int4 primary key,
    -- Exports contain the points before this.
    ends_at   timestamptz not null,
    -- When the end was found, and when it was last asked for.
    found_at  timestamptz not null,
    used_at   timestamptz not null
) with (fillfactor = 50);

comment on table export_ends is 'The end of a series'' exports, held for the requests of one reader.';
