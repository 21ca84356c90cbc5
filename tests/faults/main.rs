//! Promises P1 to P3 under faults, on real Kafka and real Postgres.
//!
//! Every run prints a line with its seed; set `FAULT_SEED` to repeat a run.

use std::future::Future;

use e2e::faults::cases;
use e2e::faults::run::{Case, run};
use e2e::faults::site::Ground;
use tokio::sync::{Mutex, OnceCell};

mod sensitivity;

/// Only one run at a time may cause faults in Kafka and Postgres.
static BREAKING: Mutex<()> = Mutex::const_new(());

async fn ground() -> &'static Ground {
    static GROUND: OnceCell<Ground> = OnceCell::const_new();
    GROUND
        .get_or_try_init(Ground::start)
        .await
        .expect("Kafka and Postgres start")
}

#[expect(clippy::disallowed_methods, reason = "the seed of the run to repeat")]
fn first_seed() -> u64 {
    let asked = std::env::var("FAULT_SEED").ok();

    asked.map_or_else(rand::random, |seed| {
        seed.parse().expect("FAULT_SEED is a number")
    })
}

/// Runs a case `times` times, each time with another seed.
#[expect(clippy::print_stdout, reason = "a line per run, with what repeats it")]
async fn check(times: u64, case: impl Fn(u64) -> Case) {
    let first = first_seed();
    for seed in (0..times).map(|number| first.wrapping_add(number)) {
        let case = case(seed);
        println!("{} (seed {seed}): {:?}", case.name, case.faults);

        match run(ground().await, &case, seed).await {
            Ok(report) => println!("{} (seed {seed}): holds. {report}", case.name),
            Err(error) => panic!("{} (FAULT_SEED={seed}): {error:#}", case.name),
        }
    }
}

async fn alone(checks: impl Future<Output = ()>) {
    let _breaking = BREAKING.lock().await;
    checks.await;
}

macro_rules! promises_hold {
    ($($(#[$doc:meta])* $name:ident: $times:literal of $case:expr;)*) => {$(
        $(#[$doc])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs Apache Kafka, and so Java: tools/kafka/start; .ci/run runs these"]
        async fn $name() {
            alone(check($times, $case)).await;
        }
    )*};
}

promises_hold! {
    when_the_averager_is_killed: 3 of |_| cases::averager_killed();
    when_the_emulator_is_killed: 2 of |_| cases::emulator_killed();
    when_averager_and_emulator_are_killed: 2 of |_| cases::both_killed();
    when_postgres_is_killed: 2 of |_| cases::postgres_killed();
    when_postgres_is_restarted: 1 of |_| cases::postgres_restarted();
    when_connections_are_cut_in_transactions_and_after_commit: 2 of |_| cases::connections_cut();
    when_postgres_fails_over_to_a_reader_and_back: 1 of |_| cases::failed_over_to_reader();
    when_writers_fall_silent_with_what_they_hold: 1 of |_| cases::connections_silenced();
    when_kafka_is_restarted: 1 of |_| cases::kafka_restarted();
    when_kafka_is_killed: 1 of |_| cases::kafka_killed();
    when_two_emulators_of_one_group_are_killed_in_turn: 1 of |_| cases::rebalance();
    when_every_record_is_delivered_twice_and_the_topic_replayed: 1 of |_| cases::delivered_twice();
    when_records_crash_the_function_which_become_dead_letters_alone: 1 of |_| cases::crashing_records();
    when_the_stream_is_compressed_by_gzip: 1 of |_| cases::gzip();
    when_the_stream_is_compressed_by_snappy: 1 of |_| cases::snappy();
    when_the_stream_is_compressed_by_lz4: 1 of |_| cases::lz4();
    when_the_stream_is_compressed_by_zstd: 1 of |_| cases::zstd();
    when_postgres_refuses_events_in_batches_with_good_ones: 1 of |_| cases::permanent_errors();
    when_readers_end_and_records_would_end_them: 2 of |_| cases::reader_ended();
    when_an_averager_hangs: 1 of |_| cases::averager_hangs();
    when_a_writer_vanishes_with_locks: 1 of |_| cases::writer_vanished();
    when_the_database_is_restored_and_the_topic_replayed: 1 of |_| cases::database_restored();
    under_random_mixtures_of_faults: 4 of Case::mixed;
}

/// Runs in parallel with the others, because it takes minutes and only cuts its own link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Apache Kafka, and so Java: tools/kafka/start; .ci/run runs these"]
async fn when_postgres_is_away_for_two_minutes_without_a_dead_letter() {
    check(1, |_| cases::database_unavailable()).await;
}
