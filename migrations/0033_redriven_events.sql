-- How often a record was sent to the topic again from quarantine. A record that is refused again comes back to quarantine with
-- another offset, so it is known by its content; the guard against endless rounds counts that. The api writes it after Kafka has
-- acknowledged the record, and upkeep deletes it with the rejected events of its age.
create table redriven_events (
    value_sha256 bytea not null,
    -- Empty if the record has no key.
    key          bytea not null,
    times        int2 not null,
    last_at      timestamptz not null,
    primary key (value_sha256, key)
);
