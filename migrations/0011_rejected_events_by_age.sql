-- Rejected events go by age: upkeep looks for the oldest.
create index rejected_events_by_age on rejected_events (rejected_at);
