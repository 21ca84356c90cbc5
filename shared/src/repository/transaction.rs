//! How transactions begin.

/// Begins a transaction that holds up nobody for long if its client vanishes without a word (a host that is lost, a
/// function that is frozen): Postgres would keep its locks until TCP gives the connection up, which takes hours.
///
/// One that stands still between two statements for ten seconds is ended: a client that lives takes milliseconds there,
/// and one that waits for its locks has tens of seconds to spare. One that vanishes amidst a COPY is found by TCP's
/// keepalives, in half a minute; there no time limit of Postgres's applies. It is one round trip, and ends with the
/// transaction, so a pooler that shares connections out by transactions passes it on.
pub(super) const BEGIN: &str = "begin isolation level read committed;
    set local idle_in_transaction_session_timeout = '10s';
    set local tcp_keepalives_idle = 10;
    set local tcp_keepalives_interval = 5;
    set local tcp_keepalives_count = 4";
