-- Budgets that hold in every second, minute and hour, wherever it begins, and not only in those of the clock. A token comes
-- back one window after it was used. A day is that of the provider: the day in UTC, or any 24 hours where it says nothing.
--
-- The functions of the previous version go on calling `admit_request`, and take from the same budgets.

alter table request_budgets
    -- The tokens that were taken: in which window (1 second, 2 minute, 3 hour, 4 day), until when they may be used, and how
    -- many. The time is rounded up to a hundredth of the window, so there are about a hundred entries for each at most.
    -- Days in UTC are counted in window_starts[4] and taken[4]; nothing else of those two columns is used any more.
    add column spent_window int2[] not null default '{}',
    add column spent_until  timestamptz[] not null default '{}',
    add column spent_tokens int4[] not null default '{}';

-- Read and written with each taking, so kept in the row.
alter table request_budgets
    alter column spent_window set storage main,
    alter column spent_until set storage main,
    alter column spent_tokens set storage main;

create function budget_window(place int) returns interval language plpgsql immutable as $$
begin
    return case place
        when 1 then interval '1 second' when 2 then interval '1 minute' when 3 then interval '1 hour'
        else interval '24 hours'
    end;
end $$;

-- `moment`, rounded up to a hundredth of the window.
create function budget_slot(place int, moment timestamptz) returns timestamptz language plpgsql immutable as $$
declare
    step constant interval := budget_window(place) / 100;
begin
    return date_bin(step, moment - interval '1 microsecond', timestamptz '2000-01-01 00:00:00+00') + step;
end $$;

-- The functions that a taking calls are in PL/pgSQL, which keeps the plans of its statements.

-- The tokens that count in each of the four windows: those that may still be used, and for one window after that. A time in
-- the far future is one of a clock that was wrong then.
create function tokens_taken(budget request_budgets, clock timestamptz, utc_day bool) returns int8[]
language plpgsql stable as $$
declare
    windows constant interval[] := array['1 second', '1 minute', '1 hour', '24 hours'];
    since   constant timestamptz[] := array[clock - windows[1], clock - windows[2], clock - windows[3], clock - windows[4]];
    today   timestamptz;
    taken   int8[];
begin
    select array[
        coalesce(sum(tokens) filter (where place = 1), 0), coalesce(sum(tokens) filter (where place = 2), 0),
        coalesce(sum(tokens) filter (where place = 3), 0), coalesce(sum(tokens) filter (where place = 4), 0)
    ]
    into taken
    from unnest(budget.spent_window, budget.spent_until, budget.spent_tokens) as spent(place, until, tokens)
    where until > since[place] and until <= clock + 2 * windows[place];

    if utc_day then
        today := date_trunc('day', clock, 'UTC');
        -- A clock that was set back a little continues the day.
        taken[4] := case
            when budget.window_starts[4] between today and today + interval '24 hours' then budget.taken[4]
            else 0
        end;
    end if;
    return taken;
end $$;

-- When `missing` tokens of a window have come back.
create function tokens_back(budget request_budgets, clock timestamptz, in_window int, utc_day bool, missing int8)
returns interval language plpgsql stable as $$
declare
    length constant interval := budget_window(in_window);
begin
    if in_window = 4 and utc_day then
        return greatest(budget.window_starts[4], date_trunc('day', clock, 'UTC')) + interval '24 hours' - clock;
    end if;

    return (
        select min(until) + length - clock
        from (
            select until, sum(tokens) over (order by until) as back
            from unnest(budget.spent_window, budget.spent_until, budget.spent_tokens) as spent(place, until, tokens)
            where place = in_window and until > clock - length and until <= clock + 2 * length
        ) as coming
        where back >= missing
    );
end $$;

-- The budget without tokens that were taken until these times and never used.
create function without_unused(budget request_budgets, unused int8[], unused_until timestamptz[])
returns request_budgets language plpgsql stable as $$
begin
    if coalesce(array_length(unused, 1), 0) = 0 then
        return budget;
    end if;

    select coalesce(array_agg(greatest(spent.tokens - coalesce(given_back.tokens, 0), 0) order by spent.number), '{}')
    into budget.spent_tokens
    from unnest(budget.spent_window, budget.spent_until, budget.spent_tokens)
         with ordinality as spent(place, until, tokens, number)
    left join lateral (
        select sum(unused_now.tokens) as tokens
        from unnest(unused, unused_until) as unused_now(tokens, until)
        where budget_slot(spent.place, unused_now.until) = spent.until
    ) as given_back on true;

    budget.taken[4] := greatest(0, budget.taken[4] - (
        select coalesce(sum(unused_now.tokens), 0)
        from unnest(unused, unused_until) as unused_now(tokens, until)
        where unused_now.until >= budget.window_starts[4]
    ));
    return budget;
end $$;

