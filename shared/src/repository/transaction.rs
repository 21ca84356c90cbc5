//! How transactions begin.

/// Begins a transaction whose locks are released soon if its client vanishes without closing the
/// connection, such as a lost host or a frozen function. By default Postgres would keep the locks
/// until TCP gives the connection up, which takes hours.
///
/// A transaction that is idle between two statements for ten seconds is ended. A live client takes
/// milliseconds there, and a client that waits for its locks has tens of seconds. A client that
/// vanishes during a COPY is found by TCP's keepalives within half a minute; no time limit of
/// Postgres applies there. All settings are sent in one round trip, and end with the transaction,
/// so a pooler in transaction mode passes them on.
///
/// The statements are planned for the rows that they are given, also in a session that plans others
/// once and by index only (the averager's, for small batches): with thousands of rows such a plan
/// takes much more of Postgres's time.
pub(super) const BEGIN: &str = "begin isolation level read committed;
    set local idle_in_transaction_session_timeout = '10s';
    set local tcp_keepalives_idle = 10;
    set local tcp_keepalives_interval = 5;
    set local tcp_keepalives_count = 4;
    set local plan_cache_mode = force_custom_plan;
    set local enable_seqscan = on";
