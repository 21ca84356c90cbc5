-- What may be asked of each provider: how many requests are left, whether it may be asked at all, and which quotes are
-- being fetched at this moment. All instances of api and poller share these rows. Every time is of this server's clock.

-- One row per owner of a budget. The kind `provider` is ours towards a provider; another kind, such as that of an API
-- key, may limit what somebody may ask of us. `take_tokens` takes from any of them.
create table request_budgets (
    owner_kind    text not null,
    owner         text not null,
    -- The current second, minute, hour and day (UTC) when tokens were last taken, and how many were taken in each. Each
    -- window begins anew with all of its tokens. The limits are those of the asker's configuration, so not stored.
    window_starts timestamptz[] not null default array_fill('-infinity'::timestamptz, array[4]),
    taken         int8[] not null default array_fill(0::int8, array[4]),
    -- The circuit breaker, of providers only. It is closed while open_until is null, open until then, and half-open
    -- after: one request, the probe, may then be sent; its holder has it until probe_until.
    failures      int4 not null default 0,
    openings      int4 not null default 0,
    open_since    timestamptz,
    open_until    timestamptz,
    reason        text,
    probe_id      uuid,
    probe_until   timestamptz,
    -- A digest of the key that the provider refused. With another key the breaker closes.
    refused_key   text,
    primary key (owner_kind, owner)
) with (fillfactor = 50);

-- Takes `wanted` tokens, or as many as are left if those are at least `needed`. `limits` are those of a second, minute,
-- hour and day; null is no limit. If too few are left, `granted` is 0, and `wait` tells when a window begins anew.
-- `valid_for` is how long the taker may keep them: a second at most, and not beyond the end of a limited window.
-- `moment` replaces the clock in tests.
create function take_tokens(
    kind text, name text, limits int8[], needed int8, wanted int8, moment timestamptz default null,
    out granted int8, out wait interval, out valid_for interval
) language plpgsql as $$
declare
    units   constant text[] := array['second', 'minute', 'hour', 'day'];
    lengths constant interval[] := array['1 second', '1 minute', '1 hour', '24 hours']::interval[];
    state   request_budgets;
    clock   timestamptz;
    starts  timestamptz;
begin
    select * into state from request_budgets where (owner_kind, owner) = (kind, name) for update;
    if not found then
        insert into request_budgets (owner_kind, owner) values (kind, name) on conflict do nothing;
        select * into state from request_budgets where (owner_kind, owner) = (kind, name) for update;
    end if;

    -- Read after the row is locked: the wait for the lock may last into the next window.
    clock := coalesce(moment, clock_timestamp());
    granted := wanted;
    wait := '0';
    valid_for := '1 second';

    for i in 1..4 loop
        starts := date_trunc(units[i], clock, 'UTC');
        -- A clock that was set back a little continues the window; one that was far ahead begins anew.
        if starts > state.window_starts[i] or state.window_starts[i] > starts + lengths[i] then
            state.window_starts[i] := starts;
            state.taken[i] := 0;
        end if;

        if limits[i] is not null then
            if limits[i] - state.taken[i] < least(needed, limits[i]) then
                wait := greatest(wait, state.window_starts[i] + lengths[i] - clock);
            end if;
            granted := least(granted, limits[i] - state.taken[i]);
            valid_for := least(valid_for, state.window_starts[i] + lengths[i] - clock);
        end if;
    end loop;

    if wait > '0' then
        granted := 0;
        return;
    end if;

    -- The commit does not wait for the disk. A crash of the server may forget what was taken in its last moments.
    perform set_config('synchronous_commit', 'off', true);

    for i in 1..4 loop
        state.taken[i] := state.taken[i] + granted;
    end loop;
    update request_budgets set window_starts = state.window_starts, taken = state.taken
    where (owner_kind, owner) = (kind, name);
end $$;