-- Takes `wanted` tokens, at least `needed`. Those beyond the needed ones are taken ahead: they may be used for `valid_for`,
-- and come from the upper half of a budget only, so that nobody waits for tokens that another one keeps. `limits` are those
-- of a second, minute, hour and day; null is no limit. If too few are left, `granted` is 0, `wait` tells when they have come
-- back, and `short_of` which window lacks them. A request that needs more than a limit takes all of it.
create function draw_tokens(
    budget request_budgets, clock timestamptz, limits int8[], utc_day bool, needed int8, wanted int8,
    out granted int8, out wait interval, out valid_for interval, out short_of text, out drawn request_budgets
) language plpgsql stable as $$
declare
    units   constant text[] := array['second', 'minute', 'hour', 'day'];
    windows constant interval[] := array['1 second', '1 minute', '1 hour', '24 hours'];
    since   constant timestamptz[] := array[clock - windows[1], clock - windows[2], clock - windows[3], clock - windows[4]];
    today   constant timestamptz := date_trunc('day', clock, 'UTC');
    counted constant int8[] := tokens_taken(budget, clock, utc_day);
    missing int8;
    back    interval;
    places  int2[];
    untils  timestamptz[];
    spent   int4[];
    slot    timestamptz;
    added   int8;
    entry   int;
begin
    drawn := budget;
    granted := wanted;
    wait := '0';
    valid_for := '0';

    for number in 1..4 loop
        continue when limits[number] is null;

        missing := least(needed, limits[number]) - (limits[number] - counted[number]);
        if missing > 0 then
            back := tokens_back(budget, clock, number, utc_day, missing);
            if back > wait then
                wait := back;
                short_of := units[number];
            end if;
        end if;
        granted := least(granted, greatest(needed, limits[number] - counted[number] - limits[number] / 2));
    end loop;

    if wait > '0' then
        granted := 0;
        return;
    end if;

    -- What is taken ahead of a limit per second counts for as much longer, so it is kept for less.
    if granted > needed then
        valid_for := case when limits[1] is null then interval '1 second' else interval '0.1 seconds' end;
    end if;

    -- What counts no more is forgotten.
    select coalesce(array_agg(place), '{}'), coalesce(array_agg(until), '{}'), coalesce(array_agg(tokens), '{}')
    into places, untils, spent
    from unnest(budget.spent_window, budget.spent_until, budget.spent_tokens) as entry(place, until, tokens)
    where until > since[place] and until <= clock + 2 * windows[place];

    for number in 1..4 loop
        continue when limits[number] is null or (number = 4 and utc_day);

        for ahead in 0..case when granted > needed then 1 else 0 end loop
            slot := budget_slot(number, clock + ahead * valid_for);
            added := case when ahead = 0 then needed else granted - needed end;
            -- The newest entries are the last ones.
            entry := cardinality(untils);
            while entry > 0 and (places[entry] <> number or untils[entry] <> slot) loop
                entry := case when entry > cardinality(untils) - 16 then entry - 1 else 0 end;
            end loop;

            if entry > 0 then
                spent[entry] := spent[entry] + added;
            else
                places := places || number::int2;
                untils := untils || slot;
                spent := spent || added::int4;
            end if;
        end loop;
    end loop;
    drawn.spent_window := places;
    drawn.spent_until := untils;
    drawn.spent_tokens := spent;

    if utc_day and limits[4] is not null then
        if today > drawn.window_starts[4] or drawn.window_starts[4] > today + interval '24 hours' then
            drawn.window_starts[4] := today;
            drawn.taken[4] := 0;
        end if;
        drawn.taken[4] := drawn.taken[4] + granted;
    end if;
end $$;

-- Until when a breaker is open. No pause is longer than a day: a later end was noted by a clock that was wrong then.
create function breaker_open_until(budget request_budgets, clock timestamptz) returns timestamptz
language plpgsql immutable as $$
begin
    return case when budget.open_until > clock + interval '25 hours' then clock else budget.open_until end;
end $$;

-- Asks whether a request may be sent to a provider, and takes its tokens. `verdict` is `granted`; `probe`, if this is the
-- one request of a half-open breaker, for which its sender has `probe_time`; `open`, if the breaker does not let it pass;
-- or `empty`, if the budget does not: `why` is the window then. `wait` tells when to ask again. `taken_at` is when the
-- needed tokens were taken; those taken ahead may be used for `valid_for` after it. `closed` says that the breaker closed
-- because the key is another one than that which the provider refused. `unused` tokens come back, unless the verdict is
-- `open` or `empty`. `moment` replaces the clock in tests.
create function admit_provider_request(
    name text, key_digest text, limits int8[], utc_day bool, needed int8, wanted int8,
    unused int8[], unused_until timestamptz[], probe uuid, probe_time interval, moment timestamptz default null,
    out verdict text, out granted int8, out wait interval, out valid_for interval, out taken_at timestamptz,
    out why text, out failed int4, out closed bool
) language plpgsql as $$
declare
    is_limited constant bool := exists (select from unnest(limits) as of_window where of_window is not null);
    state      request_budgets;
    clock      timestamptz;
    open_until timestamptz;
    is_probe   bool;
    draw       record;
