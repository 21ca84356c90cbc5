-- The keys of the HTTP API. The command `keys` makes, lists and revokes them, upkeep adds the first one of a deployment, and
-- the api reads them. A row stays when its key is revoked or has expired: from the first key on, every request needs one.

create table api_keys (
    -- The public part of the key, `mdp_<id>_…`.
    id            text primary key check (id ~ '^[1-9A-HJ-NP-Za-km-z]{8}$'),
    -- The SHA-256 of the secret part. The secret itself is nowhere.
    secret_sha256 bytea not null check (octet_length(secret_sha256) = 32),
    -- What logs and lists call it. Several keys may share a name.
    name          text not null check (name ~ '^[A-Za-z0-9._-]{1,64}$'),
    -- Each scope includes those before it.
    scope         text not null check (scope in ('read', 'write', 'admin')),
    -- Most requests in any second, minute, hour and 24 hours; null is no limit. What was used is in request_budgets, with
    -- the kind `key`.
    limits        int8[] not null default array_fill(null::int8, array[4]) check (array_length(limits, 1) = 4),
    created_at    timestamptz not null default now(),
    -- It is not valid any more from this time on; null is for ever.
    expires_at    timestamptz,
    revoked_at    timestamptz,
    -- Written about once a minute at most.
    last_used_at  timestamptz
);

-- Takes requests from the budget of a key: one, and up to `wanted` in all, of which those ahead may be used for `valid_for`
-- after `taken_at`. `limits` are those of a second, minute, hour and 24 hours; null is no limit. If there is none left,
-- `granted` is 0, `wait` tells when one has come back, and `short_of` which window lacks it. `remaining` is what each window
-- has left after that. `unused` requests, which were taken ahead until these times, come back unless none is granted.
-- `moment` replaces the clock in tests.
create function admit_key_request(
    key text, limits int8[], wanted int8, unused int8[], unused_until timestamptz[], moment timestamptz default null,
    out granted int8, out wait interval, out valid_for interval, out taken_at timestamptz, out short_of text,
    out remaining int8[]
) language plpgsql as $$
declare
    state request_budgets;
    draw  record;
    taken int8[];
begin
    -- Read without a lock first: a request that is refused writes nothing, and waits for nobody.
    for attempt in 1..2 loop
        if attempt = 1 then
            select * into state from request_budgets where (owner_kind, owner) = ('key', key);
        else
            -- The commit does not wait for the disk. A crash of the server may forget what was taken in its last moments.
            perform set_config('synchronous_commit', 'off', true);
            select * into state from request_budgets where (owner_kind, owner) = ('key', key) for update;
            if not found then
                insert into request_budgets (owner_kind, owner) values ('key', key) on conflict do nothing;
                select * into state from request_budgets where (owner_kind, owner) = ('key', key) for update;
            end if;
        end if;

        -- Read after the row is locked: the wait for the lock takes time.
        taken_at := coalesce(moment, clock_timestamp());
        state := without_unused(state, unused, unused_until);
        draw := draw_tokens(state, taken_at, limits, false, 1, wanted);

        granted := draw.granted;
        wait := draw.wait;
        valid_for := draw.valid_for;
        short_of := draw.short_of;
        exit when granted = 0;
    end loop;

    state := draw.drawn;
    taken := tokens_taken(state, taken_at, false);
    remaining := array[limits[1] - taken[1], limits[2] - taken[2], limits[3] - taken[3], limits[4] - taken[4]];
    if granted > 0 then
        update request_budgets
        set spent_window = state.spent_window, spent_until = state.spent_until, spent_tokens = state.spent_tokens
        where (owner_kind, owner) = ('key', key);
    end if;
end $$;