-- Asks whether a request may be sent to a provider, and takes its tokens. `verdict` is `granted`; `probe`, if this is the
-- one request of a half-open breaker, for which its sender has `probe_time`; `open`, if the breaker does not let it pass;
-- or `empty`, if the budget does not. `wait` tells when to ask again. `closed` says that the breaker closed because the
-- key is another one than that which the provider refused.
create function admit_request(
    name text, key_digest text, limits int8[], needed int8, wanted int8, probe uuid, probe_time interval,
    moment timestamptz default null,
    out verdict text, out granted int8, out wait interval, out valid_for interval,
    out why text, out failed int4, out closed bool
) language plpgsql as $$
declare
    state    request_budgets;
    clock    timestamptz;
    is_probe bool := false;
begin
    select * into state from request_budgets where (owner_kind, owner) = ('provider', name) for update;
    clock := coalesce(moment, clock_timestamp());
    why := state.reason;
    failed := coalesce(state.failures, 0);
    closed := false;
    granted := 0;
    valid_for := '0';

    if state.open_until is not null then
        if state.refused_key <> coalesce(key_digest, '') then
            closed := true;
            failed := 0;
            update request_budgets
            set failures = 0, openings = 0, open_since = null, open_until = null, reason = null,
                probe_id = null, probe_until = null, refused_key = null
            where (owner_kind, owner) = ('provider', name);
        elsif greatest(state.open_until, state.probe_until) > clock then
            verdict := 'open';
            wait := greatest(state.open_until, state.probe_until) - clock;
            return;
        else
            is_probe := true;
            wanted := needed;
        end if;
    end if;

    select taken.granted, taken.wait, taken.valid_for into granted, wait, valid_for
    from take_tokens('provider', name, limits, needed, wanted, moment) taken;

    if granted = 0 then
        verdict := 'empty';
    elsif is_probe then
        verdict := 'probe';
        update request_budgets set probe_id = probe, probe_until = clock + probe_time
        where (owner_kind, owner) = ('provider', name);
    else
        verdict := 'granted';
    end if;
end $$;

-- Records that a request to a provider failed. The breaker opens for `pause`, if the failure tells one. Otherwise it opens
-- with `most` failures in a row, or if the probe fails: for `first`, twice as long each time, at most for `longest`, and
-- all of it times `jitter`. A failure that was under way when the breaker opened lengthens the pause at most. `opened_until`
-- is null if the breaker stays as it was.
create function report_failure(
    name text, probe uuid, why text, pause interval, key_digest text,
    most int4, first interval, longest interval, jitter float8, moment timestamptz default null,
    out opened_until timestamptz
) language plpgsql as $$
declare
    state request_budgets;
    clock timestamptz;
begin
    insert into request_budgets (owner_kind, owner) values ('provider', name) on conflict do nothing;
    select * into state from request_budgets where (owner_kind, owner) = ('provider', name) for update;
    clock := coalesce(moment, clock_timestamp());

    if state.open_until is not null and (probe is null or state.probe_id is distinct from probe) then
        update request_budgets
        set open_until = greatest(open_until, clock + pause)
        where (owner_kind, owner) = ('provider', name);
        return;
    end if;

    if pause is null and state.failures + 1 < most and state.open_until is null then
        update request_budgets set failures = failures + 1 where (owner_kind, owner) = ('provider', name);
        return;
    end if;

    opened_until := clock + coalesce(pause, least(longest, first * (2 ^ least(state.openings, 20))) * jitter);
    update request_budgets
    set failures = failures + 1, openings = openings + 1, open_since = coalesce(open_since, clock),
        open_until = opened_until, reason = why, probe_id = null, probe_until = null, refused_key = key_digest
    where (owner_kind, owner) = ('provider', name);
end $$;

-- Which quotes are being fetched, so that those who want the same one at the same time share one request. Whoever holds a
-- lease fetches; the others read what came of it. The rows are worth nothing after seconds, so a crash may empty the table.
-- Upkeep removes old ones.
create unlogged table fetch_leases (
    provider    text not null,
    symbol      text not null,
    holder      uuid not null,
    lease_until timestamptz not null,
    -- The price event of the last fetch that succeeded, as it is on the topic.
    event       text,
    polled_at   timestamptz,
    primary key (provider, symbol)
) with (fillfactor = 50);