begin
    -- Read without a lock first: a request that may not pass writes nothing, and waits for nobody.
    for attempt in 1..2 loop
        if attempt = 1 then
            select * into state from request_budgets where (owner_kind, owner) = ('provider', name);
        else
            -- The commit does not wait for the disk. A crash of the server may forget what was taken in its last moments.
            perform set_config('synchronous_commit', 'off', true);
            select * into state from request_budgets where (owner_kind, owner) = ('provider', name) for update;
            if not found then
                insert into request_budgets (owner_kind, owner) values ('provider', name) on conflict do nothing;
                select * into state from request_budgets where (owner_kind, owner) = ('provider', name) for update;
            end if;
        end if;

        -- Read after the row is locked: the wait for the lock takes time.
        clock := coalesce(moment, clock_timestamp());
        verdict := 'granted';
        granted := 0; valid_for := '0';
        taken_at := clock;
        why := state.reason;
        failed := coalesce(state.failures, 0);
        closed := false; is_probe := false;

        if state.open_until is not null then
            open_until := breaker_open_until(state, clock);
            -- A probe whose answer was lost may be asked for again.
            if state.probe_id <> probe and state.probe_until <= clock + interval '1 minute' then
                open_until := greatest(open_until, state.probe_until);
            end if;

            if state.refused_key <> coalesce(key_digest, '') then
                closed := true;
                failed := 0;
            elsif open_until > clock then
                verdict := 'open';
                wait := open_until - clock;
                return;
            else
                is_probe := true;
                verdict := 'probe';
            end if;
        end if;

        if not (is_limited or is_probe or closed) then
            granted := wanted;
            valid_for := '1 second';
            return;
        end if;

        state := without_unused(state, unused, unused_until);
        draw := draw_tokens(state, clock, limits, utc_day, needed, case when is_probe then needed else wanted end);
        if draw.granted = 0 then
            verdict := 'empty';
            wait := draw.wait;
            why := draw.short_of;
            return;
        end if;
    end loop;

    granted := draw.granted;
    valid_for := draw.valid_for;
    state := draw.drawn;
    if closed then
        state.failures := 0; state.openings := 0;
        state.open_since := null; state.open_until := null;
        state.reason := null; state.refused_key := null;
        state.probe_id := null; state.probe_until := null;
    elsif is_probe then
        state.probe_id := probe;
        state.probe_until := clock + probe_time;
    end if;

    update request_budgets
    set window_starts = state.window_starts, taken = state.taken,
        spent_window = state.spent_window, spent_until = state.spent_until, spent_tokens = state.spent_tokens,
        failures = state.failures, openings = state.openings, open_since = state.open_since,
        open_until = state.open_until, reason = state.reason, refused_key = state.refused_key,
        probe_id = state.probe_id, probe_until = state.probe_until
    where (owner_kind, owner) = ('provider', name);
end $$;

-- Takes back what a request had that was not sent: its tokens, and the right to probe.
create function give_back_request(name text, tokens int8, taken_at timestamptz, probe uuid) returns void
language plpgsql as $$
declare
    state request_budgets;
begin
    perform set_config('synchronous_commit', 'off', true);
    select * into state from request_budgets where (owner_kind, owner) = ('provider', name) for update;
    if not found then
        return;
    end if;

    state := without_unused(state, array[tokens], array[taken_at]);
    if state.probe_id = probe then
        state.probe_id := null; state.probe_until := null;
    end if;
    update request_budgets
    set taken = state.taken, spent_tokens = state.spent_tokens,
        probe_id = state.probe_id, probe_until = state.probe_until
    where (owner_kind, owner) = ('provider', name);
end $$;

-- As the previous version calls it.
create or replace function admit_request(
    name text, key_digest text, limits int8[], needed int8, wanted int8, probe uuid, probe_time interval,
    moment timestamptz default null,
    out verdict text, out granted int8, out wait interval, out valid_for interval,
    out why text, out failed int4, out closed bool
) language sql as $$
    select admitted.verdict, admitted.granted, admitted.wait, admitted.valid_for,
           admitted.why, admitted.failed, admitted.closed
    from admit_provider_request(
        name, key_digest, limits, true, needed, wanted, '{}', '{}', probe, probe_time, moment
    ) as admitted
$$;

drop function take_tokens(text, text, int8[], int8, int8, timestamptz);

-- Records that a request to a provider failed. The breaker opens for `pause`, if the failure tells one. Otherwise it opens
-- with `most` failures in a row, or if the probe fails: for `first`, twice as long each time, at most for `longest`, and
-- all of it times `jitter`. A failure that was under way when the breaker opened lengthens the pause at most, and a refused
-- key is noted. `opened_until` is null if the breaker stays as it was.
create or replace function report_failure(
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
    pause := case when pause > interval '24 hours' then interval '24 hours' else pause end;
    state.open_until := breaker_open_until(state, clock);

    if state.open_until is not null and (probe is null or state.probe_id is distinct from probe) then
        update request_budgets
        set open_until = greatest(state.open_until, clock + pause),
            reason = case when key_digest is not null or clock + pause > state.open_until then why else reason end,
            refused_key = coalesce(key_digest, refused_key)
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
